/* buddy_range.h - runs of free frames at chosen places.
 *
 * What it is: finding a run of free frames of any length inside a window, and taking
 * exactly these frames, whichever blocks they are in. What it is not: the way for a
 * request that a block of some order satisfies (buddy.h, O(orders)).
 *
 * A run may join free blocks of any orders that lie side by side, and frames beyond the
 * frontier; it may be longer than the largest block.
 * Cost: finding looks at each block of the window once, used ones too, from below.
 * Taking is O(orders) per free block of the run, and lists the blocks between the
 * frontier and the run's end.
 * Lock: zone->lock.
 */
#ifndef BUDDY_BUDDY_RANGE_H
#define BUDDY_BUDDY_RANGE_H

#include "buddy/buddy.h"

/* First frame of the lowest run of nr_pages free frames that lies in [first, end) and in the
 * zone, starts at a multiple of align and crosses no multiple of nocross (0: may cross any).
 * Multiples are counted so that frame 0 of the map has the number origin: 0 makes the frame
 * numbers count, the map's base in frames the addresses. PFN_NONE if there is none.
 * pre: nr_pages > 0, align a power of two; nocross is 0 or a power of two >= nr_pages.
 * Other threads may hold blocks and change their words meanwhile: a free run is never
 * invented, but one behind a block whose owner is changing it may be missed. */
uint32_t buddy_find_range_locked(const struct zone *zone, const struct frame_map *map,
                                 uint32_t first, uint32_t end, uint32_t nr_pages, uint32_t align,
                                 uint32_t nocross, uint64_t origin);

/* The start of the shortest run of free frames below the frontier that holds nr_pages, where
 * 2**(order - 1) < nr_pages <= 2**order, and a resident part of at least a quarter of 2**order.
 * Looks at a few blocks of each order only. PFN_NONE if there is none. */
uint32_t buddy_find_resident_run_locked(const struct zone *zone, const struct frame_map *map,
                                        unsigned order, uint32_t nr_pages);

/* Where a run of nr_pages would begin that starts colour frames behind the start of the free frames
 * around it, so that runs made one after another do not all begin at multiples of their length.
 * Not in resident memory but where the smallest fitting block of other free memory is, or at the
 * frontier. PFN_NONE: the free frames there are too few. */
uint32_t buddy_find_coloured_run_locked(const struct zone *zone, const struct frame_map *map,
                                        unsigned order, uint32_t nr_pages, uint32_t colour);

/* Frames of the longest run of free ones, for texts: of a zone in more than a million blocks, among
 * the first million. Looks at each block once, used ones too. */
uint32_t buddy_largest_run_locked(const struct zone *zone, const struct frame_map *map);

/* Takes exactly these frames. False, with nothing changed, unless all of them are free frames of
 * the zone. Of blocks that lie in the run in part the rest stays free, with its residency.
 * Afterwards no frame of the run has a word of its own (UNLISTED), and each of the largest aligned
 * blocks that make up the run (as buddy_free_range_locked cuts it: order min(ctz(pfn), ilog2(frames
 * left), max_order)) has in its head the residency and nr_dirty of that block, as after
 * buddy_alloc_locked, until the caller writes there. pre: nr_pages > 0 */
bool buddy_take_range_locked(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                             uint32_t nr_pages);

#endif

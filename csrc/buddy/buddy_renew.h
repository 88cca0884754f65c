/* buddy_renew.h - in a forked child whose frames are its parent's: new memory for what is free.
 *
 * What it is: asks for each free block whether it has memory of the child's own now. Those that
 * have read zero, and are free; the others are nobody's, and never come back.
 * What it is not: it knows no memory (the caller does).
 * Lock: zone->lock.
 */
#ifndef BUDDY_BUDDY_RENEW_H
#define BUDDY_BUDDY_RENEW_H

#include "buddy/buddy.h"

/* Frames from pfn on have new memory of their own. */
typedef bool (*renew_fn)(void *context, uint32_t pfn, uint32_t nr_pages);

/* Asks for the frames beyond the frontier first, and then for the blocks, the largest first.
 * Returns how many frames were lost; UINT32_MAX: those beyond the frontier cannot be had, and
 * nothing was changed. */
uint32_t buddy_renew_locked(struct zone *zone, const struct frame_map *map, renew_fn renew,
                            void *context);

#endif

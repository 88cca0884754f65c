/* purge.h - giving free frames back to the operating system.
 *
 * Which frames go: those that were not needed for a whole interval. The zone keeps the fewest
 * dirty free frames it has had since the interval began; that many were surplus all the time, and
 * go back when it ends (Bonwick's working set). Two intervals make the purge delay, so that
 * surplus memory goes within one delay of the activity that finds it. A block's own age would not
 * do: a block that merges with one freed a moment ago looks young for ever.
 * The malloc library trades as well: when a large request takes frames that were not resident, for
 * want of resident ones that lie together, as many resident free frames go back at once. So a
 * program whose blocks grow does not keep the places of all the smaller ones.
 * What it is not: a thread or a timer. Whoever is on a slow path calls page_alloc_tick, and so does
 * an arena's own thread, if it was asked for (arena/background.h).
 * Lock: none while the system works; blocks are taken out of the buddy meanwhile (isolated).
 */
#ifndef PAGE_ALLOC_PURGE_H
#define PAGE_ALLOC_PURGE_H

#include "page_alloc/page_alloc.h"

/* Gives at least max_pages dirty free frames back if there are so many; returns how many. */
uint64_t zone_purge(struct page_alloc *pa, struct zone *zone, uint64_t max_pages);
/* A request has just taken nr_pages frames, nr_dirty of them dirty: trades for the others. */
void zone_trade(struct page_alloc *pa, struct zone *zone, uint32_t nr_pages, uint64_t nr_dirty);

#endif

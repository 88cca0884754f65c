/* purge.h - giving free frames back to the operating system.
 *
 * Which frames go: those that were not needed for a whole interval. The zone keeps the fewest
 * dirty free frames it has had since the interval began; that many were surplus all the time, and
 * go back when it ends (Bonwick's working set). Two intervals make the purge delay, so that
 * surplus memory goes within one delay of the activity that finds it. A block's own age would not
 * do: a block that merges with one freed a moment ago looks young for ever.
 * What it is not: a thread or a timer. Whoever is on a slow path calls page_alloc_tick, and so does
 * an arena's own thread, if it was asked for (arena/background.h).
 * Lock: none while the system works; blocks are taken out of the buddy meanwhile (isolated).
 */
#ifndef PAGE_ALLOC_PURGE_H
#define PAGE_ALLOC_PURGE_H

#include "page_alloc/page_alloc.h"

/* Gives at least max_pages dirty free frames back if there are so many; returns how many. */
uint64_t zone_purge(struct page_alloc *pa, struct zone *zone, uint64_t max_pages);

#endif

/* purge.h - giving free frames back to the operating system, as page_alloc's slow paths
 * see it. Not for other layers.
 *
 * Which frames: those that were not needed for a whole interval. The zone keeps the
 * fewest dirty free frames it has had since the interval began; that many were
 * surplus all the time, and go back when it ends (Bonwick's working set). Two intervals
 * make the purge delay, so that surplus memory goes within one delay of the activity
 * that finds it. A block's own age would not do: a block that merges with one freed a
 * moment ago looks young for ever.
 * Lock: none while the system works; blocks are taken out of the buddy meanwhile.
 */
#ifndef PAGE_ALLOC_PURGE_H
#define PAGE_ALLOC_PURGE_H

#include "page_alloc/page_alloc.h"

/* Ends the interval if it is over, and purges what was surplus in it. No lock held. */
void purge_tick(struct page_alloc *pa);

#endif

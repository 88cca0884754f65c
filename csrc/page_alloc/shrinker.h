/* shrinker.h - the run over an arena's shrinkers, as reclaim.c sees it; see shrinker.c.
 *
 * What it is not: registering and unregistering, which page_alloc.h has.
 * Lock: none is held by the caller, because callbacks run.
 */
#ifndef PAGE_ALLOC_SHRINKER_H
#define PAGE_ALLOC_SHRINKER_H

#include "page_alloc/page_alloc.h"

/* Asks every shrinker once at this priority (12: lightly, 0: for all it has); returns the objects
 * that went. *give_up is set when one of them ends the request. */
uint64_t shrinkers_run(struct page_alloc *pa, unsigned priority, bool *give_up);
void shrinkers_init(struct page_alloc *pa);
/* Unregisters all. */
void shrinkers_destroy(struct page_alloc *pa);

#endif

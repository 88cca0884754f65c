/* reclaim.h - the slow path, as the rest of page_alloc/ sees it; see reclaim.c.
 *
 * What it is not: the shrinkers (shrinker.h).
 * Lock: no lock is held by the caller, because callbacks run.
 */
#ifndef PAGE_ALLOC_RECLAIM_H
#define PAGE_ALLOC_RECLAIM_H

#include "page_alloc/page_alloc.h"
#include "page_alloc/request.h"

/* Frames for a request whose first try failed; they have no record yet. PFN_NONE */
uint32_t request_take_slow(struct page_alloc *pa, const struct request *request);

#endif

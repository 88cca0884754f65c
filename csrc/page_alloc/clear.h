/* clear.h - zeroing what a request with GFP_ZERO gets, and counting it.
 *
 * What it is: only what may hold old content is written to. What is known to read zero, because
 * it was never used or went back to the system, is not; both are counted.
 * What it is not: the writing itself (frames_clear in page/page.c).
 * Lock: none; the frames are in the caller's hands.
 */
#ifndef PAGE_ALLOC_CLEAR_H
#define PAGE_ALLOC_CLEAR_H

#include "page_alloc/page_alloc.h"
#include "page_alloc/request.h"

/* Zeroes what came straight from the buddy, whose records still tell which parts need it. */
void clear_request(struct page_alloc *pa, const struct request *request, uint32_t pfn);
/* Zeroes a block from a page list, unless it is known to be clean. */
void clear_listed_block(struct page_alloc *pa, uint32_t pfn, unsigned order, bool clean);
/* Of nr_pages frames that were to be zeroed, so many were written to. */
void count_cleared(struct page_alloc *pa, uint32_t nr_pages, uint32_t cleared);

#endif

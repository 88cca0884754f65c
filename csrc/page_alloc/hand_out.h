/* hand_out.h - from a request to a block with its record.
 *
 * What it is: the first try at the low watermark, the slow path if it fails, and the record of
 * what was taken. What it is not: the page lists, which have given blocks their records already.
 * Lock: none is held by the caller.
 */
#ifndef PAGE_ALLOC_HAND_OUT_H
#define PAGE_ALLOC_HAND_OUT_H

#include "page_alloc/page_alloc.h"
#include "page_alloc/request.h"

/* Serves a request past the page lists. PFN_NONE
 * pre: nr_pages is not 0; the zones are the arena's. */
uint32_t page_alloc_request(struct page_alloc *pa, const struct request *request);
/* Clears what was taken, if that was asked for, and writes its record. */
void hand_out(struct page_alloc *pa, const struct request *request, uint32_t pfn);

/* The block is one for ever (GFP_COMP). Only from order 1 on, as in Linux: a single frame has no
 * parts. */
static inline bool request_is_compound(const struct request *request)
{
    return (request->gfp & PYSLAB_GFP_COMP) != 0 && request->order != 0;
}

#endif

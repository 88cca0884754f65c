/* access.h - which frames of an arena may be touched: all, or those that were handed out.
 *
 * What it is: after page_alloc_close, access to frames is given when they are first handed out.
 * The buddy hands out the lowest frames first, so that one bound is enough: from open_end on
 * nothing was ever handed out, and a program that touches a frame there runs past the end of a
 * block. What it is not: guards between blocks.
 * Lock: the zone's; an arena that was closed has one zone.
 */
#ifndef PAGE_ALLOC_ACCESS_H
#define PAGE_ALLOC_ACCESS_H

#include "page_alloc/page_alloc.h"

/* Gives access up to the end of these frames, which were just taken. EOS */
int page_alloc_open_locked(struct page_alloc *pa, uint32_t end);

/* Gives frames back to the buddy that could not get access. */
void page_alloc_shut_locked(struct page_alloc *pa, struct zone *zone, uint32_t pfn,
                            uint32_t nr_pages);

/* The frames from pfn on, just taken, may be handed out. False: they get no access, and the caller
 * must give them to page_alloc_shut_locked. */
static inline bool frames_open_locked(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    lock_assert_held(&page_alloc_zone_of(pa, pfn)->lock);
    return likely(pfn + nr_pages <= pa->open_end) ||
           page_alloc_open_locked(pa, pfn + nr_pages) == PYSLAB_OK;
}

#endif

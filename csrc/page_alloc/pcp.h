/* pcp.h - the per-thread page lists, as page_alloc.c sees them. Not for other layers. */
#ifndef PAGE_ALLOC_PCP_H
#define PAGE_ALLOC_PCP_H

#include "page_alloc/page_alloc.h"

/* Chooses the lists' limits and registers the slot with the domain. */
void pcp_set_up(struct page_alloc *pa);
/* Moves a batch from the buddy to this thread's list; false if none came. */
bool pcp_refill(struct page_alloc *pa, unsigned order);
/* The block that this thread's list would give next reads zero. pre: it has one. */
bool pcp_next_is_clean(struct page_alloc *pa, unsigned order);
/* Moves the oldest batch to the buddy if the list is full; false if there is no list. */
bool pcp_make_room(struct page_alloc *pa, unsigned order);
/* Every frame on every list is in state PCP, of its list's order, and there once. */
bool pcp_check(struct page_alloc *pa, struct finding *f);

#endif

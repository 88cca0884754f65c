/* pcp.h - the per-thread page lists, as the rest of page_alloc/ sees them.
 *
 * What it is: the exchange of blocks between a thread's page lists and the buddy.
 * What it is not: taking one from a list and putting one there (pcp_list.h); for other layers.
 * Lock: none held by the caller; the zone's is taken inside.
 */
#ifndef PAGE_ALLOC_PCP_H
#define PAGE_ALLOC_PCP_H

#include "page_alloc/page_alloc.h"

/* The kernel's, with 4 KiB pages: frames to move at once for a zone of this size. */
uint32_t zone_batchsize(uint32_t managed_pages);
/* Chooses the lists' limits and registers the slot with the domain. */
void pcp_set_up(struct page_alloc *pa);
/* This thread's list of a zone and order, filled from the buddy if it was empty; NULL if
 * there is none, or the zone is at its low mark. */
struct pcp_list *pcp_refill(struct page_alloc *pa, uint32_t zone, unsigned order);
/* The block that the list would give next reads zero. pre: it has one. */
bool pcp_next_is_clean(struct page_alloc *pa, const struct pcp_list *list);
/* The list, its oldest batch gone to the buddy if it was full; NULL if there is none. */
struct pcp_list *pcp_make_room(struct page_alloc *pa, uint32_t zone, unsigned order);
/* This thread's lists; NULL without memory. */
struct pcp *pcp_own(struct page_alloc *pa);
/* Every block on every thread's lists is in state PCP, of its list's order and zone, and there
 * once; and the shelf is sound. *listed: how many frames they are. Quiescence. */
bool pcp_check(struct page_alloc *pa, struct finding *f, uint64_t *listed);

#endif

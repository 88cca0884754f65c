/* pcp_list.h - one page list: which orders have one, take a block, put a block.
 *
 * What it is: the part of the per-thread page lists that the fast paths inline. A page list is a
 * thread's private stack of free blocks of one order and one zone, so that taking and putting one
 * needs no lock. What it is not: the exchange with the buddy when a list is empty or full (pcp.c).
 * Lock: none, since a list is its thread's alone. Other threads only read its count.
 */
#ifndef PAGE_ALLOC_PCP_LIST_H
#define PAGE_ALLOC_PCP_LIST_H

#include "page_alloc/record.h"

#define PCP_HUGE_ORDER 9u /* 2 MiB: the block a huge page fills; the largest that has a list */

/* Where a zone's lists are in a pcp: first the NORMAL zone's, whose lists the fast
 * paths use, then the others by index. */
static inline unsigned pcp_place(const struct page_alloc *pa, uint32_t zone)
{
    if (likely(zone == pa->normal))
        return 0;
    return zone < pa->normal ? zone + 1 : zone;
}

/* Blocks of this order have a page list. */
static always_inline bool pcp_has_list(unsigned order)
{
    return order < NR_PCP_LISTS;
}

/* The list of an order. pre: the order has one (unchecked: every caller has just asked
 * pcp_has_list, and the fast path has no instruction to spare) */
static always_inline struct pcp_list *pcp_list_at(struct pcp_set *set, unsigned order)
{
    size_t behind = NR_PCP_LISTS - 1 - order;

    return (struct pcp_list *)(void *)(set->bytes + behind * PCP_LIST_BYTES(PCP_CAPACITY_REST));
}

/* Takes the youngest block. pre: the list has one. */
static always_inline uint32_t pcp_pop(struct page_alloc *pa, struct pcp_list *list)
{
    uint32_t nr = load_relaxed(&list->nr) - 1;
    uint32_t pfn = list->frame[nr];
    struct page *page = pfn_to_page(&pa->map, pfn);

    CHECK(nr < PCP_CAPACITY &&
          page_word_listed(list->alloc_word) == (load_relaxed(&page->word) & PAGE_WORD_MASK));
    store_relaxed(&list->nr, nr);
    store_relaxed(&page->word, list->alloc_word);
    store_relaxed(&page->refcount, 1);
    return pfn;
}

/* Puts a block on the list, as its youngest.
 * pre: the list has room, and nr blocks; the block is of its order and zone. */
static always_inline void pcp_push(struct page_alloc *pa, struct pcp_list *list, uint32_t nr,
                                   uint32_t pfn)
{
    CHECK(nr == load_relaxed(&list->nr) && nr < list->high);
    CHECK(page_words_same_zone(load_relaxed(&pfn_to_page(&pa->map, pfn)->word), list->alloc_word));
    store_relaxed(&pfn_to_page(&pa->map, pfn)->word, page_word_listed(list->alloc_word));
    list->frame[nr] = pfn;
    store_relaxed(&list->nr, nr + 1);
}

#endif

/* clear.c - see clear.h. */
#include "page_alloc/clear.h"

void count_cleared(struct page_alloc *pa, uint32_t nr_pages, uint32_t cleared)
{
    add_relaxed(&pa->pages_cleared, cleared);
    add_relaxed(&pa->pages_known_zero, nr_pages - cleared);
}

/* Clears a run. The records of the largest aligned blocks that make it up tell their residency
 * (buddy_take_range_locked left them so). */
static uint32_t clear_run(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    uint32_t cleared = 0;

    CHECK(pa->max_order <= MAX_ORDER);
    while (nr_pages > 0) {
        unsigned order = min_uint(min_uint(ctz32(pfn), ilog2(nr_pages)), pa->max_order);

        cleared += page_clear_block(&pa->map, pfn, order, 1u << order);
        pfn += 1u << order;
        nr_pages -= 1u << order;
    }
    return cleared;
}

void clear_request(struct page_alloc *pa, const struct request *request, uint32_t pfn)
{
    uint32_t cleared = request->any_run
                           ? clear_run(pa, pfn, request->nr_pages)
                           : page_clear_block(&pa->map, pfn, request->order, request->nr_pages);

    count_cleared(pa, request->nr_pages, cleared);
}

void clear_listed_block(struct page_alloc *pa, uint32_t pfn, unsigned order, bool clean)
{
    if (!clean)
        frames_clear(&pa->map, pfn, 1u << order);
    count_cleared(pa, 1u << order, clean ? 0 : 1u << order);
}

/* blocks.c - blocks of 2**order frames where the fast path of page_alloc.h does not lead.
 *
 * What it is: from the request's gfp mask to its zones, then this thread's page list of the
 * preferred zone, then a request past the lists. What it is not: giving back (free.c), or many at
 * once (bulk.c).
 * Lock: none held; pcp.c and zonelist.c take the zones'.
 */
#include "page_alloc/clear.h"
#include "page_alloc/hand_out.h"
#include "page_alloc/pcp.h"
#include "page_alloc/zonelist.h"

/* From the page lists of the zone that the request prefers. pre: its order has lists. */
static uint32_t alloc_listed(struct page_alloc *pa, const struct request *request)
{
    struct pcp_list *list;
    bool clean;
    uint32_t pfn;

    CHECK(pcp_has_list(request->order));
    if (zone_is_foreign(pa, request->highest))
        return PFN_NONE;
    list = pcp_refill(pa, request->highest, request->order);
    if (list == NULL)
        return PFN_NONE;
    clean = pcp_next_is_clean(pa, list);
    pfn = pcp_pop(pa, list);
    if (request->gfp & PYSLAB_GFP_ZERO)
        clear_listed_block(pa, pfn, request->order, clean);
    if (request_is_compound(request))
        store_relaxed(&pfn_to_page(&pa->map, pfn)->word, list->alloc_word | PAGE_FLAG_COMP);
    return pfn;
}

/* A block of 2**order frames from the zones highest .. lowest. */
static always_inline uint32_t alloc_block(struct page_alloc *pa, unsigned order, uint32_t gfp,
                                          uint32_t highest, uint32_t lowest)
{
    struct request request = {.order = order,
                              .gfp = gfp,
                              .state = PYSLAB_PAGE_ALLOC,
                              .highest = highest,
                              .lowest = lowest};
    uint32_t pfn;

    if (!gfp_nofail_valid(gfp, order) || order > pa->max_order)
        return PFN_NONE;
    pfn = pcp_has_list(order) ? alloc_listed(pa, &request) : PFN_NONE;
    if (pfn != PFN_NONE)
        return pfn;
    request.nr_pages = 1u << order;
    return page_alloc_request(pa, &request);
}

slow_path uint32_t page_alloc_slow(struct page_alloc *pa, unsigned order, uint32_t gfp)
{
    return gfp_valid(gfp) ? alloc_block(pa, order, gfp, gfp_zone(pa, gfp), 0) : PFN_NONE;
}

slow_path uint32_t page_alloc_block_slow(struct page_alloc *pa, unsigned order, uint32_t gfp)
{
    uint32_t pfn = PFN_NONE;

    if (!should_fail(pa->faults, NULL, PAGE_SIZE << min_uint(order, MAX_ORDER), gfp))
        pfn = page_alloc_slow(pa, order, gfp);
    if (pfn == PFN_NONE)
        add_relaxed(&pa->alloc_failures, 1);
    else
        page_count_alloc(pa, pfn);
    return pfn;
}

uint32_t page_alloc_high(struct page_alloc *pa, unsigned order, uint32_t gfp)
{
    uint32_t lowest = 0, pfn;

    while (lowest < pa->nr_zones && pa->zone[lowest].type < PYSLAB_ZONE_HIGHMEM)
        lowest++;
    if (!gfp_valid(gfp) || lowest == pa->nr_zones)
        return PFN_NONE;
    pfn = alloc_block(pa, order, gfp, pa->nr_zones - 1, lowest);
    if (pfn != PFN_NONE)
        page_count_alloc(pa, pfn);
    return pfn;
}

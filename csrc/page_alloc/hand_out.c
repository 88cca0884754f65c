/* hand_out.c - see hand_out.h. */
#include "page_alloc/hand_out.h"

#include "page_alloc/clear.h"
#include "page_alloc/hugepage.h"
#include "page_alloc/init_on.h"
#include "page_alloc/reclaim.h"
#include "page_alloc/watch.h"
#include "page_alloc/zonelist.h"

static uint32_t request_word(const struct page *page, const struct request *request)
{
    uint32_t word = PAGE_WORD(request->state, request->order, page_zone(page));

    if (request->any_run)
        word |= PAGE_FLAG_RUN;
    return request_is_compound(request) ? word | PAGE_FLAG_COMP : word;
}

/* hand_out, inlined where blocks that have no page list come by each time. */
static always_inline void hand_out_here(struct page_alloc *pa, const struct request *request,
                                        uint32_t pfn)
{
    struct page *page = pfn_to_page(&pa->map, pfn);

    frames_watch_open(pa, pfn, request->nr_pages, must_read_zero(pa, request->gfp));
    if (!request->any_run)
        hugepage_note_block(pa, pfn, request->order);
    if (must_read_zero(pa, request->gfp))
        clear_request(pa, request, pfn);
    if (request->state == PYSLAB_PAGE_LARGE || request->any_run)
        store_relaxed(&page->large.nr_pages, request->nr_pages);
    store_relaxed(&page->refcount, 1);
    store_relaxed(&page->word, request_word(page, request));
}

void hand_out(struct page_alloc *pa, const struct request *request, uint32_t pfn)
{
    hand_out_here(pa, request, pfn);
}

uint32_t page_alloc_request(struct page_alloc *pa, const struct request *request)
{
    struct access access;
    uint32_t pfn;

    CHECK(request->nr_pages != 0 && request->highest < pa->nr_zones);
    access_first(&access, request->highest);
    if (zone_is_foreign(pa, access.zone))
        return PFN_NONE;
    pfn = zonelist_take(pa, request, &access);
    if (pfn == PFN_NONE && (pfn = request_take_slow(pa, request)) == PFN_NONE)
        return PFN_NONE;
    hand_out_here(pa, request, pfn);
    return pfn;
}

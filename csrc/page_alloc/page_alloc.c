/* page_alloc.c - the slow path, exact runs, references.
 * The per-thread page lists are in pcp.c, purging in purge.c. */
#include "page_alloc/page_alloc.h"

#include "base/fault.h"
#include "os/os.h"
#include "os/os_heap.h"
#include "page_alloc/hugepage.h"
#include "page_alloc/pcp.h"

#include <string.h>

void page_alloc_init(struct page_alloc *pa, const struct frame_map *map,
                     struct thread_domain *domain, unsigned max_order)
{
    *pa = (struct page_alloc){.map = *map, .domain = domain, .nr_zones = 1};
    pa->purge.interval_ms = PURGE_NEVER;
    zone_init(&pa->zone[0], "NORMAL", 0, 0, map->nr_pages, max_order);
    pcp_set_up(pa);
}

void page_alloc_destroy(struct page_alloc *pa)
{
    os_heap_free(pa->huge.small_runs, pa->huge.nr_runs);
    for (uint32_t i = 0; i < pa->nr_zones; i++)
        zone_destroy(&pa->zone[i]);
}

void page_alloc_set_reclaim(struct page_alloc *pa, bool (*reclaim)(void *), void *context)
{
    pa->reclaim = reclaim;
    pa->reclaim_context = context;
}

/* --- one request -------------------------------------------------------- */

struct request {
    uint32_t nr_pages; /* frames to keep of the block */
    unsigned order;    /* of the block */
    uint32_t gfp;
    unsigned state;    /* enum pyslab_page_state the head gets */
};

/* Walks the zonelist, highest allowed zone first. One zone so far. */
static uint32_t zonelist_take(struct page_alloc *pa, const struct request *request)
{
    struct zone *zone = &pa->zone[0];
    uint32_t pfn;

    if (fault_here())
        return PFN_NONE;
    lock_acquire(&zone->lock);
    if (request->nr_pages == 1u << request->order)
        pfn = buddy_alloc_locked(zone, &pa->map, request->order);
    else
        pfn = buddy_alloc_exact_locked(zone, &pa->map, request->order, request->nr_pages);
    if (pfn != PFN_NONE)
        zone->nr_allocs++;
    lock_release(&zone->lock);
    return pfn;
}

/* Blocks on their way to the operating system are free again in a moment: "no" is true
 * only if none was away, or came back, while the lists were looked at. */
static uint32_t take_isolated(struct page_alloc *pa, const struct request *request)
{
    for (;;) {
        uint32_t returns = atomic_load(&pa->nr_returns);
        uint32_t pfn = zonelist_take(pa, request);

        if (pfn != PFN_NONE ||
            (atomic_load(&pa->nr_isolated) == 0 && atomic_load(&pa->nr_returns) == returns))
            return pfn;
        os_yield();
    }
}

/* The steps between "the zones are empty" and "no": blocks that are away for a moment,
 * own page lists, what the upper layers hold; the other threads are asked for theirs. */
static uint32_t take_slow(struct page_alloc *pa, const struct request *request)
{
    uint32_t pfn = take_isolated(pa, request);

    if (pfn == PFN_NONE && pcp_drain(pa))
        pfn = zonelist_take(pa, request);
    if (pfn != PFN_NONE)
        return pfn;
    page_alloc_request_drain(pa);
    if (pa->reclaim != NULL && pa->reclaim(pa->reclaim_context)) {
        pcp_drain(pa);
        pfn = zonelist_take(pa, request);
    }
    return pfn != PFN_NONE ? pfn : take_isolated(pa, request);
}

static void count_cleared(struct page_alloc *pa, uint32_t nr_pages, uint32_t cleared)
{
    add_relaxed(&pa->pages_cleared, cleared);
    add_relaxed(&pa->pages_known_zero, nr_pages - cleared);
}

/* Zeroes a block straight from the buddy, whose records tell which parts need it. */
static void clear_request(struct page_alloc *pa, const struct request *request, uint32_t pfn)
{
    count_cleared(pa, request->nr_pages,
                  page_clear_block(&pa->map, pfn, request->order, request->nr_pages));
}

/* Zeroes a block from a page list. */
static void clear_listed_block(struct page_alloc *pa, uint32_t pfn, unsigned order, bool clean)
{
    if (!clean)
        memset(pfn_to_virt(&pa->map, pfn), 0, PAGE_SIZE << order);
    count_cleared(pa, 1u << order, clean ? 0 : 1u << order);
}

static uint32_t page_alloc_request(struct page_alloc *pa, const struct request *request)
{
    struct page *page;
    uint32_t pfn = zonelist_take(pa, request);

    if (pfn == PFN_NONE && (pfn = take_slow(pa, request)) == PFN_NONE)
        return PFN_NONE;
    hugepage_note_block(pa, pfn, request->order);
    if (request->gfp & PYSLAB_GFP_ZERO)
        clear_request(pa, request, pfn);
    page = pfn_to_page(&pa->map, pfn);
    if (request->state == PYSLAB_PAGE_LARGE)
        page->large.nr_pages = request->nr_pages;
    store_relaxed(&page->refcount, 1);
    store_relaxed(&page->word, PAGE_WORD(request->state, request->order, 0));
    return pfn;
}

slow_path uint32_t page_alloc_slow(struct page_alloc *pa, unsigned order, uint32_t gfp)
{
    struct request request = {.order = order, .gfp = gfp, .state = PYSLAB_PAGE_ALLOC};

    if (!gfp_valid(gfp) || order > pa->zone[0].max_order)
        return PFN_NONE;
    request.nr_pages = 1u << order;
    if (pcp_index(order) != NR_PCP_LISTS && pcp_refill(pa, order)) {
        bool clean = pcp_next_is_clean(pa, order);
        uint32_t pfn = page_alloc_uncounted(pa, order, gfp & GFP_FAST_BITS);

        if (gfp & PYSLAB_GFP_ZERO)
            clear_listed_block(pa, pfn, order, clean);
        return pfn;
    }
    return page_alloc_request(pa, &request);
}

uint32_t page_alloc_exact(struct page_alloc *pa, uint32_t nr_pages, unsigned align_order,
                          uint32_t gfp)
{
    struct request request = {.nr_pages = nr_pages, .gfp = gfp, .state = PYSLAB_PAGE_LARGE};

    if (!gfp_valid(gfp) || nr_pages == 0 || nr_pages > pa->map.nr_pages)
        return PFN_NONE;
    request.order = max_uint(order_for_pages(nr_pages), align_order);
    if (request.order > pa->zone[0].max_order)
        return PFN_NONE;
    return page_alloc_request(pa, &request);
}

/* --- giving back -------------------------------------------------------- */

slow_path void page_free_slow(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    if (pcp_index(order) != NR_PCP_LISTS && pcp_make_room(pa, order))
        page_free_block(pa, pfn, order);
    else
        page_free_range(pa, pfn, 1u << order);
}

void page_free_range(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    struct zone *zone = &pa->zone[0];

    lock_acquire(&zone->lock);
    buddy_free_range_locked(zone, &pa->map, pfn, nr_pages, RESIDENCY_DIRTY);
    zone->nr_frees++;
    lock_release(&zone->lock);
    page_alloc_tick(pa);
}

/* Says what is wrong with a frame number that should head an ALLOC block. */
static int page_misuse(const struct page_alloc *pa, uint32_t pfn)
{
    if (pfn >= pa->map.nr_pages)
        return PYSLAB_EINVAL;
    return page_is_free(pa, pfn) ? PYSLAB_EDOUBLE : PYSLAB_EPOINTER;
}

int page_put(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    struct page *page;

    if (unlikely(pfn >= pa->map.nr_pages) ||
        unlikely(page_state(pfn_to_page(&pa->map, pfn)) != PYSLAB_PAGE_ALLOC))
        return page_misuse(pa, pfn);
    page = pfn_to_page(&pa->map, pfn);
    if (unlikely(page_order(page) != order))
        return PYSLAB_EINVAL;
    /* A sole owner needs no locked instruction: nobody else may change the count. */
    if (atomic_load_explicit(&page->refcount, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&page->refcount, 1, memory_order_acq_rel) != 1)
        return PYSLAB_OK;
    store_relaxed(&page->refcount, 0);
    page_free_block(pa, pfn, order);
    return PYSLAB_OK;
}

int page_get(struct page_alloc *pa, uint32_t pfn)
{
    if (pfn >= pa->map.nr_pages ||
        page_state(pfn_to_page(&pa->map, pfn)) != PYSLAB_PAGE_ALLOC)
        return page_misuse(pa, pfn);
    atomic_fetch_add_explicit(&pfn_to_page(&pa->map, pfn)->refcount, 1, memory_order_relaxed);
    return PYSLAB_OK;
}

bool page_is_free(const struct page_alloc *pa, uint32_t pfn)
{
    for (unsigned order = 0; order <= pa->zone[0].max_order; order++) {
        const struct page *head = pfn_to_page(&pa->map, pfn & ~((1u << order) - 1));
        unsigned state = page_state(head);

        if (state != PYSLAB_PAGE_UNLISTED)
            return (state == PYSLAB_PAGE_BUDDY || state == PYSLAB_PAGE_PCP ||
                    state == PYSLAB_PAGE_ISOLATED) &&
                   page_order(head) >= order;
    }
    return pfn >= pa->zone[0].frontier;
}

void page_alloc_request_drain(struct page_alloc *pa)
{
    add_relaxed(&pa->drain_epoch, 1);
}

bool page_alloc_check(struct page_alloc *pa, struct finding *f)
{
    bool ok = true;

    for (uint32_t i = 0; ok && i < pa->nr_zones; i++) {
        lock_acquire(&pa->zone[i].lock);
        ok = buddy_check_locked(&pa->zone[i], &pa->map, f);
        lock_release(&pa->zone[i].lock);
    }
    return ok && pcp_check(pa, f);
}

/* runs.c - runs of frames: exact, contiguous, at a chosen place, and a block made longer.
 *
 * What it is: requests whose length is no power of two, or whose place matters.
 * What it is not: giving them back (free.c); finding them among free blocks (buddy_range.c).
 * Lock: none held by the caller; the zones' are taken here and in zonelist.c.
 */
#include "base/fault.h"
#include "buddy/buddy_range.h"
#include "page_alloc/access.h"
#include "page_alloc/clear.h"
#include "page_alloc/hand_out.h"
#include "page_alloc/hugepage.h"
#include "page_alloc/init_on.h"
#include "page_alloc/purge.h"
#include "page_alloc/recount.h"
#include "page_alloc/shelf.h"
#include "page_alloc/used.h"
#include "page_alloc/watch.h"
#include "page_alloc/zonelist.h"

/* Serves a request for a run, and counts it as in the caller's hands; kmalloc counts its LARGE
 * blocks itself. */
static uint32_t alloc_run(struct page_alloc *pa, const struct request *request)
{
    uint32_t pfn = page_alloc_request(pa, request);

    if (pfn != PFN_NONE && request->state == PYSLAB_PAGE_ALLOC)
        page_count_alloc(pa, pfn);
    return pfn;
}

#define RESIDENT_RUN_MIN_ORDER 8u /* 1 MiB: its page faults cost more than a search */

/* Arrays that all begin at multiples of a large power of two lie in the same banks of the memory:
 * an expression over arrays of 64 MiB takes 1.1 times as long (docs/performance.md). So a large
 * block in untouched memory begins a few frames behind the one before it. */
#define COLOUR_MIN_ORDER 12u  /* 16 MiB */
#define COLOUR_PAGES 17u      /* 68 KiB: prime, and larger than a way of the second cache */
#define COLOUR_ZONE_SHARE 64u /* of larger parts of a zone fewer would fit */

/* Not before huge pages were tried: the trial wants a whole block. */
static bool may_be_coloured(const struct page_alloc *pa, const struct zone *zone,
                            const struct request *request)
{
    return request->order >= COLOUR_MIN_ORDER &&
           request->nr_pages <= zone_managed_pages(zone) / COLOUR_ZONE_SHARE &&
           load_relaxed(&pa->huge.state) != HUGEPAGES_UNTRIED;
}

/* A run that serves the request better than the block that the buddy would give; PFN_NONE if there
 * is none: one that is resident in a good part, where only an untouched block would be large enough
 * otherwise (with best_fit always); else, of large ones, one in untouched memory. */
static uint32_t better_run_locked(const struct page_alloc *pa, const struct zone *zone,
                                  const struct request *request)
{
    bool block_is_resident = zone->free_orders[FREE_DIRTY] >> request->order != 0;
    uint32_t pfn = PFN_NONE;

    lock_assert_held(&zone->lock);
    if (pa->best_fit || !block_is_resident)
        pfn = buddy_find_resident_run_locked(zone, &pa->map, request->order, request->nr_pages);
    if (pfn == PFN_NONE && !block_is_resident && may_be_coloured(pa, zone, request))
        pfn = buddy_find_coloured_run_locked(zone, &pa->map, request->order, request->nr_pages,
                                             COLOUR_PAGES);
    return pfn;
}

/* Takes a run that serves better than a block. PFN_NONE if there is none: then the request goes the
 * usual way, so no slow path is taken here. */
static uint32_t alloc_better_run(struct page_alloc *pa, const struct request *request)
{
    struct zone *zone = &pa->zone[request->highest];
    struct request run = *request;
    struct access access;
    uint32_t pfn;

    if (request->order < RESIDENT_RUN_MIN_ORDER || zone_is_foreign(pa, zone->index))
        return PFN_NONE;
    lock_acquire(&zone->lock);
    if (pa->best_fit)
        (void)shelf_drain_locked(pa, zone);
    else
        shelf_yield_locked(pa, zone, request->order);
    pfn = better_run_locked(pa, zone, request);
    lock_release(&zone->lock);
    if (pfn == PFN_NONE)
        return PFN_NONE;
    run.any_run = true;
    run.align = 1;
    run.first = pfn;
    run.end = pfn + request->nr_pages;
    run.lowest = zone->index;
    access_first(&access, zone->index);
    pfn = zonelist_take(pa, &run, &access);
    if (pfn != PFN_NONE)
        hand_out(pa, &run, pfn);
    return pfn;
}

uint32_t page_alloc_exact(struct page_alloc *pa, uint32_t nr_pages, unsigned align_order,
                          uint32_t gfp)
{
    struct request request = {.nr_pages = nr_pages, .gfp = gfp, .state = PYSLAB_PAGE_LARGE};
    uint32_t pfn;

    if (!gfp_valid(gfp) || nr_pages == 0 || nr_pages > pa->map.nr_pages)
        return PFN_NONE;
    request.highest = gfp_zone(pa, gfp);
    request.order = max_uint(order_for_pages(nr_pages), align_order);
    if (request.order > pa->max_order || !gfp_nofail_valid(gfp, request.order))
        return PFN_NONE;
    pfn = align_order == 0 ? alloc_better_run(pa, &request) : PFN_NONE;
    return pfn != PFN_NONE ? pfn : page_alloc_request(pa, &request);
}

uint32_t page_alloc_contig(struct page_alloc *pa, uint32_t nr_pages, uint32_t align,
                           uint32_t nocross, uint32_t gfp, enum pyslab_page_state state)
{
    struct request request = {.nr_pages = nr_pages,
                              .gfp = gfp,
                              .state = state,
                              .any_run = true,
                              .align = max_uint(align, 1),
                              .nocross = nocross,
                              .end = pa->map.nr_pages};

    if (!gfp_valid(gfp) || nr_pages == 0 || nr_pages > pa->map.nr_pages ||
        !is_power_of_two(request.align) ||
        (nocross != 0 && (!is_power_of_two(nocross) || nocross < nr_pages)) ||
        should_fail(pa->faults, NULL, (uint64_t)nr_pages << PAGE_SHIFT, gfp))
        return PFN_NONE;
    request.highest = gfp_zone(pa, gfp);
    request.order = order_for_pages(nr_pages);
    return gfp_nofail_valid(gfp, request.order) ? alloc_run(pa, &request) : PFN_NONE;
}

uint32_t page_reserve_range(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages,
                            enum pyslab_page_state state)
{
    struct request request = {.nr_pages = nr_pages,
                              .state = state,
                              .any_run = true,
                              .align = 1,
                              .first = pfn,
                              .end = pfn + nr_pages,
                              .gfp = PYSLAB_GFP_MEMALLOC};
    struct zone *zone;

    if (nr_pages == 0 || pfn >= pa->map.nr_pages || nr_pages > pa->map.nr_pages - pfn)
        return PFN_NONE;
    zone = page_alloc_zone_of(pa, pfn);
    if (request.end > zone->end_pfn || zone_is_foreign(pa, zone->index))
        return PFN_NONE;
    request.highest = request.lowest = zone->index;
    request.order = order_for_pages(nr_pages);
    (void)shelf_drain(pa);
    return alloc_run(pa, &request);
}

/* Frames that were taken for a block in use. */
static void open_more(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    const struct request request = {.nr_pages = nr_pages, .any_run = true};
    bool zero = must_read_zero(pa, 0);

    frames_watch_open(pa, pfn, nr_pages, zero);
    if (zero)
        clear_request(pa, &request, pfn);
}

bool page_extend(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    struct access access;
    struct zone *zone;
    bool limited, taken;
    uint64_t dirty;

    if (pfn >= pa->map.nr_pages || nr_pages > pa->map.nr_pages - pfn || fault_here())
        return false;
    zone = page_alloc_zone_of(pa, pfn);
    /* The block that ends there is of one zone. */
    if (pfn == zone->start_pfn || zone_is_foreign(pa, zone->index))
        return false;
    limited = limit_enter(pa);
    access_first(&access, zone->index);
    lock_acquire(&zone->lock);
    (void)shelf_drain_locked(pa, zone);
    dirty = zone->dirty_pages;
    taken = nr_pages <= limit_room(pa, limited) &&
            nr_pages <= zone_usable_pages_locked(zone, &access) &&
            buddy_take_range_locked(zone, &pa->map, pfn, nr_pages);
    if (taken && !frames_open_locked(pa, pfn, nr_pages)) {
        page_alloc_shut_locked(pa, zone, pfn, nr_pages);
        taken = false;
    }
    if (taken)
        zone_note_alloc_locked(pa, zone, 0, nr_pages);
    dirty -= zone->dirty_pages;
    zone_recount_locked(pa, zone);
    lock_release(&zone->lock);
    limit_leave(pa, limited);
    if (taken) {
        zone_trade(pa, zone, nr_pages, dirty);
        open_more(pa, pfn, nr_pages);
    }
    return taken;
}

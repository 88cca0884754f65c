/* purge.c - see purge.h. */
#include "page_alloc/purge.h"

#include "page_alloc/hugepage.h"
#include "page_alloc/recount.h"
#include "page_alloc/shelf.h"

#include "os/os.h"

#define PURGE_UNIT_PAGES 1024u /* 4 MiB: at most so much is out of the buddy at once */

/* What zone_trade does, in frames; docs/design/giving-back.md has the measurements. */
#define TRADE_MIN_PAGES 16u   /* 64 KiB: a smaller request finds dirty frames nearly always */
#define TRADE_MAX_PAGES 2048u /* 8 MiB: page faults are all that a larger block costs */
#define TRADE_LEAST_ORDER 4u  /* 64 KiB: smaller blocks are the next slabs */
#define TRADE_BUDGET 16384u   /* 64 MiB in an interval: some 8 ms of the system's time */

/* --- purging ------------------------------------------------------------ */

/* The smallest block that the system takes: 0 unless its pages are larger than a frame. */
static unsigned host_page_order(void)
{
    return (unsigned)__builtin_ctzll(os_page_bytes() >> PAGE_SHIFT);
}

/* The lowest order that a block is taken from. Orders of which no block was taken lately go first;
 * if there are whole huge pages among these, only such are taken: to give back less would cost the
 * run its huge pages (hugepage.h) and more faults. NR_ORDERS: what is left to go is less than one,
 * so nothing more does. */
static unsigned lowest_victim_locked(const struct zone *zone, uint64_t max_pages)
{
    unsigned huge = min_uint(PCP_HUGE_ORDER, zone->max_order), least = host_page_order();
    uint32_t dirty = zone->free_orders[FREE_DIRTY], cold = dirty & ~zone->hot_orders;

    lock_assert_held(&zone->lock);
    if ((cold != 0 ? cold : dirty) >> huge == 0)
        return max_pages >> least != 0 ? least : NR_ORDERS;
    return max_pages >> huge != 0 && huge >= least ? huge : NR_ORDERS;
}

/* Takes one dirty free block of at least this order out of the buddy, so that nobody gets it while
 * the system works on it. least 0: of the orders that can best be done without. */
static uint32_t isolate_dirty(struct page_alloc *pa, struct zone *zone, unsigned least,
                              uint64_t max_pages, unsigned *order, uint32_t *nr_dirty)
{
    uint32_t limit = max_pages > PURGE_UNIT_PAGES ? PURGE_UNIT_PAGES : (uint32_t)max_pages;
    uint32_t pfn;

    lock_acquire(&zone->lock);
    if (least == 0)
        least = lowest_victim_locked(zone, max_pages);
    pfn = buddy_take_dirty_locked(zone, &pa->map, least, limit, order);
    if (pfn != PFN_NONE) {
        struct page *page = pfn_to_page(&pa->map, pfn);

        *nr_dirty = page->buddy.nr_dirty;
        hugepage_note_purge_locked(pa, pfn, *order);
        page_set(page, PYSLAB_PAGE_ISOLATED, *order, zone->index);
        atomic_fetch_add(&pa->nr_isolated, 1);
        zone->isolated_pages += 1u << *order;
    }
    zone_recount_locked(pa, zone);
    lock_release(&zone->lock);
    return pfn;
}

/* Gives the memory of such a block to the system and the block to the buddy. False: refused. */
static bool discard(struct page_alloc *pa, struct zone *zone, uint32_t pfn, unsigned order)
{
    int error = frames_discard(&pa->map, pfn, 1u << order);

    lock_acquire(&zone->lock);
    buddy_free_locked(zone, &pa->map, pfn, order,
                      error == PYSLAB_OK ? RESIDENCY_UNTOUCHED : RESIDENCY_DIRTY);
    atomic_fetch_add(&pa->nr_returns, 1);
    atomic_fetch_sub(&pa->nr_isolated, 1);
    zone->isolated_pages -= 1u << order;
    zone_recount_locked(pa, zone);
    lock_release(&zone->lock);
    return error == PYSLAB_OK;
}

/* Gives back dirty free blocks of at least this order (isolate_dirty), until max_pages dirty frames
 * are gone; returns how many are. */
static uint64_t purge_blocks(struct page_alloc *pa, struct zone *zone, unsigned least,
                             uint64_t max_pages)
{
    uint64_t released = 0;
    unsigned order = 0;
    uint32_t pfn, nr_dirty = 0;

    if (pa->purge.fixed)
        return 0;
    /* A file on disk keeps what was in its free frames; the parent's are not ours. */
    if ((pa->forked || frame_map_is_on_disk(&pa->map)) && zone->type >= PYSLAB_ZONE_HIGHMEM)
        return 0;
    while (released < max_pages &&
           (pfn = isolate_dirty(pa, zone, least, max_pages - released, &order, &nr_dirty)) !=
               PFN_NONE &&
           discard(pa, zone, pfn, order))
        released += nr_dirty;
    add_relaxed(&pa->pages_released, released);
    return released;
}

uint64_t zone_purge(struct page_alloc *pa, struct zone *zone, uint64_t max_pages)
{
    return purge_blocks(pa, zone, 0, max_pages);
}

void zone_trade(struct page_alloc *pa, struct zone *zone, uint32_t nr_pages, uint64_t nr_dirty)
{
    uint32_t traded, wanted;
    uint64_t gone;

    if (!pa->best_fit || pa->purge.interval_ms == PURGE_NEVER || nr_pages < TRADE_MIN_PAGES ||
        nr_pages > TRADE_MAX_PAGES || nr_dirty >= nr_pages)
        return;
    traded = load_relaxed(&pa->purge.traded);
    if (traded >= TRADE_BUDGET)
        return;
    wanted = min_uint(nr_pages - (uint32_t)nr_dirty, TRADE_BUDGET - traded);
    gone = purge_blocks(pa, zone, max_uint(TRADE_LEAST_ORDER, host_page_order()), wanted);
    add_relaxed(&pa->purge.traded, (uint32_t)gone);
}

/* --- the working set ---------------------------------------------------- */

/* Dirty free frames that the zone could have done without since the last call; a new interval
 * begins for it. */
static uint32_t zone_surplus(struct zone *zone)
{
    uint32_t surplus;

    lock_acquire(&zone->lock);
    surplus = zone->min_dirty_pages;
    zone->min_dirty_pages = zone->dirty_pages;
    zone->hot_orders = zone->used_orders;
    zone->used_orders = 0;
    lock_release(&zone->lock);
    return surplus;
}

static slow_path void end_interval(struct page_alloc *pa, uint32_t start, uint32_t now)
{
    uint32_t idle; /* frames that lay on the shelf all the time */

    /* Only one thread ends it. */
    if (!atomic_compare_exchange_strong_explicit(&pa->purge.interval_start, &start, now,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    store_relaxed(&pa->purge.traded, 0);
    idle = shelf_end_interval(pa);
    for (uint32_t i = 0; i < pa->nr_zones; i++) {
        uint32_t surplus = zone_surplus(&pa->zone[i]) + (i == pa->normal ? idle : 0);

        if (surplus != 0)
            zone_purge(pa, &pa->zone[i], surplus);
    }
    page_alloc_request_drain(pa);
}

static inline void tick(struct page_alloc *pa, uint32_t now)
{
    uint32_t start = load_relaxed(&pa->purge.interval_start);

    if (unlikely(now - start >= pa->purge.interval_ms))
        end_interval(pa, start, now);
}

static slow_path void sample_look(struct sample *sample, uint32_t now)
{
    if (now - load_relaxed(&sample->start_ms) < sample->interval_ms)
        return;
    store_relaxed(&sample->start_ms, now);
    store_relaxed(&sample->wanted, load_relaxed(&sample->due) ? UINT32_MAX : 0);
    store_release(&sample->due, true);
}

static inline void show_look(struct page_alloc *pa, uint32_t now)
{
    if (pa->show.call != NULL && unlikely((int32_t)(now - load_relaxed(&pa->show.due_ms)) >= 0))
        pa->show.call(pa->show.context, now);
}

bool page_alloc_look(struct page_alloc *pa)
{
    uint32_t now;

    if (pa->purge.interval_ms == PURGE_NEVER && pa->show.call == NULL)
        return false;
    now = os_time_ms();
    show_look(pa, now);
    return pa->purge.interval_ms != PURGE_NEVER &&
           now - load_relaxed(&pa->purge.interval_start) >= pa->purge.interval_ms;
}

void page_alloc_tick(struct page_alloc *pa)
{
    uint32_t now;

    if (pa->purge.interval_ms == PURGE_NEVER && pa->sample.interval_ms == 0 &&
        pa->show.call == NULL)
        return;
    now = os_time_ms();
    show_look(pa, now);
    if (pa->sample.interval_ms != 0)
        sample_look(&pa->sample, now);
    if (pa->purge.interval_ms == PURGE_NEVER)
        return;
    tick(pa, now);
    if (unlikely(pa->purge.note != NULL))
        pa->purge.note(pa->purge.note_context);
}

/* --- for a thread that waits -------------------------------------------- */

uint32_t page_alloc_interval_left(const struct page_alloc *pa)
{
    uint32_t passed = os_time_ms() - load_relaxed(&pa->purge.interval_start);

    CHECK(pa->purge.interval_ms != PURGE_NEVER);
    return passed < pa->purge.interval_ms ? pa->purge.interval_ms - passed : 0;
}

void page_alloc_end_interval(struct page_alloc *pa)
{
    CHECK(pa->purge.interval_ms != PURGE_NEVER);
    tick(pa, os_time_ms());
}

uint64_t page_alloc_dirty(struct page_alloc *pa)
{
    uint64_t dirty = 0;

    for (uint32_t i = 0; i < pa->nr_zones; i++) {
        lock_acquire(&pa->zone[i].lock);
        dirty += pa->zone[i].dirty_pages;
        lock_release(&pa->zone[i].lock);
    }
    return dirty;
}

/* --- set-up ------------------------------------------------------------- */

void page_alloc_set_purge(struct page_alloc *pa, uint32_t delay_ms, bool fixed)
{
    pa->purge.interval_ms = delay_ms == PURGE_NEVER ? PURGE_NEVER : max_uint(delay_ms / 2, 1);
    pa->purge.fixed = fixed;
    store_relaxed(&pa->purge.interval_start, os_time_ms());
}

void page_alloc_set_sample(struct page_alloc *pa, uint32_t interval_ms)
{
    pa->sample.interval_ms = interval_ms;
    store_relaxed(&pa->sample.start_ms, os_time_ms());
    store_release(&pa->sample.due, interval_ms != 0);
}

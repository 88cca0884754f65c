/* page_alloc.c - requests and the zonelist, exact and contiguous runs, bulk, references.
 * The per-thread page lists are in pcp.c, the slow path in reclaim.c, purging in purge.c. */
#include "page_alloc/request.h"

#include "base/fault.h"
#include "buddy/buddy_range.h"
#include "page_alloc/hugepage.h"
#include "page_alloc/pcp.h"

/* --- the zonelist ------------------------------------------------------- */

static uint32_t take_run_locked(struct zone *zone, const struct frame_map *map,
                                const struct request *request)
{
    uint32_t pfn = buddy_find_range_locked(zone, map, max_uint(request->first, zone->start_pfn),
                                           min_uint(request->end, zone->end_pfn), request->nr_pages,
                                           request->align, request->nocross);

    return pfn != PFN_NONE && buddy_take_range_locked(zone, map, pfn, request->nr_pages) ? pfn
                                                                                         : PFN_NONE;
}

static uint32_t take_locked(struct zone *zone, const struct frame_map *map,
                            const struct request *request)
{
    if (unlikely(request->any_run))
        return take_run_locked(zone, map, request);
    if (request->nr_pages == 1u << request->order)
        return buddy_alloc_locked(zone, map, request->order);
    return buddy_alloc_exact_locked(zone, map, request->order, request->nr_pages);
}

static uint32_t zone_take(struct page_alloc *pa, struct zone *zone, const struct request *request,
                          const struct access *access)
{
    uint32_t pfn = PFN_NONE;

    lock_acquire(&zone->lock);
    if (request->nr_pages <= zone_usable_pages_locked(zone, access))
        pfn = take_locked(zone, &pa->map, request);
    if (pfn != PFN_NONE && !frames_open_locked(pa, pfn, request->nr_pages)) {
        page_alloc_shut_locked(pa, zone, pfn, request->nr_pages);
        pfn = PFN_NONE;
    }
    if (pfn != PFN_NONE) {
        zone_note_alloc_locked(pa, zone, 1, request->nr_pages);
        zone->nr_fallbacks += zone->index != access->zone;
    }
    lock_release(&zone->lock);
    return pfn;
}

uint32_t zonelist_take(struct page_alloc *pa, const struct request *request,
                       const struct access *access)
{
    uint32_t pfn = PFN_NONE;
    bool limited;

    if (fault_here())
        return PFN_NONE;
    limited = limit_enter(pa);
    if (request->nr_pages > limit_room(pa, limited))
        vm_event(pa, PYSLAB_VM_LIMIT_HIT, 1);
    else
        for (uint32_t left = access->zone + 1; pfn == PFN_NONE && left > request->lowest; left--)
            pfn = zone_take(pa, &pa->zone[left - 1], request, access);
    limit_leave(pa, limited);
    return pfn;
}

/* --- one request -------------------------------------------------------- */

static void count_cleared(struct page_alloc *pa, uint32_t nr_pages, uint32_t cleared)
{
    add_relaxed(&pa->pages_cleared, cleared);
    add_relaxed(&pa->pages_known_zero, nr_pages - cleared);
}

/* Clears a run whose maximal aligned blocks have a record each. */
static uint32_t clear_run(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    uint32_t cleared = 0;

    while (nr_pages > 0) {
        unsigned order = min_uint(min_uint(ctz32(pfn), ilog2(nr_pages)), pa->max_order);

        cleared += page_clear_block(&pa->map, pfn, order, 1u << order);
        pfn += 1u << order;
        nr_pages -= 1u << order;
    }
    return cleared;
}

/* Zeroes what came straight from the buddy, whose records tell which parts need it. */
static void clear_request(struct page_alloc *pa, const struct request *request, uint32_t pfn)
{
    uint32_t cleared = request->any_run
                           ? clear_run(pa, pfn, request->nr_pages)
                           : page_clear_block(&pa->map, pfn, request->order, request->nr_pages);

    count_cleared(pa, request->nr_pages, cleared);
}

/* Zeroes a block from a page list. */
static void clear_listed_block(struct page_alloc *pa, uint32_t pfn, unsigned order, bool clean)
{
    if (!clean)
        frames_clear(&pa->map, pfn, 1u << order);
    count_cleared(pa, 1u << order, clean ? 0 : 1u << order);
}

/* In a forked child the shared frames are the parent's. */
static bool zone_is_foreign(const struct page_alloc *pa, uint32_t zone)
{
    return unlikely(pa->forked) && pa->zone[zone].type >= PYSLAB_ZONE_HIGHMEM;
}

/* Only from order 1 on, as in Linux: a single frame has no parts. */
static bool request_is_compound(const struct request *request)
{
    return (request->gfp & PYSLAB_GFP_COMP) != 0 && request->order != 0;
}

static uint32_t request_word(const struct page *page, const struct request *request)
{
    uint32_t word = PAGE_WORD(request->state, request->order, page_zone(page));

    if (request->any_run)
        word |= PAGE_FLAG_RUN;
    return request_is_compound(request) ? word | PAGE_FLAG_COMP : word;
}

/* Clears what was taken, if that was asked for, and writes its record. */
static void hand_out(struct page_alloc *pa, const struct request *request, uint32_t pfn)
{
    struct page *page = pfn_to_page(&pa->map, pfn);

    if (!request->any_run)
        hugepage_note_block(pa, pfn, request->order);
    if (request->gfp & PYSLAB_GFP_ZERO)
        clear_request(pa, request, pfn);
    if (request->state == PYSLAB_PAGE_LARGE || request->any_run)
        store_relaxed(&page->large.nr_pages, request->nr_pages);
    store_relaxed(&page->refcount, 1);
    store_relaxed(&page->word, request_word(page, request));
}

static uint32_t page_alloc_request(struct page_alloc *pa, const struct request *request)
{
    struct access access;
    uint32_t pfn;

    access_first(&access, request->highest);
    if (zone_is_foreign(pa, access.zone))
        return PFN_NONE;
    pfn = zonelist_take(pa, request, &access);
    if (pfn == PFN_NONE && (pfn = request_take_slow(pa, request)) == PFN_NONE)
        return PFN_NONE;
    hand_out(pa, request, pfn);
    return pfn;
}

/* From the page lists of the zone that the request prefers. pre: its order has lists. */
static uint32_t alloc_listed(struct page_alloc *pa, const struct request *request)
{
    struct pcp_list *list;
    bool clean;
    uint32_t pfn;

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
    pfn = pcp_index(order) != NR_PCP_LISTS ? alloc_listed(pa, &request) : PFN_NONE;
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
    uint32_t pfn = page_alloc_slow(pa, order, gfp);

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

/* A run for callers; large blocks are kmalloc's to count. */
static uint32_t alloc_run(struct page_alloc *pa, const struct request *request)
{
    uint32_t pfn = page_alloc_request(pa, request);

    if (pfn != PFN_NONE && request->state == PYSLAB_PAGE_ALLOC)
        page_count_alloc(pa, pfn);
    return pfn;
}

#define RESIDENT_RUN_MIN_ORDER 8u /* 1 MiB: its page faults cost more than a search */

/* Where only an untouched block would be large enough, resident frames next to other free ones
 * may do; with best_fit these come first. PFN_NONE if there are none; no slow path is taken for
 * them. */
static uint32_t alloc_resident_run(struct page_alloc *pa, const struct request *request)
{
    struct zone *zone = &pa->zone[request->highest];
    struct request run = *request;
    struct access access;
    uint32_t pfn;

    if (request->order < RESIDENT_RUN_MIN_ORDER || zone_is_foreign(pa, zone->index))
        return PFN_NONE;
    lock_acquire(&zone->lock);
    pfn = pa->best_fit || zone->free_orders[FREE_DIRTY] >> request->order == 0
              ? buddy_find_resident_run_locked(zone, &pa->map, request->order, request->nr_pages)
              : PFN_NONE;
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
    pfn = align_order == 0 ? alloc_resident_run(pa, &request) : PFN_NONE;
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
        (nocross != 0 && (!is_power_of_two(nocross) || nocross < nr_pages)))
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
    return alloc_run(pa, &request);
}

bool page_extend(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    struct access access;
    struct zone *zone;
    bool limited, taken;

    if (pfn >= pa->map.nr_pages || nr_pages > pa->map.nr_pages - pfn || fault_here())
        return false;
    zone = page_alloc_zone_of(pa, pfn);
    /* The block that ends there is of one zone. */
    if (pfn == zone->start_pfn || zone_is_foreign(pa, zone->index))
        return false;
    limited = limit_enter(pa);
    access_first(&access, zone->index);
    lock_acquire(&zone->lock);
    taken = nr_pages <= limit_room(pa, limited) &&
            nr_pages <= zone_usable_pages_locked(zone, &access) &&
            buddy_take_range_locked(zone, &pa->map, pfn, nr_pages);
    if (taken && !frames_open_locked(pa, pfn, nr_pages)) {
        page_alloc_shut_locked(pa, zone, pfn, nr_pages);
        taken = false;
    }
    if (taken)
        zone_note_alloc_locked(pa, zone, 0, nr_pages);
    lock_release(&zone->lock);
    limit_leave(pa, limited);
    return taken;
}

/* Single frames under one lock, as far as the low mark allows. */
static uint32_t zone_take_singles(struct page_alloc *pa, struct zone *zone, uint32_t nr,
                                  uint32_t *pfns)
{
    struct access access;
    uint32_t done = 0;
    uint64_t room;
    bool limited;

    if (fault_here())
        return 0;
    limited = limit_enter(pa);
    room = limit_room(pa, limited);
    access_first(&access, zone->index);
    lock_acquire(&zone->lock);
    nr = min_uint(nr, zone_usable_pages_locked(zone, &access));
    while (done < nr && done < room) {
        uint32_t pfn = buddy_alloc_locked(zone, &pa->map, 0);
        struct page *page = pfn_to_page(&pa->map, pfn);

        if (!frames_open_locked(pa, pfn, 1)) {
            page_alloc_shut_locked(pa, zone, pfn, 1);
            break;
        }
        store_relaxed(&page->refcount, 1);
        store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_ALLOC, 0, zone->index));
        pfns[done++] = pfn;
    }
    zone_note_alloc_locked(pa, zone, done, done);
    lock_release(&zone->lock);
    limit_leave(pa, limited);
    return done;
}

uint32_t page_alloc_bulk(struct page_alloc *pa, uint32_t gfp, uint32_t nr, uint32_t *pfns)
{
    uint32_t done;

    if (!gfp_valid(gfp) || !gfp_nofail_valid(gfp, 0) || nr == 0 ||
        zone_is_foreign(pa, gfp_zone(pa, gfp)))
        return 0;
    done = zone_take_singles(pa, &pa->zone[gfp_zone(pa, gfp)], nr, pfns);
    for (uint32_t i = 0; i < done && (gfp & PYSLAB_GFP_ZERO) != 0; i++)
        count_cleared(pa, 1, page_clear_block(&pa->map, pfns[i], 0, 1));
    /* The rest one by one, with the fallback and the slow path of any request. */
    while (done < nr && (pfns[done] = page_alloc_uncounted(pa, 0, gfp)) != PFN_NONE)
        done++;
    usage_add(pa->usage, (uint64_t)done << PAGE_SHIFT, done);
    return done;
}

/* --- giving back -------------------------------------------------------- */

/* Straight to the buddy, as one block if order says so (or NR_ORDERS: a run). */
static void free_to_buddy(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages, unsigned order)
{
    struct zone *zone = page_alloc_zone_of(pa, pfn);

    lock_acquire(&zone->lock);
    if (order <= pa->max_order)
        buddy_free_locked(zone, &pa->map, pfn, order, RESIDENCY_DIRTY);
    else
        buddy_free_range_locked(zone, &pa->map, pfn, nr_pages, RESIDENCY_DIRTY);
    zone_note_free_locked(zone, 1, nr_pages);
    lock_release(&zone->lock);
    page_alloc_tick(pa);
}

slow_path void page_free_slow(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    struct pcp_list *list = NULL;

    if (pcp_index(order) != NR_PCP_LISTS)
        list = pcp_make_room(pa, page_zone(pfn_to_page(&pa->map, pfn)), order);
    if (list != NULL)
        pcp_push(pa, list, load_relaxed(&list->nr), pfn);
    else
        free_to_buddy(pa, pfn, 1u << order, order);
}

void page_free_range(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    free_to_buddy(pa, pfn, nr_pages, NR_ORDERS);
}

/* --- references --------------------------------------------------------- */

/* Says what is wrong with a frame number that should head an ALLOC block. */
static int page_misuse(const struct page_alloc *pa, uint32_t pfn)
{
    if (pfn >= pa->map.nr_pages)
        return PYSLAB_EINVAL;
    return page_is_free(pa, pfn) ? PYSLAB_EDOUBLE : PYSLAB_EPOINTER;
}

/* A block of alloc_pages of this order starts at pfn, and is this process's. */
static int page_check_block(const struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    const struct page *page;

    if (unlikely(pfn >= pa->map.nr_pages) ||
        unlikely(page_state(pfn_to_page(&pa->map, pfn)) != PYSLAB_PAGE_ALLOC))
        return page_misuse(pa, pfn);
    page = pfn_to_page(&pa->map, pfn);
    if (unlikely(page_order(page) != order))
        return PYSLAB_EINVAL;
    return zone_is_foreign(pa, page_zone(page)) ? PYSLAB_EFORKED : PYSLAB_OK;
}

static slow_path int page_put_slow(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    struct page *page;
    int error = page_check_block(pa, pfn, order);

    if (error != PYSLAB_OK)
        return error;
    page = pfn_to_page(&pa->map, pfn);
    /* A sole owner needs no locked instruction: nobody else may change the count. */
    if (atomic_load_explicit(&page->refcount, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&page->refcount, 1, memory_order_acq_rel) != 1)
        return PYSLAB_OK;
    store_relaxed(&page->refcount, 0);
    usage_sub(pa->usage, (uint64_t)page_block_pages(page) << PAGE_SHIFT, 1);
    if (load_relaxed(&page->word) & PAGE_FLAG_RUN)
        page_free_range(pa, pfn, page_block_pages(page));
    else
        page_free_slow(pa, pfn, order);
    return PYSLAB_OK;
}

/* The word of a block of a list's order and zone tells all at once: allocated by
 * alloc_pages, of this order, of the NORMAL zone. */
int page_put(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    unsigned index = pcp_index(order);
    struct pcp_list *list;
    struct page *page;
    uint32_t nr;

    if (unlikely(pfn >= pa->map.nr_pages || index == NR_PCP_LISTS ||
                 !thread_has_domain(pa->domain)))
        return page_put_slow(pa, pfn, order);
    list = &((struct pcp *)thread_slot_loaded(THREAD_SLOT_PCP))->set[0].list[index];
    page = pfn_to_page(&pa->map, pfn);
    nr = load_relaxed(&list->nr);
    if (unlikely(nr >= list->high || load_relaxed(&page->word) != list->alloc_word ||
                 atomic_load_explicit(&page->refcount, memory_order_acquire) != 1))
        return page_put_slow(pa, pfn, order);
    store_relaxed(&page->refcount, 0);
    pcp_push(pa, list, nr, pfn);
    return PYSLAB_OK;
}

int page_get(struct page_alloc *pa, uint32_t pfn)
{
    if (pfn >= pa->map.nr_pages || page_state(pfn_to_page(&pa->map, pfn)) != PYSLAB_PAGE_ALLOC)
        return page_misuse(pa, pfn);
    if (zone_is_foreign(pa, page_zone(pfn_to_page(&pa->map, pfn))))
        return PYSLAB_EFORKED;
    atomic_fetch_add_explicit(&pfn_to_page(&pa->map, pfn)->refcount, 1, memory_order_relaxed);
    return PYSLAB_OK;
}

int page_split(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    int error = page_check_block(pa, pfn, order);
    struct page *page;
    uint32_t zone;

    if (error != PYSLAB_OK)
        return error;
    page = pfn_to_page(&pa->map, pfn);
    if (load_relaxed(&page->word) & (PAGE_FLAG_COMP | PAGE_FLAG_RUN))
        return PYSLAB_EINVAL;
    if (load_relaxed(&page->refcount) != 1)
        return PYSLAB_EBUSY;
    zone = page_zone(page);
    usage_add(pa->usage, 0, (1u << order) - 1);
    for (uint32_t i = 0; i < 1u << order; i++) {
        store_relaxed(&page[i].refcount, 1);
        store_relaxed(&page[i].word, PAGE_WORD(PYSLAB_PAGE_ALLOC, 0, zone));
    }
    return PYSLAB_OK;
}

bool page_is_free(const struct page_alloc *pa, uint32_t pfn)
{
    const struct zone *zone = page_alloc_zone_of((struct page_alloc *)(uintptr_t)pa, pfn);

    if (pfn >= zone->frontier)
        return true;
    for (unsigned order = 0; order <= pa->max_order; order++) {
        uint32_t head_pfn = pfn & ~((1u << order) - 1);
        const struct page *head = pfn_to_page(&pa->map, head_pfn);
        unsigned state = page_state(head);

        if (head_pfn < zone->start_pfn)
            break;
        if (state != PYSLAB_PAGE_UNLISTED)
            return (state == PYSLAB_PAGE_BUDDY || state == PYSLAB_PAGE_PCP ||
                    state == PYSLAB_PAGE_ISOLATED) &&
                   page_order(head) >= order;
    }
    return false;
}

/* First to zero, so that a peak that is raised meanwhile is not lost. */
void page_alloc_reset_peak(struct page_alloc *pa)
{
    uint64_t peak = 0, used;

    store_relaxed(&pa->peak_used_pages, 0);
    used = page_alloc_used(pa);
    while (peak < used && !atomic_compare_exchange_weak(&pa->peak_used_pages, &peak, used))
        continue;
}

void page_alloc_request_drain(struct page_alloc *pa)
{
    add_relaxed(&pa->drain_epoch, 1);
}

/* pcp.c - per-thread page lists: refill, overflow, drain.
 *
 * Limits. A zone's options name, in frames, how many a list moves at once (batch) and how many it
 * holds at most (high_min), by the kernel's arithmetic; both are divided by the size of the list's
 * blocks. And both are capped: the lists of orders 0 to 3 keep at most 512, 256, 128 and 128 KiB,
 * together 1 MiB a thread and zone, and 1/256 of the zone each; one block of 2 MiB more where the
 * zone has 256 of them. A refill never takes a zone below its low watermark, so that what is on a
 * list needs no watermark test of its own.
 * Invariant: each block on a list is in state PCP, of the list's order and zone, and on it once
 * (list_is_sound).
 */
#include "page_alloc/pcp.h"

#include "base/fault.h"
#include "page_alloc/access.h"
#include "page_alloc/recount.h"
#include "page_alloc/shelf.h"
#include "page_alloc/used.h"
#include "page_alloc/watermark.h"

#include <stddef.h>
#include <string.h>

#define PCP_ZONE_SHARE 256u /* a list holds at most this part of its zone */

/* Blocks, by list. */
static const uint32_t capacities[NR_PCP_LISTS] = {
    PCP_CAPACITY, PCP_CAPACITY_REST, 8, 4, 2, 2, 1, 1, 1, 1};

static size_t pcp_bytes(const struct page_alloc *pa)
{
    return offsetof(struct pcp, set) + pa->nr_zones * sizeof(struct pcp_set);
}

struct pcp *pcp_own(struct page_alloc *pa)
{
    return thread_slot(pa->domain, THREAD_SLOT_PCP);
}

/* All lists of a thread, numbered. */
static struct pcp_list *list_number(struct pcp *pcp, unsigned i)
{
    return pcp_list_at(&pcp->set[i / NR_PCP_LISTS], i % NR_PCP_LISTS);
}

static unsigned list_order(const struct pcp_list *list)
{
    return page_word_order(list->alloc_word);
}

static uint32_t list_zone(const struct pcp_list *list)
{
    return page_word_zone(list->alloc_word);
}

/* A block keeps the flag from the buddy until somebody has had it. */
static bool frame_is_clean(const struct page_alloc *pa, uint32_t pfn)
{
    return (load_relaxed(&pfn_to_page(&pa->map, pfn)->word) & PAGE_FLAG_CLEAN) != 0;
}

/* Each block on the list is in state PCP, of the list's order and zone, and there once. In a forked
 * child only its own lists are judged: those of the parent's other threads may have been halfway
 * through an exchange. */
static bool list_is_sound(const struct page_alloc *pa, const struct pcp_list *list,
                          struct finding *f)
{
    uint32_t nr = load_relaxed(&list->nr);

    if (nr > list->high)
        return finding_report(f, "pcp: list %u of zone %u has %u blocks, may have %u",
                              list_order(list), list_zone(list), nr, list->high);
    for (uint32_t n = 0; n < nr; n++) {
        uint32_t pfn = list->frame[n];
        uint32_t word = load_relaxed(&pfn_to_page(&pa->map, pfn)->word) & PAGE_WORD_MASK;

        if (word != page_word_listed(list->alloc_word))
            return finding_report(f, "pcp: frame %u on list %u of zone %u has record %x", pfn,
                                  list_order(list), list_zone(list), word);
        for (uint32_t other = 0; other < n; other++)
            if (list->frame[other] == pfn)
                return finding_report(f, "pcp: frame %u is twice on list %u of zone %u", pfn,
                                      list_order(list), list_zone(list));
    }
    return true;
}

/* After an exchange. */
static void recount_list(const struct page_alloc *pa, const struct pcp_list *list)
{
    struct finding found = {{0}}, *finding = &found;

    CHECK_RECOUNT(1, list_is_sound(pa, list, finding), finding);
}

/* Gives the oldest nr blocks of a list to the buddy. */
static void pcp_flush_list(struct page_alloc *pa, struct pcp_list *list, uint32_t nr)
{
    struct zone *zone = &pa->zone[list_zone(list)];
    unsigned order = list_order(list);
    uint32_t left = load_relaxed(&list->nr) - nr;

    lock_acquire(&zone->lock);
    for (uint32_t i = 0; i < nr; i++)
        buddy_free_locked(zone, &pa->map, list->frame[i], order,
                          frame_is_clean(pa, list->frame[i]) ? RESIDENCY_UNTOUCHED
                                                             : RESIDENCY_DIRTY);
    zone_note_free_locked(zone, nr, nr << order);
    zone_recount_locked(pa, zone);
    lock_release(&zone->lock);
    memmove(list->frame, list->frame + nr, left * sizeof list->frame[0]);
    store_relaxed(&list->nr, left);
    recount_list(pa, list);
}

/* Gives all blocks of a thread's lists to the buddy; true if there were any. */
static bool pcp_flush(struct page_alloc *pa, struct pcp *pcp)
{
    bool any = false;

    for (unsigned i = 0; i < pa->nr_zones * NR_PCP_LISTS; i++) {
        struct pcp_list *list = list_number(pcp, i);
        uint32_t nr = load_relaxed(&list->nr);

        if (nr != 0)
            pcp_flush_list(pa, list, nr);
        any |= nr != 0;
    }
    pcp->drain_epoch = load_relaxed(&pa->drain_epoch);
    return any;
}

/* --- set-up ------------------------------------------------------------- */

uint32_t zone_batchsize(uint32_t managed_pages)
{
    uint32_t batch = min_uint(managed_pages >> 10, 256) / 4;

    if (batch < 1)
        batch = 1;
    batch = (1u << ilog2(batch + batch / 2)) - 1;
    return max_uint(batch, 1);
}

static void pcp_init_slot(struct thread_domain *domain, void *slot)
{
    const struct page_alloc *pa = domain->layer[THREAD_SLOT_PCP].context;
    struct pcp *pcp = slot;

    pcp->drain_epoch = load_relaxed(&pa->drain_epoch);
    for (uint32_t zone = 0; zone < pa->nr_zones; zone++) {
        for (unsigned order = 0; order < NR_PCP_LISTS; order++) {
            struct pcp_list *list = pcp_list_at(&pcp->set[pcp_place(pa, zone)], order);

            list->high = pa->pcp_high[zone][order];
            list->batch = pa->pcp_batch[zone][order];
            list->alloc_word = PAGE_WORD(PYSLAB_PAGE_ALLOC, order, zone);
        }
    }
}

static void pcp_flush_slot(struct thread_domain *domain, void *slot)
{
    pcp_flush(domain->layer[THREAD_SLOT_PCP].context, slot);
}

static void set_limits(struct page_alloc *pa, const struct zone *zone)
{
    for (unsigned order = 0; order < NR_PCP_LISTS; order++) {
        uint32_t share = (zone_managed_pages(zone) / PCP_ZONE_SHARE) >> order;
        uint32_t high = min_uint(max_uint(zone->high_min >> order, 1), capacities[order]);

        high = order > zone->max_order || blocks_are_not_kept(pa) ? 0 : min_uint(high, share);
        pa->pcp_high[zone->index][order] = high;
        pa->pcp_batch[zone->index][order] = max_uint(min_uint(zone->batch >> order, high / 2), 1);
    }
}

void pcp_set_up(struct page_alloc *pa)
{
    for (uint32_t i = 0; i < pa->nr_zones; i++)
        set_limits(pa, &pa->zone[i]);
    pa->domain->layer[THREAD_SLOT_PCP] = (struct thread_layer){
        .bytes = pcp_bytes(pa), .init = pcp_init_slot, .flush = pcp_flush_slot, .context = pa};
}

void page_alloc_set_uncached(struct page_alloc *pa)
{
    CHECK(page_alloc_used(pa) == 0);
    pa->uncached = true;
    pcp_set_up(pa);
}

/* --- exchanges ---------------------------------------------------------- */

/* This thread's list, after a drain if one is due; NULL if the order has none. */
static struct pcp_list *own_list(struct page_alloc *pa, uint32_t zone, unsigned order)
{
    struct pcp *pcp = pcp_own(pa);
    struct pcp_list *list;

    if (pcp == NULL)
        return NULL;
    if (unlikely(pcp->drain_epoch != load_relaxed(&pa->drain_epoch)))
        pcp_flush(pa, pcp);
    list = pcp_list_at(&pcp->set[pcp_place(pa, zone)], order);
    return list->high != 0 ? list : NULL;
}

/* Takes a block for a list from the buddy; PFN_NONE if there is none, or it cannot be opened. */
static uint32_t take_block_locked(struct page_alloc *pa, struct zone *zone, unsigned order)
{
    uint32_t word = PAGE_WORD(PYSLAB_PAGE_PCP, order, zone->index);
    uint32_t pfn = buddy_alloc_locked(zone, &pa->map, order);
    struct page *page;

    lock_assert_held(&zone->lock);
    if (pfn == PFN_NONE)
        return PFN_NONE;
    if (!frames_open_locked(pa, pfn, 1u << order)) {
        page_alloc_shut_locked(pa, zone, pfn, 1u << order);
        return PFN_NONE;
    }
    page = pfn_to_page(&pa->map, pfn);
    store_relaxed(&page->word, page->buddy.nr_dirty == 0 ? word | PAGE_FLAG_CLEAN : word);
    return pfn;
}

/* Fills an empty list with at most a batch of blocks; returns how many there are. They come off the
 * list in the order in which the buddy gave them: so addresses rise, which is what a processor
 * fetches ahead. But the first comes last: of a large block that was freed, its address is the one
 * that a program may free again, and that is told while the frame is free.
 * room: frames that the arena's limit leaves. */
static uint32_t fill_locked(struct page_alloc *pa, struct zone *zone, struct pcp_list *list,
                            uint64_t room)
{
    unsigned order = list_order(list);
    uint32_t usable, wanted, nr = 0;
    struct access access;

    lock_assert_held(&zone->lock);
    access_first(&access, zone->index);
    usable = zone_usable_pages_locked(zone, &access);
    if (usable > room)
        usable = (uint32_t)room;
    shelf_yield_locked(pa, zone, order);
    wanted = min_uint(list->batch, usable >> order);
    for (; nr < wanted; nr++) {
        uint32_t pfn = take_block_locked(pa, zone, order);

        if (pfn == PFN_NONE)
            break;
        list->frame[nr == 0 ? 0 : wanted - nr] = pfn;
    }
    if (nr > 1 && nr < wanted)
        memmove(list->frame + 1, list->frame + 1 + wanted - nr, (nr - 1) * sizeof list->frame[0]);
    zone_note_alloc_locked(pa, zone, nr, nr << order);
    zone_recount_locked(pa, zone);
    return nr;
}

struct pcp_list *pcp_refill(struct page_alloc *pa, uint32_t zone_index, unsigned order)
{
    struct zone *zone = &pa->zone[zone_index];
    struct pcp_list *list = own_list(pa, zone_index, order);
    bool limited;
    uint32_t nr;

    if (list == NULL || load_relaxed(&list->nr) != 0)
        return list;
    if (fault_here())
        return NULL;
    limited = limit_enter(pa);
    lock_acquire(&zone->lock);
    nr = fill_locked(pa, zone, list, limit_room(pa, limited));
    lock_release(&zone->lock);
    limit_leave(pa, limited);
    store_relaxed(&list->nr, nr);
    recount_list(pa, list);
    page_alloc_tick(pa);
    return nr != 0 ? list : NULL;
}

bool pcp_next_is_clean(struct page_alloc *pa, const struct pcp_list *list)
{
    CHECK(load_relaxed(&list->nr) != 0);
    return frame_is_clean(pa, list->frame[load_relaxed(&list->nr) - 1]);
}

struct pcp_list *pcp_make_room(struct page_alloc *pa, uint32_t zone, unsigned order)
{
    struct pcp_list *list = own_list(pa, zone, order);

    if (list == NULL)
        return NULL;
    if (load_relaxed(&list->nr) >= list->high)
        pcp_flush_list(pa, list, list->batch);
    page_alloc_tick(pa);
    return list;
}

bool pcp_drain(struct page_alloc *pa)
{
    struct pcp *pcp = pcp_own(pa);

    bool any = pcp != NULL && pcp_flush(pa, pcp);

    return shelf_drain(pa) || any;
}

/* --- counts over all threads -------------------------------------------- */

struct pcp_count {
    const struct page_alloc *pa;
    uint64_t *nr_pages; /* by zone */
};

static void pcp_add_pages(void *slot, void *context)
{
    struct pcp *pcp = slot;
    const struct pcp_count *count = context;

    for (unsigned i = 0; i < count->pa->nr_zones * NR_PCP_LISTS; i++) {
        const struct pcp_list *list = list_number(pcp, i);

        count->nr_pages[list_zone(list)] += (uint64_t)load_relaxed(&list->nr) << list_order(list);
    }
}

void pcp_count_pages_locked(struct page_alloc *pa, uint64_t nr_pages[MAX_NR_ZONES])
{
    struct pcp_count count = {.pa = pa, .nr_pages = nr_pages};

    lock_assert_held(thread_registry_mutex());
    memset(nr_pages, 0, MAX_NR_ZONES * sizeof nr_pages[0]);
    thread_domain_visit_locked(pa->domain, THREAD_SLOT_PCP, pcp_add_pages, &count);
    nr_pages[pa->normal] += shelf_pages(pa);
}

void pcp_count_pages(struct page_alloc *pa, uint64_t nr_pages[MAX_NR_ZONES])
{
    thread_registry_lock();
    pcp_count_pages_locked(pa, nr_pages);
    thread_registry_unlock();
}

struct pcp_check_context {
    const struct page_alloc *pa;
    struct finding *finding;
    uint64_t listed; /* frames on lists */
    bool ok;
};

static void pcp_check_slot(void *slot, void *context)
{
    struct pcp *pcp = slot;
    struct pcp_check_context *check = context;

    for (unsigned i = 0; i < check->pa->nr_zones * NR_PCP_LISTS; i++) {
        const struct pcp_list *list = list_number(pcp, i);

        if (!check->pa->forked && !list_is_sound(check->pa, list, check->finding))
            check->ok = false;
        check->listed += (uint64_t)load_relaxed(&list->nr) << list_order(list);
    }
}

bool pcp_check(struct page_alloc *pa, struct finding *f, uint64_t *listed)
{
    struct pcp_check_context check = {.pa = pa, .finding = f, .ok = true};

    thread_domain_visit(pa->domain, THREAD_SLOT_PCP, pcp_check_slot, &check);
    *listed = check.listed + shelf_pages(pa);
    return check.ok && shelf_check(pa, f);
}

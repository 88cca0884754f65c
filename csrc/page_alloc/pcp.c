/* pcp.c - per-thread page lists: refill, overflow, drain.
 *
 * Limits. Batch and high_min of a zone come with its options (the kernel's arithmetic),
 * divided by the size of a list's blocks; a list holds high_min of them. Both are capped:
 * the lists of orders 0 to 3 keep at most 512, 256, 128 and 128 KiB, together 1 MiB a
 * thread and zone, and 1/256 of the zone each; one 2 MiB block more where the zone has
 * 256. A refill never takes a zone below its low mark, so that what is on a list needs no
 * watermark test of its own.
 */
#include "page_alloc/request.h"

#include "base/fault.h"
#include "page_alloc/pcp.h"

#include <stddef.h>
#include <string.h>

#define PCP_ZONE_SHARE 256u /* a list holds at most this part of its zone */

/* Blocks, by list. */
static const uint32_t capacities[NR_PCP_LISTS] = {PCP_CAPACITY, 32, 8, 4, 1};

static size_t pcp_bytes(const struct page_alloc *pa)
{
    return offsetof(struct pcp, set) + pa->nr_zones * sizeof(struct pcp_set);
}

struct pcp *pcp_own(struct page_alloc *pa)
{
    return thread_slot(pa->domain, THREAD_SLOT_PCP);
}

static unsigned list_order(const struct pcp_list *list)
{
    return (list->alloc_word >> 8) & 0xff;
}

static uint32_t list_zone(const struct pcp_list *list)
{
    return list->alloc_word >> 16;
}

/* A block keeps the flag from the buddy until somebody has had it. */
static bool frame_is_clean(const struct page_alloc *pa, uint32_t pfn)
{
    return (load_relaxed(&pfn_to_page(&pa->map, pfn)->word) & PAGE_FLAG_CLEAN) != 0;
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
    lock_release(&zone->lock);
    memmove(list->frame, list->frame + nr, left * sizeof list->frame[0]);
    store_relaxed(&list->nr, left);
}

static bool pcp_flush(struct page_alloc *pa, struct pcp *pcp)
{
    bool any = false;

    for (unsigned i = 0; i < pa->nr_zones * NR_PCP_LISTS; i++) {
        struct pcp_list *list = &pcp->set[i / NR_PCP_LISTS].list[i % NR_PCP_LISTS];
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
        struct pcp_list *list = pcp->set[pcp_place(pa, zone)].list;

        for (unsigned i = 0; i < NR_PCP_LISTS; i++) {
            list[i].high = pa->pcp_high[zone][i];
            list[i].batch = pa->pcp_batch[zone][i];
            list[i].alloc_word = PAGE_WORD(PYSLAB_PAGE_ALLOC, pcp_order(i), zone);
        }
    }
}

static void pcp_flush_slot(struct thread_domain *domain, void *slot)
{
    pcp_flush(domain->layer[THREAD_SLOT_PCP].context, slot);
}

static void set_limits(struct page_alloc *pa, const struct zone *zone)
{
    for (unsigned i = 0; i < NR_PCP_LISTS; i++) {
        unsigned order = pcp_order(i);
        uint32_t share = (zone_managed_pages(zone) / PCP_ZONE_SHARE) >> order;
        uint32_t high = min_uint(max_uint(zone->high_min >> order, 1), capacities[i]);

        high = order > zone->max_order ? 0 : min_uint(high, share);
        pa->pcp_high[zone->index][i] = high;
        pa->pcp_batch[zone->index][i] = max_uint(min_uint(zone->batch >> order, high / 2), 1);
    }
}

void pcp_set_up(struct page_alloc *pa)
{
    for (uint32_t i = 0; i < pa->nr_zones; i++)
        set_limits(pa, &pa->zone[i]);
    pa->domain->layer[THREAD_SLOT_PCP] = (struct thread_layer){
        .bytes = pcp_bytes(pa), .init = pcp_init_slot, .flush = pcp_flush_slot, .context = pa};
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
    list = &pcp->set[pcp_place(pa, zone)].list[pcp_index(order)];
    return list->high != 0 ? list : NULL;
}

static uint32_t fill_locked(struct page_alloc *pa, struct zone *zone, struct pcp_list *list,
                            uint64_t room)
{
    unsigned order = list_order(list);
    uint32_t word = PAGE_WORD(PYSLAB_PAGE_PCP, order, zone->index);
    uint32_t usable, wanted, nr = 0;
    struct access access;

    access_first(&access, zone->index);
    usable = zone_usable_pages_locked(zone, &access);
    if (usable > room)
        usable = (uint32_t)room;
    wanted = min_uint(list->batch, usable >> order);
    for (; nr < wanted; nr++) {
        uint32_t pfn = buddy_alloc_locked(zone, &pa->map, order);
        struct page *page;

        if (pfn == PFN_NONE)
            break;
        if (!frames_open_locked(pa, pfn, 1u << order)) {
            page_alloc_shut_locked(pa, zone, pfn, 1u << order);
            break;
        }
        page = pfn_to_page(&pa->map, pfn);
        store_relaxed(&page->word, page->buddy.nr_dirty == 0 ? word | PAGE_FLAG_CLEAN : word);
        list->frame[nr] = pfn;
    }
    zone_note_alloc_locked(pa, zone, nr, nr << order);
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
    page_alloc_tick(pa);
    return nr != 0 ? list : NULL;
}

bool pcp_next_is_clean(struct page_alloc *pa, const struct pcp_list *list)
{
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

    return pcp != NULL && pcp_flush(pa, pcp);
}

/* --- counts over all threads -------------------------------------------- */

struct pcp_count {
    const struct page_alloc *pa;
    uint64_t *nr_pages; /* by zone */
};

static void pcp_add_pages(void *slot, void *context)
{
    const struct pcp *pcp = slot;
    const struct pcp_count *count = context;

    for (unsigned i = 0; i < count->pa->nr_zones * NR_PCP_LISTS; i++) {
        const struct pcp_list *list = &pcp->set[i / NR_PCP_LISTS].list[i % NR_PCP_LISTS];

        count->nr_pages[list_zone(list)] += (uint64_t)load_relaxed(&list->nr) << list_order(list);
    }
}

void pcp_count_pages(struct page_alloc *pa, uint64_t nr_pages[MAX_NR_ZONES])
{
    struct pcp_count count = {.pa = pa, .nr_pages = nr_pages};

    memset(nr_pages, 0, MAX_NR_ZONES * sizeof nr_pages[0]);
    thread_domain_visit(pa->domain, THREAD_SLOT_PCP, pcp_add_pages, &count);
}

struct pcp_check_context {
    const struct page_alloc *pa;
    struct finding *finding;
    uint64_t listed;  /* frames on lists */
    uint64_t recount; /* frames whose record says PCP */
    bool ok;
};

static void pcp_check_slot(void *slot, void *context)
{
    const struct pcp *pcp = slot;
    struct pcp_check_context *check = context;

    for (unsigned i = 0; i < check->pa->nr_zones * NR_PCP_LISTS; i++) {
        const struct pcp_list *list = &pcp->set[i / NR_PCP_LISTS].list[i % NR_PCP_LISTS];

        for (uint32_t n = 0; n < load_relaxed(&list->nr); n++) {
            uint32_t word = load_relaxed(&pfn_to_page(&check->pa->map, list->frame[n])->word) &
                            PAGE_WORD_MASK;

            if (word != list->alloc_word + PAGE_WORD_TO_PCP && !check->pa->forked)
                check->ok = finding_report(check->finding,
                                           "pcp: frame %u on list %u of zone %u has record %x",
                                           list->frame[n], list_order(list), list_zone(list), word);
            check->listed += (uint64_t)1 << list_order(list);
        }
    }
}

static bool recount_block(void *context, uint32_t pfn, const struct page *page)
{
    struct pcp_check_context *check = context;

    (void)pfn;
    if (page_state(page) == PYSLAB_PAGE_PCP)
        check->recount += page_block_pages(page);
    return true;
}

/* In a forked child the lists of the parent's other threads may be halfway through an
 * exchange, for ever. */
bool pcp_check(struct page_alloc *pa, struct finding *f)
{
    struct pcp_check_context check = {.pa = pa, .finding = f, .ok = true};

    page_alloc_each_block(pa, recount_block, &check);
    thread_domain_visit(pa->domain, THREAD_SLOT_PCP, pcp_check_slot, &check);
    if (check.ok && check.listed != check.recount && !pa->forked)
        return finding_report(f, "pcp: lists hold %llu frames, records say %llu",
                              (unsigned long long)check.listed, (unsigned long long)check.recount);
    return check.ok;
}

/* pcp.c - per-thread page lists: refill, overflow, drain.
 *
 * Limits. The batch is the kernel's (zone_batchsize: about a thousandth of the zone, at
 * most 1 MiB, a quarter of that, one less than a power of two), divided by the size of
 * the block; a list holds four of them, as the kernel's high_min. Both are capped: the
 * lists of orders 0 to 3 keep at most 512, 256, 128 and 128 KiB, together 1 MiB a
 * thread, and 1/256 of the arena each; one 2 MiB block more where the arena has 256.
 */
#include "page_alloc/pcp.h"

#include "base/fault.h"

#include <string.h>

#define PCP_ARENA_SHARE 256u /* a list holds at most this part of the arena */

/* Blocks, by list. */
static const uint32_t capacities[NR_PCP_LISTS] = {PCP_CAPACITY, 32, 8, 4, 1};

static struct pcp *pcp_own(struct page_alloc *pa)
{
    return thread_slot(pa->domain, THREAD_SLOT_PCP);
}

/* A block keeps the flag from the buddy until somebody has had it. */
static bool frame_is_clean(const struct page_alloc *pa, uint32_t pfn)
{
    return (load_relaxed(&pfn_to_page(&pa->map, pfn)->word) & PAGE_FLAG_CLEAN) != 0;
}

/* Gives the oldest nr blocks of a list to the buddy. */
static void pcp_flush_list(struct page_alloc *pa, struct pcp_list *list, unsigned order,
                           uint32_t nr)
{
    struct zone *zone = &pa->zone[0];
    uint32_t left = load_relaxed(&list->nr) - nr;

    lock_acquire(&zone->lock);
    for (uint32_t i = 0; i < nr; i++)
        buddy_free_locked(zone, &pa->map, list->frame[i], order,
                          frame_is_clean(pa, list->frame[i]) ? RESIDENCY_UNTOUCHED
                                                             : RESIDENCY_DIRTY);
    zone->nr_frees += nr;
    lock_release(&zone->lock);
    memmove(list->frame, list->frame + nr, left * sizeof list->frame[0]);
    store_relaxed(&list->nr, left);
}

static bool pcp_flush(struct page_alloc *pa, struct pcp *pcp)
{
    bool any = false;

    for (unsigned i = 0; i < NR_PCP_LISTS; i++) {
        uint32_t nr = load_relaxed(&pcp->list[i].nr);

        if (nr != 0)
            pcp_flush_list(pa, &pcp->list[i], pcp_order(i), nr);
        any |= nr != 0;
    }
    pcp->drain_epoch = load_relaxed(&pa->drain_epoch);
    return any;
}

static void pcp_flush_slot(struct thread_domain *domain, void *slot);
static void pcp_init_slot(struct thread_domain *domain, void *slot);

/* The kernel's, with 4 KiB pages: frames to move at once for a zone of this size. */
static uint32_t zone_batchsize(uint32_t managed_pages)
{
    uint32_t batch = min_uint(managed_pages >> 10, 256) / 4;

    if (batch < 1)
        batch = 1;
    batch = (1u << ilog2(batch + batch / 2)) - 1;
    return max_uint(batch, 1);
}

void pcp_set_up(struct page_alloc *pa)
{
    struct thread_layer layer = {.bytes = sizeof(struct pcp), .init = pcp_init_slot,
                                 .flush = pcp_flush_slot, .context = pa};

    uint32_t batch = zone_batchsize(pa->map.nr_pages);

    for (unsigned i = 0; i < NR_PCP_LISTS; i++) {
        unsigned order = pcp_order(i);
        uint32_t share = (pa->map.nr_pages / PCP_ARENA_SHARE) >> order;
        uint32_t high = min_uint(min_uint(max_uint(4 * batch >> order, 1), capacities[i]), share);

        pa->pcp_high[i] = order > pa->zone[0].max_order ? 0 : high;
        pa->pcp_batch[i] = max_uint(min_uint(batch >> order, high / 2), 1);
    }
    pa->domain->layer[THREAD_SLOT_PCP] = layer;
}

static void pcp_init_slot(struct thread_domain *domain, void *slot)
{
    const struct page_alloc *pa = domain->layer[THREAD_SLOT_PCP].context;
    struct pcp *pcp = slot;

    pcp->drain_epoch = load_relaxed(&pa->drain_epoch);
    for (unsigned i = 0; i < NR_PCP_LISTS; i++) {
        pcp->list[i].high = pa->pcp_high[i];
        pcp->list[i].batch = pa->pcp_batch[i];
    }
}

static void pcp_flush_slot(struct thread_domain *domain, void *slot)
{
    pcp_flush(domain->layer[THREAD_SLOT_PCP].context, slot);
}

bool pcp_refill(struct page_alloc *pa, unsigned order)
{
    struct zone *zone = &pa->zone[0];
    struct pcp *pcp = pcp_own(pa);
    struct pcp_list *list;
    uint32_t nr;

    if (pcp == NULL)
        return false;
    if (unlikely(pcp->drain_epoch != load_relaxed(&pa->drain_epoch)))
        pcp_flush(pa, pcp);
    list = &pcp->list[pcp_index(order)];
    nr = load_relaxed(&list->nr);
    if (nr != 0 || list->high == 0 || fault_here())
        return nr != 0;
    lock_acquire(&zone->lock);
    for (; nr < list->batch; nr++) {
        uint32_t pfn = buddy_alloc_locked(zone, &pa->map, order);
        uint32_t word = PAGE_WORD(PYSLAB_PAGE_PCP, order, zone->index);
        struct page *page;

        if (pfn == PFN_NONE)
            break;
        page = pfn_to_page(&pa->map, pfn);
        if (page->buddy.nr_dirty == 0)
            word |= PAGE_FLAG_CLEAN;
        store_relaxed(&page->word, word);
        list->frame[nr] = pfn;
    }
    zone->nr_allocs += nr;
    lock_release(&zone->lock);
    store_relaxed(&list->nr, nr);
    page_alloc_tick(pa);
    return nr != 0;
}

bool pcp_next_is_clean(struct page_alloc *pa, unsigned order)
{
    const struct pcp_list *list = &pcp_own(pa)->list[pcp_index(order)];

    return frame_is_clean(pa, list->frame[load_relaxed(&list->nr) - 1]);
}

bool pcp_make_room(struct page_alloc *pa, unsigned order)
{
    struct pcp *pcp = pcp_own(pa);
    struct pcp_list *list;

    if (pcp == NULL)
        return false;
    if (unlikely(pcp->drain_epoch != load_relaxed(&pa->drain_epoch)))
        pcp_flush(pa, pcp);
    list = &pcp->list[pcp_index(order)];
    if (list->high == 0)
        return false;
    if (load_relaxed(&list->nr) >= list->high)
        pcp_flush_list(pa, list, order, list->batch);
    page_alloc_tick(pa);
    return true;
}

bool pcp_drain(struct page_alloc *pa)
{
    struct pcp *pcp = pcp_own(pa);

    return pcp != NULL && pcp_flush(pa, pcp);
}

/* --- counts over all threads -------------------------------------------- */

static void pcp_add_pages(void *slot, void *context)
{
    const struct pcp *pcp = slot;
    uint64_t *total = context;

    for (unsigned i = 0; i < NR_PCP_LISTS; i++)
        *total += (uint64_t)load_relaxed(&pcp->list[i].nr) << pcp_order(i);
}

uint64_t pcp_total_pages(struct page_alloc *pa)
{
    uint64_t total = 0;

    thread_domain_visit(pa->domain, THREAD_SLOT_PCP, pcp_add_pages, &total);
    return total;
}

struct pcp_check_context {
    const struct page_alloc *pa;
    struct finding *finding;
    uint64_t total; /* frames on lists */
    bool ok;
};

static void pcp_check_slot(void *slot, void *context)
{
    const struct pcp *pcp = slot;
    struct pcp_check_context *check = context;

    for (unsigned i = 0; i < NR_PCP_LISTS; i++) {
        const struct pcp_list *list = &pcp->list[i];

        for (uint32_t n = 0; n < load_relaxed(&list->nr); n++) {
            const struct page *page = pfn_to_page(&check->pa->map, list->frame[n]);

            if (page_state(page) != PYSLAB_PAGE_PCP || page_order(page) != pcp_order(i))
                check->ok = finding_report(check->finding,
                                           "pcp: frame %u on list %u has state %u, order %u",
                                           list->frame[n], pcp_order(i), page_state(page),
                                           page_order(page));
            check->total += (uint64_t)1 << pcp_order(i);
        }
    }
}

/* Frames whose record says PCP; with the walk over the lists this finds duplicates. */
static uint64_t pcp_recount_pages(const struct page_alloc *pa)
{
    const struct zone *zone = &pa->zone[0];
    uint64_t total = 0;
    uint32_t pfn = zone->start_pfn;

    while (pfn < zone->frontier) {
        const struct page *page = pfn_to_page(&pa->map, pfn);

        if (page_state(page) == PYSLAB_PAGE_PCP)
            total += page_block_pages(page);
        pfn += page_block_pages(page);
    }
    return total;
}

bool pcp_check(struct page_alloc *pa, struct finding *f)
{
    struct pcp_check_context check = {.pa = pa, .finding = f, .ok = true};
    uint64_t recount = pcp_recount_pages(pa);

    thread_domain_visit(pa->domain, THREAD_SLOT_PCP, pcp_check_slot, &check);
    if (check.ok && check.total != recount)
        return finding_report(f, "pcp: lists hold %llu frames, records say %llu",
                              (unsigned long long)check.total, (unsigned long long)recount);
    return check.ok;
}

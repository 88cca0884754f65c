/* renew.c - see renew.h. */
#include "page_alloc/renew.h"

#include "page_alloc/used.h"

/* The blocks of a thread's page lists are in use for ever. */
static void forget_lists(void *slot, void *context)
{
    const struct page_alloc *pa = context;
    struct pcp *pcp = slot;

    for (uint32_t place = 0; place < pa->nr_zones; place++)
        for (unsigned order = 0; order < NR_PCP_LISTS; order++)
            store_relaxed(&pcp_list_at(&pcp->set[place], order)->nr, 0);
}

static bool zone_renew(struct page_alloc *pa, struct zone *zone, renew_fn renew, void *context)
{
    uint32_t nr_lost;

    lock_acquire(&zone->lock);
    nr_lost = buddy_renew_locked(zone, &pa->map, renew, context);
    if (nr_lost != UINT32_MAX)
        add_owner(&zone->used_pages, nr_lost);
    lock_release(&zone->lock);
    return nr_lost != UINT32_MAX;
}

bool page_alloc_renew(struct page_alloc *pa, renew_fn renew, void *context)
{
    bool ok = true;

    thread_domain_visit(pa->domain, THREAD_SLOT_PCP, forget_lists, pa);
    for (unsigned i = 0; i < SHELF_SLOTS; i++)
        store_relaxed(&pa->shelf.slot[i], 0);
    for (uint32_t i = 0; ok && i < pa->nr_zones; i++)
        if (pfn_has_address(&pa->map, pa->zone[i].start_pfn))
            ok = zone_renew(pa, &pa->zone[i], renew, context);
    return ok;
}

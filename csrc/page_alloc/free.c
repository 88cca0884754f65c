/* free.c - giving frames back where the fast path of page_alloc.h does not lead.
 *
 * What it is: a block goes to this thread's page list, which makes room first, or to the buddy; a
 * run goes to the buddy. What it is not: a count of references (refs.c).
 * Lock: the zone's, taken here.
 */
#include "page_alloc/init_on.h"
#include "page_alloc/pcp.h"
#include "page_alloc/recount.h"
#include "page_alloc/used.h"
#include "page_alloc/watch.h"

/* Gives frames to the buddy: as one block of this order; as a run if order is NR_ORDERS. */
static void free_to_buddy(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages, unsigned order)
{
    struct zone *zone = page_alloc_zone_of(pa, pfn);

    frames_wipe(pa, pfn, nr_pages);
    frames_watch_close(pa, pfn, nr_pages);
    lock_acquire(&zone->lock);
    if (order <= pa->max_order)
        buddy_free_locked(zone, &pa->map, pfn, order, RESIDENCY_DIRTY);
    else
        buddy_free_range_locked(zone, &pa->map, pfn, nr_pages, RESIDENCY_DIRTY);
    zone_note_free_locked(zone, 1, nr_pages);
    zone_recount_locked(pa, zone);
    lock_release(&zone->lock);
    page_alloc_tick(pa);
}

slow_path void page_free_slow(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    struct pcp_list *list = NULL;

    if (pcp_has_list(order))
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

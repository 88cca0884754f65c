/* buddy_renew.c - see buddy_renew.h. */
#include "buddy/buddy_renew.h"

#include "buddy/buddy_internal.h"

/* Lists the block again, as new, or makes it one that is in use for ever. Returns how many frames
 * were lost. */
static uint32_t renew_block_locked(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                                   unsigned order, bool is_new)
{
    struct page *page = pfn_to_page(map, pfn);

    lock_assert_held(&zone->lock);
    if (is_new) {
        block_set_residency(page, order, RESIDENCY_UNTOUCHED);
        block_list(zone, map, pfn, order, true);
        return 0;
    }
    page_set(page, PYSLAB_PAGE_ALLOC, order, zone->index);
    store_relaxed(&page->refcount, 1);
    return 1u << order;
}

uint32_t buddy_renew_locked(struct zone *zone, const struct frame_map *map, renew_fn renew,
                            void *context)
{
    uint32_t nr_lost = 0;

    lock_assert_held(&zone->lock);
    if (zone->frontier < zone->end_pfn &&
        !renew(context, zone->frontier, zone->end_pfn - zone->frontier))
        return UINT32_MAX;
    zone->fresh = RESIDENCY_UNTOUCHED;
    for (unsigned order = zone->max_order + 1; order-- > 0;) {
        struct free_area *area = &zone->free_area[order];

        for (uint32_t nr = area->list[FREE_DIRTY].nr + area->list[FREE_CLEAN].nr; nr > 0; nr--) {
            enum free_kind kind = area->list[FREE_DIRTY].nr != 0 ? FREE_DIRTY : FREE_CLEAN;
            uint32_t pfn = area->list[kind].first;

            block_unlist(zone, map, pfn, order);
            nr_lost += renew_block_locked(zone, map, pfn, order, renew(context, pfn, 1u << order));
        }
    }
    zone->min_dirty_pages = 0;
    return nr_lost;
}

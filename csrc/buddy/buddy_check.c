/* buddy_check.c - the recount behind buddy.h's invariant.
 *
 * Two passes: the frames tell which blocks there are, the lists tell which blocks are
 * free; both must tell the same.
 */
#include "buddy/buddy.h"

struct recount {
    uint64_t free_pages;         /* frames in free blocks */
    uint64_t dirty_pages;        /* of these, dirty ones */
    uint64_t nr_free[NR_ORDERS]; /* free blocks */
};

/* Dirty frames of a free block, by the states that its parts' records tell. */
static uint32_t count_dirty(const struct frame_map *map, uint32_t pfn, unsigned order)
{
    enum residency state = page_residency(pfn_to_page(map, pfn), order);

    if (state != RESIDENCY_MIXED)
        return state == RESIDENCY_DIRTY ? 1u << order : 0;
    order--;
    return count_dirty(map, pfn, order) + count_dirty(map, pfn + (1u << order), order);
}

static bool check_free_block(const struct zone *zone, const struct frame_map *map, uint32_t pfn,
                             unsigned order, struct finding *f)
{
    uint32_t buddy_pfn = pfn ^ (1u << order);
    const struct page *buddy;

    if (pfn & ((1u << order) - 1))
        return finding_report(f, "buddy: free block %u of order %u is not aligned", pfn, order);
    if (count_dirty(map, pfn, order) != pfn_to_page(map, pfn)->buddy.nr_dirty)
        return finding_report(f, "buddy: free block %u of order %u has %u dirty frames, says %u",
                              pfn, order, count_dirty(map, pfn, order),
                              pfn_to_page(map, pfn)->buddy.nr_dirty);
    if (order == zone->max_order || buddy_pfn < zone->start_pfn || buddy_pfn >= zone->frontier)
        return true;
    buddy = pfn_to_page(map, buddy_pfn);
    if (page_state(buddy) == PYSLAB_PAGE_BUDDY && page_order(buddy) == order)
        return finding_report(f, "buddy: free buddies %u and %u of order %u are not merged", pfn,
                              buddy_pfn, order);
    return true;
}

static bool check_tiling(const struct zone *zone, const struct frame_map *map,
                         struct recount *count, struct finding *f)
{
    uint32_t pfn = zone->start_pfn;

    while (pfn < zone->frontier) {
        const struct page *page = pfn_to_page(map, pfn);
        uint32_t nr = page_block_pages(page);

        if (nr == 0 && zone->torn) {
            pfn++;
            continue;
        }
        if (nr == 0 || nr > zone->frontier - pfn)
            return finding_report(f, "buddy: no block starts at frame %u (state %u, %u frames)",
                                  pfn, page_state(page), nr);
        if (page_zone(page) != zone->index)
            return finding_report(f, "buddy: frame %u says zone %u, is in %u", pfn, page_zone(page),
                                  zone->index);
        if (page_state(page) == PYSLAB_PAGE_BUDDY) {
            if (!check_free_block(zone, map, pfn, page_order(page), f))
                return false;
            count->nr_free[page_order(page)]++;
            count->free_pages += nr;
            count->dirty_pages += page->buddy.nr_dirty;
        }
        pfn += nr;
    }
    return true;
}

static bool check_list(const struct zone *zone, const struct frame_map *map, unsigned order,
                       enum free_kind kind, struct finding *f)
{
    const struct index_list *list = &zone->free_area[order].list[kind];
    uint32_t nr = 0, prev = INDEX_NONE;

    for (uint32_t pfn = list->first; pfn != INDEX_NONE;) {
        const struct page *page = pfn_to_page(map, pfn);
        if (page_state(page) != PYSLAB_PAGE_BUDDY || page_order(page) != order)
            return finding_report(f, "buddy: frame %u on list %u has state %u, order %u", pfn,
                                  order, page_state(page), page_order(page));
        if ((page->buddy.nr_dirty != 0) != (kind == FREE_DIRTY))
            return finding_report(f, "buddy: frame %u has %u dirty frames, list kind %d", pfn,
                                  page->buddy.nr_dirty, (int)kind);
        if (page->link.prev != prev || ++nr > list->nr)
            return finding_report(f, "buddy: list %u is broken at frame %u", order, pfn);
        prev = pfn;
        pfn = page->link.next;
    }
    if (nr != list->nr || list->last != prev)
        return finding_report(f, "buddy: list %u has %u blocks, says %u", order, nr, list->nr);
    if ((list->nr != 0) != ((zone->free_orders[kind] >> order & 1) != 0))
        return finding_report(f, "buddy: bit of order %u disagrees with its list", order);
    return true;
}

bool buddy_check_locked(const struct zone *zone, const struct frame_map *map, struct finding *f)
{
    struct recount count = {0};

    if (!check_tiling(zone, map, &count, f))
        return false;
    for (unsigned order = 0; order <= zone->max_order; order++) {
        const struct free_area *area = &zone->free_area[order];

        for (unsigned kind = 0; kind < NR_FREE_KINDS; kind++)
            if (!check_list(zone, map, order, (enum free_kind)kind, f))
                return false;
        if (count.nr_free[order] != area->list[FREE_DIRTY].nr + area->list[FREE_CLEAN].nr)
            return finding_report(f, "buddy: %llu free blocks of order %u, lists have %u",
                                  (unsigned long long)count.nr_free[order], order,
                                  area->list[FREE_DIRTY].nr + area->list[FREE_CLEAN].nr);
    }
    if (count.free_pages != zone->free_pages || count.dirty_pages != zone->dirty_pages)
        return finding_report(f, "buddy: %llu free frames (%llu dirty), zone says %u (%u)",
                              (unsigned long long)count.free_pages,
                              (unsigned long long)count.dirty_pages, zone->free_pages,
                              zone->dirty_pages);
    return true;
}

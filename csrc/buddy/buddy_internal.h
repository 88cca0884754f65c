/* buddy_internal.h - blocks in hand and on lists: what the files of buddy/ share.
 *
 * What it is: putting a block on its list and taking it off, halving one in hand, and the blocks
 * at the frontier. A block in hand is one that is on no list and that nobody has been given yet.
 * What it is not: for other layers; see buddy.h.
 * Lock: zone->lock, for all of it.
 */
#ifndef BUDDY_BUDDY_INTERNAL_H
#define BUDDY_BUDDY_INTERNAL_H

#include "buddy/buddy.h"

/* Which of its order's lists a free block belongs to. */
static inline enum free_kind kind_of(const struct page *page)
{
    return page->buddy.nr_dirty != 0 ? FREE_DIRTY : FREE_CLEAN;
}

/* Puts a block in hand on its list. */
static inline void block_list(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                              unsigned order, bool at_tail)
{
    struct page *page = pfn_to_page(map, pfn);
    enum free_kind kind = kind_of(page);
    struct index_list *list = &zone->free_area[order].list[kind];

    lock_assert_held(&zone->lock);
    page_set(page, PYSLAB_PAGE_BUDDY, order, zone->index);
    if (at_tail)
        index_list_add_tail(list, page_links(map), pfn);
    else
        index_list_add_head(list, page_links(map), pfn);
    zone->free_orders[kind] |= 1u << order;
    zone->free_pages += 1u << order;
    zone->dirty_pages += page->buddy.nr_dirty;
}

/* Takes a free block off its list. */
static inline void block_unlist(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                                unsigned order)
{
    struct page *page = pfn_to_page(map, pfn);
    enum free_kind kind = kind_of(page);
    struct index_list *list = &zone->free_area[order].list[kind];

    lock_assert_held(&zone->lock);
    CHECK(order < NR_ORDERS && page_is(page, PYSLAB_PAGE_BUDDY, order, zone->index));
    index_list_remove(list, page_links(map), pfn);
    if (list->nr == 0)
        zone->free_orders[kind] &= ~(1u << order);
    zone->free_pages -= 1u << order;
    zone->dirty_pages -= page->buddy.nr_dirty;
    page_set(page, PYSLAB_PAGE_UNLISTED, 0, zone->index);
}

/* The whole block is in one state. */
static inline void block_set_residency(struct page *page, unsigned order, enum residency state)
{
    page_set_residency(page, order, state);
    page->buddy.nr_dirty = state == RESIDENCY_DIRTY ? 1u << order : 0;
}

/* Makes the records of the block at the frontier, of at most this order, writable; false: the
 * system refuses. pre: frontier < end_pfn */
bool frontier_ready(struct zone *zone, const struct frame_map *map, unsigned max_order);
/* Lists the block at the frontier, of at most this order, merged with its free buddies;
 * returns the order it has then. pre: frontier < end_pfn, frontier_ready */
unsigned frontier_list_one(struct zone *zone, const struct frame_map *map, unsigned max_order);

/* Gives the halves of a block in hand their own records. (The zone is not known here; block_list
 * and block_unlist, one of which precedes or follows each call, assert its lock.) */
static inline void block_halve(const struct frame_map *map, uint32_t pfn, unsigned order)
{
    struct page *lower = pfn_to_page(map, pfn);
    struct page *upper = pfn_to_page(map, pfn + (1u << (order - 1)));
    enum residency state = page_residency(lower, order);

    if (state == RESIDENCY_MIXED) {
        lower->buddy.nr_dirty -= upper->buddy.nr_dirty;
        return;
    }
    block_set_residency(lower, order - 1, state);
    block_set_residency(upper, order - 1, state);
}

/* Called after a block was taken, which may have left fewer dirty free frames than ever in this
 * interval. */
static inline void note_dirty_low(struct zone *zone)
{
    lock_assert_held(&zone->lock);
    if (zone->dirty_pages < zone->min_dirty_pages)
        zone->min_dirty_pages = zone->dirty_pages;
}

#endif

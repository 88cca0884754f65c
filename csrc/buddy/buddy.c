/* buddy.c - see buddy.h. Order of the text: split, merge, the frontier, free, counts. Lists and
 * the frontier are in buddy_internal.h. */
#include "buddy/buddy_internal.h"

#include <string.h>

/* A free block heads pfn, lies in this zone and has this order. */
static bool page_is_buddy(const struct zone *zone, const struct frame_map *map, uint32_t pfn,
                          unsigned order)
{
    if (pfn < zone->start_pfn || pfn >= zone->frontier)
        return false;
    return page_is(pfn_to_page(map, pfn), PYSLAB_PAGE_BUDDY, order, zone->index);
}

/* Defined below, behind the functions that merge, which it calls. */
static bool frontier_carve(struct zone *zone, const struct frame_map *map, unsigned order);

/* --- split -------------------------------------------------------------- */

/* Splits a block in hand. One half goes to its list, the other is returned for the caller to go on
 * with: the lower one, unless only the upper one is resident. */
static uint32_t block_split(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                            unsigned order)
{
    uint32_t upper = pfn + (1u << --order);

    block_halve(map, pfn, order + 1);
    if (kind_of(pfn_to_page(map, upper)) == FREE_DIRTY &&
        kind_of(pfn_to_page(map, pfn)) == FREE_CLEAN) {
        block_list(zone, map, pfn, order, false);
        return upper;
    }
    block_list(zone, map, upper, order, false);
    return pfn;
}

/* Takes a listed block of at least this order and splits it down. */
static uint32_t block_take(struct zone *zone, const struct frame_map *map, enum free_kind kind,
                           unsigned order)
{
    uint32_t fitting = zone->free_orders[kind] >> order << order;
    unsigned have = ctz32(fitting);
    uint32_t pfn = zone->free_area[have].list[kind].first;

    zone->used_orders |= (fitting ^ (fitting - 1)) >> order << order; /* order .. have */
    block_unlist(zone, map, pfn, have);
    for (; have > order; have--)
        pfn = block_split(zone, map, pfn, have);
    return pfn;
}

static uint32_t buddy_take(struct zone *zone, const struct frame_map *map, unsigned order)
{
    if (order > zone->max_order)
        return PFN_NONE;
    if (zone->free_orders[FREE_DIRTY] >> order)
        return block_take(zone, map, FREE_DIRTY, order);
    if (zone->free_orders[FREE_CLEAN] >> order)
        return block_take(zone, map, FREE_CLEAN, order);
    if (!frontier_carve(zone, map, order))
        return PFN_NONE;
    /* What lies beyond the frontier served as blocks of all orders. */
    zone->used_orders |= (2u << zone->max_order) - (1u << order);
    /* What was carved may have joined resident memory. */
    return block_take(zone, map, zone->free_orders[FREE_DIRTY] >> order ? FREE_DIRTY : FREE_CLEAN,
                      order);
}

uint32_t buddy_alloc_locked(struct zone *zone, const struct frame_map *map, unsigned order)
{
    uint32_t pfn;

    lock_assert_held(&zone->lock);
    pfn = buddy_take(zone, map, order);
    if (pfn != PFN_NONE)
        note_dirty_low(zone);
    return pfn;
}

uint32_t buddy_alloc_exact_locked(struct zone *zone, const struct frame_map *map, unsigned order,
                                  uint32_t nr_pages)
{
    uint32_t left = nr_pages; /* frames still to keep, from part on */
    uint32_t pfn, part;

    lock_assert_held(&zone->lock);
    CHECK(nr_pages > 0 && order <= MAX_ORDER && nr_pages <= 1u << order);
    pfn = part = buddy_take(zone, map, order);
    if (pfn == PFN_NONE)
        return PFN_NONE;
    while (left < 1u << order) {
        uint32_t half = 1u << --order;

        block_halve(map, part, order + 1);
        if (left <= half) {
            block_list(zone, map, part + half, order, false);
        } else {
            part += half;
            left -= half;
        }
    }
    note_dirty_low(zone);
    return pfn;
}

uint32_t buddy_take_dirty_locked(struct zone *zone, const struct frame_map *map, unsigned min_order,
                                 uint32_t max_pages, unsigned *order)
{
    uint32_t orders, pfn;
    unsigned have;

    lock_assert_held(&zone->lock);
    orders = zone->free_orders[FREE_DIRTY] >> min_order << min_order;
    if (orders == 0)
        return PFN_NONE;
    have = ilog2((orders & ~zone->hot_orders) != 0 ? orders & ~zone->hot_orders : orders);
    pfn = zone->free_area[have].list[FREE_DIRTY].last;
    block_unlist(zone, map, pfn, have);
    for (; have > min_order && 1u << have > max_pages; have--)
        pfn = block_split(zone, map, pfn, have);
    *order = have;
    return pfn;
}

/* --- merge -------------------------------------------------------------- */

/* Joins a block in hand with its free buddy; returns the head of the joined block. */
static uint32_t block_merge(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                            unsigned order)
{
    uint32_t buddy_pfn = pfn ^ (1u << order);
    struct page *page = pfn_to_page(map, pfn);
    struct page *buddy = pfn_to_page(map, buddy_pfn);
    struct page *head = pfn < buddy_pfn ? page : buddy;
    enum residency state = page_residency(page, order);

    block_unlist(zone, map, buddy_pfn, order);
    if (page_residency(buddy, order) != state)
        state = RESIDENCY_MIXED;
    page_set_residency(head, order + 1, state);
    head->buddy.nr_dirty = page->buddy.nr_dirty + buddy->buddy.nr_dirty;
    return pfn & ~(1u << order);
}

/* The buddy of the block's parent is free: the parent would merge on. */
static bool buddy_merge_likely(const struct zone *zone, const struct frame_map *map, uint32_t pfn,
                               unsigned order)
{
    uint32_t parent = pfn & ~(1u << order);

    return order + 1 < zone->max_order &&
           page_is_buddy(zone, map, parent ^ (1u << (order + 1)), order + 1);
}

/* Joins a block in hand with its free buddies; returns the head of the whole. */
static uint32_t block_join(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                           unsigned *order, enum residency state)
{
    struct page *page = pfn_to_page(map, pfn);

    block_set_residency(page, *order, state);
    page_set(page, PYSLAB_PAGE_UNLISTED, 0, zone->index);
    while (*order < zone->max_order && page_is_buddy(zone, map, pfn ^ (1u << *order), *order))
        pfn = block_merge(zone, map, pfn, (*order)++);
    return pfn;
}

static void block_list_merged(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                              unsigned order)
{
    block_list(zone, map, pfn, order, buddy_merge_likely(zone, map, pfn, order));
}

/* --- the frontier ------------------------------------------------------- */

/* To carve the largest block and split it down would touch a record, and so a page of mem_map, for
 * each order on the way. So small requests carve a block of this order (2 MiB). */
#define FRONTIER_STEP_ORDER 9u

/* Opens an eighth more than what is open, so that a large arena makes few calls; whole huge pages,
 * because core dumps' flag cuts the frames' mapping there. */
static slow_path bool records_open(struct zone *zone, const struct frame_map *map, uint32_t end)
{
    uint32_t start = zone->records_end;
    uint32_t step = max_uint((start - zone->start_pfn) / 8, ZONE_RECORDS_STEP);
    uint64_t wanted = align_up((uint64_t)start + step, 1u << FRONTIER_STEP_ORDER);
    uint32_t until = wanted < zone->end_pfn ? max_uint(end, (uint32_t)wanted) : zone->end_pfn;

    if (frame_map_open(map, start, until, zone->end_pfn) != PYSLAB_OK) {
        until = end;
        if (frame_map_open(map, start, until, zone->end_pfn) != PYSLAB_OK)
            return false;
    }
    zone->records_end = until;
    return true;
}

int zone_open_first_records(struct zone *zone, const struct frame_map *map)
{
    CHECK(zone->frontier == zone->start_pfn);
    zone->records_end = zone->start_pfn;
    if (frame_map_open_border(map, zone->start_pfn) != PYSLAB_OK)
        return PYSLAB_EOS;
    return records_open(zone, map, zone->start_pfn + 1) ? PYSLAB_OK : PYSLAB_EOS;
}

bool frontier_ready(struct zone *zone, const struct frame_map *map, unsigned max_order)
{
    uint32_t pfn = zone->frontier;
    uint32_t end;

    CHECK(pfn < zone->end_pfn);
    end = pfn + (1u << min_uint(frontier_order(zone, pfn), max_order));

    return likely(end <= zone->records_end) || records_open(zone, map, end);
}

unsigned frontier_list_one(struct zone *zone, const struct frame_map *map, unsigned max_order)
{
    uint32_t pfn = zone->frontier;
    unsigned order;

    lock_assert_held(&zone->lock);
    CHECK(pfn < zone->end_pfn);
    order = min_uint(frontier_order(zone, pfn), max_order);
    zone->frontier += 1u << order;
    pfn = block_join(zone, map, pfn, &order, zone->fresh);
    block_list_merged(zone, map, pfn, order);
    return order;
}

/* Lists blocks from the frontier until one of at least this order is among them. */
static bool frontier_carve(struct zone *zone, const struct frame_map *map, unsigned order)
{
    unsigned step = max_uint(order, FRONTIER_STEP_ORDER);

    while (zone->frontier < zone->end_pfn && frontier_ready(zone, map, step))
        if (frontier_list_one(zone, map, step) >= order)
            return true;
    return false;
}

/* The buddy of this block is the next block at the frontier. */
static bool frontier_is_buddy(const struct zone *zone, uint32_t pfn, unsigned order)
{
    return order < zone->max_order && pfn + (1u << order) == zone->frontier &&
           (pfn & (1u << order)) == 0 && zone->end_pfn - zone->frontier >= 1u << order;
}

/* --- free --------------------------------------------------------------- */

void buddy_free_locked(struct zone *zone, const struct frame_map *map, uint32_t pfn, unsigned order,
                       enum residency state)
{
    lock_assert_held(&zone->lock);
    CHECK(order <= zone->max_order && zone->max_order <= MAX_ORDER);
    CHECK((pfn & ((1u << order) - 1)) == 0);
    CHECK(pfn >= zone->start_pfn && pfn < zone->frontier && 1u << order <= zone->frontier - pfn);
    CHECK(page_state(pfn_to_page(map, pfn)) != PYSLAB_PAGE_BUDDY);
    pfn = block_join(zone, map, pfn, &order, state);
    block_list_merged(zone, map, pfn, order);
    /* A block whose buddy is just beyond the frontier merges with it too. */
    while (frontier_is_buddy(zone, pfn, order) && frontier_ready(zone, map, order))
        order = frontier_list_one(zone, map, order);
}

void buddy_free_range_locked(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                             uint32_t nr_pages, enum residency state)
{
    lock_assert_held(&zone->lock);
    while (nr_pages > 0) {
        unsigned order = min_uint(min_uint(ctz32(pfn), ilog2(nr_pages)), zone->max_order);

        buddy_free_locked(zone, map, pfn, order, state);
        pfn += 1u << order;
        nr_pages -= 1u << order;
    }
}

/* --- set-up and counts -------------------------------------------------- */

void zone_init(struct zone *zone, const char *name, uint32_t index, uint32_t start_pfn,
               uint32_t nr_pages, unsigned max_order)
{
    CHECK(nr_pages > 0 && max_order <= MAX_ORDER);
    memset(zone, 0, sizeof *zone);
    lock_init(&zone->lock, LOCK_RANK_ZONE);
    strncpy(zone->name, name, sizeof zone->name - 1);
    zone->index = index;
    zone->start_pfn = start_pfn;
    zone->end_pfn = start_pfn + nr_pages;
    zone->max_order = max_order;
    zone->frontier = start_pfn;
    zone->records_end = zone->end_pfn;
    zone->fresh = RESIDENCY_UNTOUCHED;
    for (unsigned order = 0; order < NR_ORDERS; order++)
        for (unsigned kind = 0; kind < NR_FREE_KINDS; kind++)
            index_list_init(&zone->free_area[order].list[kind]);
}

void zone_destroy(struct zone *zone)
{
    lock_destroy(&zone->lock);
}

/* Blocks of one order that the frames beyond the frontier are. At most max_order of them lie
 * below the first block of max_order, as many behind the last. */
static uint64_t frontier_nr_free(const struct zone *zone, unsigned order)
{
    uint64_t nr = 0;
    uint32_t pfn = zone->frontier;

    CHECK(zone->max_order <= MAX_ORDER);
    while (pfn < zone->end_pfn) {
        unsigned here = frontier_order(zone, pfn);
        uint32_t run = 1; /* blocks of this order in a row */

        if (here == zone->max_order)
            run = (zone->end_pfn - pfn) >> here;
        if (here == order)
            nr += run;
        pfn += run << here;
    }
    return nr;
}

uint64_t buddy_nr_free_locked(const struct zone *zone, unsigned order)
{
    const struct free_area *area = &zone->free_area[order];

    lock_assert_held(&zone->lock);
    return area->list[FREE_DIRTY].nr + area->list[FREE_CLEAN].nr + frontier_nr_free(zone, order);
}

int buddy_largest_order_locked(const struct zone *zone)
{
    lock_assert_held(&zone->lock);
    for (int order = (int)zone->max_order; order >= 0; order--)
        if (buddy_nr_free_locked(zone, (unsigned)order) != 0)
            return order;
    return -1;
}

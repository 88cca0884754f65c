/* buddy_check.c - the recounts behind buddy.h's invariants.
 *
 * Two passes: the records of the frames tell which blocks there are, the lists tell which blocks
 * are free; both must tell the same. There is a strict form for a quiet zone, where each frame
 * below the frontier must be in a block, and one for a busy zone, where a block that was just
 * taken has no record yet. What is free is judged alike in both: it changes under the lock only.
 * What it is not: a repair, or a stop. The caller says what a finding means.
 * Lock: zone->lock, held by the caller.
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

/* The block is aligned, counts its dirty frames, and its buddy is not free as well. */
static bool free_block_is_sound(const struct zone *zone, const struct frame_map *map, uint32_t pfn,
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

static bool count_free_block(const struct zone *zone, const struct frame_map *map, uint32_t pfn,
                             struct recount *count, struct finding *f)
{
    const struct page *page = pfn_to_page(map, pfn);
    unsigned order = page_order(page);

    if (order > zone->max_order || 1u << order > zone->frontier - pfn)
        return finding_report(f, "buddy: free block %u of order %u is too large", pfn, order);
    if (!free_block_is_sound(zone, map, pfn, order, f))
        return false;
    count->nr_free[order]++;
    count->free_pages += 1u << order;
    count->dirty_pages += page->buddy.nr_dirty;
    return true;
}

/* --- the blocks, by their records ---------------------------------------- */

/* A block starts where the one before it ends, up to the frontier. */
static bool blocks_tile_zone(const struct zone *zone, const struct frame_map *map,
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
        if (page_state(page) == PYSLAB_PAGE_BUDDY && !count_free_block(zone, map, pfn, count, f))
            return false;
        pfn += nr;
    }
    return true;
}

/* Frames of the block in use that pfn heads, as far as its word alone tells, which its owner may
 * be changing: 1 where it does not tell. 0: a finding. */
static uint32_t busy_block_pages(const struct zone *zone, const struct frame_map *map, uint32_t pfn,
                                 struct finding *f)
{
    uint32_t word = load_relaxed(&pfn_to_page(map, pfn)->word);
    unsigned order = page_word_order(word);

    if (page_word_state(word) == PYSLAB_PAGE_UNLISTED || page_word_tells_length(word))
        return 1;
    if (page_word_zone(word) != zone->index || order > zone->max_order ||
        1u << order > zone->frontier - pfn) {
        (void)finding_report(f, "buddy: frame %u has the word %x, no block's in zone %u", pfn, word,
                             zone->index);
        return 0;
    }
    for (uint32_t i = 1; i < 1u << order; i++)
        if (page_state(pfn_to_page(map, pfn + i)) == PYSLAB_PAGE_BUDDY) {
            (void)finding_report(f, "buddy: free block %u lies in the block of %u frames at %u",
                                 pfn + i, 1u << order, pfn);
            return 0;
        }
    return 1u << order;
}

/* No free block overlaps another block, whichever of them are in use. */
static bool free_blocks_are_apart(const struct zone *zone, const struct frame_map *map,
                                  struct recount *count, struct finding *f)
{
    uint32_t pfn = zone->start_pfn, nr;

    for (; pfn < zone->frontier; pfn += nr) {
        if (page_state(pfn_to_page(map, pfn)) == PYSLAB_PAGE_BUDDY) {
            if (page_zone(pfn_to_page(map, pfn)) != zone->index)
                return finding_report(f, "buddy: frame %u says zone %u, is in %u", pfn,
                                      page_zone(pfn_to_page(map, pfn)), zone->index);
            if (!count_free_block(zone, map, pfn, count, f))
                return false;
            nr = 1u << page_order(pfn_to_page(map, pfn));
        } else if ((nr = busy_block_pages(zone, map, pfn, f)) == 0) {
            return false;
        }
    }
    return true;
}

/* --- the lists ------------------------------------------------------------ */

/* The list's links, its count, its bit in the map, and the records of the blocks on it agree. */
static bool list_is_sound(const struct zone *zone, const struct frame_map *map, unsigned order,
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

/* What the lists have is what the records said is free. */
static bool lists_have_all(const struct zone *zone, const struct frame_map *map,
                           const struct recount *count, struct finding *f)
{
    for (unsigned order = 0; order <= zone->max_order; order++) {
        const struct free_area *area = &zone->free_area[order];

        for (unsigned kind = 0; kind < NR_FREE_KINDS; kind++)
            if (!list_is_sound(zone, map, order, (enum free_kind)kind, f))
                return false;
        if (count->nr_free[order] != area->list[FREE_DIRTY].nr + area->list[FREE_CLEAN].nr)
            return finding_report(f, "buddy: %llu free blocks of order %u, lists have %u",
                                  (unsigned long long)count->nr_free[order], order,
                                  area->list[FREE_DIRTY].nr + area->list[FREE_CLEAN].nr);
    }
    return true;
}

/* free_pages and dirty_pages are the sums over the free blocks. */
static bool free_counts_add_up(const struct zone *zone, const struct recount *count,
                               struct finding *f)
{
    if (count->free_pages != zone->free_pages || count->dirty_pages != zone->dirty_pages)
        return finding_report(f, "buddy: %llu free frames (%llu dirty), zone says %u (%u)",
                              (unsigned long long)count->free_pages,
                              (unsigned long long)count->dirty_pages, zone->free_pages,
                              zone->dirty_pages);
    return true;
}

bool buddy_check_locked(const struct zone *zone, const struct frame_map *map, struct finding *f)
{
    struct recount count = {0};

    lock_assert_held(&zone->lock);
    return blocks_tile_zone(zone, map, &count, f) && lists_have_all(zone, map, &count, f) &&
           free_counts_add_up(zone, &count, f);
}

bool buddy_check_busy_locked(const struct zone *zone, const struct frame_map *map,
                             struct finding *f)
{
    struct recount count = {0};

    lock_assert_held(&zone->lock);
    return free_blocks_are_apart(zone, map, &count, f) && lists_have_all(zone, map, &count, f) &&
           free_counts_add_up(zone, &count, f);
}

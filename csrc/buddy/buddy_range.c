/* buddy_range.c - see buddy_range.h. Order of the text: blocks by frame, find, take. */
#include "buddy/buddy_range.h"

#include "buddy/buddy_internal.h"

/* Frames of the block that page heads. For a block in another thread's hands it is what
 * its owner wrote last, and at most what the order in its word allows. The owner may just be making
 * a slab of it, and write other fields of the union: then the number is of no block, and the run
 * that it leads to is refused when it is taken. */
__attribute__((no_sanitize("thread"))) static uint32_t block_pages(const struct page *page)
{
    uint32_t pages = 1u << min_uint(page_order(page), 31); /* runs may be of any order */

    if (page_word_tells_length(load_relaxed(&page->word)))
        return min_uint(load_relaxed(&page->large.nr_pages), pages);
    return pages;
}

/* The frames of a block; or a frame of which no record tells the block. */
struct extent {
    uint32_t first;
    uint32_t end;
    bool is_free;
};

/* The block that holds this frame; all beyond the frontier counts as one free block. The head is
 * looked for at the frame itself, then at the start of each larger aligned block around it, and
 * is the first of these frames that has a state, since the frames behind a head have none. Where
 * no head tells of a block that reaches this frame, the answer is the frame alone, as not free. */
static struct extent extent_of(const struct zone *zone, const struct frame_map *map, uint32_t pfn)
{
    if (pfn >= zone->frontier)
        return (struct extent){zone->frontier, zone->end_pfn, true};
    for (unsigned order = 0; order <= zone->max_order; order++) {
        uint32_t head = pfn & ~((1u << order) - 1);
        const struct page *page = pfn_to_page(map, head);
        uint32_t pages;
        unsigned state;

        if (head < zone->start_pfn)
            break;
        state = page_state(page);
        if (state == PYSLAB_PAGE_UNLISTED)
            continue;
        pages = block_pages(page);
        if (pfn - head >= pages)
            break;
        return (struct extent){head, head + pages, state == PYSLAB_PAGE_BUDDY};
    }
    return (struct extent){pfn, pfn + 1, false};
}

/* --- find --------------------------------------------------------------- */

/* The first place from pfn on for so many frames; frame 0 counts as the number origin. */
static uint64_t range_place(uint32_t pfn, uint32_t nr_pages, uint32_t align, uint32_t nocross,
                            uint64_t origin)
{
    uint64_t place = align_up(origin + pfn, align);

    if (nocross != 0 && (place & (nocross - 1)) + nr_pages > nocross)
        place = align_up(place, nocross); /* a multiple of align as well, see below */
    return place - origin;
}

uint32_t buddy_find_range_locked(const struct zone *zone, const struct frame_map *map,
                                 uint32_t first, uint32_t end, uint32_t nr_pages, uint32_t align,
                                 uint32_t nocross, uint64_t origin)
{
    uint32_t pfn = max_uint(first, zone->start_pfn);
    uint32_t run = pfn; /* all is free from here to pfn */

    lock_assert_held(&zone->lock);
    CHECK(nr_pages > 0 && is_power_of_two(align));
    /* A place that is a multiple of align >= nocross never crosses: nr_pages <= nocross. */
    CHECK(nocross == 0 || (is_power_of_two(nocross) && nocross >= nr_pages));
    end = min_uint(end, zone->end_pfn);
    while (pfn < end) {
        struct extent extent = extent_of(zone, map, pfn);

        pfn = min_uint(extent.end, end);
        if (extent.is_free) {
            uint64_t place = range_place(run, nr_pages, align, nocross, origin);

            if (place + nr_pages <= pfn)
                return (uint32_t)place;
        } else {
            run = pfn;
        }
    }
    return PFN_NONE;
}

#define RUN_MAX_LOOKS 32u /* blocks of an order that buddy_find_resident_run_locked looks at */

/* The free frames around a free block, as far as the frontier: those beyond cost page faults. */
static struct extent extent_around(const struct zone *zone, const struct frame_map *map,
                                   uint32_t pfn)
{
    struct extent run = {pfn, pfn, true};

    while (run.end < zone->frontier) {
        struct extent next = extent_of(zone, map, run.end);

        if (!next.is_free)
            break;
        run.end = next.end;
    }
    while (run.first > zone->start_pfn) {
        struct extent before = extent_of(zone, map, run.first - 1);

        if (!before.is_free)
            break;
        run.first = before.first;
    }
    return run;
}

uint32_t buddy_find_resident_run_locked(const struct zone *zone, const struct frame_map *map,
                                        unsigned order, uint32_t nr_pages)
{
    struct extent best = {PFN_NONE, PFN_NONE, false};
    uint32_t best_pages = UINT32_MAX;

    lock_assert_held(&zone->lock);
    if (order < 2)
        return PFN_NONE;
    /* A run of more than 2**(order - 1) frames has an aligned part of a quarter of 2**order. */
    for (unsigned part = order - 2; part <= zone->max_order; part++) {
        const struct index_list *list = &zone->free_area[part].list[FREE_DIRTY];
        uint32_t looks = 0;

        for (uint32_t pfn = list->first; pfn != INDEX_NONE && looks < RUN_MAX_LOOKS;
             pfn = pfn_to_page(map, pfn)->link.next, looks++) {
            struct extent run = extent_around(zone, map, pfn);

            if (run.end - run.first >= nr_pages && run.end - run.first < best_pages) {
                best = run;
                best_pages = run.end - run.first;
            }
        }
    }
    return best.first;
}

uint32_t buddy_find_coloured_run_locked(const struct zone *zone, const struct frame_map *map,
                                        unsigned order, uint32_t nr_pages, uint32_t colour)
{
    uint32_t fitting = zone->free_orders[FREE_CLEAN] >> order << order;
    uint32_t pfn = zone->frontier;
    struct extent run;

    lock_assert_held(&zone->lock);
    if (fitting != 0)
        pfn = zone->free_area[ctz32(fitting)].list[FREE_CLEAN].first;
    run = extent_around(zone, map, pfn);
    if (run.end == zone->frontier)
        run.end = zone->end_pfn;
    return run.end - run.first >= (uint64_t)nr_pages + colour ? run.first + colour : PFN_NONE;
}

#define RUN_LOOKS_MAX (1u << 20) /* some milliseconds */

uint32_t buddy_largest_run_locked(const struct zone *zone, const struct frame_map *map)
{
    uint32_t pfn = zone->start_pfn, largest = 0;
    uint32_t run = pfn; /* all is free from here to pfn */

    lock_assert_held(&zone->lock);
    for (uint32_t looks = 0; pfn < zone->end_pfn && looks < RUN_LOOKS_MAX; looks++) {
        struct extent extent = extent_of(zone, map, pfn);

        pfn = min_uint(extent.end, zone->end_pfn);
        if (extent.is_free)
            largest = max_uint(largest, pfn - run);
        else
            run = pfn;
    }
    return largest;
}

/* --- take --------------------------------------------------------------- */

static bool range_is_free(const struct zone *zone, const struct frame_map *map, uint32_t pfn,
                          uint32_t end)
{
    while (pfn < end) {
        struct extent extent = extent_of(zone, map, pfn);

        if (!extent.is_free)
            return false;
        pfn = extent.end;
    }
    return true;
}

/* Keeps what lies in [first, end) of a block in hand and lists the rest. */
static void block_cut(struct zone *zone, const struct frame_map *map, uint32_t pfn, unsigned order,
                      uint32_t first, uint32_t end)
{
    uint32_t pages = 1u << order;

    if (pfn >= first && pfn + pages <= end) {
        /* An upper half that never was a block does not know its zone yet. */
        page_set(pfn_to_page(map, pfn), PYSLAB_PAGE_UNLISTED, 0, zone->index);
        return;
    }
    if (pfn + pages <= first || pfn >= end) {
        block_list(zone, map, pfn, order, false);
        return;
    }
    block_halve(map, pfn, order);
    block_cut(zone, map, pfn, order - 1, first, end);
    block_cut(zone, map, pfn + pages / 2, order - 1, first, end);
}

bool buddy_take_range_locked(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                             uint32_t nr_pages)
{
    uint32_t end = pfn + nr_pages;

    lock_assert_held(&zone->lock);
    CHECK(nr_pages > 0);
    if (pfn < zone->start_pfn || pfn >= zone->end_pfn || nr_pages > zone->end_pfn - pfn ||
        !range_is_free(zone, map, pfn, end))
        return false;
    while (zone->frontier < end) {
        if (!frontier_ready(zone, map, zone->max_order))
            return false;
        frontier_list_one(zone, map, zone->max_order);
    }
    for (uint32_t at = pfn; at < end;) {
        struct extent block = extent_of(zone, map, at);
        unsigned order = ilog2(block.end - block.first);

        block_unlist(zone, map, block.first, order);
        block_cut(zone, map, block.first, order, pfn, end);
        at = block.end;
    }
    note_dirty_low(zone);
    return true;
}

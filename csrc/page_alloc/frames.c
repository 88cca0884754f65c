/* frames.c - see frames.h. Order of the text: free blocks, blocks in use, zones. */
#include "page_alloc/frames.h"

struct walk {
    const struct frame_map *map;
    void (*visit)(void *context, const struct frame_span *span);
    void *context; /* of visit */
};

static void tell(const struct walk *walk, struct frame_span span)
{
    walk->visit(walk->context, &span);
}

/* --- free blocks ------------------------------------------------------------ */

static enum frame_use use_of_free(enum residency state)
{
    return state == RESIDENCY_DIRTY    ? FRAME_DIRTY
           : state == RESIDENCY_ZEROED ? FRAME_ZEROED
                                       : FRAME_UNTOUCHED;
}

/* Tells the part of 2**order frames at pfn of a free block, half by half where they differ. */
static void tell_free(const struct walk *walk, struct frame_span block, uint32_t pfn,
                      unsigned order)
{
    enum residency state = page_residency(pfn_to_page(walk->map, pfn), order);

    if (state == RESIDENCY_MIXED && order != 0) {
        tell_free(walk, block, pfn, order - 1);
        tell_free(walk, block, pfn + (1u << (order - 1)), order - 1);
        return;
    }
    block.pfn = pfn;
    block.nr_pages = 1u << order;
    block.use = use_of_free(state);
    tell(walk, block);
}

/* The frames that were never handed out, as the blocks that they count as. */
static void tell_frontier(const struct walk *walk, const struct zone *zone)
{
    uint32_t pfn = zone->frontier;

    while (pfn < zone->end_pfn) {
        unsigned order = frontier_order(zone, pfn);

        CHECK(order <= MAX_ORDER);
        tell(walk, (struct frame_span){pfn, 1u << order, pfn, order, use_of_free(zone->fresh)});
        pfn += 1u << order;
    }
}

/* --- blocks in use ------------------------------------------------------------ */

static enum frame_use use_of_word(uint32_t word)
{
    switch (page_word_state(word)) {
    case PYSLAB_PAGE_PCP:
        return FRAME_LISTED;
    case PYSLAB_PAGE_ISOLATED:
        return FRAME_LEAVING;
    case PYSLAB_PAGE_SLAB:
        return FRAME_SLAB;
    case PYSLAB_PAGE_LARGE:
        return FRAME_LARGE;
    case PYSLAB_PAGE_ALLOC:
        return (word & PAGE_FLAG_RUN) != 0 ? FRAME_RUN : FRAME_PAGES;
    default:
        return FRAME_UNKNOWN;
    }
}

/* Tells the block at pfn; returns its frames. Its owner may be writing its record: a length that
 * cannot be is taken for one frame. */
static uint32_t tell_block(const struct walk *walk, const struct zone *zone, uint32_t pfn)
{
    const struct page *page = pfn_to_page(walk->map, pfn);
    uint32_t word = load_relaxed(&page->word), nr_pages = page_block_pages(page);
    struct frame_span span = {pfn, nr_pages, pfn, page_word_order(word), use_of_word(word)};

    if (page_word_state(word) == PYSLAB_PAGE_BUDDY) {
        tell_free(walk, span, pfn, span.order);
        return nr_pages;
    }
    if (nr_pages == 0 || nr_pages > zone->frontier - pfn) {
        span.nr_pages = 1;
        span.order = 0;
        span.use = FRAME_UNKNOWN;
    }
    tell(walk, span);
    return span.nr_pages;
}

/* --- zones ------------------------------------------------------------------------ */

static void tell_zone_locked(const struct walk *walk, const struct zone *zone)
{
    uint32_t pfn = zone->start_pfn;

    lock_assert_held(&zone->lock);
    while (pfn < zone->frontier)
        pfn += tell_block(walk, zone, pfn);
    tell_frontier(walk, zone);
}

void frames_walk(struct page_alloc *pa, void (*visit)(void *context, const struct frame_span *span),
                 void *context)
{
    struct walk walk = {&pa->map, visit, context};

    for (uint32_t i = 0; i < pa->nr_zones; i++) {
        lock_acquire(&pa->zone[i].lock);
        tell_zone_locked(&walk, &pa->zone[i]);
        lock_release(&pa->zone[i].lock);
    }
}

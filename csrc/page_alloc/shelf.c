/* shelf.c - see shelf.h. Order of the text: one block, take, put, drain, counts. */
#include "page_alloc/shelf.h"

#include "page_alloc/recount.h"
#include "page_alloc/used.h"

#define SHELF_MIN_PAGES 16u             /* 64 KiB */
#define SHELF_MAX_PAGES (1u << 14)      /* 64 MiB */
#define SHELF_ZONE_SHARE 64u            /* a block is at most this part of its zone */
#define SHELF_TICK_EVERY 16u            /* puts: one in so many looks at the clock */
#define SHELF_YOUNG ((uint64_t)1 << 31) /* put there in this interval */

#define SHELF_WORD(pfn, nr_pages) ((uint64_t)(pfn) << 32 | SHELF_YOUNG | (nr_pages))

/* --- one block ------------------------------------------------------------ */

static uint32_t word_pfn(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static uint32_t word_pages(uint64_t word)
{
    return (uint32_t)(word & (SHELF_YOUNG - 1));
}

static bool slot_change(_Atomic uint64_t *slot, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(slot, &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/* The record of a block on the shelf. */
static uint32_t shelved_word(const struct page_alloc *pa, uint32_t nr_pages)
{
    return PAGE_WORD(PYSLAB_PAGE_PCP, order_for_pages(nr_pages), pa->normal) | PAGE_FLAG_RUN;
}

static bool fits_shelf(const struct page_alloc *pa, uint32_t nr_pages)
{
    return nr_pages >= SHELF_MIN_PAGES && nr_pages <= SHELF_MAX_PAGES &&
           nr_pages <= zone_managed_pages(&pa->zone[pa->normal]) / SHELF_ZONE_SHARE;
}

/* --- take ------------------------------------------------------------------ */

uint32_t shelf_take(struct page_alloc *pa, uint32_t nr_pages, uint32_t gfp)
{
    if ((gfp & ~GFP_FAST_BITS) != 0)
        return PFN_NONE;
    for (unsigned i = 0; i < SHELF_SLOTS; i++) {
        uint64_t word = load_relaxed(&pa->shelf.slot[i]);
        struct page *page;

        if (word_pages(word) != nr_pages || !slot_change(&pa->shelf.slot[i], word, 0))
            continue;
        page = pfn_to_page(&pa->map, word_pfn(word));
        CHECK(load_relaxed(&page->word) == shelved_word(pa, nr_pages));
        store_relaxed(&page->refcount, 1);
        store_relaxed(&page->word,
                      PAGE_WORD(PYSLAB_PAGE_LARGE, order_for_pages(nr_pages), pa->normal));
        return word_pfn(word);
    }
    return PFN_NONE;
}

/* --- put ------------------------------------------------------------------- */

static void give_to_buddy_locked(struct page_alloc *pa, struct zone *zone, uint64_t word)
{
    lock_assert_held(&zone->lock);
    shelf_sub_large(pa, 1, word_pages(word));
    buddy_free_range_locked(zone, &pa->map, word_pfn(word), word_pages(word), RESIDENCY_DIRTY);
    zone_note_free_locked(zone, 1, word_pages(word));
}

static void give_to_buddy(struct page_alloc *pa, uint64_t word)
{
    struct zone *zone = &pa->zone[pa->normal];

    lock_acquire(&zone->lock);
    give_to_buddy_locked(pa, zone, word);
    zone_recount_locked(pa, zone);
    lock_release(&zone->lock);
}

/* Puts a block into a free slot; if there is none, into one whose block then goes to the buddy. */
static void put_word(struct page_alloc *pa, uint64_t word, uint32_t nr_puts)
{
    uint64_t old;

    for (unsigned i = 0; i < SHELF_SLOTS; i++)
        if (load_relaxed(&pa->shelf.slot[i]) == 0 && slot_change(&pa->shelf.slot[i], 0, word))
            return;
    old = atomic_exchange_explicit(&pa->shelf.slot[nr_puts % SHELF_SLOTS], word,
                                   memory_order_acq_rel);
    if (old != 0)
        give_to_buddy(pa, old);
}

bool shelf_suits(const struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    return fits_shelf(pa, nr_pages) && page_zone(pfn_to_page(&pa->map, pfn)) == pa->normal &&
           !blocks_are_not_kept(pa) && load_relaxed(&pa->limit_pages) == LIMIT_NONE;
}

void shelf_put(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    struct page *page = pfn_to_page(&pa->map, pfn);
    uint32_t nr_puts;

    /* Of shelf_suits, what no other thread can change meanwhile. */
    CHECK(fits_shelf(pa, nr_pages) && page_zone(page) == pa->normal);
    CHECK(page_block_pages(page) == nr_pages && large_is_counted(pa, 1, nr_pages));
    store_relaxed(&page->word, shelved_word(pa, nr_pages));
    nr_puts = load_relaxed(&pa->shelf.nr_puts) + 1;
    store_relaxed(&pa->shelf.nr_puts, nr_puts); /* about: two threads may count as one */
    put_word(pa, SHELF_WORD(pfn, nr_pages), nr_puts);
    if (unlikely(nr_puts % SHELF_TICK_EVERY == 0))
        page_alloc_tick(pa);
}

/* --- drain ------------------------------------------------------------------ */

bool shelf_drain_locked(struct page_alloc *pa, struct zone *zone)
{
    bool any = false;

    lock_assert_held(&zone->lock);
    if (zone->index != pa->normal)
        return false;
    for (unsigned i = 0; i < SHELF_SLOTS; i++) {
        uint64_t word = load_relaxed(&pa->shelf.slot[i]);

        if (word == 0 || !slot_change(&pa->shelf.slot[i], word, 0))
            continue;
        give_to_buddy_locked(pa, zone, word);
        any = true;
    }
    return any;
}

bool shelf_drain(struct page_alloc *pa)
{
    struct zone *zone = &pa->zone[pa->normal];
    bool any;

    if (shelf_pages(pa) == 0)
        return false;
    lock_acquire(&zone->lock);
    any = shelf_drain_locked(pa, zone);
    zone_recount_locked(pa, zone);
    lock_release(&zone->lock);
    return any;
}

void shelf_yield_locked(struct page_alloc *pa, struct zone *zone, unsigned order)
{
    lock_assert_held(&zone->lock);
    if (unlikely(zone->free_orders[FREE_DIRTY] >> order == 0))
        (void)shelf_drain_locked(pa, zone);
}

uint32_t shelf_end_interval(struct page_alloc *pa)
{
    uint32_t nr_pages = 0;

    for (unsigned i = 0; i < SHELF_SLOTS; i++) {
        _Atomic uint64_t *slot = &pa->shelf.slot[i];
        uint64_t word = load_relaxed(slot);

        if (word == 0)
            continue;
        if ((word & SHELF_YOUNG) != 0) {
            (void)slot_change(slot, word, word & ~SHELF_YOUNG);
        } else if (slot_change(slot, word, 0)) {
            give_to_buddy(pa, word);
            nr_pages += word_pages(word);
        }
    }
    return nr_pages;
}

/* --- counts ----------------------------------------------------------------- */

static struct large_count shelf_count(const struct page_alloc *pa)
{
    struct large_count count = {0};

    for (unsigned i = 0; i < SHELF_SLOTS; i++) {
        uint64_t word = load_relaxed(&pa->shelf.slot[i]);

        count.nr += word != 0;
        count.nr_pages += word_pages(word);
    }
    return count;
}

uint64_t shelf_pages(const struct page_alloc *pa)
{
    return shelf_count(pa).nr_pages;
}

/* Both counts move while other threads run: then the difference is about right, and not below 0. */
struct large_count shelf_count_large(const struct page_alloc *pa)
{
    uint64_t all = load_relaxed(&pa->shelf.nr_large);
    struct large_count shelf = shelf_count(pa);
    struct large_count count = {.nr = all >> 32, .nr_pages = (uint32_t)all};

    count.nr -= shelf.nr < count.nr ? shelf.nr : count.nr;
    count.nr_pages -= shelf.nr_pages < count.nr_pages ? shelf.nr_pages : count.nr_pages;
    return count;
}

bool shelf_check(const struct page_alloc *pa, struct finding *f)
{
    for (unsigned i = 0; i < SHELF_SLOTS; i++) {
        uint64_t word = load_relaxed(&pa->shelf.slot[i]);
        uint32_t pfn = word_pfn(word), nr_pages = word_pages(word);
        const struct page *page = pfn_to_page(&pa->map, pfn);

        if (word == 0)
            continue;
        if (!fits_shelf(pa, nr_pages) || load_relaxed(&page->word) != shelved_word(pa, nr_pages) ||
            page_block_pages(page) != nr_pages)
            return finding_report(f, "shelf: frame %u, of a block of %u, has record %x", pfn,
                                  nr_pages, load_relaxed(&page->word));
        for (unsigned other = 0; other < i; other++)
            if (word_pfn(load_relaxed(&pa->shelf.slot[other])) == pfn &&
                load_relaxed(&pa->shelf.slot[other]) != 0)
                return finding_report(f, "shelf: frame %u is there twice", pfn);
    }
    return true;
}

/* test_buddy_model.c - the buddy against a bitmap: random operations, and after each
 * one the free blocks of every order, rebuilt from the bitmap, must be the buddy's.
 * A request may fail only where the bitmap has no aligned free run; a run of frames at a
 * chosen place is found where the bitmap has the lowest. Residency is modelled frame by
 * frame, and must come back exactly whatever was split and merged.
 * The pattern of ext4's mballoc tests: derive all from the bitmap, compare all. */
#include "buddy/buddy_range.h"

#include "rig.h"

#define NR_SLOTS 64u
#define MAX_FRAMES 600u

struct held {
    uint32_t pfn; /* PFN_NONE: the slot is empty */
    uint32_t nr;  /* frames in hand */
};

struct model {
    struct zone_rig rig;
    struct rng rng;
    bool used[MAX_FRAMES];                /* by pfn */
    enum residency residency[MAX_FRAMES]; /* of free frames; never MIXED */
    struct held held[NR_SLOTS];
};

/* A free block that the bitmap has is one of the buddy's, unless it was never used. */
static void expect_block(const struct model *m, uint32_t pfn, unsigned order)
{
    const struct page *page = &m->rig.map.pages[pfn];

    if (pfn >= m->rig.zone.frontier)
        return;
    EXPECT_EQ(page_state(page), PYSLAB_PAGE_BUDDY);
    EXPECT_EQ(page_order(page), order);
}

/* Each order's free blocks: the greedy rebuild from the bitmap. */
static void rebuild(const struct model *m, uint64_t *nr_free, bool compare_blocks)
{
    const struct zone *zone = &m->rig.zone;

    memset(nr_free, 0, NR_ORDERS * sizeof *nr_free);
    for (uint32_t pfn = zone->start_pfn; pfn < zone->end_pfn;) {
        unsigned order = 0;

        if (m->used[pfn]) {
            pfn++;
            continue;
        }
        /* Grow while the buddy half behind is in the zone and all free. */
        while (order < zone->max_order && (pfn & (1u << order)) == 0 &&
               pfn + (2u << order) <= zone->end_pfn) {
            bool joined = true;

            for (uint32_t i = 1u << order; i < 2u << order; i++)
                joined = joined && !m->used[pfn + i];
            if (!joined)
                break;
            order++;
        }
        if (compare_blocks)
            expect_block(m, pfn, order);
        nr_free[order]++;
        pfn += 1u << order;
    }
}

static bool has_free_run(const struct model *m, unsigned order)
{
    uint64_t nr_free[NR_ORDERS];
    bool any = false;

    rebuild(m, nr_free, false);
    for (unsigned o = order; o <= m->rig.zone.max_order; o++)
        any = any || nr_free[o] != 0;
    return any;
}

static uint32_t free_frames(const struct model *m, bool dirty_only)
{
    uint32_t nr = 0;

    for (uint32_t pfn = m->rig.zone.start_pfn; pfn < m->rig.zone.end_pfn; pfn++)
        nr += !m->used[pfn] && (!dirty_only || m->residency[pfn] == RESIDENCY_DIRTY);
    return nr;
}

static void compare(struct model *m)
{
    uint64_t nr_free[NR_ORDERS];
    int largest = -1;

    zone_rig_check(&m->rig);
    rebuild(m, nr_free, true);
    for (unsigned order = 0; order <= m->rig.zone.max_order; order++) {
        EXPECT_EQ(buddy_nr_free_locked(&m->rig.zone, order), nr_free[order]);
        if (nr_free[order] != 0)
            largest = (int)order;
    }
    EXPECT_EQ(buddy_largest_order_locked(&m->rig.zone), largest);
    EXPECT_EQ(zone_free_pages(&m->rig.zone), free_frames(m, false));
    EXPECT_EQ(m->rig.zone.dirty_pages, free_frames(m, true));
}

/* The records of a block just taken tell each frame's residency. */
static void compare_residency(const struct model *m, uint32_t pfn, unsigned order, uint32_t nr)
{
    enum residency state = page_residency(&m->rig.map.pages[pfn], order);
    uint32_t half = (1u << order) / 2;

    if (state != RESIDENCY_MIXED) {
        for (uint32_t i = 0; i < nr; i++)
            EXPECT_EQ(m->residency[pfn + i], state);
        return;
    }
    REQUIRE(order > 0);
    compare_residency(m, pfn, order - 1, nr < half ? nr : half);
    if (nr > half)
        compare_residency(m, pfn + half, order - 1, nr - half);
}

/* Frames in hand from now on, as one block of the tiling. */
static void hold(struct model *m, struct held *held, uint32_t pfn, uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++) {
        EXPECT(!m->used[pfn + i]);
        m->used[pfn + i] = true;
    }
    m->rig.map.pages[pfn].large.nr_pages = nr;
    store_relaxed(&m->rig.map.pages[pfn].word,
                  PAGE_WORD(PYSLAB_PAGE_LARGE, order_for_pages(nr), 1));
    *held = (struct held){pfn, nr};
}

static void take(struct model *m, struct held *held)
{
    const struct zone *zone = &m->rig.zone;
    unsigned order = rng_below(&m->rng, min_uint(zone->max_order + 2, 9));
    uint32_t nr = 1u << order;
    uint32_t pfn;

    if (order > 0 && order <= zone->max_order && rng_below(&m->rng, 3) == 0) {
        nr = 1 + rng_below(&m->rng, nr); /* often far below the block: an alignment */
        pfn = buddy_alloc_exact_locked(&m->rig.zone, &m->rig.map, order, nr);
    } else {
        pfn = buddy_alloc_locked(&m->rig.zone, &m->rig.map, order);
    }
    EXPECT_EQ(pfn != PFN_NONE, has_free_run(m, order));
    if (pfn == PFN_NONE)
        return;
    EXPECT_EQ(pfn & ((1u << order) - 1), 0);
    REQUIRE(pfn >= zone->start_pfn && pfn < zone->end_pfn && nr <= zone->end_pfn - pfn);
    compare_residency(m, pfn, order, nr);
    hold(m, held, pfn, nr);
}

static bool all_free(const struct model *m, uint32_t pfn, uint32_t nr)
{
    bool free = pfn >= m->rig.zone.start_pfn && pfn + nr <= m->rig.zone.end_pfn;

    for (uint32_t i = 0; free && i < nr; i++)
        free = !m->used[pfn + i];
    return free;
}

/* The lowest run by trying each frame. */
static uint32_t find_slowly(const struct model *m, uint32_t first, uint32_t end, uint32_t nr,
                            uint32_t align, uint32_t nocross)
{
    for (uint32_t pfn = first; pfn + nr <= end; pfn++)
        if (pfn % align == 0 && all_free(m, pfn, nr) &&
            (nocross == 0 || pfn / nocross == (pfn + nr - 1) / nocross))
            return pfn;
    return PFN_NONE;
}

/* A run wherever the bitmap has one, in a window that may reach beyond the zone. */
static uint32_t find(struct model *m, uint32_t nr)
{
    uint32_t first = rng_below(&m->rng, m->rig.zone.end_pfn);
    uint32_t end = first + rng_below(&m->rng, MAX_FRAMES);
    uint32_t align = 1u << rng_below(&m->rng, 5), nocross = 0, pfn;

    if (rng_below(&m->rng, 2) == 0)
        first = 0, end = UINT32_MAX;
    if (rng_below(&m->rng, 2) == 0)
        nocross = 1u << (order_for_pages(nr) + rng_below(&m->rng, 3));
    pfn = buddy_find_range_locked(&m->rig.zone, &m->rig.map, first, end, nr, align, nocross, 0);
    EXPECT_EQ(pfn, find_slowly(m, first, min_uint(end, m->rig.zone.end_pfn), nr, align, nocross));
    EXPECT_EQ(buddy_largest_run_locked(&m->rig.zone, &m->rig.map) >= nr,
              find_slowly(m, 0, m->rig.zone.end_pfn, nr, 1, 0) != PFN_NONE);
    return pfn;
}

/* Each of the largest aligned blocks of a taken run tells its residency. */
static void compare_run(const struct model *m, uint32_t pfn, uint32_t nr)
{
    while (nr > 0) {
        unsigned order = min_uint(min_uint(ctz32(pfn), ilog2(nr)), m->rig.zone.max_order);
        uint32_t nr_dirty = 0;

        for (uint32_t i = 0; i < 1u << order; i++)
            nr_dirty += m->residency[pfn + i] == RESIDENCY_DIRTY;
        EXPECT_EQ(m->rig.map.pages[pfn].buddy.nr_dirty, nr_dirty);
        compare_residency(m, pfn, order, 1u << order);
        pfn += 1u << order;
        nr -= 1u << order;
    }
}

/* A run of any length: where there is room for it, or at some place, free or not. */
static void take_run(struct model *m, struct held *held)
{
    uint32_t nr = 1 + rng_below(&m->rng, 1u << rng_below(&m->rng, 8));
    uint32_t pfn = rng_below(&m->rng, m->rig.zone.end_pfn + 4);
    bool taken;

    if (rng_below(&m->rng, 4) != 0 && (pfn = find(m, nr)) == PFN_NONE)
        return;
    taken = buddy_take_range_locked(&m->rig.zone, &m->rig.map, pfn, nr);
    EXPECT_EQ(taken, all_free(m, pfn, nr));
    if (!taken)
        return;
    for (uint32_t i = 0; i < nr; i++)
        EXPECT_EQ(page_state(&m->rig.map.pages[pfn + i]), PYSLAB_PAGE_UNLISTED);
    compare_run(m, pfn, nr);
    hold(m, held, pfn, nr);
}

static void give_frames(struct model *m, uint32_t pfn, uint32_t nr)
{
    static const enum residency states[] = {RESIDENCY_DIRTY, RESIDENCY_DIRTY, RESIDENCY_UNTOUCHED,
                                            RESIDENCY_ZEROED};
    enum residency state = states[rng_below(&m->rng, 4)];

    for (uint32_t i = 0; i < nr; i++) {
        m->used[pfn + i] = false;
        m->residency[pfn + i] = state;
    }
    buddy_free_range_locked(&m->rig.zone, &m->rig.map, pfn, nr, state);
}

/* All of it, or its tail only, as a trim does. */
static void give(struct model *m, struct held *held)
{
    uint32_t keep = rng_below(&m->rng, 3) == 0 ? rng_below(&m->rng, held->nr) : 0;

    if (keep != 0) /* of a block given back whole, the record is the buddy's from here on */
        m->rig.map.pages[held->pfn].large.nr_pages = keep;
    give_frames(m, held->pfn + keep, held->nr - keep);
    held->nr = keep;
    if (keep == 0)
        held->pfn = PFN_NONE;
}

/* The largest block that is not clean goes to the OS and comes back untouched. */
static void release_one(struct model *m)
{
    unsigned order = 99;
    uint32_t pfn = buddy_take_dirty_locked(&m->rig.zone, &m->rig.map, 0, UINT32_MAX, &order);

    if (pfn == PFN_NONE)
        return;
    REQUIRE(order <= m->rig.zone.max_order);
    for (uint32_t i = 0; i < 1u << order; i++) {
        EXPECT(!m->used[pfn + i]);
        m->residency[pfn + i] = RESIDENCY_UNTOUCHED;
    }
    buddy_free_locked(&m->rig.zone, &m->rig.map, pfn, order, RESIDENCY_UNTOUCHED);
}

static void run_model(uint32_t start, uint32_t nr, unsigned max_order, int steps)
{
    struct model *m = calloc(1, sizeof *m);

    REQUIRE(m != NULL && start + nr <= MAX_FRAMES);
    m->rng.state = 1 + start + nr * 7u + max_order;
    zone_rig_begin(&m->rig, start, nr, max_order);
    for (uint32_t i = 0; i < NR_SLOTS; i++)
        m->held[i].pfn = PFN_NONE;
    compare(m);
    for (int step = 0; step < steps; step++) {
        struct held *held = &m->held[rng_below(&m->rng, NR_SLOTS)];

        if (rng_below(&m->rng, 50) == 0)
            release_one(m);
        else if (held->pfn != PFN_NONE)
            give(m, held);
        else if (rng_below(&m->rng, 3) == 0)
            take_run(m, held);
        else
            take(m, held);
        compare(m);
    }
    for (uint32_t i = 0; i < NR_SLOTS; i++)
        if (m->held[i].pfn != PFN_NONE)
            give_frames(m, m->held[i].pfn, m->held[i].nr);
    compare(m);
    EXPECT_EQ(zone_free_pages(&m->rig.zone), nr);
    zone_rig_end(&m->rig);
    free(m);
}

/* A zone of one block. */
static void power_of_two(void)
{
    run_model(0, 256, 8, 4 * 2500);
}

/* Start and end lie inside larger blocks. */
static void ragged(void)
{
    run_model(3, 509, 8, 4 * 2500);
    run_model(37, 100, 18, 4 * 2500);
    run_model(63, 2, 20, 4 * 200);
}

/* Many blocks of a small max_order: nothing merges beyond it. */
static void small_max_order(void)
{
    run_model(0, 64, 0, 4 * 500);
    run_model(1, 63, 1, 4 * 1000);
    run_model(5, 300, 3, 4 * 2000);
}

/* An order larger than the zone is no obstacle. */
static void huge_max_order(void)
{
    run_model(0, 600, 18, 4 * 2500);
    run_model(1, 599, 20, 4 * 2500);
}

static const struct test tests[] = {
    TEST(power_of_two),
    TEST(ragged),
    TEST(small_max_order),
    TEST(huge_max_order),
};

TEST_MAIN(tests)

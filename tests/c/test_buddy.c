/* test_buddy.c - holds down buddy/ by hand-made cases: split and merge in zones of any
 * start and length, exact sizes, the lazy frontier, placement, cost, and the recount.
 * The cases of the kernel's gpu_buddy tests are in test_buddy_suite.c, the differential
 * test in test_buddy_model.c, residency in test_buddy_residency.c. */
#include "buddy/buddy.h"

#include "rig.h"

#include <sys/mman.h>

struct shape {
    uint32_t start, nr;
    unsigned max_order;
};

/* Not powers of two, starts not aligned, and each max_order that arenas use. */
static const struct shape shapes[] = {
    {0, 1, 0},        {0, 64, 0},
    {5, 3, 1},        {0, 64, 3},
    {1, 62, 3},       {13, 1000, 3},
    {0, 1024, 10},    {7, 5000, 10},
    {1023, 1026, 10}, {0, 100, 18},
    {3, 20000, 18},   {0, 999, 20},
    {77, 70000, 20},  {(1u << 18) - 3, 40007, 18},
};

static void nr_free_of(struct zone_rig *rig, uint64_t *nr_free)
{
    for (unsigned order = 0; order <= rig->zone.max_order; order++)
        nr_free[order] = buddy_nr_free_locked(&rig->zone, order);
}

/* The blocks of a zone in which everything is free: greedy, largest aligned first. */
static void nr_free_when_empty(const struct shape *shape, uint64_t *nr_free)
{
    uint32_t pfn = shape->start, end = shape->start + shape->nr;

    memset(nr_free, 0, NR_ORDERS * sizeof *nr_free);
    while (pfn < end) {
        unsigned order = min_uint(ctz32(pfn), shape->max_order);

        while (pfn + (1u << order) > end)
            order--;
        nr_free[order]++;
        pfn += 1u << order;
    }
}

static void expect_all_free(struct zone_rig *rig, const struct shape *shape)
{
    uint64_t expected[NR_ORDERS], got[NR_ORDERS] = {0};

    nr_free_when_empty(shape, expected);
    nr_free_of(rig, got);
    EXPECT_EQ(zone_free_pages(&rig->zone), shape->nr);
    for (unsigned order = 0; order <= shape->max_order; order++)
        EXPECT_EQ(got[order], expected[order]);
    zone_rig_check(rig);
}

static void shuffle(uint32_t *values, uint32_t nr, struct rng *rng)
{
    for (uint32_t i = nr; i > 1; i--) {
        uint32_t at = rng_below(rng, i), value = values[i - 1];

        values[i - 1] = values[at];
        values[at] = value;
    }
}

/* An untouched zone counts its blocks without listing them. */
static void untouched_zone_is_counted(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
        struct zone_rig rig;

        zone_rig_begin(&rig, shapes[i].start, shapes[i].nr, shapes[i].max_order);
        expect_all_free(&rig, &shapes[i]);
        EXPECT_EQ(rig.zone.frontier, shapes[i].start);
        EXPECT_EQ(rig.zone.free_pages, 0);
        zone_rig_end(&rig);
    }
}

/* Each block order yields blocks inside the zone, aligned, each frame once, as many as
 * fit; freed in random order they merge into what was there before. */
static void drain_and_refill(const struct shape *shape, unsigned order)
{
    uint8_t *taken = calloc(shape->nr, 1);
    uint32_t *blocks = malloc(shape->nr * sizeof *blocks), nr = 0, pfn, fit = 0;
    struct rng rng = {order + 1};
    struct zone_rig rig;

    zone_rig_begin(&rig, shape->start, shape->nr, shape->max_order);
    while ((pfn = zone_rig_alloc(&rig, order)) != PFN_NONE) {
        EXPECT_EQ(pfn & ((1u << order) - 1), 0);
        REQUIRE(pfn >= shape->start && pfn + (1u << order) <= shape->start + shape->nr);
        EXPECT(rig_is_filled(taken + (pfn - shape->start), 1u << order, 0));
        memset(taken + (pfn - shape->start), 1, 1u << order);
        blocks[nr++] = pfn;
    }
    for (pfn = (uint32_t)align_up(shape->start, 1u << order);
         pfn + (1u << order) <= shape->start + shape->nr; pfn += 1u << order)
        fit++;
    EXPECT_EQ(nr, fit);
    EXPECT_EQ(zone_free_pages(&rig.zone), shape->nr - (nr << order));
    zone_rig_check(&rig);
    shuffle(blocks, nr, &rng);
    for (uint32_t i = 0; i < nr; i++)
        zone_rig_free(&rig, blocks[i], order);
    expect_all_free(&rig, shape);
    zone_rig_end(&rig);
    free(blocks);
    free(taken);
}

static void drain_every_order(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
        for (unsigned order = 0; order <= shapes[i].max_order; order++)
            drain_and_refill(&shapes[i], order);
}

/* Orders beyond the zone's largest block, or its length, have no block. */
static void too_large_orders_fail(void)
{
    struct zone_rig rig;

    zone_rig_begin(&rig, 0, 100, 4);
    EXPECT_EQ(zone_rig_alloc(&rig, 5), PFN_NONE);
    EXPECT_EQ(zone_rig_alloc(&rig, MAX_ORDER), PFN_NONE);
    EXPECT_EQ(rig.zone.frontier, 0);
    zone_rig_end(&rig);
    zone_rig_begin(&rig, 0, 100, 18);
    EXPECT_EQ(buddy_largest_order_locked(&rig.zone), 6);
    EXPECT_EQ(zone_rig_alloc(&rig, 7), PFN_NONE);
    expect_all_free(&rig, &(struct shape){0, 100, 18});
    zone_rig_end(&rig);
}

/* nr frames at the start of a block: the tail is free at once, waste is nothing. */
static void exact_sizes(void)
{
    const struct shape shape = {3, 300, 7};

    for (uint32_t nr = 1; nr <= 128; nr++)
        for (unsigned order = order_for_pages(nr); order <= 7; order++) {
            struct zone_rig rig;
            uint32_t pfn;

            zone_rig_begin(&rig, shape.start, shape.nr, shape.max_order);
            pfn = buddy_alloc_exact_locked(&rig.zone, &rig.map, order, nr);
            REQUIRE(pfn != PFN_NONE);
            EXPECT_EQ(pfn & ((1u << order) - 1), 0);
            EXPECT_EQ(zone_free_pages(&rig.zone), shape.nr - nr);
            rig.map.pages[pfn].large.nr_pages = nr;
            store_relaxed(&rig.map.pages[pfn].word, PAGE_WORD(PYSLAB_PAGE_LARGE, order, 1));
            zone_rig_check(&rig);
            buddy_free_range_locked(&rig.zone, &rig.map, pfn, nr, RESIDENCY_DIRTY);
            expect_all_free(&rig, &shape);
            zone_rig_end(&rig);
        }
}

/* Records are written only for blocks that are used: the rest of 2^20 frames' worth
 * of metadata is not even resident. */
static void frontier_is_lazy(void)
{
    static unsigned char resident[(sizeof(struct page) << 20) / PAGE_SIZE];
    struct zone_rig rig;
    size_t nr = 0;

    zone_rig_begin(&rig, 0, 1u << 20, 10);
    EXPECT_EQ(zone_rig_alloc(&rig, 0), 0);
    EXPECT_EQ(rig.zone.frontier, 1u << 9);
    EXPECT_EQ(zone_rig_alloc(&rig, 10), 1u << 10);
    EXPECT_EQ(rig.zone.frontier, 2u << 10);
    EXPECT_EQ(zone_free_pages(&rig.zone), (1u << 20) - 1 - (1u << 10));
    EXPECT_EQ(mincore(rig.map.pages, sizeof(struct page) << 20, resident), 0);
    for (size_t i = 0; i < sizeof resident; i++)
        nr += resident[i] & 1;
    EXPECT_LE(nr, 12);
    zone_rig_end(&rig);
}

/* What lies beyond the frontier joins what was freed before it. */
static void frontier_joins_free_blocks(void)
{
    struct zone_rig rig;

    zone_rig_begin(&rig, 0, 1u << 14, 12);
    EXPECT_EQ(zone_rig_alloc(&rig, 9), 0);
    zone_rig_free(&rig, 0, 9);
    EXPECT_EQ(rig.zone.frontier, 1u << 12); /* all is free: one block again */
    EXPECT_EQ(zone_rig_alloc(&rig, 10), 0);
    EXPECT_EQ(zone_rig_alloc(&rig, 12), 1u << 12);
    EXPECT_EQ(rig.zone.frontier, 2u << 12);
    zone_rig_check(&rig);
    zone_rig_free(&rig, 0, 10);
    zone_rig_free(&rig, 1u << 12, 12);
    EXPECT_EQ(zone_free_pages(&rig.zone), 1u << 14);
    zone_rig_end(&rig);
}

/* First the lower half; the block freed last is the next one given. */
static void placement(void)
{
    struct zone_rig rig;
    uint32_t a, b, c;

    zone_rig_begin(&rig, 0, 64, 6);
    a = zone_rig_alloc(&rig, 0);
    b = zone_rig_alloc(&rig, 2);
    c = zone_rig_alloc(&rig, 0);
    EXPECT_EQ(a, 0);
    EXPECT_EQ(b, 4);
    EXPECT_EQ(c, 1);
    zone_rig_free(&rig, b, 2);
    EXPECT_EQ(zone_rig_alloc(&rig, 2), b);
    zone_rig_free(&rig, c, 0);
    EXPECT_EQ(zone_rig_alloc(&rig, 0), c);
    zone_rig_end(&rig);
}

/* A freed block whose parent's buddy is free waits at the tail: it may merge soon. */
static void likely_merge_goes_to_the_tail(void)
{
    struct zone_rig rig;

    zone_rig_begin(&rig, 0, 64, 6);
    for (uint32_t i = 0; i < 64; i++)
        EXPECT_EQ(zone_rig_alloc(&rig, 0), i);
    zone_rig_free(&rig, 33, 0); /* alone: head */
    zone_rig_free(&rig, 2, 0);
    zone_rig_free(&rig, 3, 0); /* 2..3 are an order-1 block */
    zone_rig_free(&rig, 0, 0); /* its parent 0..1 could join 2..3: tail */
    EXPECT_EQ(zone_rig_alloc(&rig, 0), 33);
    EXPECT_EQ(zone_rig_alloc(&rig, 0), 0);
    zone_rig_end(&rig);
}

/* --- cost --------------------------------------------------------------- */

static size_t records_changed(const struct page *before, const struct page *after, uint32_t nr)
{
    size_t changed = 0;

    for (uint32_t i = 0; i < nr; i++)
        changed += memcmp(&before[i], &after[i], sizeof *before) != 0;
    return changed;
}

/* No operation writes more records than a few per order, however full the lists are:
 * O(orders), shown by counting instead of by the clock. */
static void cost_is_bounded_by_orders(void)
{
    enum { NR = 1 << 12, BOUND = 4 * (12 + 2) };
    struct page *before = malloc(NR * sizeof *before);
    static uint32_t block[NR];
    static unsigned orders[NR];
    struct rng rng = {9};
    struct zone_rig rig;
    size_t most = 0;

    zone_rig_begin(&rig, 0, NR, 12);
    memset(block, 0xff, sizeof block);
    for (int step = 0; step < 3000; step++) {
        uint32_t i = rng_below(&rng, NR / 4);
        size_t changed;

        memcpy(before, rig.map.pages, NR * sizeof *before);
        if (block[i] == PFN_NONE) {
            orders[i] = rng_below(&rng, 20) == 0 ? rng_below(&rng, 8) : rng_below(&rng, 2);
            block[i] = zone_rig_alloc(&rig, orders[i]);
        } else {
            zone_rig_free(&rig, block[i], orders[i]);
            block[i] = PFN_NONE;
        }
        changed = records_changed(before, rig.map.pages, NR);
        most = changed > most ? changed : most;
    }
    EXPECT_LE(most, BOUND);
    zone_rig_end(&rig);
    free(before);
}

static const struct test tests[] = {
    TEST(untouched_zone_is_counted),
    TEST(drain_every_order),
    TEST(too_large_orders_fail),
    TEST(exact_sizes),
    TEST(frontier_joins_free_blocks),
    TEST(frontier_is_lazy),
    TEST(placement),
    TEST(likely_merge_goes_to_the_tail),
    TEST(cost_is_bounded_by_orders),
};

TEST_MAIN(tests)

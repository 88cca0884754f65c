/* test_watermark.c - holds down at which frame each class of request begins to fail.
 *
 * The expectation is computed here on its own, by the kernel's words: a zone may give a
 * block if the frames free beyond it exceed mark and reserve (__zone_watermark_ok:
 * free - (2**order - 1) > mark + lowmem_reserve); first all zones from the highest down
 * at the low mark, then all again at the min mark, of which GFP_HIGH may use half, and
 * a caller who cannot wait another quarter (gfp_to_alloc_flags); MEMALLOC needs none,
 * unless NOMEMALLOC, which wins.
 * What it is not: what happens after the second walk (test_reclaim.c). */
#include "rig_zones.h"

#define HIGH ((uint32_t)PYSLAB_GFP_HIGH)
#define MEMALLOC ((uint32_t)PYSLAB_GFP_MEMALLOC)
#define NOMEMALLOC ((uint32_t)PYSLAB_GFP_NOMEMALLOC)
#define DIRECT ((uint32_t)PYSLAB_GFP_DIRECT_RECLAIM)

static uint32_t pfns[8192];

/* --- the numbers in the open -------------------------------------------- */

/* Frames left of 100, min 41, low 51. By hand: half of 41 is 20, 21 stay; a quarter of
 * these is 5, 16 stay. */
static const struct {
    uint32_t gfp;
    uint32_t left;
} classes[] = {
    {PYSLAB_GFP_KERNEL, 41},
    {PYSLAB_GFP_NOWAIT, 41}, /* without HIGH there is no quarter either */
    {NOTHING, 41},
    {PYSLAB_GFP_KERNEL | PYSLAB_GFP_HIGH, 21},
    {PYSLAB_GFP_ATOMIC, 16},
    {PYSLAB_GFP_HIGH, 16},
    {PYSLAB_GFP_ATOMIC | PYSLAB_GFP_NOMEMALLOC, 21},
    {PYSLAB_GFP_NOWAIT | PYSLAB_GFP_NOMEMALLOC, 41},
    {PYSLAB_GFP_KERNEL | PYSLAB_GFP_HIGH | PYSLAB_GFP_NOMEMALLOC, 21},
    {PYSLAB_GFP_KERNEL | PYSLAB_GFP_MEMALLOC, 0},
    {PYSLAB_GFP_NOWAIT | PYSLAB_GFP_MEMALLOC, 0},
    {PYSLAB_GFP_KERNEL | PYSLAB_GFP_MEMALLOC | PYSLAB_GFP_NOMEMALLOC, 41},
    {PYSLAB_GFP_ATOMIC | PYSLAB_GFP_MEMALLOC | PYSLAB_GFP_NOMEMALLOC, 21},
    {PYSLAB_GFP_KERNEL | PYSLAB_GFP_NORETRY, 41},
    {PYSLAB_GFP_KERNEL | PYSLAB_GFP_RETRY_MAYFAIL, 41},
    {PYSLAB_GFP_HIGHUSER, 41},
    {PYSLAB_GFP_KERNEL | PYSLAB_GFP_DMA, 41}, /* there is no such zone: NORMAL */
    {PYSLAB_GFP_KERNEL | PYSLAB_GFP_ZERO | PYSLAB_GFP_COMP, 41},
};

static void single_frames(void)
{
    pyslab_zone_options zone = rig_zone(PYSLAB_ZONE_NORMAL, 100, 41);
    pyslab_arena *arena = rig_zones_arena(&zone, 1, 3);

    for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
        uint32_t nr = rig_take_all(arena, 0, classes[i].gfp, pfns, ARRAY_SIZE(pfns));

        EXPECT_EQ(100 - nr, classes[i].left);
        EXPECT_EQ(rig_zone_stats(arena, 0).free_pages, classes[i].left);
        rig_give_all(arena, 0, pfns, nr);
    }
    rig_zones_end(arena);
}

/* One class after the other on the way down: each gets what the one before was denied. */
static void one_below_the_other(void)
{
    static const struct {
        uint32_t gfp;
        uint32_t left;
    } steps[] = {{PYSLAB_GFP_KERNEL, 41},
                 {PYSLAB_GFP_KERNEL | PYSLAB_GFP_HIGH, 21},
                 {PYSLAB_GFP_ATOMIC, 16},
                 {PYSLAB_GFP_KERNEL | PYSLAB_GFP_MEMALLOC, 0}};
    pyslab_zone_options zone = rig_zone(PYSLAB_ZONE_NORMAL, 100, 41);
    pyslab_arena *arena = rig_zones_arena(&zone, 1, 3);
    uint32_t nr = 0;

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        nr += rig_take_all(arena, 0, steps[i].gfp, pfns + nr, 200);
        EXPECT_EQ(100 - nr, steps[i].left);
        for (size_t j = 0; j <= i; j++)
            EXPECT_EQ(pyslab_alloc_pages(arena, 0, steps[j].gfp), PFN_NONE);
    }
    rig_give_all(arena, 0, pfns, nr);
    rig_zones_end(arena);
}

/* The low mark wakes, by each request below it, and refuses nobody in the end. */
static void wakes_below_low(void)
{
    pyslab_zone_options zone = rig_zone(PYSLAB_ZONE_NORMAL, 100, 40);
    pyslab_arena *arena = rig_zones_arena(&zone, 1, 3);
    uint32_t nr = 0;

    while (nr < 60) {
        uint64_t wakes = nr < 50 ? 0 : nr - 50; /* the 51st leaves 49, below 50 */

        EXPECT_EQ(rig_event(arena, PYSLAB_VM_KSWAPD_WAKE), wakes);
        EXPECT_EQ(rig_event(arena, PYSLAB_VM_MIN_RETRY), wakes);
        pfns[nr] = pyslab_alloc_pages(arena, 0, NOWAIT);
        EXPECT(pfns[nr] != PFN_NONE);
        nr++;
    }
    EXPECT_EQ(pyslab_alloc_pages(arena, 0, NOTHING), PFN_NONE);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_KSWAPD_WAKE), 10); /* it may not wake */
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_MIN_RETRY), 11);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_ALLOC_FAIL), 1);
    EXPECT_EQ(rig_stats(arena).alloc_failures, 1);
    rig_give_all(arena, 0, pfns, nr);
    rig_zones_end(arena);
}

/* --- every mask, every order, three zones ------------------------------- */

struct model_zone {
    uint32_t nr_free;
    uint32_t min;
    uint32_t low;
    uint32_t reserve[3];
};

/* Multiples of 8 frames: blocks up to order 3 are never missing, only forbidden. */
static const struct model_zone model_zones[] = {
    {64, 5, 7, {0, 7, 13}}, {128, 23, 29, {0, 0, 11}}, {64, 9, 13, {0, 0, 0}}};

static bool kernel_watermark_ok(int64_t nr_free, unsigned order, int64_t mark, int64_t reserve)
{
    return nr_free - ((1 << order) - 1) > mark + reserve;
}

static int64_t kernel_min(uint32_t gfp, int64_t min)
{
    bool non_block = (gfp & DIRECT) == 0 && (gfp & NOMEMALLOC) == 0;

    if ((gfp & HIGH) == 0)
        return min;
    min -= min / 2;
    return non_block ? min - min / 4 : min;
}

/* The zone that the kernel would take the block from; -1: none. */
static int model_take(struct model_zone *zones, uint32_t gfp, int highest, unsigned order)
{
    bool no_watermarks = (gfp & MEMALLOC) != 0 && (gfp & NOMEMALLOC) == 0;

    for (unsigned walk = 0; walk < 2; walk++)
        for (int i = highest; i >= 0; i--) {
            struct model_zone *zone = &zones[i];
            int64_t mark = walk == 0 ? zone->low : kernel_min(gfp, zone->min);
            bool ok = kernel_watermark_ok(zone->nr_free, order, mark, zone->reserve[highest]);

            if (walk == 1 && no_watermarks)
                ok = zone->nr_free >= 1u << order;
            if (!ok)
                continue;
            zone->nr_free -= 1u << order;
            return i;
        }
    return -1;
}

static pyslab_arena *model_arena(void)
{
    pyslab_zone_options zones[3];

    for (unsigned i = 0; i < 3; i++) {
        static const enum pyslab_zone_type types[] = {PYSLAB_ZONE_DMA, PYSLAB_ZONE_NORMAL,
                                                      PYSLAB_ZONE_HIGHMEM};

        zones[i] = rig_zone(types[i], model_zones[i].nr_free, model_zones[i].min);
        zones[i].watermark[PYSLAB_MARK_LOW] = model_zones[i].low;
        zones[i].watermark[PYSLAB_MARK_HIGH] = zones[i].watermark[PYSLAB_MARK_PROMO] = 50;
        for (unsigned j = 0; j < 3; j++)
            zones[i].lowmem_reserve[j] = model_zones[i].reserve[j];
    }
    return rig_zones_arena(zones, 3, 3);
}

static void compare(uint32_t gfp, int highest, unsigned order)
{
    pyslab_arena *arena = model_arena();
    struct model_zone zones[3];
    uint32_t nr = 0;
    int expected;

    memcpy(zones, model_zones, sizeof zones);
    do {
        uint32_t pfn = pyslab_alloc_pages(arena, order, gfp);

        expected = model_take(zones, gfp, highest, order);
        EXPECT_EQ(pfn == PFN_NONE ? -1 : (int)pyslab_page_to_zone(arena, pfn), expected);
        if (pfn != PFN_NONE)
            pfns[nr++] = pfn;
    } while (expected >= 0 && check_nr_failures == 0);
    for (uint32_t i = 0; i < 3; i++)
        EXPECT_EQ(rig_zone_stats(arena, i).free_pages, zones[i].nr_free);
    if (check_nr_failures != 0)
        fprintf(stderr, "... gfp 0x%x, order %u, block %u\n", gfp, order, nr);
    rig_give_all(arena, order, pfns, nr);
    rig_zones_end(arena);
}

static void every_mask(void)
{
    static const uint32_t bits[] = {HIGH,     DIRECT,     PYSLAB_GFP_KSWAPD_RECLAIM,
                                    MEMALLOC, NOMEMALLOC, PYSLAB_GFP_ZERO};
    static const uint32_t zone_bits[] = {PYSLAB_GFP_DMA, 0, PYSLAB_GFP_HIGHMEM};

    for (uint32_t set = 0; set < 1u << ARRAY_SIZE(bits); set++)
        for (int highest = 0; highest < 3; highest++)
            for (unsigned order = 0; order <= 3; order++) {
                uint32_t gfp = zone_bits[highest];

                for (unsigned bit = 0; bit < ARRAY_SIZE(bits); bit++)
                    gfp |= set >> bit & 1 ? bits[bit] : 0;
                compare(gfp, highest, order);
            }
}

/* Classes mixed at random, in blocks of one order, taken and given back. */
static void mixed_requests(void)
{
    static const int highest[] = {1, 0, 2};
    static const uint32_t zone_bits[] = {0, PYSLAB_GFP_DMA, PYSLAB_GFP_HIGHMEM};
    pyslab_arena *arena = model_arena();
    struct model_zone zones[3];
    struct rng rng = {3};
    uint8_t orders[256];
    uint32_t nr = 0;

    memcpy(zones, model_zones, sizeof zones);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned kind = rng_below(&rng, 3), order = 3;
        uint32_t gfp = classes[rng_below(&rng, 13)].gfp | zone_bits[kind], pfn;
        int expected;

        if (nr == 256 || (nr > 0 && rng_below(&rng, 5) < 2)) {
            uint32_t which = rng_below(&rng, nr--);

            pfn = pfns[which];
            zones[pyslab_page_to_zone(arena, pfn)].nr_free += 1u << orders[which];
            EXPECT_EQ(pyslab_free_pages(arena, pfn, orders[which]), PYSLAB_OK);
            pfns[which] = pfns[nr];
            orders[which] = orders[nr];
            continue;
        }
        expected = model_take(zones, gfp, highest[kind], order);
        pfn = pyslab_alloc_pages(arena, order, gfp);
        EXPECT_EQ(pfn == PFN_NONE ? -1 : (int)pyslab_page_to_zone(arena, pfn), expected);
        if (pfn != PFN_NONE) {
            orders[nr] = (uint8_t)order;
            pfns[nr++] = pfn;
        }
    }
    for (uint32_t i = 0; i < nr; i++)
        EXPECT_EQ(pyslab_free_pages(arena, pfns[i], orders[i]), PYSLAB_OK);
    rig_zones_end(arena);
}

/* --- frames and blocks -------------------------------------------------- */

/* Far above its marks, a zone without a block of the order gives none. */
static void marks_are_not_enough(void)
{
    pyslab_zone_options zone = rig_zone(PYSLAB_ZONE_NORMAL, 128, 8);
    pyslab_arena *arena = rig_zones_arena(&zone, 1, 5);
    uint32_t nr = rig_take_all(arena, 0, KERNEL | MEMALLOC, pfns, ARRAY_SIZE(pfns));

    EXPECT_EQ(nr, 128);
    for (uint32_t i = 0; i < nr; i++)
        if (pfns[i] % 2 != 0)
            EXPECT_EQ(pyslab_free_pages(arena, pfns[i], 0), PYSLAB_OK);
    EXPECT_EQ(rig_zone_stats(arena, 0).free_pages, 64);
    for (unsigned order = 1; order <= 5; order++)
        EXPECT_EQ(pyslab_alloc_pages(arena, order, KERNEL | MEMALLOC), PFN_NONE);
    for (uint32_t i = 0; i < nr; i++)
        if (pfns[i] % 2 == 0)
            EXPECT_EQ(pyslab_free_pages(arena, pfns[i], 0), PYSLAB_OK);
    rig_zones_end(arena);
}

/* Once: mark and reserve were added in 32 bits; a zone that keeps
 * everything kept nothing. */
static void mark_and_reserve_do_not_wrap(void)
{
    pyslab_zone_options zone = rig_zone(PYSLAB_ZONE_NORMAL, 100, 0);
    pyslab_arena *arena;
    uint32_t nr;

    for (unsigned i = 0; i < PYSLAB_NR_MARKS; i++)
        zone.watermark[i] = UINT32_MAX;
    zone.lowmem_reserve[0] = 1;
    arena = rig_zones_arena(&zone, 1, 3);
    nr = rig_take_all(arena, 0, KERNEL, pfns, ARRAY_SIZE(pfns));
    EXPECT_EQ(nr, 0);
    rig_give_all(arena, 0, pfns, nr);
    rig_zones_end(arena);
}

/* --- page lists --------------------------------------------------------- */

/* A list is filled as far as the low mark allows and no further: what is below it goes
 * out one block at a time, after the test at the min mark. */
static void refill_stops_at_low(uint32_t zone_bits, unsigned index, unsigned order)
{
    pyslab_zone_options zones[2] = {rig_zone(PYSLAB_ZONE_DMA, 4096, 0),
                                    rig_zone(PYSLAB_ZONE_NORMAL, 4096, 0)};
    uint32_t low = 4096 - 203, min = low - 32, nr = 0;
    pyslab_arena *arena;
    uint64_t most_listed = 0;

    for (unsigned i = 0; i < 2; i++) {
        zones[i].watermark[PYSLAB_MARK_MIN] = min;
        zones[i].watermark[PYSLAB_MARK_LOW] = low;
        zones[i].watermark[PYSLAB_MARK_HIGH] = zones[i].watermark[PYSLAB_MARK_PROMO] = 4096;
        zones[i].batch = 63;
        zones[i].high_min = 252;
    }
    zones[0].lowmem_reserve[1] = 4096; /* nothing of DMA for NORMAL */
    arena = rig_zones_arena(zones, 2, 9);
    for (;;) {
        uint64_t retries = rig_event(arena, PYSLAB_VM_MIN_RETRY);
        pyslab_zone_stats stats;

        pfns[nr] = pyslab_alloc_pages(arena, order, NOWAIT | zone_bits);
        if (pfns[nr] == PFN_NONE)
            break;
        EXPECT_EQ(pyslab_page_to_zone(arena, pfns[nr++]), index);
        stats = rig_zone_stats(arena, index);
        most_listed = stats.pcp_pages > most_listed ? stats.pcp_pages : most_listed;
        if (rig_event(arena, PYSLAB_VM_MIN_RETRY) == retries)
            EXPECT_GE(stats.free_pages, low);
        EXPECT_GE(stats.free_pages, min);
        EXPECT_EQ(stats.free_pages + stats.pcp_pages + (nr << order), 4096);
    }
    EXPECT_EQ(most_listed > 0, order < 3); /* a batch of order 3 is one block */
    EXPECT_EQ(rig_zone_stats(arena, index).pcp_pages, 0);
    EXPECT_EQ(nr, (4096 - min) >> order);
    rig_give_all(arena, order, pfns, nr);
    rig_zones_end(arena);
}

static void refills_stop_at_low(void)
{
    for (unsigned order = 0; order <= 3; order++) {
        refill_stops_at_low(0, 1, order);
        refill_stops_at_low(PYSLAB_GFP_DMA, 0, order);
    }
}

static const struct test tests[] = {
    TEST(single_frames),
    TEST(one_below_the_other),
    TEST(wakes_below_low),
    TEST(every_mask),
    TEST(mixed_requests),
    TEST(marks_are_not_enough),
    TEST(mark_and_reserve_do_not_wrap),
    TEST(refills_stop_at_low),
};

TEST_MAIN(tests)

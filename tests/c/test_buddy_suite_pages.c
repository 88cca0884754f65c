/* test_buddy_suite_pages.c - of the kernel's gpu_buddy tests the three cases that need
 * memory, gfp or the limits of page_alloc; see test_buddy_suite.c for the others.
 *
 * "Cleared" there is a free block's residency here. What it is not: a measurement of the
 * fragmented arena (the driver's --aligned is). */
#include "buddy/buddy_range.h"

#include "rig.h"

struct run {
    uint32_t pfn;
    uint32_t nr;
};

static struct page_rig pages;
static struct run runs[65536];

/* What the buddy answers, asked under its lock. */
static uint64_t nr_free(unsigned order)
{
    uint64_t nr;

    lock_acquire(&pages.pa.zone[0].lock);
    nr = buddy_nr_free_locked(&pages.pa.zone[0], order);
    lock_release(&pages.pa.zone[0].lock);
    return nr;
}

static int largest_order(void)
{
    int order;

    lock_acquire(&pages.pa.zone[0].lock);
    order = buddy_largest_order_locked(&pages.pa.zone[0]);
    lock_release(&pages.pa.zone[0].lock);
    return order;
}

static uint64_t frames_cleared(void)
{
    return load_relaxed(&pages.pa.pages_cleared);
}

/* Every frame is taken and freed again, dirty where the test says so. */
static void dirty_frames(uint32_t nr, bool (*is_dirty)(uint32_t pfn))
{
    struct zone *zone = &pages.pa.zone[0];

    lock_acquire(&zone->lock);
    for (uint32_t i = 0; i < nr; i++) {
        EXPECT_EQ(buddy_alloc_locked(zone, &pages.pa.map, 0), i);
        store_relaxed(&pages.pa.map.pages[i].word, PAGE_WORD(PYSLAB_PAGE_ALLOC, 0, 0));
        if (is_dirty(i))
            memset(pfn_to_virt(&pages.pa.map, i), 0xab, PAGE_SIZE);
    }
    for (uint32_t i = 0; i < nr; i++)
        buddy_free_locked(zone, &pages.pa.map, i, 0,
                          is_dirty(i)  ? RESIDENCY_DIRTY
                          : i % 3 == 0 ? RESIDENCY_UNTOUCHED
                                       : RESIDENCY_ZEROED);
    lock_release(&zone->lock);
    page_rig_check(&pages);
}

static bool at_random(uint32_t pfn)
{
    return ((pfn * 2654435761u) >> 16 & 1) != 0;
}

static bool every_second(uint32_t pfn)
{
    return pfn % 2 != 0;
}

/* Zeroed blocks of nr frames until the zone is empty; returns how many blocks. */
static uint32_t take_zeroed(uint32_t nr)
{
    uint32_t nr_runs = 0, pfn;

    while ((pfn = page_alloc_exact(&pages.pa, nr, 0, ZEROED)) != PFN_NONE) {
        EXPECT(rig_is_filled(pfn_to_virt(&pages.pa.map, pfn), nr * PAGE_SIZE, 0));
        runs[nr_runs++] = (struct run){pfn, nr};
    }
    return nr_runs;
}

/* What is known to be zero is never cleared, and the rest always: frames of both kinds
 * merge to blocks of any size, and a zeroed one has exactly its dirty frames cleared. */
static void clear(void)
{
    enum { NR = 512 };
    uint32_t nr, nr_dirty = 0;

    page_rig_begin(&pages, NR, 9);
    dirty_frames(NR, at_random);
    for (uint32_t i = 0; i < NR; i++)
        nr_dirty += at_random(i);
    EXPECT_EQ(largest_order(), 9);
    EXPECT_EQ(pages.pa.zone[0].dirty_pages, nr_dirty);
    nr = take_zeroed(1);
    EXPECT_EQ(nr, NR);
    EXPECT_EQ(frames_cleared(), nr_dirty);
    EXPECT_EQ(load_relaxed(&pages.pa.pages_known_zero), NR - nr_dirty);
    for (uint32_t i = 0; i < NR; i++)
        EXPECT_EQ(at_random(runs[i].pfn), i < nr_dirty); /* resident frames first */
    for (uint32_t i = 0; i < nr; i++)
        page_free_range(&pages.pa, runs[i].pfn, 1);

    dirty_frames(NR, every_second);
    for (uint32_t size = 2; size <= NR; size *= 2) {
        uint64_t before = frames_cleared();

        nr = take_zeroed(size);
        EXPECT_EQ(nr, NR / size);
        EXPECT_EQ(frames_cleared() - before, NR / 2);
        for (uint32_t i = 0; i < nr; i++)
            page_free_range(&pages.pa, runs[i].pfn, size);
        if (size < NR)
            dirty_frames(NR, every_second);
    }
    EXPECT_EQ(page_alloc_exact(&pages.pa, NR, 0, KERNEL), 0);
    page_free_range(&pages.pa, 0, NR);
    page_rig_end(&pages);
}

/* 4 GiB in blocks of 2 frames, each at a multiple of 16. */
static void fragment(uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++) {
        uint32_t pfn = page_alloc_exact(&pages.pa, 2, 4, KERNEL);

        REQUIRE(pfn != PFN_NONE);
        EXPECT_EQ(pfn % 16, 0);
        runs[i] = (struct run){pfn, 2};
    }
    EXPECT_EQ(largest_order(), 3);
}

/* Large aligned requests out of what was fragmented, and freed in the reverse order: all
 * merges again. Its cost is the driver's --aligned; nothing here looks at a clock. */
static void fragmentation_performance(void)
{
    enum { FRAMES_4G = 1 << 20, NR = FRAMES_4G / 16, ORDER = 18 };
    struct zone *zone;

    page_rig_begin(&pages, FRAMES_4G, ORDER);
    zone = &pages.pa.zone[0];
    fragment(NR);
    lock_acquire(&zone->lock);
    for (uint32_t i = 0; i < NR; i++) /* no two neighbours that merge are alike */
        buddy_free_range_locked(zone, &pages.pa.map, runs[i].pfn, 2,
                                i % 4 % 3 == 0 ? RESIDENCY_ZEROED : RESIDENCY_DIRTY);
    zone->used_pages -= 2 * NR; /* as page_free_range would have */
    lock_release(&zone->lock);
    EXPECT_EQ(nr_free(ORDER), FRAMES_4G >> ORDER);
    for (uint32_t i = 0; i < NR; i++) {
        runs[i].pfn = page_alloc_block(&pages.pa, 4, KERNEL);
        EXPECT_NE(runs[i].pfn, PFN_NONE);
    }
    EXPECT_EQ(page_rig_free(&pages), 0);
    for (uint32_t i = 0; i < NR; i++)
        page_free_block(&pages.pa, runs[i].pfn, 4);

    fragment(NR);
    for (uint32_t i = 0; i < NR; i += 2)
        page_free_range(&pages.pa, runs[i].pfn, 2);
    EXPECT_EQ(largest_order(), 4);
    for (uint32_t i = NR; i-- > 0;)
        if (i % 2 != 0)
            page_free_range(&pages.pa, runs[i].pfn, 2);
    EXPECT_EQ(nr_free(ORDER), FRAMES_4G >> ORDER);

    fragment(NR);
    for (uint32_t i = NR; i-- > 0;)
        page_free_range(&pages.pa, runs[i].pfn, 2);
    EXPECT_EQ(nr_free(ORDER), FRAMES_4G >> ORDER);
    page_rig_end(&pages);
}

/* Larger than the largest block: refused, however much is free; a run of frames may. */
static void exceeds_max_order(void)
{
    enum { FRAMES_10G = 10 << 18, BLOCK = 1 << MAX_ORDER };
    static const uint32_t orders[] = {MAX_ORDER + 1, 31, 32, 63, UINT32_MAX};
    struct zone *zone;
    uint32_t pfn;

    page_rig_begin(&pages, FRAMES_10G, MAX_ORDER);
    zone = &pages.pa.zone[0];
    EXPECT_EQ(largest_order(), MAX_ORDER);
    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        EXPECT_EQ(page_alloc_block(&pages.pa, orders[i], KERNEL), PFN_NONE);
        EXPECT_EQ(page_alloc_exact(&pages.pa, 1, orders[i], KERNEL), PFN_NONE);
        lock_acquire(&zone->lock);
        EXPECT_EQ(buddy_alloc_locked(zone, &pages.pa.map, orders[i]), PFN_NONE);
        lock_release(&zone->lock);
    }
    EXPECT_EQ(page_alloc_exact(&pages.pa, BLOCK + 1, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(page_alloc_exact(&pages.pa, FRAMES_10G, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(page_alloc_exact(&pages.pa, FRAMES_10G + 1, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(page_alloc_exact(&pages.pa, UINT32_MAX, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(page_alloc_exact(&pages.pa, 0, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(zone->frontier, 0); /* not even looked for */
    lock_acquire(&zone->lock);
    EXPECT_EQ(buddy_find_range_locked(zone, &pages.pa.map, 0, UINT32_MAX, BLOCK + 1, 1, 0, 0), 0);
    lock_release(&zone->lock);
    EXPECT_EQ(page_reserve_range(&pages.pa, 0, FRAMES_10G, PYSLAB_PAGE_LARGE), 0);
    EXPECT_EQ(page_rig_free(&pages), 0);
    page_free_range(&pages.pa, 0, FRAMES_10G);
    pfn = page_alloc_exact(&pages.pa, BLOCK, 0, KERNEL);
    EXPECT_EQ(pfn % BLOCK, 0);
    page_free_range(&pages.pa, pfn, BLOCK);
    page_rig_end(&pages);
}

static const struct test tests[] = {
    TEST(clear),
    TEST(fragmentation_performance),
    TEST(exceeds_max_order),
};

TEST_MAIN(tests)

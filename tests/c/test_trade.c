/* test_trade.c - holds down the malloc library's trade: a large request that takes frames which
 * were not resident has as many resident free frames given back, and when it does not. */
#include "page_alloc/purge.h"

#include "rig.h"

#define PIECES 64u
#define PIECE_ORDER 6u
#define PIECE (1u << PIECE_ORDER) /* frames of a piece */

static struct page_rig rig;
static uint32_t piece[PIECES];

static uint64_t dirty(void)
{
    return rig.pa.zone[0].dirty_pages;
}

/* An arena in which every second piece of what was used is free: PIECES / 2 of them, no two of
 * which make a block. */
static void begin(bool best_fit, uint32_t delay_ms, bool fixed)
{
    page_rig_begin(&rig, 16384, 12);
    page_alloc_set_purge(&rig.pa, delay_ms, fixed);
    rig.pa.best_fit = best_fit;
    for (uint32_t i = 0; i < PIECES; i++) {
        piece[i] = page_alloc_block(&rig.pa, PIECE_ORDER, KERNEL);
        REQUIRE(piece[i] != PFN_NONE);
        memset(pfn_to_virt(&rig.pa.map, piece[i]), 0xaa, PAGE_SIZE << PIECE_ORDER);
    }
    for (uint32_t i = 1; i < PIECES; i += 2)
        page_free_range(&rig.pa, piece[i], PIECE);
    EXPECT_EQ(dirty(), PIECES / 2 * PIECE);
}

static void end(void)
{
    for (uint32_t i = 0; i < PIECES; i += 2)
        page_free_range(&rig.pa, piece[i], PIECE);
    page_rig_check(&rig);
    EXPECT_EQ(rig.pa.nr_isolated, 0);
    EXPECT_EQ(page_rig_free(&rig), 16384);
    page_rig_end(&rig);
}

/* Takes so many frames as one block; returns how many dirty free ones are left, before the block
 * is free again. */
static uint64_t left_after(uint32_t nr_pages)
{
    uint32_t pfn = page_alloc_exact(&rig.pa, nr_pages, 0, KERNEL);
    uint64_t left = dirty();

    EXPECT(pfn != PFN_NONE);
    page_rig_check(&rig);
    if (pfn != PFN_NONE)
        page_free_range(&rig.pa, pfn, nr_pages);
    return left;
}

#define ALL ((uint64_t)PIECES / 2 * PIECE)

static void gives_as_much_as_it_takes(void)
{
    begin(true, 2000, false);
    EXPECT_EQ(left_after(1024), ALL - 1024);
    EXPECT_EQ(rig.pa.pages_released, 1024);
    end();
    /* What is left to give is all that can go. */
    begin(true, 2000, false);
    EXPECT_EQ(left_after(2048), 0);
    EXPECT_EQ(rig.pa.pages_released, ALL);
    end();
    /* In whole blocks of 64 KiB. */
    begin(true, 2000, false);
    EXPECT_EQ(left_after(1000), ALL - 1008);
    end();
}

static void small_blocks_stay(void)
{
    begin(true, 2000, false);
    /* All that is free and resident is single frames: every second one of the pieces. */
    for (uint32_t i = 1; i < PIECES; i += 2)
        for (uint32_t k = 1; k < PIECE; k += 2)
            EXPECT_EQ(page_reserve_range(&rig.pa, piece[i] + k, 1, PYSLAB_PAGE_ALLOC),
                      piece[i] + k);
    EXPECT_EQ(dirty(), ALL / 2);
    EXPECT_EQ(left_after(512), ALL / 2);
    EXPECT_EQ(rig.pa.pages_released, 0);
    for (uint32_t i = 1; i < PIECES; i += 2)
        for (uint32_t k = 1; k < PIECE; k += 2)
            page_free_range(&rig.pa, piece[i] + k, 1);
    end();
}

static void only_for_what_was_not_resident(void)
{
    begin(true, 2000, false);
    EXPECT_EQ(left_after(PIECE), ALL - PIECE); /* served by one of the pieces */
    EXPECT_EQ(rig.pa.pages_released, 0);
    end();
}

static void not_for_small_and_huge_requests(void)
{
    begin(true, 2000, false);
    EXPECT_EQ(left_after(2049), ALL);
    EXPECT_EQ(rig.pa.pages_released, 0);
    end();
}

static void not_where_nothing_is_to_go_back(void)
{
    begin(false, 2000, false);
    EXPECT_EQ(left_after(1024), ALL);
    end();
    begin(true, PURGE_NEVER, false);
    EXPECT_EQ(left_after(1024), ALL);
    end();
    begin(true, 2000, true);
    EXPECT_EQ(left_after(1024), ALL);
    EXPECT_EQ(rig.pa.pages_released, 0);
    end();
}

/* A block that grows in place is a request like others. */
static void growth_trades_too(void)
{
    uint32_t pfn;

    begin(true, 2000, false);
    pfn = page_alloc_exact(&rig.pa, 2048 + 1, 0, KERNEL); /* which does not trade */
    REQUIRE(pfn != PFN_NONE);
    EXPECT_EQ(dirty(), ALL);
    EXPECT(page_extend(&rig.pa, pfn + 2049, 512));
    EXPECT_EQ(dirty(), ALL - 512);
    page_free_range(&rig.pa, pfn, 2049 + 512);
    end();
}

/* A program whose block grows by moving needs about the block, and not all its former places. */
static void moving_growth_stays_small(void)
{
    uint32_t pfn = PFN_NONE, nr = 0;
    uint64_t most = 0;

    begin(true, 2000, false);
    for (uint32_t more = 256; more <= 1792; more += 256) {
        uint32_t moved = page_alloc_exact(&rig.pa, more, 0, KERNEL);
        uint32_t wall = page_alloc_exact(&rig.pa, 1, 0, KERNEL); /* so that none grows in place */

        REQUIRE(moved != PFN_NONE && wall != PFN_NONE);
        memset(pfn_to_virt(&rig.pa.map, moved), 0x11, (size_t)more << PAGE_SHIFT);
        most = dirty() + more + nr > most ? dirty() + more + nr : most;
        if (pfn != PFN_NONE)
            page_free_range(&rig.pa, pfn, nr);
        page_free_range(&rig.pa, wall, 1);
        pfn = moved;
        nr = more;
    }
    EXPECT_LE(most, ALL + 1792 + 16 * 7);
    page_free_range(&rig.pa, pfn, nr);
    end();
}

#define BUDGET 16384u /* frames in an interval */

/* A program that asks for such blocks all the time gets by with its resident memory after a while:
 * else each of them would have the page faults of a new one. */
static void no_more_than_the_budget(void)
{
    uint32_t pfn;

    begin(true, 2 * 3600000, false);
    store_relaxed(&rig.pa.purge.traded, BUDGET - 128);
    pfn = page_alloc_exact(&rig.pa, 1024, 0, KERNEL);
    REQUIRE(pfn != PFN_NONE);
    EXPECT_EQ(dirty(), ALL - 128);
    EXPECT_EQ(left_after(512), ALL - 128);
    /* The next interval has a budget of its own. */
    store_relaxed(&rig.pa.purge.interval_start, os_time_ms() - 3600000);
    page_alloc_tick(&rig.pa);
    EXPECT_EQ(rig.pa.purge.traded, 0);
    page_free_range(&rig.pa, pfn, 1024);
    end();
}

static const struct test tests[] = {
    TEST(gives_as_much_as_it_takes),       TEST(small_blocks_stay),
    TEST(only_for_what_was_not_resident),  TEST(not_for_small_and_huge_requests),
    TEST(not_where_nothing_is_to_go_back), TEST(growth_trades_too),
    TEST(moving_growth_stays_small),       TEST(no_more_than_the_budget),
};

TEST_MAIN(tests)

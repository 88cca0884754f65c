/* test_purge.c - holds down when free memory goes back to the system: what was surplus for
 * a whole interval and no more, nothing where it is forbidden, all of it on request; and
 * that blocks on their way never make a request of another thread fail. */
#include "page_alloc/page_alloc.h"

#include "rig.h"

#include <pthread.h>

#define INTERVAL_MS 3600000u

static struct page_rig rig;

/* Ends the interval, which would last for an hour, and has its surplus purged. */
static void next_interval(void)
{
    uint32_t pfn;

    store_relaxed(&rig.pa.purge.interval_start, os_time_ms() - INTERVAL_MS);
    pfn = page_alloc_exact(&rig.pa, 16, 0, KERNEL); /* past the page lists */
    page_free_range(&rig.pa, pfn, 16);
}

static uint64_t dirty(void)
{
    return rig.pa.zone[0].dirty_pages;
}

static void fill(uint32_t *pfn, uint32_t nr, unsigned order)
{
    for (uint32_t i = 0; i < nr; i++) {
        pfn[i] = page_alloc_block(&rig.pa, order, KERNEL);
        if (pfn[i] == PFN_NONE)
            abort();
        memset(pfn_to_virt(&rig.pa.map, pfn[i]), 0xaa, PAGE_SIZE << order);
    }
}

static void drop(const uint32_t *pfn, uint32_t nr, unsigned order)
{
    for (uint32_t i = 0; i < nr; i++)
        page_free_range(&rig.pa, pfn[i], 1u << order); /* past the page lists */
}

static void begin(uint32_t nr_pages, unsigned max_order)
{
    page_rig_begin(&rig, nr_pages, max_order);
    page_alloc_set_purge(&rig.pa, 2 * INTERVAL_MS, false);
}

/* A peak goes back after the first interval in which nobody needed it, and not sooner. */
static void surplus_goes_back(void)
{
    uint32_t pfn[64];

    begin(16384, 10);
    fill(pfn, 64, 6);
    next_interval();
    drop(pfn, 64, 6);
    EXPECT_EQ(dirty(), 64 * 64 + 16);
    next_interval(); /* all was in use when this one began */
    EXPECT_GE(dirty(), 64 * 64);
    next_interval();
    EXPECT_LE(dirty(), 1100); /* what next_interval uses, and a unit's rest */
    EXPECT_GE(rig.pa.pages_released, 3000);
    EXPECT_EQ(*(char *)pfn_to_virt(&rig.pa.map, pfn[32]), 0);
    page_rig_end(&rig);
}

/* A working set that is used once in each interval stays resident. */
static void working_set_stays(void)
{
    uint32_t pfn[64];

    begin(16384, 10);
    for (int interval = 0; interval < 5; interval++) {
        fill(pfn, 64, 6);
        drop(pfn, 64, 6);
        next_interval();
    }
    EXPECT_EQ(rig.pa.pages_released, 0);
    EXPECT_GE(dirty(), 64 * 64);
    page_rig_end(&rig);
}

/* What goes is what was surplus: half of the peak in use means that the other half goes. */
static void only_the_surplus_goes(void)
{
    uint32_t pfn[64];

    begin(16384, 10);
    fill(pfn, 64, 6);
    drop(pfn, 64, 6);
    next_interval();
    for (int interval = 0; interval < 4; interval++) {
        fill(pfn, 32, 6);
        drop(pfn, 32, 6);
        next_interval();
    }
    EXPECT_GE(dirty(), 32 * 64);
    EXPECT_LE(dirty(), 32 * 64 + 1100);
    EXPECT_GE(rig.pa.pages_released, 900);
    page_rig_end(&rig);
}

/* The surplus goes from blocks that nobody takes, though those in use are larger. */
static void the_surplus_is_what_nobody_takes(void)
{
    uint32_t hole[2], left[8], work[4];

    begin(16384, 10);
    fill(hole, 2, 4);
    fill(left, 8, 8);
    fill(work, 4, 10);
    drop(hole, 1, 4); /* for next_interval */
    for (uint32_t i = 0; i < 8; i += 2)
        drop(&left[i], 1, 8);
    drop(work, 4, 10);
    next_interval();
    for (int interval = 0; interval < 5; interval++) {
        fill(work, 4, 10);
        drop(work, 4, 10);
        next_interval();
    }
    EXPECT_EQ(rig.pa.pages_released, 4 * 256);
    EXPECT_GE(dirty(), 4 * 1024);
    EXPECT_EQ(*(char *)pfn_to_virt(&rig.pa.map, left[0]), 0);
    for (uint32_t i = 1; i < 8; i += 2)
        drop(&left[i], 1, 8);
    drop(&hole[1], 1, 4);
    page_rig_end(&rig);
}

/* Without a delay nothing goes by itself; on request everything does. */
static void never(void)
{
    uint32_t pfn[16];

    page_rig_begin(&rig, 4096, 10);
    page_alloc_set_purge(&rig.pa, PURGE_NEVER, false);
    fill(pfn, 16, 6);
    drop(pfn, 16, 6);
    for (int interval = 0; interval < 3; interval++)
        next_interval();
    EXPECT_EQ(rig.pa.pages_released, 0);
    EXPECT_EQ(page_alloc_release(&rig.pa), 16 * 64);
    EXPECT_EQ(rig.pa.pages_released, 16 * 64);
    EXPECT_EQ(dirty(), 0);
    EXPECT_EQ(page_alloc_release(&rig.pa), 0);
    page_rig_end(&rig);
}

/* Memory that cannot go back stays, on request too. */
static void fixed(void)
{
    uint32_t pfn[16];

    page_rig_begin(&rig, 4096, 10);
    page_alloc_set_purge(&rig.pa, 2 * INTERVAL_MS, true);
    fill(pfn, 16, 6);
    drop(pfn, 16, 6);
    for (int interval = 0; interval < 3; interval++)
        next_interval();
    EXPECT_EQ(page_alloc_release(&rig.pa), 0);
    EXPECT_GE(dirty(), 16 * 64);
    EXPECT_EQ(*(unsigned char *)pfn_to_virt(&rig.pa.map, pfn[15]), 0xaa);
    page_rig_end(&rig);
}

/* Of a block with survivors around it every dirty frame goes, and no survivor's byte. */
static void scattered_survivors(void)
{
    static uint32_t pfn[2048];

    page_rig_begin(&rig, 4096, 10);
    fill(pfn, 2048, 0);
    for (uint32_t i = 0; i < 2048; i++)
        if (i % 5 != 0)
            page_free_block(&rig.pa, pfn[i], 0);
    EXPECT_NE(page_alloc_release(&rig.pa), 0);
    EXPECT_EQ(dirty(), 0);
    page_rig_check(&rig);
    for (uint32_t i = 0; i < 2048; i += 5) {
        EXPECT(rig_is_filled(pfn_to_virt(&rig.pa.map, pfn[i]), PAGE_SIZE, 0xaa));
        page_free_block(&rig.pa, pfn[i], 0);
    }
    page_rig_end(&rig);
}

/* --- clearing ----------------------------------------------------------------- */

/* 64 MiB zeroed straight from the system cost no memset, recycled exactly one, and
 * given back in between none again. */
static void zeroed_blocks(void)
{
    pyslab_arena *arena = rig_arena(256 * MIB, 16);
    pyslab_arena_stats stats;
    uint64_t released;

    for (int round = 0; round < 3; round++) {
        char *p = pyslab_kzalloc(arena, 64 * MIB, KERNEL);

        REQUIRE(p != NULL);
        EXPECT(rig_is_filled(p, 64 * MIB, 0));
        memset(p, 1, 64 * MIB);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        stats = rig_stats(arena);
        EXPECT_EQ(stats.pages_cleared, round == 0 ? 0 : 16384);
        EXPECT_EQ(stats.pages_known_zero, round == 2 ? 2 * 16384 : 16384);
        released = round == 1 ? pyslab_arena_release_unused(arena) : 0;
        EXPECT_EQ(released, round == 1 ? 64 * MIB : 0);
    }
    rig_end(arena);
}

/* --- blocks on their way --------------------------------------------------------- */

static atomic_bool stop;

static void *release_again_and_again(void *argument)
{
    (void)argument;
    while (!stop)
        (void)page_alloc_release(&rig.pa);
    return NULL;
}

/* One thread takes, dirties and returns the whole zone, always successfully; two others
 * send it back to the system meanwhile. */
static void isolated_blocks_are_waited_for(void)
{
    static const unsigned orders[] = {6, 10, 12};
    uint64_t nr_failures = 0;

    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        pthread_t thread[2];

        stop = false;
        page_rig_begin(&rig, 1u << orders[i], orders[i]);
        for (int t = 0; t < 2; t++)
            REQUIRE(pthread_create(&thread[t], NULL, release_again_and_again, NULL) == 0);
        for (int n = 0; n < (UNDER_TSAN ? 2000 : 30000); n++) {
            uint32_t pfn = page_alloc_block(&rig.pa, orders[i], KERNEL);

            if (pfn == PFN_NONE) {
                nr_failures++;
                continue;
            }
            *(char *)pfn_to_virt(&rig.pa.map, pfn) = 1;
            page_free_block(&rig.pa, pfn, orders[i]);
        }
        stop = true;
        for (int t = 0; t < 2; t++)
            pthread_join(thread[t], NULL);
        EXPECT_EQ(rig.pa.nr_isolated, 0);
        page_rig_end(&rig);
    }
    EXPECT_EQ(nr_failures, 0);
    EXPECT_EQ(rig.pa.alloc_failures, 0);
}

static const struct test tests[] = {
    TEST(surplus_goes_back),
    TEST(working_set_stays),
    TEST(only_the_surplus_goes),
    TEST(the_surplus_is_what_nobody_takes),
    TEST(never),
    TEST(fixed),
    TEST(scattered_survivors),
    TEST(zeroed_blocks),
    TEST(isolated_blocks_are_waited_for),
};

TEST_MAIN(tests)

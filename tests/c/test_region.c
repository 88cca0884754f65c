/* test_region.c - holds down bump regions: addresses and alignment, marks, rewinding, what
 * comes back, and what misuse gives. Ends, children and threads: test_region_ends.c. */
#include "rig_region.h"

#include <signal.h>

/* --- allocation ---------------------------------------------------------- */

static void objects_follow_each_other(void)
{
    char *p;

    begin();
    expect_stats(0, 0, 0, 0);
    p = pyslab_region_alloc(region, 1);
    REQUIRE(p != NULL);
    EXPECT_PTR(pyslab_region_alloc(region, 16), p + 16);
    EXPECT_PTR(pyslab_region_alloc(region, 17), p + 32);
    EXPECT_PTR(pyslab_region_alloc(region, 0), PYSLAB_ZERO_SIZE);
    EXPECT_PTR(pyslab_region_alloc(region, PAGE_SIZE - 64), p + 64); /* exactly what is left */
    expect_stats(PAGE_SIZE, PAGE_SIZE, 1, 0);
    EXPECT(pyslab_region_alloc(region, 1) != NULL);
    expect_stats(PAGE_SIZE + 16, 2 * PAGE_SIZE, 2, 0);
    end();
}

/* A size that the compiler knows takes a shorter way to the same places. */
static void constant_sizes(void)
{
    char *p;

    begin();
    p = region_alloc(region, 32);
    EXPECT_PTR(region_alloc(region, 1), p + 32);
    EXPECT_PTR(region_alloc(region, 17), p + 48);
    EXPECT_PTR(region_alloc(region, 0), PYSLAB_ZERO_SIZE);
    EXPECT_PTR(region_alloc(region, PAGE_SIZE - 80), p + 80);
    EXPECT_EQ(stats_of(region).nr_blocks, 1);
    EXPECT(region_alloc(region, 16) != NULL);
    EXPECT(region_alloc(region, PAGE_SIZE) != NULL);
    EXPECT(region_alloc(region, 100000) != NULL);
    EXPECT_EQ(stats_of(region).nr_large, 1);
    end();
}

static void sizes_and_contents(void)
{
    static const size_t sizes[] = {1, 15, 100, 4000, 4096, 5000, 65536, 65537, MIB + 1};
    unsigned char *p[ARRAY_SIZE(sizes)][3];

    begin();
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
            for (int k = 0; k < 3; k++) {
                p[i][k] = pyslab_region_alloc(region, sizes[i]);
                REQUIRE(p[i][k] != NULL);
                EXPECT_EQ((uintptr_t)p[i][k] % 16, 0);
                memset(p[i][k], (int)(3 * i + (size_t)k + 1), sizes[i]);
            }
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
            for (int k = 0; k < 3; k++)
                EXPECT(rig_is_filled(p[i][k], sizes[i], (unsigned char)(3 * i + (size_t)k + 1)));
        EXPECT_EQ(stats_of(region).nr_large, 6);
        rig_validate(arena);
        EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
        EXPECT_EQ(stats_of(region).nr_large, 0);
        EXPECT_EQ(stats_of(region).used_bytes, 0);
    }
    end();
}

static void alignment(void)
{
    begin();
    for (size_t align = 1; align <= 16 * MIB / 4; align *= 2)
        for (size_t size = 1; size < 100000; size = size * 3 + 1) {
            char *p = pyslab_region_alloc_aligned(region, size, align);

            REQUIRE(p != NULL);
            EXPECT_EQ((uintptr_t)p % align, 0);
            EXPECT_EQ((uintptr_t)p % 16, 0);
            memset(p, 0x3c, size);
            if (align > 64 * KIB)
                EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
        }
    EXPECT_PTR(pyslab_region_alloc_aligned(region, 10, 0), NULL);
    EXPECT_PTR(pyslab_region_alloc_aligned(region, 10, 24), NULL);
    EXPECT_PTR(pyslab_region_alloc_aligned(region, 10, (size_t)1 << 63), NULL);
    EXPECT_PTR(pyslab_region_alloc_aligned(region, SIZE_MAX, 4096), NULL);
    EXPECT_PTR(pyslab_region_alloc(region, SIZE_MAX), NULL);
    EXPECT_PTR(pyslab_region_alloc(region, SIZE_MAX - 14), NULL);
    EXPECT_EQ(rig_stats(arena).alloc_failures, 6);
    end();
}

static void zeroed(void)
{
    begin();
    for (int round = 0; round < 3; round++) {
        for (size_t size = 1; size < 3 * MIB; size *= 7) {
            unsigned char *p = pyslab_region_zalloc(region, size);

            REQUIRE(p != NULL);
            EXPECT(rig_is_filled(p, size, 0));
            memset(p, 0xff, size);
        }
        EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    }
    end();
}

/* Each block is as large as all before it, up to 2 MiB or 1/64 of the arena. */
static void blocks_grow(void)
{
    static const uint32_t pages[] = {1, 2, 4, 8, 16, 32, 64, 128, 192, 256};

    begin(); /* 4096 frames: blocks of up to 64 */
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        while (stats_of(region).nr_blocks == i)
            EXPECT(pyslab_region_alloc(region, 1000) != NULL);
        EXPECT_EQ(stats_of(region).reserved_bytes >> PAGE_SHIFT, pages[i]);
    }
    end();
}

static void hints(void)
{
    pyslab_region *none = NULL;
    char *p;

    begin_sized(16 * MIB, 100 * PAGE_SIZE - 5);
    expect_stats(0, 100 * PAGE_SIZE, 1, 0);
    p = pyslab_region_alloc(region, 60 * KIB);
    for (size_t i = 1; i < 6; i++)
        EXPECT_PTR(pyslab_region_alloc(region, 60 * KIB), p + i * 60 * KIB);
    expect_stats(360 * KIB, 100 * PAGE_SIZE, 1, 0);
    EXPECT_EQ(pyslab_region_create(arena, 17 * MIB, &none), PYSLAB_ENOMEM);
    EXPECT_EQ(pyslab_region_create(arena, SIZE_MAX, &none), PYSLAB_ENOMEM);
    EXPECT_EQ(pyslab_region_create(arena, 0, NULL), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_region_create_child(NULL, &none), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_region_on_exit(region, NULL, NULL), PYSLAB_EINVAL);
    EXPECT_PTR(none, NULL);
    EXPECT_EQ(pyslab_region_destroy(NULL), PYSLAB_OK);
    end();
}

/* --- marks ----------------------------------------------------------------- */

static void rewinding(void)
{
    uint64_t mark, again;
    char *p, *q;

    begin();
    EXPECT(pyslab_region_mark(region) != 0); /* before any block */
    p = pyslab_region_alloc(region, 100);
    mark = pyslab_region_mark(region);
    EXPECT_EQ(pyslab_region_mark(region), mark);
    q = pyslab_region_alloc(region, 100);
    for (int i = 0; i < 200; i++)
        EXPECT(pyslab_region_alloc(region, 3000) != NULL);
    EXPECT(pyslab_region_alloc(region, MIB) != NULL);
    memset(p, 0x11, 100);
    EXPECT_EQ(pyslab_region_rewind(region, mark), PYSLAB_OK);
    EXPECT(rig_is_filled(p, 100, 0x11));
    EXPECT_EQ(stats_of(region).used_bytes, 112);
    EXPECT_EQ(stats_of(region).nr_large, 0);
    EXPECT_PTR(pyslab_region_alloc(region, 100), q);
    EXPECT_EQ(pyslab_region_rewind(region, mark), PYSLAB_OK);
    again = pyslab_region_mark(region);
    EXPECT_EQ(again, mark); /* a loop of mark and rewind needs no memory */
    rig_validate(arena);
    end();
}

/* Recycled blocks serve again before new ones are taken, whatever fits first. */
static void recycling(void)
{
    uint64_t reserved = 0;

    begin();
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < 300; i++)
            EXPECT(pyslab_region_alloc(region, 1 + i * 37 * (size_t)(round % 3 + 1)) != NULL);
        rig_validate(arena);
        if (round == 3)
            reserved = stats_of(region).reserved_bytes;
        if (round > 3)
            EXPECT_EQ(stats_of(region).reserved_bytes, reserved);
        EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    }
    end();
}

static void stale_marks(void)
{
    pyslab_region *other = NULL;
    uint64_t a, b, c, foreign;

    begin();
    EXPECT_EQ(pyslab_region_create(arena, 0, &other), PYSLAB_OK);
    foreign = pyslab_region_mark(other);
    a = pyslab_region_mark(region);
    EXPECT(pyslab_region_alloc(region, 1) != NULL);
    b = pyslab_region_mark(region);
    EXPECT(pyslab_region_alloc(region, 1) != NULL);
    c = pyslab_region_mark(region);
    EXPECT(a != b && b != c && a != foreign);
    EXPECT_EQ(pyslab_region_rewind(region, b), PYSLAB_OK);
    EXPECT_EQ(pyslab_region_rewind(region, c), PYSLAB_EINVAL); /* past a mark */
    EXPECT(pyslab_region_alloc(region, 1000) != NULL);
    EXPECT_EQ(pyslab_region_rewind(region, c), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_region_rewind(region, foreign), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_region_rewind(region, 0), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_region_rewind(region, ~(uint64_t)0), PYSLAB_EINVAL);
    EXPECT_EQ(stats_of(region).used_bytes, 16 + 1008);
    EXPECT_EQ(pyslab_region_rewind(region, a), PYSLAB_OK);
    EXPECT_EQ(pyslab_region_rewind(region, a), PYSLAB_OK);
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    EXPECT_EQ(pyslab_region_rewind(region, a), PYSLAB_EINVAL); /* after reset */
    for (int i = 0; i < 1000; i++) {
        EXPECT(pyslab_region_mark(region) != 0);
        EXPECT(pyslab_region_alloc(region, 20) != NULL);
    }
    rig_validate(arena);
    EXPECT_EQ(pyslab_region_destroy(other), PYSLAB_OK);
    end();
}

/* --- memory ------------------------------------------------------------------ */

/* NULL when the arena is full, with nothing lost; what is left serves smaller objects. */
static void out_of_memory(void)
{
    size_t nr = 0, more = 0;
    char *p;

    begin_sized(MIB, 0);
    while ((p = pyslab_region_alloc(region, 3000)) != NULL) {
        memset(p, 0x77, 3000);
        nr++;
    }
    EXPECT_GE(nr, 250);
    EXPECT_EQ(rig_stats(arena).alloc_failures, 1);
    while (pyslab_region_alloc(region, 16) != NULL)
        more++;
    EXPECT_GE(more, 1);
    EXPECT_PTR(pyslab_region_alloc(region, MIB), NULL);
    rig_validate(arena);
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    for (size_t i = 0; i < nr; i++)
        EXPECT(pyslab_region_alloc(region, 3000) != NULL);
    end();
}

static void kfree_is_an_error(void)
{
    void *small, *large;

    begin_sized(16 * MIB, 5 * PAGE_SIZE);
    small = pyslab_region_alloc(region, 100);
    large = pyslab_region_alloc(region, 300 * KIB);
    REQUIRE(small != NULL && large != NULL);
    for (int round = 0; round < 2; round++) {
        EXPECT_EQ(pyslab_kfree(arena, small), PYSLAB_EPOINTER); /* at a block's start */
        EXPECT_EQ(pyslab_kfree(arena, large), PYSLAB_EPOINTER);
        EXPECT_EQ(pyslab_kfree(arena, (char *)small + 16), PYSLAB_EPOINTER);
        EXPECT_EQ(pyslab_ksize(arena, large), 0);
        small = pyslab_region_alloc(region, 100);
    }
    end();
}

static void expect_found(const char *text)
{
    char message[256] = "";

    EXPECT_EQ(pyslab_arena_validate(arena, message, sizeof message), PYSLAB_ECORRUPT);
    EXPECT(strstr(message, text) != NULL);
}

/* The recount sees counters that are off, and frames that somebody else gave back. */
static void the_recount(void)
{
    begin();
    EXPECT(pyslab_region_alloc(region, 100) != NULL);
    EXPECT(pyslab_region_alloc(region, 100000) != NULL);
    rig_validate(arena);
    region->nr_blocks++;
    expect_found("blocks");
    region->nr_blocks--;
    region->large_pages--;
    expect_found("large objects");
    region->large_pages++;
    region->cur = region->end + 16;
    expect_found("pointers");
    region->cur = region->start;
    EXPECT_EQ(pyslab_get_page(arena, region->block), PYSLAB_OK);
    expect_found("one owner");
    EXPECT_EQ(pyslab_put_page(arena, region->block), PYSLAB_OK);
    region->cur = region->start + 112;
    rig_validate(arena);
    EXPECT_EQ(pyslab_put_page(arena, region->large), PYSLAB_OK);
    expect_found("one owner");
    /* Not destroyed: at check level 2 that would find the same, and end the test. */
}

#if PYSLAB_CHECK_LEVEL >= 1
static void write_after_reset(void)
{
    char *p;

    check_quiet();
    begin();
    p = pyslab_region_alloc(region, 1000);
    (void)pyslab_region_reset(region);
    p[500] = 1;
    (void)pyslab_region_alloc(region, 1000);
}
#endif

/* Checked builds: bytes given back read 0xaa, and a write to them is found. */
static void use_after_reset(void)
{
#if PYSLAB_CHECK_LEVEL >= 1
    unsigned char *p, *q;
    uint64_t mark;

    EXPECT_EQ(WTERMSIG(check_child(write_after_reset)), SIGABRT);
    begin();
    mark = pyslab_region_mark(region);
    p = pyslab_region_alloc(region, 1000);
    memset(p, 1, 1000);
    q = pyslab_region_alloc(region, 50000);
    memset(q, 2, 50000);
    EXPECT_EQ(pyslab_region_rewind(region, mark), PYSLAB_OK);
    EXPECT(rig_is_filled(p, 1000, 0xaa) && rig_is_filled(q, 50000, 0xaa));
    rig_validate(arena);
    q[40000] = 3;
    expect_found("written to");
    q[40000] = 0xaa;
    end();
#endif
}

static const struct test tests[] = {
    TEST(objects_follow_each_other),
    TEST(sizes_and_contents),
    TEST(alignment),
    TEST(zeroed),
    TEST(blocks_grow),
    TEST(hints),
    TEST(rewinding),
    TEST(recycling),
    TEST(stale_marks),
    TEST(out_of_memory),
    TEST(kfree_is_an_error),
    TEST(the_recount),
    TEST(use_after_reset),
    TEST(constant_sizes),
};

TEST_MAIN(tests)

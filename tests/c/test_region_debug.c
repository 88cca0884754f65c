/* test_region_debug.c - holds down what a region with debug flags finds: writes past and before
 * its objects, and into what was taken back; and what the report says of them. */
#include "rig_region.h"

static pyslab_corruption seen; /* what the handler was given last */
static char seen_text[4096];
static uint64_t nr_seen;

static void note(const pyslab_corruption *found, void *context)
{
    (void)context;
    EXPECT(lock_none_is_held());
    seen = *found;
    nr_seen++;
    EXPECT_LE(pyslab_corruption_text(found, seen_text, sizeof seen_text), sizeof seen_text - 1);
}

static void begin_with(const char *debug, size_t hint)
{
    pyslab_arena_options options = rig_options(16 * MIB, 10);

    options.debug = debug;
    options.overcommit = 1;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_OK);
    pyslab_set_corruption_handler(arena, note, NULL);
    EXPECT_EQ(pyslab_region_create(arena, hint, &region), PYSLAB_OK);
    nr_seen = 0;
    memset(&seen, 0, sizeof seen);
}

/* One report since the last call, of this object. */
static void expect_found(uint32_t kind, const void *object, size_t size, int64_t offset)
{
    char name[32];

    snprintf(name, sizeof name, "region %p", (void *)region);
    EXPECT_EQ(nr_seen, 1);
    EXPECT_EQ(seen.kind, kind);
    EXPECT(strcmp(seen.cache, name) == 0);
    EXPECT_PTR(seen.object, object);
    EXPECT_EQ(seen.object_size, size);
    EXPECT_EQ(seen.offset, offset);
    nr_seen = 0;
}

static void overrun_found_at_reset(void)
{
    char *p, *q;

    begin_with("FZPU", 0);
    p = pyslab_region_alloc(region, 24);
    q = pyslab_region_alloc(region, 100);
    memset(p, 1, 24);
    memset(q, 2, 100);
    p[24] = 3;
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    expect_found(PYSLAB_CORRUPTION_RIGHT_REDZONE, p, 24, 24);
    EXPECT_EQ(seen.expected, 0xcc);
    EXPECT_EQ(seen.found, 3);
    EXPECT_EQ(seen.allocated_at != 0, HAS_BACKTRACE);
    EXPECT(strstr(seen_text, "right red zone overwritten, 1 bytes past the end") != NULL);
    EXPECT_EQ(strstr(seen_text, "allocated by\n") != NULL, HAS_BACKTRACE);
    end();
}

static void underrun_found_by_validate(void)
{
    char *p;
    pyslab_debug_stats stats;

    begin_with("Z", 0);
    p = pyslab_region_alloc(region, 24);
    p[-1] = 3;
    EXPECT(pyslab_arena_validate(arena, NULL, 0) != PYSLAB_OK);
    expect_found(PYSLAB_CORRUPTION_LEFT_REDZONE, p, 24, -1);
    EXPECT_EQ(seen.allocated_at, 0);
    EXPECT_EQ(pyslab_arena_validate(arena, NULL, 0), PYSLAB_OK); /* it was repaired */
    pyslab_arena_debug_stats(arena, &stats);
    EXPECT_EQ(stats.nr_found, 1);
    EXPECT_EQ(stats.nr_repaired, 1);
    end();
}

static void many_found_once_each(void)
{
    char *p[20];

    begin_with("Z", 0);
    for (int i = 0; i < 20; i++) {
        p[i] = pyslab_region_alloc(region, 16);
        p[i][16] = 1;
        p[i][-1] = 1;
    }
    EXPECT_EQ(pyslab_region_destroy(region), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 40);
    rig_end(arena);
}

static void late_write_found_at_next_use(void)
{
    char *p;

    begin_with("FZPU", 0);
    p = pyslab_region_alloc(region, 40);
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    EXPECT_EQ(p[0], 0x6b);
    p[8] = 'x';
    EXPECT_PTR(pyslab_region_alloc(region, 24), p);
    expect_found(PYSLAB_CORRUPTION_POISON, p, 40, 8);
    EXPECT_EQ(seen.allocated_at != 0, HAS_BACKTRACE);
    EXPECT_EQ(seen.freed_at != 0, HAS_BACKTRACE);
    end();
    EXPECT_EQ(nr_seen, 0);
}

static void late_write_found_at(int (*look)(void))
{
    char *p;
    uint64_t mark;

    begin_with("P", 0);
    (void)pyslab_region_alloc(region, 64);
    mark = pyslab_region_mark(region);
    p = pyslab_region_alloc(region, 40000);
    for (int i = 0; i < 20; i++) /* more blocks, which are spare when the mark is rewound to */
        (void)pyslab_region_alloc(region, 60000);
    EXPECT_EQ(pyslab_region_rewind(region, mark), PYSLAB_OK);
    p[39999] = 'x';
    (void)look();
    expect_found(PYSLAB_CORRUPTION_POISON, p, 40000, 39999);
    if (region != NULL)
        EXPECT_EQ(pyslab_region_destroy(region), PYSLAB_OK);
    rig_end(arena);
}

static int look_by_validate(void)
{
    return pyslab_arena_validate(arena, NULL, 0);
}

static int look_by_reset(void)
{
    return pyslab_region_reset(region);
}

static void late_write_found_by_validate(void)
{
    late_write_found_at(look_by_validate);
}

static void late_write_found_at_reset(void)
{
    late_write_found_at(look_by_reset);
}

static void rewind_looks_at_what_it_takes_back(void)
{
    char *kept, *p;
    uint64_t mark;

    begin_with("ZP", 0);
    kept = pyslab_region_alloc(region, 10);
    mark = pyslab_region_mark(region);
    p = pyslab_region_alloc(region, 10);
    kept[10] = 1;
    p[73] = 1;
    EXPECT_EQ(pyslab_region_rewind(region, mark), PYSLAB_OK);
    expect_found(PYSLAB_CORRUPTION_RIGHT_REDZONE, p, 10, 73);
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    expect_found(PYSLAB_CORRUPTION_RIGHT_REDZONE, kept, 10, 10);
    end();
}

static void large_objects(void)
{
    char *p, *q;

    begin_with("ZU", 0);
    p = pyslab_region_alloc(region, 100000);
    q = pyslab_region_alloc_aligned(region, 5000, 8192);
    EXPECT_EQ((uintptr_t)q & 8191, 0);
    p[-1] = 1;
    q[5000] = 1;
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 2);
    nr_seen = 1;
    expect_found(PYSLAB_CORRUPTION_RIGHT_REDZONE, q, 5000, 5000);
    end();
}

static void promises_hold_with_flags(void)
{
    begin_with("FZPU", 100000);
    for (size_t align = 1; align <= 65536; align *= 2)
        for (size_t size = 1; size < 3000; size = size * 3 + 1) {
            unsigned char *p = pyslab_region_alloc_aligned(region, size, align);
            unsigned char *z = pyslab_region_zalloc(region, size);

            EXPECT_EQ((uintptr_t)p & (align - 1), 0);
            EXPECT_EQ((uintptr_t)z & 15, 0);
            for (size_t i = 0; i < size; i++)
                EXPECT_EQ(z[i], 0);
            memset(p, 1, size);
            memset(z, 2, size);
        }
    EXPECT_PTR(pyslab_region_alloc(region, SIZE_MAX), NULL);
    EXPECT_PTR(pyslab_region_alloc(region, SIZE_MAX - 4096), NULL);
    rig_validate(arena);
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 0);
    end();
}

static void named_in_the_text(void)
{
    char *p;

    begin_with("Z,region", 0);
    p = pyslab_region_alloc(region, 8);
    p[8] = 1;
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    expect_found(PYSLAB_CORRUPTION_RIGHT_REDZONE, p, 8, 8);
    end();
    begin_with("FZPU,kmalloc-*", 0);
    p = pyslab_region_alloc(region, 16);
    EXPECT_PTR(pyslab_region_alloc(region, 16), p + 16); /* no flags: nothing between them */
    end();
}

static const struct test tests[] = {
    TEST(overrun_found_at_reset),
    TEST(underrun_found_by_validate),
    TEST(many_found_once_each),
    TEST(late_write_found_at_next_use),
    TEST(late_write_found_by_validate),
    TEST(late_write_found_at_reset),
    TEST(rewind_looks_at_what_it_takes_back),
    TEST(large_objects),
    TEST(promises_hold_with_flags),
    TEST(named_in_the_text),
};

TEST_MAIN(tests)

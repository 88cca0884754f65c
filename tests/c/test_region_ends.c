/* test_region_ends.c - holds down what happens around a region: ends and children in reverse
 * order, calls in the middle of others, the arena's end, threads and fork. */
#include "rig_region.h"

#include "region/region_internal.h"

#include <pthread.h>

/* --- ends and children ------------------------------------------------------- */

static char journal[64];
static size_t nr_journal;

static void note(void *context)
{
    journal[nr_journal++] = *(const char *)context;
    journal[nr_journal] = '\0';
}

static void expect_journal(const char *text)
{
    EXPECT(strcmp(journal, text) == 0);
    nr_journal = 0;
    journal[0] = '\0';
}

static void on_exit_of(pyslab_region *of, const char *letter)
{
    EXPECT_EQ(pyslab_region_on_exit(of, note, (void *)(uintptr_t)letter), PYSLAB_OK);
}

static void ends_run_in_reverse(void)
{
    pyslab_region *child = NULL, *grandchild = NULL, *second = NULL;
    uint64_t mark;

    begin();
    on_exit_of(region, "a");
    mark = pyslab_region_mark(region);
    on_exit_of(region, "b");
    EXPECT(pyslab_region_mark(region) != mark); /* an end is something that happened */
    EXPECT_EQ(pyslab_region_create_child(region, &child), PYSLAB_OK);
    on_exit_of(region, "c");
    on_exit_of(child, "x");
    EXPECT_EQ(pyslab_region_create_child(child, &grandchild), PYSLAB_OK);
    on_exit_of(child, "y");
    on_exit_of(grandchild, "g");
    EXPECT_EQ(pyslab_region_create_child(region, &second), PYSLAB_OK);
    EXPECT(pyslab_region_alloc(grandchild, 100000) != NULL);
    EXPECT(pyslab_region_alloc(child, 100) != NULL);
    rig_validate(arena);
    on_exit_of(second, "s");
    EXPECT_EQ(pyslab_region_destroy(second), PYSLAB_OK); /* by itself */
    expect_journal("s");
    EXPECT_EQ(pyslab_region_rewind(region, mark), PYSLAB_OK);
    expect_journal("cygxb");
    EXPECT_EQ(rig_stats(arena).block_pages, 0);
    on_exit_of(region, "d");
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    expect_journal("da");
    on_exit_of(region, "e");
    end();
    expect_journal("e");
}

/* A child that ended by itself after a mark leaves the mark good. */
static void children_end_in_any_order(void)
{
    pyslab_region *child[20];
    uint64_t mark = 0;

    begin();
    for (size_t i = 0; i < ARRAY_SIZE(child); i++) {
        EXPECT_EQ(pyslab_region_create_child(region, &child[i]), PYSLAB_OK);
        EXPECT(pyslab_region_alloc(child[i], 5000) != NULL);
        if (i == 9)
            mark = pyslab_region_mark(region);
    }
    for (size_t i = 5; i < 15; i++)
        EXPECT_EQ(pyslab_region_destroy(child[i]), PYSLAB_OK);
    rig_validate(arena);
    EXPECT_EQ(pyslab_region_rewind(region, mark), PYSLAB_OK);
    EXPECT_EQ(rig_stats(arena).block_pages, 5 * 2);
    for (size_t i = 0; i < 5; i++)
        EXPECT(pyslab_region_alloc(child[i], 10) != NULL);
    rig_validate(arena);
    end();
}

static unsigned nr_called;

static void count_call(void *context)
{
    EXPECT_EQ((uintptr_t)context, 3000 - ++nr_called);
}

/* Depth costs memory, not stack; the innermost end comes first. */
static void deep_nesting(void)
{
    pyslab_region *at;

    begin();
    at = region;
    for (uintptr_t i = 0; i < 3000; i++) {
        pyslab_region *child = NULL;

        EXPECT_EQ(pyslab_region_on_exit(at, count_call, (void *)i), PYSLAB_OK);
        EXPECT_EQ(pyslab_region_create_child(at, &child), PYSLAB_OK);
        at = child;
    }
    EXPECT(pyslab_region_alloc(at, 1) != NULL);
    end();
    EXPECT_EQ(nr_called, 3000);
}

static pyslab_region *inner; /* of region */
static void *made_in_end;

static void use_everything(void *context)
{
    pyslab_region *none = NULL;

    (void)context;
    EXPECT_EQ(pyslab_region_mark(region), 0);
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_region_destroy(region), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_region_destroy(inner), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_region_on_exit(region, note, NULL), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_region_create_child(inner, &none), PYSLAB_EBUSY);
    made_in_end = pyslab_region_alloc(region, 6000);
    EXPECT(made_in_end != NULL);
    memset(made_in_end, 1, 6000);
    EXPECT(pyslab_region_alloc(inner, 6000) != NULL);
    EXPECT(pyslab_region_alloc(inner, 600000) != NULL);
    rig_validate(arena);
}

/* An end may allocate; every other call on a region around it is refused. */
static void calls_in_an_end(void)
{
    begin();
    for (int round = 0; round < 3; round++) {
        made_in_end = NULL;
        EXPECT_EQ(pyslab_region_create_child(region, &inner), PYSLAB_OK);
        EXPECT_EQ(pyslab_region_on_exit(inner, use_everything, NULL), PYSLAB_OK);
        EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
        EXPECT(made_in_end != NULL);
        EXPECT_EQ(stats_of(region).used_bytes, 0);
        rig_validate(arena);
    }
    end();
}

/* An arena may go with regions in it; nothing is called, the records go. */
static void the_arena_goes_first(void)
{
    pyslab_region *child = NULL;
    size_t heap;

    pyslab_arena_destroy(rig_arena(MIB, 8));
    heap = os_heap_live_bytes();
    begin();
    on_exit_of(region, "a");
    EXPECT_EQ(pyslab_region_create_child(region, &child), PYSLAB_OK);
    EXPECT(pyslab_region_alloc(child, 100) != NULL);
    EXPECT(pyslab_region_mark(child) != 0);
    pyslab_arena_destroy(arena);
    expect_journal("");
    EXPECT_LE(os_heap_live_bytes(), heap + 64); /* the record of this thread */
}

/* --- callbacks, threads, fork -------------------------------------------------- */

static uint64_t count_some(void *context)
{
    (void)context;
    return 1000;
}

static int64_t scan_by_using(uint64_t nr, void *context)
{
    void **held = context;

    (void)nr;
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_region_destroy(region), PYSLAB_EBUSY);
    if (*held != NULL) {
        EXPECT_EQ(pyslab_kfree(arena, *held), PYSLAB_OK);
        *held = NULL;
        EXPECT(pyslab_region_alloc(region, 9000) != NULL); /* in the middle of the other */
        return 1;
    }
    return -1;
}

/* A shrinker may free, and allocate from the region that asked. */
static void reentry(void)
{
    pyslab_shrinker_options options = {.struct_size = sizeof options,
                                       .seeks = 2,
                                       .batch = 128,
                                       .count = count_some,
                                       .scan = scan_by_using};
    pyslab_shrinker *shrinker = NULL;
    void *held, *p;

    begin_sized(MIB, 0);
    held = pyslab_kmalloc(arena, 200 * KIB, KERNEL);
    options.context = &held;
    EXPECT_EQ(pyslab_register_shrinker(arena, &options, &shrinker), PYSLAB_OK);
    while (held != NULL) {
        p = pyslab_region_alloc(region, 9000);
        REQUIRE(p != NULL);
        memset(p, 0x21, 9000);
    }
    rig_validate(arena);
    pyslab_unregister_shrinker(shrinker);
    end();
}

#define ROUNDS (UNDER_TSAN ? 300u : 2000u)

static void *bump_away(void *seed)
{
    struct rng rng = {(uintptr_t)seed};
    pyslab_region *mine = NULL;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t mark;

        if (mine == NULL)
            EXPECT_EQ(pyslab_region_create(arena, rng_below(&rng, 9000), &mine), PYSLAB_OK);
        mark = pyslab_region_mark(mine);
        for (unsigned k = rng_below(&rng, 50); k > 0; k--) {
            size_t size = 1 + rng_below(&rng, k == 7 ? 100000 : 500);
            unsigned char *p = pyslab_region_alloc(mine, size);

            if (p != NULL)
                p[0] = p[size - 1] = (unsigned char)k;
        }
        if (rng_below(&rng, 3) == 0)
            EXPECT_EQ(pyslab_region_rewind(mine, mark), PYSLAB_OK);
        if (rng_below(&rng, 9) == 0) {
            EXPECT_EQ(pyslab_region_destroy(mine), PYSLAB_OK);
            mine = NULL;
        }
    }
    if (mine != NULL)
        EXPECT_EQ(pyslab_region_destroy(mine), PYSLAB_OK);
    return NULL;
}

/* Each thread has regions of its own, in one arena. */
static void threads(void)
{
    pthread_t thread[3];

    begin_sized(64 * MIB, 0);
    for (uintptr_t i = 0; i < 3; i++)
        REQUIRE(pthread_create(&thread[i], NULL, bump_away, (void *)(i + 1)) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    end();
}

static void child_uses_the_region(void)
{
    EXPECT(pyslab_region_alloc(region, 100000) != NULL);
    EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    EXPECT(pyslab_region_alloc(region, 100) != NULL);
    rig_validate(arena);
    EXPECT_EQ(pyslab_region_destroy(region), PYSLAB_OK);
    rig_validate(arena);
}

/* A forked child has a copy. */
static void forking(void)
{
    char *p;

    if (UNDER_TSAN)
        return;
    begin();
    p = pyslab_region_alloc(region, 100);
    memset(p, 0x42, 100);
    EXPECT_EQ(check_child(child_uses_the_region), 0);
    EXPECT(rig_is_filled(p, 100, 0x42));
    end();
}

/* --- contracts ----------------------------------------------------------- */

static void run_ends_of_an_idle_region(void)
{
    region_run_ends(region, 0);
}

static void nothing_to_do(void *unused)
{
    (void)unused;
}

static void delete_with_an_end(void)
{
    (void)pyslab_region_on_exit(region, nothing_to_do, NULL);
    region_delete(region);
}

/* A count of blocks that is off by one is found by the region's next slow paths. */
static void count_one_block_too_many(void)
{
    region->nr_blocks++;
    for (int i = 0; i < 20; i++)
        (void)pyslab_region_alloc(region, 100000);
}

/* Broken preconditions and wrong counts end the process, each by its own check. */
static void contracts(void)
{
    begin();
    EXPECT(check_stops(run_ends_of_an_idle_region, "root->nr_busy != 0"));
    EXPECT(check_stops(delete_with_an_end, "region->ends == NULL"));
    if (PYSLAB_CHECK_LEVEL >= 2)
        EXPECT(check_stops(count_one_block_too_many, "blocks of"));
    end();
}

static const struct test tests[] = {
    TEST(ends_run_in_reverse),
    TEST(children_end_in_any_order),
    TEST(deep_nesting),
    TEST(calls_in_an_end),
    TEST(the_arena_goes_first),
    TEST(reentry),
    TEST(threads),
    TEST(forking),
    TEST(contracts),
};

TEST_MAIN(tests)

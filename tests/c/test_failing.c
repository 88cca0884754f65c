/* test_failing.c - holds down page_alloc/fault_attr.h: each rule by itself; every kind of
 * allocation asks; names of caches; one thread or all; one arena or all; what does not fail;
 * nothing is left behind; arenas that go first; fork. */
#include "rig.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static pyslab_arena *arena;
static pyslab_failing *failing;

static void begin(void)
{
    arena = rig_arena(32 * MIB, 10);
}

static void end(void)
{
    rig_end(arena);
}

static pyslab_failing_options of(uint64_t nth)
{
    return (pyslab_failing_options){.struct_size = sizeof(pyslab_failing_options), .nth = nth};
}

static void start(pyslab_arena *whose, pyslab_failing_options options)
{
    EXPECT_EQ(pyslab_failing_begin(whose, &options, &failing), PYSLAB_OK);
}

static void stop(uint64_t nr_calls, uint64_t nr_failures)
{
    pyslab_failing_stats stats;

    pyslab_failing_read(failing, &stats);
    EXPECT_EQ(stats.nr_calls, nr_calls);
    EXPECT_EQ(stats.nr_failures, nr_failures);
    pyslab_failing_end(failing);
}

/* One allocation and its free; false: it failed. */
static bool works(size_t size)
{
    void *p = pyslab_kmalloc(arena, size, KERNEL);

    if (p != NULL)
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    return p != NULL;
}

/* --- the rules ---------------------------------------------------------------- */

static void the_nth_fails(void)
{
    begin();
    EXPECT(works(64)); /* the sheaves have objects, which are not to be handed out unseen */
    start(arena, of(3));
    for (unsigned i = 1; i <= 10; i++)
        EXPECT_EQ(works(64), i != 3);
    stop(10, 1);
    EXPECT(works(64));
    end();
}

static void intervals_and_times(void)
{
    pyslab_failing_options options = of(0);

    begin();
    options.interval = 4;
    options.times = 2;
    start(arena, options);
    for (unsigned i = 1; i <= 20; i++)
        EXPECT_EQ(works(100), i != 4 && i != 8);
    stop(20, 2);
    end();
}

static void space_comes_first(void)
{
    pyslab_failing_options options = of(0);

    begin();
    options.space_bytes = 1000;
    start(arena, options);
    for (unsigned i = 1; i <= 12; i++)
        EXPECT_EQ(works(100), i <= 9); /* the kernel's rule: more than the size must be left */
    stop(12, 3);
    end();
}

static uint64_t failures_of(uint64_t seed, uint32_t probability)
{
    pyslab_failing_options options = of(0);
    pyslab_failing_stats stats;

    options.seed = seed;
    options.probability = probability;
    start(arena, options);
    for (unsigned i = 0; i < 10000; i++)
        (void)works(32);
    pyslab_failing_read(failing, &stats);
    pyslab_failing_end(failing);
    EXPECT_EQ(stats.nr_calls, 10000);
    return stats.nr_failures;
}

/* 10,000 calls at 10 %: within five standard deviations, which are 30 calls each. */
static void chance_is_fair_and_repeats(void)
{
    uint64_t first;

    begin();
    first = failures_of(7, 100000);
    EXPECT(first > 850 && first < 1150);
    EXPECT_EQ(failures_of(7, 100000), first);
    EXPECT_EQ(failures_of(8, 1000000), 10000);
    end();
}

/* --- who is asked ------------------------------------------------------------- */

static bool region_works(void)
{
    pyslab_region *region;
    bool done;

    if (pyslab_region_create(arena, 0, &region) != PYSLAB_OK)
        return false;
    done = pyslab_region_alloc_aligned(region, 100, 16) != NULL;
    EXPECT_EQ(pyslab_region_destroy(region), PYSLAB_OK);
    return done;
}

static bool cache_works(void)
{
    pyslab_kmem_cache *cache;
    pyslab_sheaf *sheaf;
    void *p;

    if (pyslab_kmem_cache_create(arena, "things", 40, NULL, &cache) != PYSLAB_OK)
        return false;
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    sheaf = p != NULL ? pyslab_kmem_cache_prefill_sheaf(cache, KERNEL, 3) : NULL;
    if (sheaf != NULL)
        pyslab_kmem_cache_return_sheaf(cache, sheaf);
    if (p != NULL)
        EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    return sheaf != NULL;
}

static bool frames_work(void)
{
    uint32_t pfn = pyslab_alloc_pages(arena, 2, KERNEL), singles[4];

    if (pfn == PFN_NONE)
        return false;
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 2), PYSLAB_OK);
    if (pyslab_alloc_pages_bulk(arena, KERNEL, 4, singles) == 0)
        return false;
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(pyslab_free_pages(arena, singles[i], 0), PYSLAB_OK);
    return true;
}

static bool blocks_work(void)
{
    void *p = pyslab_kmalloc(arena, 2 * MIB, KERNEL), *grown;

    if (p == NULL)
        return false;
    grown = pyslab_krealloc(arena, p, 3 * MIB, KERNEL);
    EXPECT_EQ(pyslab_kfree(arena, grown != NULL ? grown : p), PYSLAB_OK);
    if (grown == NULL || (p = pyslab_kmalloc_aligned(arena, 100, 256, KERNEL)) == NULL)
        return false;
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    p = pyslab_vmalloc(arena, 3 * PAGE_SIZE, KERNEL);
    if (p != NULL)
        EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    return p != NULL;
}

/* Each step fails once, is without effect then, and the next failure comes one step later. */
static void each_step_fails_once(bool (*work)(void), uint64_t nr_steps)
{
    uint64_t failures, used;

    EXPECT(work());
    failures = rig_stats(arena).alloc_failures;
    used = pyslab_arena_used(arena);
    for (uint64_t nth = 1; nth <= nr_steps; nth++) {
        start(arena, of(nth));
        EXPECT(!work());
        stop(nth, 1);
        rig_validate(arena);
    }
    start(arena, of(nr_steps + 1));
    EXPECT(work());
    stop(nr_steps, 0);
    EXPECT_GE(rig_stats(arena).alloc_failures, failures);
    EXPECT_LE(pyslab_arena_used(arena), used);
}

static void every_kind_asks(void)
{
    begin();
    each_step_fails_once(region_works, 2);
    each_step_fails_once(cache_works, 3);
    each_step_fails_once(frames_work, 2);
    each_step_fails_once(blocks_work, 4);
    end();
}

static void mempools_have_their_reserve(void)
{
    pyslab_kmem_cache *cache;
    pyslab_mempool *pool;
    void *p;

    begin();
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "things", 40, NULL, &cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_create(cache, 1, &pool), PYSLAB_OK);
    start(arena, of(0));
    p = pyslab_mempool_alloc(pool, KERNEL);
    EXPECT(p != NULL);
    EXPECT_PTR(pyslab_mempool_alloc(pool, KERNEL), NULL);
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_OK);
    stop(2, 2);
    EXPECT_EQ(pyslab_mempool_destroy(pool), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    end();
}

static void caches_are_named(void)
{
    pyslab_failing_options options = of(0);

    begin();
    options.cache = "kmalloc-64";
    start(arena, options);
    EXPECT(works(100) && !works(64) && works(3 * MIB));
    stop(1, 1);
    options.cache = "kmalloc-1*";
    start(arena, options);
    EXPECT(!works(100) && works(64) && works(3 * MIB));
    stop(1, 1);
    end();
}

/* --- whose calls ---------------------------------------------------------------- */

static void *works_elsewhere(void *unused)
{
    (void)unused;
    EXPECT(works(100));
    return NULL;
}

static void one_thread_or_all(void)
{
    pyslab_failing_options options = of(0);
    pthread_t thread;

    begin();
    options.this_thread = 1;
    start(arena, options);
    EXPECT(pthread_create(&thread, NULL, works_elsewhere, NULL) == 0);
    pthread_join(thread, NULL);
    EXPECT(!works(100));
    stop(1, 1);
    end();
}

static void one_arena_or_all(void)
{
    pyslab_arena_options options = rig_options(16 * MIB, 10);
    pyslab_arena *other = rig_arena(16 * MIB, 10), *made = NULL;

    begin();
    start(arena, of(0));
    EXPECT(!works(100));
    EXPECT(pyslab_kmalloc(other, 100, KERNEL) != NULL);
    stop(1, 1);
    start(NULL, of(3));
    EXPECT(works(100));
    EXPECT(pyslab_kmalloc(other, 100, KERNEL) != NULL);
    EXPECT_EQ(pyslab_arena_create(&options, &made), PYSLAB_ENOMEM);
    EXPECT_EQ(pyslab_arena_create(&options, &made), PYSLAB_OK);
    EXPECT(pyslab_kmalloc(made, 100, KERNEL) != NULL);
    stop(5, 1);
    start(NULL, of(1));
    EXPECT_PTR(pyslab_kmalloc(made, 100, KERNEL), NULL);
    stop(1, 1);
    EXPECT_EQ(pyslab_arena_destroy(made), PYSLAB_OK);
    EXPECT_EQ(pyslab_arena_destroy(other), PYSLAB_OK);
    end();
}

static void an_arena_may_go_first(void)
{
    begin();
    start(arena, of(1));
    rig_end(arena);
    stop(0, 0);
    begin();
    start(NULL, of(1));
    rig_end(arena);
    stop(0, 0);
}

/* --- what does not fail --------------------------------------------------------- */

static void some_calls_never_fail(void)
{
    void *p;

    begin();
    start(arena, of(0));
    p = pyslab_kmalloc(arena, 100, KERNEL | PYSLAB_GFP_NOFAIL);
    EXPECT(p != NULL);
    EXPECT_PTR(pyslab_krealloc(arena, p, 50, KERNEL), p);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT(pyslab_kmalloc(arena, 0, KERNEL) != NULL); /* no memory is asked for */
    stop(0, 0);
    end();
}

static void wrong_options_are_refused(void)
{
    pyslab_failing_options options = of(1);

    begin();
    EXPECT_EQ(pyslab_failing_begin(arena, NULL, &failing), PYSLAB_EINVAL);
    options.probability = 1000001;
    EXPECT_EQ(pyslab_failing_begin(arena, &options, &failing), PYSLAB_EINVAL);
    options = of(1);
    options.this_thread = 2;
    EXPECT_EQ(pyslab_failing_begin(arena, &options, &failing), PYSLAB_EINVAL);
    options = of(1);
    options.cache = "";
    EXPECT_EQ(pyslab_failing_begin(arena, &options, &failing), PYSLAB_EINVAL);
    options.cache = "a name that is longer than any cache has one";
    EXPECT_EQ(pyslab_failing_begin(arena, &options, &failing), PYSLAB_EINVAL);
    options = of(1);
    options.struct_size = 8;
    EXPECT_EQ(pyslab_failing_begin(arena, &options, &failing), PYSLAB_EINVAL);
    pyslab_failing_end(NULL);
    end();
}

/* Several rules at once: each has counts of its own, and a call fails if one says so. */
static void rules_overlap(void)
{
    pyslab_failing *outer;

    begin();
    start(arena, of(2));
    outer = failing;
    start(arena, of(1));
    EXPECT(!works(100) && !works(100) && works(100));
    stop(3, 1);
    failing = outer;
    stop(3, 1);
    end();
}

static void a_child_has_its_own(void)
{
    int status;
    pid_t pid;

    begin();
    start(arena, of(2));
    EXPECT(works(100));
    pid = fork();
    if (pid == 0) {
        EXPECT(!works(100) && works(100));
        stop(3, 1);
        _exit(check_nr_failures != 0);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    stop(1, 0);
    end();
}

static const struct test tests[] = {
    TEST(the_nth_fails),         TEST(intervals_and_times),
    TEST(space_comes_first),     TEST(chance_is_fair_and_repeats),
    TEST(every_kind_asks),       TEST(mempools_have_their_reserve),
    TEST(caches_are_named),      TEST(one_thread_or_all),
    TEST(one_arena_or_all),      TEST(an_arena_may_go_first),
    TEST(some_calls_never_fail), TEST(wrong_options_are_refused),
    TEST(rules_overlap),         TEST(a_child_has_its_own),
};

TEST_MAIN(tests)

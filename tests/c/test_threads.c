/* test_threads.c - holds down the whole arena under many threads: blocks freed by other
 * threads than took them, threads that come and go, random use with content checks,
 * arenas and caches of one's own beside shared ones. Every test ends with validate and
 * with nothing live. Made to be run under ThreadSanitizer as well. */
#include "rig_threads.h"

#include "page_alloc/shelf.h"

#include <sched.h>

#define NR_THREADS 4u
#define ROUNDS (UNDER_TSAN ? 4000u : 20000u)

static pyslab_arena *arena;
static atomic_bool stop;

static size_t random_size(struct rng *rng)
{
    switch (rng_below(rng, 10)) {
    case 0:
        return 1 + rng_below(rng, 100000);
    case 1:
        return 1 + rng_below(rng, 600000);
    default:
        return 1 + rng_below(rng, 2000);
    }
}

/* A block carries its size and a byte, so that whoever frees it can check it. */
struct cargo {
    size_t size;
    unsigned char byte;
};

static void *pack(struct rng *rng, uint32_t gfp)
{
    size_t size = sizeof(struct cargo) + random_size(rng);
    struct cargo *cargo = pyslab_kmalloc(arena, size, gfp);

    if (cargo == NULL)
        return NULL;
    if (gfp & PYSLAB_GFP_ZERO)
        EXPECT(rig_is_filled(cargo, size, 0));
    cargo->size = size;
    cargo->byte = (unsigned char)rng_next(rng);
    memset(cargo + 1, cargo->byte, size - sizeof *cargo);
    return cargo;
}

static void unpack(void *p)
{
    struct cargo *cargo = p;

    EXPECT(rig_is_filled(cargo + 1, cargo->size - sizeof *cargo, cargo->byte));
    EXPECT_GE(pyslab_ksize(arena, p), cargo->size);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
}

/* --- each its own ------------------------------------------------------- */

static void *churn(void *seed)
{
    struct rng rng = {(uintptr_t)seed};
    void *block[200] = {NULL};

    for (unsigned step = 0; step < ROUNDS; step++) {
        uint32_t i = rng_below(&rng, ARRAY_SIZE(block));

        if (block[i] == NULL)
            block[i] = pack(&rng, rng_below(&rng, 3) == 0 ? ZEROED : KERNEL);
        else {
            unpack(block[i]);
            block[i] = NULL;
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(block); i++)
        if (block[i] != NULL)
            unpack(block[i]);
    return NULL;
}

/* Random kmalloc and kfree in each thread. */
static void random_use(void)
{
    arena = rig_arena(256 * MIB, 18);
    rig_run_threads(churn, NR_THREADS);
    EXPECT_EQ(rig_stats(arena).alloc_failures, 0);
    rig_end_clean(arena);
}

/* The same where memory is short: failures are allowed, damage is not. */
static void random_use_under_pressure(void)
{
    arena = rig_arena(4 * MIB, 8);
    rig_run_threads(churn, NR_THREADS);
    rig_end_clean(arena);
}

/* --- from hand to hand -------------------------------------------------- */

#define NR_BOXES 64u

static void *_Atomic boxes[NR_BOXES];

static void *trade(void *seed)
{
    struct rng rng = {(uintptr_t)seed};

    for (unsigned step = 0; step < ROUNDS; step++) {
        void *mine = rng_below(&rng, 2) == 0 ? pack(&rng, KERNEL) : NULL;
        void *theirs = atomic_exchange(&boxes[rng_below(&rng, NR_BOXES)], mine);

        if (theirs != NULL)
            unpack(theirs);
    }
    return NULL;
}

/* Blocks are freed by whoever finds them. */
static void blocks_move_between_threads(void)
{
    arena = rig_arena(256 * MIB, 18);
    rig_run_threads(trade, NR_THREADS);
    for (unsigned i = 0; i < NR_BOXES; i++)
        if (boxes[i] != NULL)
            unpack(boxes[i]);
    rig_end_clean(arena);
}

static void *produce_or_consume(void *number)
{
    bool producer = (uintptr_t)number % 2 != 0;
    unsigned box = 0, left = ROUNDS * 4;
    struct rng rng = {(uintptr_t)number};

    for (; left > 0; box = (box + 1) % NR_BOXES) {
        void *expected = NULL, *p;

        if (!producer) {
            p = atomic_exchange(&boxes[box], NULL);
            if (p == NULL) {
                sched_yield();
                continue;
            }
            EXPECT(rig_is_filled(p, 64, 0x3c));
            EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
            left--;
            continue;
        }
        p = pyslab_kmalloc(arena, 64 + rng_below(&rng, 2) * 3000, KERNEL);
        if (p == NULL)
            abort();
        memset(p, 0x3c, 64);
        while (!atomic_compare_exchange_weak(&boxes[box], &expected, p)) {
            expected = NULL;
            box = (box + 1) % NR_BOXES;
            sched_yield();
        }
        left--;
    }
    return NULL;
}

/* One side only takes, the other only frees: memory comes round through the barn, and
 * the arena does not grow. */
static void producer_and_consumer(void)
{
    arena = rig_arena(256 * MIB, 18);
    rig_run_threads(produce_or_consume, 2);
    EXPECT_LE(rig_stats(arena).peak_used_pages, 8 * MIB / PAGE_SIZE);
    rig_run_threads(produce_or_consume, 4);
    rig_end_clean(arena);
}

/* --- threads come and go ------------------------------------------------ */

static void *short_life(void *seed)
{
    struct rng rng = {(uintptr_t)seed};

    for (int i = 0; i < 30; i++) {
        void *old = atomic_exchange(&boxes[rng_below(&rng, NR_BOXES)], pack(&rng, KERNEL));

        if (old != NULL)
            unpack(old);
    }
    return NULL;
}

/* What a thread took outlives it; what it cached does not stay behind. */
static void thread_churn(void)
{
    pyslab_arena_stats stats;
    uint64_t live = 0;
    size_t heap;

    arena = rig_arena(256 * MIB, 18);
    (void)rig_stats(arena);
    rig_run_threads(short_life, 8);
    heap = os_heap_live_bytes();
    for (int round = 0; round < 50; round++)
        rig_run_threads(short_life, 8);
    EXPECT_LE(os_heap_live_bytes(), heap + 300 * KIB); /* the barns' sheaves only */
    for (unsigned i = 0; i < NR_BOXES; i++)
        live += boxes[i] != NULL;
    stats = rig_stats(arena);
    EXPECT_EQ(stats.live_objects + stats.large_count, live);
    EXPECT_EQ(stats.pcp_pages, shelf_pages(&arena->pages)); /* which is no thread's */
    rig_validate(arena);
    for (unsigned i = 0; i < NR_BOXES; i++)
        if (boxes[i] != NULL)
            unpack(boxes[i]);
    rig_end_clean(arena);
}

/* --- other calls at the same time --------------------------------------- */

static void *own_arena_and_cache(void *seed)
{
    struct rng rng = {(uintptr_t)seed};

    for (unsigned step = 0; step < 60; step++) {
        pyslab_arena *mine = rig_arena(MIB, 8);
        pyslab_kmem_cache *cache = NULL;
        void *p[20], *q = pack(&rng, KERNEL);

        EXPECT_EQ(pyslab_kmem_cache_create(arena, "mine", 100, NULL, &cache), PYSLAB_OK);
        EXPECT_EQ(pyslab_kmem_cache_alloc_bulk(cache, KERNEL, 20, p), 20);
        EXPECT(pyslab_kmalloc(mine, 1000, KERNEL) != NULL);
        for (int i = 0; i < 20; i++)
            EXPECT_EQ(pyslab_kmem_cache_free(cache, p[i]), PYSLAB_OK);
        EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
        unpack(q);
        rig_end(mine);
    }
    return NULL;
}

/* Arenas and caches of each thread's own, between uses of the shared arena. */
static void own_arenas_and_caches(void)
{
    arena = rig_arena(256 * MIB, 18);
    rig_run_threads(own_arena_and_cache, NR_THREADS);
    rig_end_clean(arena);
}

static void *look_on(void *seed)
{
    uint64_t nr_free[PYSLAB_MAX_ORDER + 1];

    (void)seed;
    while (!stop) {
        pyslab_cache_stats cache;
        pyslab_arena_stats stats = rig_stats(arena);

        EXPECT_LE(stats.free_pages, stats.managed_pages);
        EXPECT_LE(stats.live_objects, 1000000);
        EXPECT_LE(stats.cached_objects, 1000000);
        EXPECT_EQ(pyslab_arena_cache_stats(arena, 3, &cache), PYSLAB_OK);
        (void)pyslab_arena_buddyinfo(arena, 0, nr_free, PYSLAB_MAX_ORDER + 1);
    }
    return NULL;
}

static void *give_back(void *seed)
{
    (void)seed;
    while (!stop)
        pyslab_arena_release_unused(arena);
    return NULL;
}

static void churn_beside(void *(*other)(void *))
{
    pthread_t thread;

    stop = false;
    REQUIRE(pthread_create(&thread, NULL, other, NULL) == 0);
    rig_run_threads(churn, 2);
    stop = true;
    pthread_join(thread, NULL);
}

/* Statistics are read while others work: inexact, never absurd. */
static void statistics_beside_work(void)
{
    arena = rig_arena(256 * MIB, 18);
    churn_beside(look_on);
    rig_end_clean(arena);
}

/* Memory is given back while others work: contents stay, and nobody is refused. */
static void release_beside_work(void)
{
    arena = rig_arena(256 * MIB, 18);
    churn_beside(give_back);
    EXPECT_EQ(rig_stats(arena).alloc_failures, 0);
    rig_end_clean(arena);
}

/* --- references --------------------------------------------------------- */

static uint32_t shared_pfn;

static void *get_and_put(void *seed)
{
    (void)seed;
    for (unsigned i = 0; i < ROUNDS; i++) {
        EXPECT_EQ(pyslab_get_page(arena, shared_pfn), PYSLAB_OK);
        EXPECT_EQ(pyslab_put_page(arena, shared_pfn), PYSLAB_OK);
    }
    EXPECT_EQ(pyslab_put_page(arena, shared_pfn), PYSLAB_OK);
    return NULL;
}

/* References counted by many threads: the last one frees, no earlier one. */
static void references(void)
{
    arena = rig_arena(MIB, 8);
    shared_pfn = pyslab_alloc_pages(arena, 4, KERNEL);
    for (unsigned i = 0; i < NR_THREADS; i++)
        EXPECT_EQ(pyslab_get_page(arena, shared_pfn), PYSLAB_OK);
    rig_run_threads(get_and_put, NR_THREADS);
    EXPECT_EQ(pyslab_page_count(arena, shared_pfn), 1);
    EXPECT_EQ(pyslab_put_page(arena, shared_pfn), PYSLAB_OK);
    EXPECT_EQ(pyslab_put_page(arena, shared_pfn), PYSLAB_EDOUBLE);
    rig_end_clean(arena);
}

static const struct test tests[] = {
    TEST(random_use),
    TEST(random_use_under_pressure),
    TEST(producer_and_consumer),
    TEST(blocks_move_between_threads),
    TEST(thread_churn),
    TEST(own_arenas_and_caches),
    TEST(statistics_beside_work),
    TEST(release_beside_work),
    TEST(references),
};

TEST_MAIN(tests)

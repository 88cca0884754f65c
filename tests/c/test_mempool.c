/* test_mempool.c - holds down the mempool: the cache first and the reserve last, exactly
 * min_nr objects of it when the arena is full, frees that refill it before the cache,
 * resizing, misuse, what keeps a cache alive, waiting, threads, fork. The recount is in
 * test_slab_misuse.c. */
#include "slab/mempool.h"

#include "rig.h"

#include <pthread.h>

#define MOST 20000u

static pyslab_arena *arena;
static pyslab_kmem_cache *cache;
static pyslab_mempool *pool;
static void *held[MOST];

static void begin_sized(size_t arena_bytes, size_t size, size_t min_nr)
{
    arena = rig_arena(arena_bytes, 10);
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "pooled", size, NULL, &cache), PYSLAB_OK);
    if (pyslab_mempool_create(cache, min_nr, &pool) != PYSLAB_OK)
        abort();
}

static void begin(size_t min_nr)
{
    begin_sized(MIB, 600, min_nr);
}

static pyslab_mempool_stats figures(void)
{
    pyslab_mempool_stats stats;

    pyslab_mempool_stats_read(pool, &stats);
    return stats;
}

static void expect_figures(uint32_t min_nr, uint32_t curr_nr, uint64_t nr_outstanding,
                           uint64_t nr_from_reserve)
{
    pyslab_mempool_stats stats = figures();

    EXPECT_EQ(stats.min_nr, min_nr);
    EXPECT_EQ(stats.curr_nr, curr_nr);
    EXPECT_EQ(stats.nr_outstanding, nr_outstanding);
    EXPECT_EQ(stats.nr_from_reserve, nr_from_reserve);
}

/* Everything is back: pool and cache can go, and nothing is left. */
static void end(void)
{
    rig_validate(arena);
    EXPECT_EQ(pyslab_mempool_destroy(pool), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    EXPECT_EQ(rig_stats(arena).live_objects, 0);
    pyslab_arena_release_unused(arena);
    EXPECT_EQ(rig_stats(arena).free_pages, rig_stats(arena).managed_pages);
    rig_end(arena);
}

/* Takes every object that the cache can still give, and every frame. */
static size_t fill_arena(void)
{
    size_t nr = 0;

    while (nr < MOST && (held[nr] = pyslab_kmalloc(arena, 4096, KERNEL)) != NULL)
        nr++;
    while (nr < MOST && (held[nr] = pyslab_kmem_cache_alloc(cache, KERNEL)) != NULL)
        nr++;
    EXPECT(nr < MOST);
    return nr;
}

static void empty_arena(size_t nr)
{
    while (nr > 0)
        EXPECT_EQ(pyslab_kfree(arena, held[--nr]), PYSLAB_OK);
}

/* --- the order ------------------------------------------------------------ */

/* While there is memory the reserve is not touched. */
static void the_cache_comes_first(void)
{
    void *p[100];

    begin(8);
    expect_figures(8, 8, 0, 0);
    EXPECT_EQ(rig_stats(arena).live_objects, 0);
    for (int i = 0; i < 100; i++)
        REQUIRE((p[i] = pyslab_mempool_alloc(pool, KERNEL)) != NULL);
    expect_figures(8, 8, 100, 0);
    EXPECT_EQ(rig_stats(arena).live_objects, 100);
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(pyslab_mempool_free(pool, p[i]), PYSLAB_OK);
    expect_figures(8, 8, 0, 0);
    end();
}

static void serve_exactly(uint32_t min_nr, uint32_t gfp)
{
    void *p[64];
    size_t nr;

    begin(min_nr);
    nr = fill_arena();
    for (uint32_t i = 0; i < min_nr; i++) {
        REQUIRE((p[i] = pyslab_mempool_alloc(pool, gfp)) != NULL);
        EXPECT(!(gfp & PYSLAB_GFP_ZERO) || rig_is_filled(p[i], 600, 0));
        memset(p[i], (int)i + 1, 600);
        expect_figures(min_nr, min_nr - i - 1, i + 1, i + 1);
    }
    EXPECT_PTR(pyslab_mempool_alloc(pool, gfp), NULL);
    expect_figures(min_nr, 0, min_nr, min_nr);
    rig_validate(arena);
    for (uint32_t i = 0; i < min_nr; i++) {
        EXPECT(rig_is_filled(p[i], 600, (unsigned char)(i + 1)));
        EXPECT_EQ(pyslab_mempool_free(pool, p[i]), PYSLAB_OK);
        expect_figures(min_nr, i + 1, min_nr - i - 1, min_nr);
    }
    EXPECT_PTR(pyslab_kmem_cache_alloc(cache, KERNEL), NULL);
    empty_arena(nr);
    end();
}

/* In a full arena there are min_nr objects, no more and no fewer, whatever the mask. */
static void the_reserve_serves_exactly_min_nr(void)
{
    serve_exactly(1, KERNEL);
    serve_exactly(17, KERNEL);
    serve_exactly(64, ZEROED);
    serve_exactly(5, PYSLAB_GFP_ATOMIC);
    serve_exactly(5, PYSLAB_GFP_NOWAIT);
    serve_exactly(5, PYSLAB_GFP_KERNEL | PYSLAB_GFP_NOFAIL);
}

/* Objects that came from the cache fill the reserve as well as its own. */
static void frees_refill_the_reserve_first(void)
{
    void *p[12];
    size_t nr;

    begin(4);
    for (int i = 0; i < 8; i++)
        REQUIRE((p[i] = pyslab_mempool_alloc(pool, KERNEL)) != NULL);
    nr = fill_arena();
    for (int i = 8; i < 12; i++)
        REQUIRE((p[i] = pyslab_mempool_alloc(pool, KERNEL)) != NULL);
    expect_figures(4, 0, 12, 4);
    for (uint32_t i = 0; i < 4; i++) {
        EXPECT_EQ(pyslab_mempool_free(pool, p[i]), PYSLAB_OK);
        expect_figures(4, i + 1, 11 - i, 4);
        EXPECT_PTR(pyslab_kmem_cache_alloc(cache, KERNEL), NULL);
    }
    EXPECT_EQ(pyslab_mempool_free(pool, p[4]), PYSLAB_OK);
    expect_figures(4, 4, 7, 4);
    EXPECT_PTR(pyslab_mempool_alloc(pool, KERNEL), p[4]); /* the cache had it */
    expect_figures(4, 4, 8, 4);
    for (int i = 4; i < 12; i++)
        EXPECT_EQ(pyslab_mempool_free(pool, p[i]), PYSLAB_OK);
    empty_arena(nr);
    end();
}

static unsigned nr_scans;

static uint64_t count_one(void *context)
{
    (void)context;
    return 1000;
}

static int64_t scan_none(uint64_t nr, void *context)
{
    (void)nr, (void)context;
    nr_scans++;
    return -1;
}

static uint64_t nr_reclaims(void)
{
    return load_relaxed(&arena->pages.reclaim.events[PYSLAB_VM_DIRECT_RECLAIM]);
}

static int oom_asked(size_t nbytes, uint32_t zone, void *context)
{
    (void)nbytes, (void)zone;
    ++*(unsigned *)context;
    return 0;
}

/* Who may reclaim does so before the reserve is used; nobody asks on_oom. */
static void reclaim_comes_before_the_reserve(void)
{
    pyslab_shrinker_options options = {.struct_size = sizeof options,
                                       .seeks = 2,
                                       .batch = 128,
                                       .count = count_one,
                                       .scan = scan_none};
    pyslab_shrinker *shrinker = NULL;
    unsigned nr_asked = 0;
    uint64_t before;
    void *p[3];
    size_t nr;

    begin(3);
    nr = fill_arena();
    EXPECT_EQ(pyslab_register_shrinker(arena, &options, &shrinker), PYSLAB_OK);
    pyslab_arena_set_oom(arena, oom_asked, &nr_asked);
    nr_scans = 0;
    before = nr_reclaims();
    p[0] = pyslab_mempool_alloc(pool, PYSLAB_GFP_NOWAIT);
    EXPECT_EQ(nr_scans + nr_reclaims() - before, 0);
    p[1] = pyslab_mempool_alloc(pool, KERNEL);
    EXPECT_GE(nr_scans, 1);
    EXPECT_EQ(nr_reclaims(), before + 1); /* the second try alone, in one pass */
    p[2] = pyslab_mempool_alloc(pool, KERNEL | PYSLAB_GFP_RETRY_MAYFAIL);
    EXPECT_PTR(pyslab_mempool_alloc(pool, KERNEL), NULL);
    EXPECT_EQ(nr_asked, 0);
    expect_figures(3, 0, 3, 3);
    pyslab_unregister_shrinker(shrinker);
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(pyslab_mempool_free(pool, p[i]), PYSLAB_OK);
    empty_arena(nr);
    end();
}

static int construct(void *object, void *context)
{
    (void)context;
    memset(object, 0x5c, 100);
    return 0;
}

/* Small objects, objects of whole frames, and constructed ones, whose state survives. */
static void every_kind_of_cache(void)
{
    pyslab_cache_options options = {.struct_size = sizeof options, .ctor = construct};
    size_t nr;

    for (size_t size = 8; size <= 8 * KIB; size *= 4) {
        void *p;

        begin_sized(4 * MIB, size, 3);
        p = pyslab_mempool_alloc(pool, KERNEL);
        REQUIRE(p != NULL);
        EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_OK);
        EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_EDOUBLE);
        end();
    }
    arena = rig_arena(MIB, 10);
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "ctor", 100, &options, &cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_create(cache, 5, &pool), PYSLAB_OK);
    nr = fill_arena();
    for (int i = 0; i < 5; i++) {
        void *p = pyslab_mempool_alloc(pool, KERNEL);

        EXPECT(rig_is_filled(p, 100, 0x5c));
        EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_OK);
    }
    expect_figures(5, 5, 0, 5);
    empty_arena(nr);
    end();
}

/* --- creation, size and end ----------------------------------------------- */

static void creation_is_all_or_nothing(void)
{
    pyslab_mempool *none = NULL;
    size_t heap, nr;

    begin(1);
    heap = os_heap_live_bytes();
    EXPECT_EQ(pyslab_mempool_create(cache, 0, &none), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_mempool_create(NULL, 1, &none), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_mempool_create(cache, 1, NULL), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_mempool_create(cache, SIZE_MAX, &none), PYSLAB_ENOMEM);
    EXPECT_EQ(pyslab_mempool_create(cache, (size_t)1 << 32, &none), PYSLAB_ENOMEM);
    EXPECT_EQ(os_heap_live_bytes(), heap);
    EXPECT_EQ(pyslab_mempool_create(cache, MIB / 600, &none), PYSLAB_ENOMEM);
    nr = fill_arena();
    EXPECT_EQ(pyslab_mempool_create(cache, 2, &none), PYSLAB_ENOMEM);
    EXPECT_PTR(none, NULL);
    empty_arena(nr);
    EXPECT_EQ(pyslab_mempool_create(cache, 1500, &none), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_destroy(none), PYSLAB_OK);
    end();
}

static void resizing(void)
{
    void *p[10];
    size_t nr;

    begin(4);
    EXPECT_EQ(pyslab_mempool_resize(pool, 0), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_mempool_resize(pool, 10), PYSLAB_OK);
    expect_figures(10, 10, 0, 0);
    nr = fill_arena();
    EXPECT_EQ(pyslab_mempool_resize(pool, 1000), PYSLAB_ENOMEM);
    EXPECT_EQ(pyslab_mempool_resize(pool, SIZE_MAX), PYSLAB_ENOMEM);
    expect_figures(10, 10, 0, 0);
    for (int i = 0; i < 10; i++)
        EXPECT((p[i] = pyslab_mempool_alloc(pool, KERNEL)) != NULL);
    EXPECT_EQ(pyslab_mempool_resize(pool, 3), PYSLAB_OK);
    expect_figures(3, 0, 10, 10);
    for (int i = 0; i < 5; i++)
        EXPECT_EQ(pyslab_mempool_free(pool, p[i]), PYSLAB_OK);
    expect_figures(3, 3, 5, 10);
    rig_validate(arena);
    empty_arena(nr);
    EXPECT_EQ(pyslab_mempool_resize(pool, 1), PYSLAB_OK);
    expect_figures(1, 1, 5, 10);
    EXPECT_EQ(pyslab_mempool_resize(pool, 50), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_resize(pool, 50), PYSLAB_OK);
    expect_figures(50, 50, 5, 10);
    for (int i = 5; i < 10; i++)
        EXPECT_EQ(pyslab_mempool_free(pool, p[i]), PYSLAB_OK);
    end();
}

/* Neither goes under who uses it. */
static void busy(void)
{
    pyslab_mempool *second = NULL;
    void *p;

    begin(2);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_EBUSY);
    p = pyslab_mempool_alloc(pool, KERNEL);
    EXPECT_EQ(pyslab_mempool_destroy(pool), PYSLAB_EBUSY);
    expect_figures(2, 2, 1, 0);
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_create(cache, 3, &second), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_destroy(second), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_mempool_destroy(NULL), PYSLAB_OK);
    end();
}

/* An arena may go with pools in it; their records go too. */
static void the_arena_goes_first(void)
{
    size_t heap;

    pyslab_arena_destroy(rig_arena(MIB, 8));
    heap = os_heap_live_bytes();
    begin(30);
    EXPECT(pyslab_mempool_alloc(pool, KERNEL) != NULL);
    EXPECT_EQ(pyslab_mempool_create(cache, 3, &pool), PYSLAB_OK);
    pyslab_arena_destroy(arena);
    EXPECT_LE(os_heap_live_bytes(), heap + 64); /* the record of this thread */
}

/* --- misuse ---------------------------------------------------------------- */

static void misuse(void)
{
    pyslab_kmem_cache *other = NULL;
    char *p, *q, *foreign;

    begin(2);
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "other", 600, NULL, &other), PYSLAB_OK);
    foreign = pyslab_kmem_cache_alloc(other, KERNEL);
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_EPOINTER); /* the pool has none out */
    q = pyslab_mempool_alloc(pool, KERNEL);
    for (int round = 0; round < 2; round++) {
        EXPECT_EQ(pyslab_mempool_free(pool, NULL), PYSLAB_OK);
        EXPECT_EQ(pyslab_mempool_free(pool, foreign), PYSLAB_ECACHE);
        EXPECT_EQ(pyslab_mempool_free(pool, q + 8), PYSLAB_EPOINTER);
        EXPECT_EQ(pyslab_mempool_free(pool, &q), PYSLAB_EPOINTER);
        if (round == 0) { /* and once more with room in the reserve */
            size_t nr = fill_arena();

            EXPECT_PTR(pyslab_mempool_alloc(pool, 0xf0000000), NULL); /* no gfp mask */
            expect_figures(2, 2, 1, 0);
            EXPECT(pyslab_mempool_alloc(pool, KERNEL) != NULL);
            empty_arena(nr);
        }
        expect_figures(2, 1, 2, 1);
    }
    EXPECT_EQ(pyslab_mempool_free(pool, q), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_free(pool, q), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_EDOUBLE); /* what is in the reserve is free */
    expect_figures(2, 2, 1, 1);
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_OK); /* any object of the cache will do */
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_EDOUBLE);
    rig_validate(arena);
    pyslab_arena_destroy(arena);
}

/* --- threads ---------------------------------------------------------------- */

static void *free_later(void *p)
{
    os_sleep_ms(30);
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_OK);
    return NULL;
}

/* A waiter is woken by the free, not by the end of its time. */
static void waiting(void)
{
    pthread_t thread;
    uint64_t start;
    void *p;
    size_t nr;

    begin(1);
    EXPECT(mempool_wait(pool, 10000));
    nr = fill_arena();
    p = pyslab_mempool_alloc(pool, KERNEL);
    start = os_time_ns();
    EXPECT(!mempool_wait(pool, 20));
    EXPECT_GE(os_time_ns() - start, 15000000u);
    REQUIRE(pthread_create(&thread, NULL, free_later, p) == 0);
    EXPECT(mempool_wait(pool, 15000));
    EXPECT_LE(os_time_ns() - start, 10000000000u);
    pthread_join(thread, NULL);
    expect_figures(1, 1, 0, 1);
    empty_arena(nr);
    end();
}

#define ROUNDS (UNDER_TSAN ? 3000u : 20000u)
#define NR_BOXES 16u

static void *_Atomic boxes[NR_BOXES];
static atomic_bool stop;

/* Objects go from hand to hand, and back to the pool by whoever has them. */
static void *trade(void *seed)
{
    struct rng rng = {(uintptr_t)seed};

    for (unsigned i = 0; i < ROUNDS; i++) {
        void *mine = rng_below(&rng, 2) == 0 ? pyslab_mempool_alloc(pool, KERNEL) : NULL, *old;

        if (mine != NULL)
            memset(mine, 0x3c, 600);
        old = atomic_exchange(&boxes[rng_below(&rng, NR_BOXES)], mine);
        if (old == NULL)
            continue;
        EXPECT(rig_is_filled(old, 600, 0x3c));
        EXPECT_EQ(pyslab_mempool_free(pool, old), PYSLAB_OK);
    }
    return NULL;
}

static void *resize_on_and_on(void *seed)
{
    struct rng rng = {(uintptr_t)seed};

    while (!stop) {
        int code = pyslab_mempool_resize(pool, 1 + rng_below(&rng, 12));

        EXPECT(code == PYSLAB_OK || code == PYSLAB_ENOMEM);
        (void)mempool_wait(pool, 1);
        EXPECT_LE(figures().curr_nr, 12);
    }
    return NULL;
}

static void trade_in_threads(bool full)
{
    pthread_t thread[3];
    size_t nr;

    begin(8);
    nr = full ? fill_arena() : 0;
    stop = false;
    for (uintptr_t i = 0; i < 2; i++)
        REQUIRE(pthread_create(&thread[i], NULL, trade, (void *)(i + 1)) == 0);
    REQUIRE(pthread_create(&thread[2], NULL, resize_on_and_on, (void *)(uintptr_t)9) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    stop = true;
    pthread_join(thread[2], NULL);
    for (unsigned i = 0; i < NR_BOXES; i++)
        EXPECT_EQ(pyslab_mempool_free(pool, atomic_exchange(&boxes[i], NULL)), PYSLAB_OK);
    EXPECT_EQ(figures().nr_outstanding, 0);
    EXPECT_EQ(figures().curr_nr, figures().min_nr);
    EXPECT_EQ(figures().nr_from_reserve != 0, full);
    empty_arena(nr);
    end();
}

static void threads(void)
{
    trade_in_threads(false);
    trade_in_threads(true);
}

/* --- fork -------------------------------------------------------------------- */

static void child_uses_the_pool(void)
{
    void *p = pyslab_mempool_alloc(pool, KERNEL);

    EXPECT(p != NULL);
    expect_figures(2, 1, 1, 1);
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_OK);
    EXPECT(mempool_wait(pool, 1));
    rig_validate(arena);
    EXPECT_EQ(pyslab_mempool_destroy(pool), PYSLAB_OK);
    rig_validate(arena);
}

/* A child has a reserve of its own. */
static void forking(void)
{
    size_t nr;

    if (UNDER_TSAN)
        return;
    begin(2);
    nr = fill_arena();
    for (int round = 0; round < 2; round++)
        EXPECT_EQ(check_child(child_uses_the_pool), 0);
    expect_figures(2, 2, 0, 0);
    empty_arena(nr);
    end();
}

static void child_beside_waiters(void)
{
    EXPECT_EQ(pyslab_mempool_free(pool, held[0]), PYSLAB_OK);
    EXPECT(mempool_wait(pool, 10));
    EXPECT_EQ(pyslab_mempool_destroy(pool), PYSLAB_OK);
}

static void *wait_for_long(void *unused)
{
    EXPECT(mempool_wait(pool, 15000));
    return unused;
}

/* Threads that wait are not in the child, which must not wait for them. */
static void forking_beside_waiters(void)
{
    pthread_t thread[2];

    if (UNDER_TSAN)
        return;
    begin(1);
    lock_acquire(&pool->lock); /* take the reserve as if memory were short */
    held[0] = cache_alloc_prefilled(cache, pool->reserve);
    pool->curr_nr = 0;
    pool->nr_outstanding = 1;
    lock_release(&pool->lock);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&thread[i], NULL, wait_for_long, NULL) == 0);
    os_sleep_ms(50);
    for (int round = 0; round < 5; round++)
        EXPECT_EQ(check_child(child_beside_waiters), 0);
    EXPECT_EQ(pyslab_mempool_free(pool, held[0]), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_resize(pool, 1), PYSLAB_OK); /* wakes all */
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    end();
}

static const struct test tests[] = {
    TEST(the_cache_comes_first),
    TEST(the_reserve_serves_exactly_min_nr),
    TEST(frees_refill_the_reserve_first),
    TEST(reclaim_comes_before_the_reserve),
    TEST(every_kind_of_cache),
    TEST(creation_is_all_or_nothing),
    TEST(resizing),
    TEST(busy),
    TEST(the_arena_goes_first),
    TEST(misuse),
    TEST(waiting),
    TEST(threads),
    TEST(forking),
    TEST(forking_beside_waiters),
};

TEST_MAIN(tests)

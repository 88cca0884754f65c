/* test_shrinker.c - holds down shrinkers: how many objects each is asked to scan (the
 * kernel's do_shrink_slab), what one may do while it runs, and its life: registered,
 * unregistered at any moment, released once when nobody runs it any more.
 *
 * Each vector was worked out by hand: delta = (freeable >> priority) * 4 / seeks, or half
 * of freeable where seeks is 0; total = (deferred >> priority) + delta, at most twice
 * freeable; scans of a batch while total holds a batch, or all that is freeable.
 * What it is not: when shrinkers are asked (test_reclaim.c). */
#include "page_alloc/shrinker.h"
#include "rig_zones.h"
#include <pthread.h>

static struct page_rig rig;
static pyslab_arena *arena;

/* --- the arithmetic ----------------------------------------------------- */

#define STOP (-1) /* scan answers so at once */
#define LITTLE 1  /* ... that one object went */
#define ALL 0     /* ... that all of them went */

/* One run of the only shrinker; what the one before deferred is still there. */
struct step {
    uint64_t freeable;
    unsigned priority;
    int answer;
    unsigned nr_scans; /* that are expected */
    uint64_t first;    /* objects in the first of them */
    uint64_t last;     /* in the last */
    uint64_t freed;    /* that the run reports */
    uint64_t scanned;  /* that are counted */
};

struct vector {
    uint32_t seeks;
    uint64_t batch;
    struct step step[5];
};

static const struct vector vectors[] = {
    /* 1000/2 = 500: three batches, 116 deferred; + 500 = 616: four, 104 deferred */
    {0, 0, {{1000, 12, ALL, 3, 128, 128, 384, 384}, {1000, 0, ALL, 4, 128, 128, 512, 512}}},
    /* 1000 >> 3 = 125, * 4 = 500; the 116 left count 116 >> 3 = 14: 514, four batches */
    {1, 0, {{1000, 3, ALL, 3, 128, 128, 384, 384}, {1000, 3, ALL, 4, 128, 128, 512, 512}}},
    /* 62 * 2 = 124, too few: deferred; 124 >> 4 = 7, + 124 = 131: one batch; 120 left;
     * priority 12 neither adds nor takes; at 0: 120 + 2000, capped at 2000: 15 batches */
    {2,
     0,
     {{1000, 4, ALL, 0, 0, 0, 0, 0},
      {1000, 4, ALL, 1, 128, 128, 128, 128},
      {1000, 12, ALL, 0, 0, 0, 0, 0},
      {1000, 0, ALL, 15, 128, 128, 1920, 1920}}},
    /* 1000 * 4 / 4 = 1000: seven batches, 104 left; the quotient is rounded down: 3 * 4 / 5 */
    {4, 0, {{1000, 0, ALL, 7, 128, 128, 896, 896}}},
    {5, 0, {{3, 0, ALL, 0, 0, 0, 0, 0}, {3, 0, ALL, 1, 4, 4, 4, 4}}},
    /* few objects: less than a batch, but twice all there are; nothing is left over */
    {2,
     0,
     {{5, 0, ALL, 1, 10, 10, 10, 10},
      {5, 12, ALL, 0, 0, 0, 0, 0},
      {5, 1, ALL, 0, 0, 0, 0, 0},   /* 2 * 2 = 4, deferred */
      {5, 1, ALL, 1, 6, 6, 6, 6}}}, /* 4 >> 1 = 2, + 4 */
    /* 50, deferred; then 50 + 50 = all */
    {0,
     0,
     {{100, 0, ALL, 0, 0, 0, 0, 0},
      {100, 0, ALL, 1, 100, 100, 100, 100},
      {100, 0, ALL, 0, 0, 0, 0, 0}}},
    /* a batch of ten: 25 * 2 = 50 */
    {2, 10, {{100, 2, ALL, 5, 10, 10, 50, 50}}},
    /* a batch larger than everything: twice freeable in one scan */
    {2, 1024, {{100, 0, ALL, 1, 200, 200, 200, 200}}},
    {2, UINT64_MAX, {{100, 0, ALL, 1, 200, 200, 200, 200}}},
    /* nothing to free: neither asked nor remembered */
    {2, 0, {{0, 0, ALL, 0, 0, 0, 0, 0}, {1, 0, ALL, 1, 2, 2, 2, 2}}},
    /* a stop is not counted; 200 deferred, then 400 but at most twice freeable: 200 again,
     * and at last 200 + 200, capped at 200, one batch, and 72 are too few */
    {2,
     0,
     {{100, 0, STOP, 1, 128, 128, 0, 0},
      {100, 0, STOP, 1, 128, 128, 0, 0},
      {100, 0, ALL, 1, 128, 128, 128, 128}}},
    /* what went is reported, what was asked for is counted */
    {2, 0, {{1000, 1, LITTLE, 7, 128, 128, 7, 896}}},
    /* only the shifted part of what was deferred counts: 2000 at 5 is 62, + 62 = 124 */
    {2,
     0,
     {{1000, 0, STOP, 1, 128, 128, 0, 0},
      {1000, 5, ALL, 0, 0, 0, 0, 0},
      {1000, 4, ALL, 1, 128, 128, 128, 128}}}, /* 2000 >> 4 = 125, + 124 */
};

static struct {
    uint64_t freeable;
    int answer;
    unsigned nr_scans;
    uint64_t first, last;
} now;

static uint64_t vector_count(void *unused)
{
    (void)unused;
    return now.freeable;
}

static int64_t vector_scan(uint64_t nr, void *unused)
{
    (void)unused;
    now.first = now.nr_scans++ == 0 ? nr : now.first;
    now.last = nr;
    return now.answer == ALL ? (int64_t)nr : now.answer;
}

static uint64_t slabs_scanned(void)
{
    return load_relaxed(&rig.pa.reclaim.events[PYSLAB_VM_SLABS_SCANNED]);
}

static void run_vector(const struct vector *vector)
{
    pyslab_shrinker_options options = {.struct_size = sizeof options,
                                       .seeks = vector->seeks,
                                       .batch = vector->batch,
                                       .count = vector_count,
                                       .scan = vector_scan};
    struct shrinker *shrinker = NULL;

    EXPECT_EQ(shrinker_register(&rig.pa, &options, &shrinker), PYSLAB_OK);
    for (const struct step *step = vector->step; step < vector->step + 5; step++) {
        uint64_t scanned = slabs_scanned();
        bool give_up = false;

        if (step > vector->step && step->freeable == 0)
            break;
        memset(&now, 0, sizeof now);
        now.freeable = step->freeable;
        now.answer = step->answer;
        EXPECT_EQ(shrinkers_run(&rig.pa, step->priority, &give_up), step->freed);
        EXPECT_EQ(now.nr_scans, step->nr_scans);
        EXPECT_EQ(now.first, step->first);
        EXPECT_EQ(now.last, step->last);
        EXPECT_EQ(slabs_scanned() - scanned, step->scanned);
        EXPECT(!give_up);
    }
    shrinker_unregister(shrinker);
}

static void do_shrink_slab(void)
{
    page_rig_begin(&rig, 64, 5);
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        run_vector(&vectors[i]);
        if (check_nr_failures != 0) {
            fprintf(stderr, "... in vector %zu\n", i);
            break;
        }
    }
    page_rig_end(&rig);
}

/* Absurd counts neither overflow nor divide by zero; one scan is asked, and stops. */
static void absurd_counts(void)
{
    static const uint64_t counts[] = {UINT64_MAX - 1, UINT64_MAX / 2, UINT64_MAX / 8, INT64_MAX,
                                      (uint64_t)INT64_MAX + 1};
    static const uint32_t seeks[] = {0, 1, 2, UINT32_MAX};

    page_rig_begin(&rig, 64, 5);
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        for (size_t j = 0; j < ARRAY_SIZE(seeks); j++) {
            pyslab_shrinker_options options = {.struct_size = sizeof options,
                                               .seeks = seeks[j],
                                               .count = vector_count,
                                               .scan = vector_scan};
            struct shrinker *shrinker = NULL;
            bool give_up = false;

            EXPECT_EQ(shrinker_register(&rig.pa, &options, &shrinker), PYSLAB_OK);
            for (unsigned round = 0; round < 4; round++) {
                memset(&now, 0, sizeof now);
                now.freeable = counts[i];
                now.answer = STOP;
                EXPECT_EQ(shrinkers_run(&rig.pa, 0, &give_up), 0);
                EXPECT_EQ(now.nr_scans, 1);
                EXPECT_EQ(now.first, 128);
            }
            shrinker_unregister(shrinker);
        }
    page_rig_end(&rig);
}

static void register_errors(void)
{
    pyslab_shrinker_options options = {
        .struct_size = sizeof options, .count = vector_count, .scan = vector_scan};
    pyslab_shrinker *shrinker = NULL;

    arena = rig_arena(MIB, 5);
    EXPECT_EQ(pyslab_register_shrinker(arena, NULL, &shrinker), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_register_shrinker(arena, &options, NULL), PYSLAB_EINVAL);
    options.struct_size--;
    EXPECT_EQ(pyslab_register_shrinker(arena, &options, &shrinker), PYSLAB_EINVAL);
    options.struct_size++;
    options.count = NULL;
    EXPECT_EQ(pyslab_register_shrinker(arena, &options, &shrinker), PYSLAB_EINVAL);
    options.count = vector_count;
    options.scan = NULL;
    EXPECT_EQ(pyslab_register_shrinker(arena, &options, &shrinker), PYSLAB_EINVAL);
    EXPECT(shrinker == NULL);
    pyslab_unregister_shrinker(NULL);
    rig_end(arena);
}

/* --- what a shrinker may do --------------------------------------------- */

static struct {
    unsigned depth, deepest, nr_scans;
    uint32_t got, denied;
    uint32_t held[128];
    uint32_t nr_held;
} greedy;

static uint64_t greedy_count(void *unused)
{
    (void)unused;
    greedy.deepest = ++greedy.depth > greedy.deepest ? greedy.depth : greedy.deepest;
    greedy.depth--;
    return 128;
}

/* Takes what is kept for it, in every way, and gives more back. */
static int64_t greedy_scan(uint64_t nr, void *unused)
{
    uint32_t pfn, other;
    void *p;

    (void)nr;
    (void)unused;
    greedy.deepest = ++greedy.depth > greedy.deepest ? greedy.depth : greedy.deepest;
    greedy.nr_scans++;
    pfn = pyslab_alloc_pages(arena, 1, KERNEL);
    other = pyslab_alloc_pages(arena, 0, KERNEL | PYSLAB_GFP_NOMEMALLOC);
    p = pyslab_kmalloc(arena, 5000, KERNEL);
    greedy.got += pfn != PFN_NONE;
    greedy.got += p != NULL;
    greedy.denied += other == PFN_NONE;
    EXPECT_EQ(pyslab_alloc_pages(arena, 3, KERNEL), PFN_NONE); /* more than there is */
    if (other != PFN_NONE)
        EXPECT_EQ(pyslab_free_pages(arena, other, 0), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 1), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    for (unsigned i = 0; i < 4 && greedy.nr_held > 0; i++)
        EXPECT_EQ(pyslab_free_pages(arena, greedy.held[--greedy.nr_held], 0), PYSLAB_OK);
    greedy.depth--;
    return 4;
}

static void shrinker_uses_its_arena(void)
{
    static const pyslab_zone_options zone = {.type = PYSLAB_ZONE_NORMAL,
                                             .nr_pages = 64,
                                             .watermark = {7, 8, 12, 12},
                                             .batch = 1,
                                             .high_min = 4,
                                             .high_max = 4};
    pyslab_shrinker_options options = {
        .struct_size = sizeof options, .seeks = 0, .count = greedy_count, .scan = greedy_scan};
    pyslab_shrinker *shrinker;
    uint32_t pfn;

    arena = rig_zones_arena(&zone, 1, 3);
    greedy.nr_held = rig_take_all(arena, 0, NOTHING, greedy.held, 65);
    EXPECT_EQ(greedy.nr_held, 57);
    EXPECT_EQ(pyslab_register_shrinker(arena, &options, &shrinker), PYSLAB_OK);
    pfn = pyslab_alloc_pages(arena, 0, KERNEL);
    EXPECT_NE(pfn, PFN_NONE);
    EXPECT_EQ(greedy.deepest, 1); /* no reclaim within reclaim */
    EXPECT_EQ(greedy.got, 2 * greedy.nr_scans);
    EXPECT(greedy.denied >= 1); /* in the first scan; later ones find what it freed */
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_DIRECT_RECLAIM), 1);
    /* Afterwards the thread is anybody again. */
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_OK);
    pyslab_unregister_shrinker(shrinker);
    while ((pfn = pyslab_alloc_pages(arena, 0, KERNEL)) != PFN_NONE)
        greedy.held[greedy.nr_held++] = pfn;
    EXPECT_EQ(rig_zone_stats(arena, 0).free_pages, 7);
    rig_give_all(arena, 0, greedy.held, greedy.nr_held);
    rig_zones_end(arena);
}

/* --- life --------------------------------------------------------------- */

struct life {
    pyslab_shrinker *shrinker;
    atomic_uint nr_releases, nr_running, nr_counts;
    atomic_bool in_scan, go_on;
    bool ends_itself, waits;
};

static struct life lives[4];

static uint64_t life_count(void *context)
{
    struct life *life = context;

    EXPECT_EQ(atomic_load(&life->nr_releases), 0);
    atomic_fetch_add(&life->nr_counts, 1);
    return 128;
}

static int64_t life_scan(uint64_t nr, void *context)
{
    struct life *life = context;

    (void)nr;
    atomic_fetch_add(&life->nr_running, 1);
    if (life->ends_itself) {
        life->ends_itself = false;
        pyslab_unregister_shrinker(life->shrinker);
    }
    if (life->waits) {
        life->waits = false;
        atomic_store(&life->in_scan, true);
        while (!atomic_load(&life->go_on))
            os_yield();
    }
    EXPECT_EQ(atomic_load(&life->nr_releases), 0);
    atomic_fetch_sub(&life->nr_running, 1);
    return -1;
}

static void life_release(void *context)
{
    struct life *life = context;

    EXPECT_EQ(atomic_load(&life->nr_running), 0);
    atomic_fetch_add(&life->nr_releases, 1);
}

static void life_begin(struct life *life)
{
    pyslab_shrinker_options options = {.struct_size = sizeof options,
                                       .seeks = 0,
                                       .batch = 1,
                                       .count = life_count,
                                       .scan = life_scan,
                                       .release = life_release,
                                       .context = life};

    EXPECT_EQ(pyslab_register_shrinker(arena, &options, &life->shrinker), PYSLAB_OK);
}

/* A request that no shrinker can serve: one pass over all of them. */
static void *run_shrinkers(void *unused)
{
    EXPECT_EQ(pyslab_alloc_pages(arena, 5, KERNEL | PYSLAB_GFP_NORETRY), PFN_NONE);
    return unused;
}

static void lives_begin(unsigned nr)
{
    static const pyslab_zone_options zone = {
        .type = PYSLAB_ZONE_NORMAL, .nr_pages = 24, .batch = 1, .high_min = 4, .high_max = 4};

    arena = rig_zones_arena(&zone, 1, 5);
    memset(lives, 0, sizeof lives);
    for (unsigned i = 0; i < nr; i++)
        life_begin(&lives[i]);
}

static void destroyed_with_its_arena(void)
{
    lives_begin(4);
    run_shrinkers(NULL);
    pyslab_unregister_shrinker(lives[2].shrinker);
    EXPECT_EQ(atomic_load(&lives[2].nr_releases), 1);
    run_shrinkers(NULL);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(atomic_load(&lives[i].nr_counts), i == 2 ? 13 : 26); /* a priority each */
    rig_end(arena);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(atomic_load(&lives[i].nr_releases), 1);
}

static void ends_itself(void)
{
    for (unsigned which = 0; which < 3; which++) {
        lives_begin(3);
        lives[which].ends_itself = true;
        run_shrinkers(NULL);
        for (unsigned i = 0; i < 3; i++) {
            EXPECT_EQ(atomic_load(&lives[i].nr_counts), i == which ? 1 : 13);
            EXPECT_EQ(atomic_load(&lives[i].nr_releases), i == which);
        }
        rig_end(arena);
        for (unsigned i = 0; i < 3; i++)
            EXPECT_EQ(atomic_load(&lives[i].nr_releases), 1);
    }
}

/* Another thread unregisters it, and both its neighbours, in the middle of a scan. */
static void ended_by_another_thread(void)
{
    pthread_t thread;

    lives_begin(3);
    lives[1].waits = true;
    REQUIRE(pthread_create(&thread, NULL, run_shrinkers, NULL) == 0);
    while (!atomic_load(&lives[1].in_scan))
        os_yield();
    for (unsigned i = 0; i < 3; i++)
        pyslab_unregister_shrinker(lives[i].shrinker);
    EXPECT_EQ(atomic_load(&lives[0].nr_releases), 1);
    EXPECT_EQ(atomic_load(&lives[1].nr_releases), 0); /* it runs still */
    EXPECT_EQ(atomic_load(&lives[2].nr_releases), 1);
    atomic_store(&lives[1].go_on, true);
    pthread_join(thread, NULL);
    EXPECT_EQ(atomic_load(&lives[1].nr_releases), 1);
    EXPECT_EQ(atomic_load(&lives[1].nr_counts), 1);
    run_shrinkers(NULL); /* the list is empty */
    rig_end(arena);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(atomic_load(&lives[i].nr_releases), 1);
}

/* One that another thread runs is released when the later of two runs ends. */
static void run_by_two_threads(void)
{
    pthread_t thread;

    lives_begin(1);
    lives[0].waits = true;
    REQUIRE(pthread_create(&thread, NULL, run_shrinkers, NULL) == 0);
    while (!atomic_load(&lives[0].in_scan))
        os_yield();
    run_shrinkers(NULL); /* this thread need not wait for the other */
    EXPECT_EQ(atomic_load(&lives[0].nr_counts), 1 + 13);
    pyslab_unregister_shrinker(lives[0].shrinker);
    run_shrinkers(NULL);
    EXPECT_EQ(atomic_load(&lives[0].nr_counts), 1 + 13); /* a dead one is not asked */
    EXPECT_EQ(atomic_load(&lives[0].nr_releases), 0);
    atomic_store(&lives[0].go_on, true);
    pthread_join(thread, NULL);
    EXPECT_EQ(atomic_load(&lives[0].nr_releases), 1);
    rig_end(arena);
}

/* --- fork --------------------------------------------------------------- */

/* The thread that ran lives[1] is not here; nobody waits for it, and release comes. */
static void child_has_them_too(void)
{
    run_shrinkers(NULL);
    EXPECT_EQ(atomic_load(&lives[0].nr_counts), 13 + 1);
    EXPECT_EQ(atomic_load(&lives[1].nr_counts), 13 + 1);
    pyslab_unregister_shrinker(lives[0].shrinker);
    EXPECT_EQ(atomic_load(&lives[0].nr_releases), 1);
    atomic_store(&lives[1].nr_running, 0); /* what the lost thread would have done */
    life_begin(&lives[2]);
    run_shrinkers(NULL);
    pyslab_arena_destroy(arena);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(atomic_load(&lives[i].nr_releases), 1);
}

static void forked_in_a_scan(void)
{
    pthread_t thread;

    lives_begin(2); /* lives[1] is asked first */
    lives[1].waits = true;
    REQUIRE(pthread_create(&thread, NULL, run_shrinkers, NULL) == 0);
    while (!atomic_load(&lives[1].in_scan))
        os_yield();
    lives[0].nr_counts = 1; /* as lives[1], which has been asked once */
    if (!UNDER_TSAN)        /* does not follow forks of threaded programs */
        EXPECT_EQ(check_child(child_has_them_too), 0);
    atomic_store(&lives[1].go_on, true);
    pthread_join(thread, NULL);
    EXPECT_EQ(atomic_load(&lives[1].nr_counts), 13);
    rig_end(arena);
    EXPECT_EQ(atomic_load(&lives[0].nr_releases), 1);
    EXPECT_EQ(atomic_load(&lives[1].nr_releases), 1);
}

/* --- threads ------------------------------------------------------------ */

static atomic_uint nr_registered, nr_released;

struct pool {
    pthread_mutex_t lock;
    uint32_t pfn[64];
    uint32_t nr;
};

static struct pool pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t pool_count(void *unused)
{
    uint32_t nr;

    (void)unused;
    pthread_mutex_lock(&pool.lock);
    nr = pool.nr;
    pthread_mutex_unlock(&pool.lock);
    return nr;
}

static int64_t pool_scan(uint64_t nr, void *unused)
{
    int64_t done = 0;

    (void)unused;
    pthread_mutex_lock(&pool.lock);
    for (; pool.nr > 0 && (uint64_t)done < nr; done++)
        EXPECT_EQ(pyslab_free_pages(arena, pool.pfn[--pool.nr], 0), PYSLAB_OK);
    pthread_mutex_unlock(&pool.lock);
    return done != 0 ? done : -1;
}

static void pool_release(void *unused)
{
    (void)unused;
    atomic_fetch_add(&nr_released, 1);
}

static pyslab_shrinker *pool_register(void)
{
    pyslab_shrinker_options options = {.struct_size = sizeof options,
                                       .seeks = 2,
                                       .batch = 4,
                                       .count = pool_count,
                                       .scan = pool_scan,
                                       .release = pool_release};
    pyslab_shrinker *shrinker = NULL;

    EXPECT_EQ(pyslab_register_shrinker(arena, &options, &shrinker), PYSLAB_OK);
    atomic_fetch_add(&nr_registered, 1);
    return shrinker;
}

/* Allocates into a pool that only its shrinkers empty, and changes these all the while. */
static void *use_pool(void *seed)
{
    struct rng rng = {(uintptr_t)seed};
    pyslab_shrinker *own = pool_register();

    for (unsigned i = 0; i < (UNDER_TSAN ? 1500u : 6000u); i++) {
        uint32_t pfn = pyslab_alloc_pages(arena, 0, KERNEL);

        pthread_mutex_lock(&pool.lock);
        if (pfn != PFN_NONE && pool.nr < 64) {
            pool.pfn[pool.nr++] = pfn;
            pfn = PFN_NONE;
        }
        pthread_mutex_unlock(&pool.lock);
        if (pfn != PFN_NONE)
            EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_OK);
        if (rng_below(&rng, 8) == 0) {
            pyslab_unregister_shrinker(own);
            own = pool_register();
        }
    }
    if (((uintptr_t)seed & 1) != 0) /* the others go with the arena */
        pyslab_unregister_shrinker(own);
    return NULL;
}

static void reclaim_in_threads(void)
{
    static const pyslab_zone_options zone = {.type = PYSLAB_ZONE_NORMAL,
                                             .nr_pages = 48,
                                             .watermark = {5, 20, 30, 30},
                                             .batch = 1,
                                             .high_min = 4,
                                             .high_max = 4};
    pthread_t thread[3];

    arena = rig_zones_arena(&zone, 1, 3);
    for (uintptr_t i = 0; i < 3; i++)
        REQUIRE(pthread_create(&thread[i], NULL, use_pool, (void *)(i + 7)) == 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    EXPECT(rig_event(arena, PYSLAB_VM_PAGEOUTRUN) > 0);
    (void)pool_scan(64, NULL);
    (void)pyslab_arena_release_unused(arena);
    EXPECT_EQ(pyslab_arena_used(arena), 0);
    rig_end(arena);
    EXPECT_EQ(atomic_load(&nr_released), atomic_load(&nr_registered));
}

static const struct test tests[] = {
    TEST(do_shrink_slab),           TEST(absurd_counts),
    TEST(register_errors),          TEST(shrinker_uses_its_arena),
    TEST(destroyed_with_its_arena), TEST(ends_itself),
    TEST(ended_by_another_thread),  TEST(run_by_two_threads),
    TEST(forked_in_a_scan),         TEST(reclaim_in_threads),
};

TEST_MAIN(tests)

/* test_sheaf_size.c - holds down how large a thread's sheaves get: growth by round trips,
 * shrinking, the budgets of a thread and of an arena, and who gives back what they took: a drain,
 * the end of a thread or of a cache, fork. */
#include "arena/arena.h"
#include "slab/slab_internal.h"

#include "rig.h"

#include <pthread.h>

enum {
    NR_CACHES = 24, /* more than a thread's budget has room for */
    NR_THREADS = 4,
    NR_OBJECTS = 200, /* more than two sheaves and the barn hold */
    OBJECT_BYTES = 1024,
};

static uint32_t capacity_of(struct kmem_cache *cache)
{
    return slot_main(sheaf_slot_own(cache))->capacity;
}

static uint32_t own_grown_bytes(struct slab_alloc *sa)
{
    return load_relaxed(&sheaf_table_own(sa)->grown_bytes);
}

/* Takes objects and gives them back: once the sheaves have let some go, they are missed in the next
 * round. */
static void go_round(struct kmem_cache *cache, uint32_t nr)
{
    void *objects[NR_OBJECTS];

    for (uint32_t i = 0; i < nr; i++) {
        objects[i] = cache_alloc(cache, KERNEL);
        if (objects[i] == NULL)
            abort();
    }
    for (uint32_t i = 0; i < nr; i++)
        EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
}

static void grow(struct kmem_cache *cache)
{
    for (int round = 0; round < 40; round++)
        go_round(cache, NR_OBJECTS);
}

/* Exchanges with the barn and the slabs so far. */
static uint64_t nr_locked_exchanges(struct kmem_cache *cache)
{
    pyslab_cache_stats stats = slab_rig_stats(cache);

    return stats.supply_barn + stats.supply_partial + stats.supply_empty + stats.supply_buddy;
}

/* Round trips grow a sheaf until it holds what goes to and fro, but not beyond. */
static void round_trips_grow(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;
    uint32_t before, capacity;
    uint64_t exchanges;

    slab_rig_begin(&rig, 65536, 10);
    cache = slab_rig_cache(&rig, OBJECT_BYTES, 0);
    go_round(cache, cache->sheaf_capacity);
    before = capacity_of(cache);
    EXPECT_LE(before, cache->sheaf_capacity);
    EXPECT_EQ(own_grown_bytes(&rig.sa), 0);
    grow(cache);
    capacity = capacity_of(cache);
    EXPECT_GE(capacity, NR_OBJECTS);
    EXPECT_LE(capacity, cache->grown_capacity);
    EXPECT_LE(capacity, NR_OBJECTS + NR_OBJECTS / 4 + 1);
    EXPECT_EQ(own_grown_bytes(&rig.sa), (capacity - cache->sheaf_capacity) * OBJECT_BYTES);
    EXPECT(sheaf_slot_own(cache)->spare == NULL);
    exchanges = nr_locked_exchanges(cache);
    grow(cache);
    EXPECT_EQ(capacity_of(cache), capacity);
    EXPECT_EQ(nr_locked_exchanges(cache), exchanges);
    slab_rig_end(&rig);
}

/* A thread that only takes, or only gives, does not grow its sheaves. */
static void one_way_does_not_grow(void)
{
    static void *objects[4096];
    struct slab_rig rig;
    struct kmem_cache *cache;

    slab_rig_begin(&rig, 65536, 10);
    cache = slab_rig_cache(&rig, OBJECT_BYTES, 0);
    for (uint32_t i = 0; i < ARRAY_SIZE(objects); i++)
        objects[i] = cache_alloc(cache, KERNEL);
    EXPECT_EQ(capacity_of(cache), cache->sheaf_capacity);
    for (uint32_t i = 0; i < ARRAY_SIZE(objects); i++)
        EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
    EXPECT_LE(capacity_of(cache), cache->sheaf_capacity);
    EXPECT_EQ(own_grown_bytes(&rig.sa), 0);
    slab_rig_end(&rig);
}

/* A grown sheaf whose thread only takes from then on becomes small again, step by step. */
static void one_way_shrinks(void)
{
    static void *objects[4096];
    struct slab_rig rig;
    struct kmem_cache *cache;
    uint32_t grown, nr = 0;

    slab_rig_begin(&rig, 65536, 10);
    cache = slab_rig_cache(&rig, OBJECT_BYTES, 0);
    grow(cache);
    grown = own_grown_bytes(&rig.sa);
    EXPECT_GE(grown, 1);
    while (nr < ARRAY_SIZE(objects) && own_grown_bytes(&rig.sa) != 0) {
        objects[nr++] = cache_alloc(cache, KERNEL);
        EXPECT_LE(own_grown_bytes(&rig.sa), grown);
        grown = own_grown_bytes(&rig.sa);
    }
    EXPECT_EQ(grown, 0);
    EXPECT_EQ(capacity_of(cache), cache->sheaf_capacity);
    EXPECT_GE(nr, NR_OBJECTS); /* not at once */
    while (nr > 0)
        EXPECT_EQ(cache_free(cache, objects[--nr]), PYSLAB_OK);
    slab_rig_end(&rig);
}

/* All caches of one thread together keep to its budget, and use most of it. */
static void a_thread_has_a_budget(void)
{
    struct slab_rig rig;
    struct kmem_cache *caches[NR_CACHES];

    slab_rig_begin(&rig, 65536, 10);
    EXPECT_GE(rig.sa.max_grown_bytes, 2 * THREAD_GROWN_BYTES);
    for (size_t i = 0; i < NR_CACHES; i++) {
        caches[i] = slab_rig_cache(&rig, 512 * (i + 1), 0);
        grow(caches[i]);
        EXPECT_LE(own_grown_bytes(&rig.sa), THREAD_GROWN_BYTES);
        slab_rig_check(&rig);
    }
    EXPECT_GE(own_grown_bytes(&rig.sa), THREAD_GROWN_BYTES / 2);
    EXPECT_EQ(load_relaxed(&rig.sa.grown_bytes), own_grown_bytes(&rig.sa));
    slab_rig_end(&rig);
}

struct crowd {
    struct slab_rig rig;
    struct kmem_cache *caches[NR_CACHES];
    pthread_barrier_t grown, done;
};

static void crowd_begin(struct crowd *crowd, uint32_t nr_pages)
{
    slab_rig_begin(&crowd->rig, nr_pages, 10);
    for (size_t i = 0; i < NR_CACHES; i++)
        crowd->caches[i] = slab_rig_cache(&crowd->rig, OBJECT_BYTES, 0);
    pthread_barrier_init(&crowd->grown, NULL, NR_THREADS + 1);
    pthread_barrier_init(&crowd->done, NULL, NR_THREADS + 1);
}

static void *grow_all(void *argument)
{
    struct crowd *crowd = argument;

    for (size_t i = 0; i < NR_CACHES; i++)
        grow(crowd->caches[i]);
    pthread_barrier_wait(&crowd->grown);
    pthread_barrier_wait(&crowd->done);
    return NULL;
}

static void crowd_start(struct crowd *crowd, pthread_t *threads)
{
    for (size_t i = 0; i < NR_THREADS; i++)
        if (pthread_create(&threads[i], NULL, grow_all, crowd) != 0)
            abort();
    pthread_barrier_wait(&crowd->grown);
}

static void crowd_end(struct crowd *crowd, pthread_t *threads)
{
    pthread_barrier_wait(&crowd->done);
    for (size_t i = 0; i < NR_THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* All threads together keep to the arena's budget; those that end give theirs back. */
static void an_arena_has_a_budget(void)
{
    static struct crowd crowd;
    struct slab_alloc *sa = &crowd.rig.sa;
    pthread_t threads[NR_THREADS];

    crowd_begin(&crowd, 16384);
    EXPECT_LE(sa->max_grown_bytes, NR_THREADS * (uint64_t)THREAD_GROWN_BYTES - 1);
    crowd_start(&crowd, threads);
    EXPECT_LE(load_relaxed(&sa->grown_bytes), sa->max_grown_bytes);
    EXPECT_GE(load_relaxed(&sa->grown_bytes), sa->max_grown_bytes / 2);
    slab_rig_check(&crowd.rig);
    crowd_end(&crowd, threads);
    EXPECT_EQ(load_relaxed(&sa->grown_bytes), 0);
    slab_rig_end(&crowd.rig);
}

/* A cache that is destroyed gives back what all threads' sheaves of it had of the budgets. */
static void a_destroyed_cache_gives_back(void)
{
    static struct crowd crowd;
    struct slab_alloc *sa = &crowd.rig.sa;
    pthread_t threads[NR_THREADS];

    crowd_begin(&crowd, 65536);
    crowd_start(&crowd, threads);
    EXPECT_GE(load_relaxed(&sa->grown_bytes), 1);
    for (size_t i = 0; i < NR_CACHES; i++)
        EXPECT_EQ(cache_destroy(crowd.caches[i]), PYSLAB_OK);
    EXPECT_EQ(load_relaxed(&sa->grown_bytes), 0);
    slab_rig_check(&crowd.rig);
    crowd_end(&crowd, threads);
    slab_rig_end(&crowd.rig);
}

/* A drain leaves nothing grown, and what went to and fro before it does not count any more. */
static void a_drain_starts_anew(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache, *other;

    slab_rig_begin(&rig, 65536, 10);
    cache = slab_rig_cache(&rig, OBJECT_BYTES, 0);
    other = slab_rig_cache(&rig, 64, 0);
    grow(cache);
    EXPECT_GE(own_grown_bytes(&rig.sa), 1);
    add_relaxed(&rig.pages.pa.drain_epoch, 1);
    go_round(other, 1); /* its first exchange heeds it */
    EXPECT_EQ(own_grown_bytes(&rig.sa), 0);
    EXPECT_EQ(load_relaxed(&rig.sa.grown_bytes), 0);
    EXPECT(sheaf_slot_own(cache)->top == NULL);
    go_round(cache, NR_OBJECTS);
    EXPECT_EQ(own_grown_bytes(&rig.sa), 0);
    slab_rig_end(&rig);
}

/* The recount finds a budget that is wrong. */
static void a_wrong_budget_is_found(void)
{
    struct slab_rig rig;
    struct finding f = {{0}};

    slab_rig_begin(&rig, 65536, 10);
    grow(slab_rig_cache(&rig, OBJECT_BYTES, 0));
    add_relaxed(&sheaf_table_own(&rig.sa)->grown_bytes, 1);
    EXPECT(!slab_check(&rig.sa, &f));
    sub_relaxed(&sheaf_table_own(&rig.sa)->grown_bytes, 1);
    add_relaxed(&rig.sa.grown_bytes, 1);
    EXPECT(!slab_check(&rig.sa, &f));
    sub_relaxed(&rig.sa.grown_bytes, 1);
    slab_rig_end(&rig);
}

/* --- fork ----------------------------------------------------------------- */

static pyslab_arena *arena;
static _Atomic bool stop;

static void *resize_all_the_time(void *argument)
{
    uint64_t random = (uintptr_t)argument;

    while (!load_relaxed(&stop)) {
        void *blocks[NR_OBJECTS];
        uint32_t nr = 1 + (uint32_t)(random = random * 6364136223846793005u + 1) % NR_OBJECTS;

        for (uint32_t i = 0; i < nr; i++)
            blocks[i] = pyslab_kmalloc(arena, 200 + random % 4000, KERNEL);
        for (uint32_t i = 0; i < nr; i++)
            EXPECT_EQ(pyslab_kfree(arena, blocks[i]), PYSLAB_OK);
    }
    return NULL;
}

static void add_table(void *table, void *context)
{
    uint64_t *sum = context;

    *sum += load_relaxed(&((struct sheaf_table *)table)->grown_bytes);
    EXPECT_EQ(load_relaxed(&((struct sheaf_table *)table)->grown_bytes),
              table_grown_bytes(&arena->kmalloc.slabs, table));
}

static void budgets_add_up(void)
{
    struct slab_alloc *sa = &arena->kmalloc.slabs;
    uint64_t sum = 0;

    thread_domain_visit(sa->domain, THREAD_SLOT_SLAB, add_table, &sum);
    EXPECT_EQ(load_relaxed(&sa->grown_bytes), sum);
    EXPECT_LE(sum, sa->max_grown_bytes);
}

/* A child has right budgets, wherever the parent's threads were in changing theirs, and can grow
 * and shrink sheaves of its own. */
static void budgets_survive_fork(void)
{
    pthread_t threads[2];

    arena = rig_arena(256 * MIB, 10);
    for (uintptr_t i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, resize_all_the_time, (void *)(i + 1)) == 0);
    for (int i = 0; i < (UNDER_TSAN ? 5 : 50); i++) {
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
            budgets_add_up();
            store_relaxed(&stop, false);
            for (int round = 0; round < 20; round++) {
                void *blocks[NR_OBJECTS];

                for (uint32_t b = 0; b < NR_OBJECTS; b++)
                    blocks[b] = pyslab_kmalloc(arena, OBJECT_BYTES, KERNEL);
                for (uint32_t b = 0; b < NR_OBJECTS; b++)
                    EXPECT_EQ(pyslab_kfree(arena, blocks[b]), PYSLAB_OK);
            }
            budgets_add_up();
            _exit(check_nr_failures != 0);
        }
        REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
        EXPECT_EQ(status, 0);
    }
    store_relaxed(&stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    budgets_add_up();
    rig_end(arena);
}

static const struct test tests[] = {
    TEST(round_trips_grow),      TEST(one_way_does_not_grow),   TEST(one_way_shrinks),
    TEST(a_thread_has_a_budget), TEST(an_arena_has_a_budget),   TEST(a_destroyed_cache_gives_back),
    TEST(a_drain_starts_anew),   TEST(a_wrong_budget_is_found), TEST(budgets_survive_fork),
};

TEST_MAIN(tests)

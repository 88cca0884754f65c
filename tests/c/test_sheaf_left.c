/* test_sheaf_left.c - holds down sheaf_left.c: what a thread leaves when it ends is the next
 * thread's, is counted, is bounded, and goes back when the cache is shrunk or destroyed. */
#include "slab/slab_internal.h"

#include "rig.h"

#include <pthread.h>

enum { MANY = 700 }; /* more 64-byte objects than a thread may leave */

struct job {
    struct kmem_cache *cache;
    uint32_t nr; /* objects that the thread has at once */
};

static void *take_and_give(void *argument)
{
    const struct job *job = argument;
    void *p[MANY];

    for (uint32_t i = 0; i < job->nr; i++)
        if ((p[i] = cache_alloc(job->cache, KERNEL)) == NULL)
            abort();
    for (uint32_t i = job->nr; i-- > 0;)
        EXPECT_EQ(cache_free(job->cache, p[i]), PYSLAB_OK);
    return NULL;
}

static void run_thread(struct kmem_cache *cache, uint32_t nr)
{
    struct job job = {cache, nr};
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, take_and_give, &job) == 0);
    pthread_join(thread, NULL);
}

static uint64_t from_slabs(struct kmem_cache *cache)
{
    pyslab_cache_stats stats = slab_rig_stats(cache);

    return stats.supply_partial + stats.supply_empty + stats.supply_buddy;
}

/* The second thread of a kind needs no slab; both are counted exactly. */
static void next_thread_begins_with_it(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;
    uint64_t before;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 64, 0);
    run_thread(cache, 5);
    EXPECT_EQ(cache->barn.nr_left, 1);
    EXPECT_EQ(slab_rig_stats(cache).cached_objects, cache->barn.nr_left_objects);
    slab_rig_check(&rig);
    before = from_slabs(cache);
    for (int round = 0; round < 20; round++)
        run_thread(cache, 5);
    EXPECT_EQ(from_slabs(cache), before);
    EXPECT_EQ(slab_rig_stats(cache).total_allocs, 21 * 5);
    EXPECT_EQ(slab_rig_stats(cache).live_objects, 0);
    EXPECT_EQ(cache->barn.nr_left, 1);
    slab_rig_end(&rig);
}

/* Objects go back to their slabs with cache_shrink and with the cache. */
static void shrink_and_destroy_take_it(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 64, 0);
    run_thread(cache, 5);
    EXPECT_GE(cache_shrink(cache), 1);
    EXPECT_EQ(cache->barn.nr_left, 0);
    EXPECT_EQ(slab_rig_stats(cache).cached_objects, 0);
    run_thread(cache, 5);
    EXPECT_EQ(cache->barn.nr_left, 1);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    pcp_drain(&rig.pages.pa);
    EXPECT_EQ(page_rig_free(&rig.pages), 16384);
    slab_rig_end(&rig);
}

struct late_job {
    struct job job;
    pthread_barrier_t *begin, *end;
};

static void *take_and_give_together(void *argument)
{
    struct late_job *late = argument;

    pthread_barrier_wait(late->begin);
    (void)take_and_give(&late->job);
    pthread_barrier_wait(late->end);
    return NULL;
}

/* Of many threads that end at once only some may leave their sheaves. */
static void it_is_bounded(void)
{
    enum { NR = 2 * LEFT_MAX_SHEAVES };
    pthread_barrier_t begin, end;
    pthread_t thread[NR];
    struct slab_rig rig;
    struct kmem_cache *cache;
    struct late_job late = {.begin = &begin, .end = &end};

    slab_rig_begin(&rig, 65536, 10);
    cache = slab_rig_cache(&rig, 64, 0);
    late.job = (struct job){cache, 3};
    pthread_barrier_init(&begin, NULL, NR);
    pthread_barrier_init(&end, NULL, NR);
    for (int i = 0; i < NR; i++)
        REQUIRE(pthread_create(&thread[i], NULL, take_and_give_together, &late) == 0);
    for (int i = 0; i < NR; i++)
        pthread_join(thread[i], NULL);
    EXPECT_EQ(cache->barn.nr_left, LEFT_MAX_SHEAVES);
    EXPECT_LE(cache->barn.nr_left_objects, cache->max_left_objects);
    cache_shrink(cache);
    for (int i = 0; i < 4; i++)
        run_thread(cache, MANY);
    EXPECT_LE((uint64_t)cache->barn.nr_left_objects * 64, 64 * KIB);
    slab_rig_check(&rig);
    pthread_barrier_destroy(&begin);
    pthread_barrier_destroy(&end);
    slab_rig_end(&rig);
}

static const struct test tests[] = {
    TEST(next_thread_begins_with_it),
    TEST(shrink_and_destroy_take_it),
    TEST(it_is_bounded),
};

TEST_MAIN(tests)

/* test_slab_pressure.c - holds down slab/ when memory is short and when several threads
 * meet in a cache: exhaustion and full recovery, drains that reach other threads,
 * caches that come and go beside threads that look for memory. */
#include "slab/slab.h"

#include "rig.h"

#include <pthread.h>

static struct slab_rig rig;

/* For when no object is in use: after a drain by this thread all frames lie in the buddy. */
static void expect_all_frames_free(void)
{
    slab_reclaim(&rig.sa);
    pcp_drain(&rig.pages.pa);
    EXPECT_EQ(page_rig_free(&rig.pages), rig.pages.pa.map.nr_pages);
}

/* A 64-frame arena gives every object it has room for, then NULL, time after time. */
static void exhaustion_and_recovery(void)
{
    static const size_t sizes[] = {8, 16, 64, 100, 1024, 4096, 16384};
    static void *object[64 * 512 + 1];

    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        struct kmem_cache *cache;
        uint32_t first = 0;

        slab_rig_begin(&rig, 64, 6);
        cache = slab_rig_cache(&rig, sizes[s], 0);
        for (int round = 0; round < 3; round++) {
            uint32_t nr = 0;

            while ((object[nr] = cache_alloc(cache, KERNEL)) != NULL)
                memset(object[nr++], 0xe1, sizes[s]);
            EXPECT_EQ(nr, (64u >> cache->desc->slab_order) * cache->desc->objects_per_slab);
            EXPECT(first == 0 || nr == first);
            first = nr;
            EXPECT(cache_alloc(cache, KERNEL) == NULL);
            EXPECT_EQ(slab_rig_stats(cache).live_objects, nr);
            slab_rig_check(&rig);
            while (nr > 0)
                EXPECT_EQ(cache_free(cache, object[--nr]), PYSLAB_OK);
            slab_rig_check(&rig);
            if (round == 1)
                expect_all_frames_free();
        }
        expect_all_frames_free();
        slab_rig_end(&rig);
    }
}

/* What one cache keeps free is found when another one needs it. */
static void caches_give_to_each_other(void)
{
    static void *object[1024];
    struct kmem_cache *a, *b;

    slab_rig_begin(&rig, 64, 6);
    a = slab_rig_cache(&rig, 1024, 0);
    b = slab_rig_cache(&rig, 2048, 0);
    for (int round = 0; round < 4; round++) {
        struct kmem_cache *cache = round % 2 == 0 ? a : b;
        uint32_t nr = 0;

        while ((object[nr] = cache_alloc(cache, KERNEL)) != NULL)
            nr++;
        EXPECT_EQ(nr, 64 * PAGE_SIZE / cache->desc->stride);
        while (nr > 0)
            EXPECT_EQ(cache_free(cache, object[--nr]), PYSLAB_OK);
    }
    expect_all_frames_free();
    slab_rig_end(&rig);
}

/* --- another thread's sheaves ------------------------------------------- */

struct meeting {
    struct kmem_cache *cache;
    struct kmem_cache *other;
    pthread_barrier_t barrier;
};

static struct meeting meeting;

static void *hoard(void *argument)
{
    static void *object[1000];

    (void)argument;
    for (int i = 0; i < 1000; i++)
        object[i] = cache_alloc(meeting.cache, KERNEL);
    for (int i = 0; i < 1000; i++)
        EXPECT_EQ(cache_free(meeting.cache, object[i]), PYSLAB_OK);
    pthread_barrier_wait(&meeting.barrier);         /* this thread's sheaves hold objects */
    pthread_barrier_wait(&meeting.barrier);         /* a drain was asked for */
    object[0] = cache_alloc(meeting.other, KERNEL); /* an exchange, in another cache */
    EXPECT_EQ(cache_free(meeting.other, object[0]), PYSLAB_OK);
    pthread_barrier_wait(&meeting.barrier); /* heeded */
    pthread_barrier_wait(&meeting.barrier); /* looked at */
    return NULL;
}

/* A drain request empties another thread's sheaves at that thread's next exchange. What is in them
 * at its end it leaves in the barn, which a reclaim reaches. */
static void drain_reaches_another_thread(void)
{
    pthread_t thread;

    slab_rig_begin(&rig, 16384, 10);
    meeting.cache = slab_rig_cache(&rig, 64, 0);
    meeting.other = slab_rig_cache(&rig, 128, 0);
    pthread_barrier_init(&meeting.barrier, NULL, 2);
    REQUIRE(pthread_create(&thread, NULL, hoard, NULL) == 0);
    pthread_barrier_wait(&meeting.barrier);
    slab_reclaim(&rig.sa); /* reaches the barn, not the other's sheaves */
    EXPECT_NE(slab_rig_stats(meeting.cache).cached_objects, 0);
    page_alloc_request_drain(&rig.pages.pa);
    pthread_barrier_wait(&meeting.barrier);
    pthread_barrier_wait(&meeting.barrier);
    slab_reclaim(&rig.sa);
    EXPECT_EQ(slab_rig_stats(meeting.cache).cached_objects, 0);
    EXPECT_NE(slab_rig_stats(meeting.other).cached_objects, 0);
    slab_rig_check(&rig);
    pthread_barrier_wait(&meeting.barrier);
    pthread_join(thread, NULL);
    EXPECT_EQ(slab_rig_stats(meeting.other).cached_objects, meeting.other->barn.nr_left_objects);
    slab_reclaim(&rig.sa);
    EXPECT_EQ(slab_rig_stats(meeting.other).cached_objects, 0);
    expect_all_frames_free();
    pthread_barrier_destroy(&meeting.barrier);
    slab_rig_end(&rig);
}

static void *hoard_and_stay(void *argument)
{
    static void *object[3000];

    (void)argument;
    for (int i = 0; i < 3000; i++)
        object[i] = cache_alloc(meeting.cache, KERNEL);
    for (int i = 0; i < 3000; i++)
        EXPECT_EQ(cache_free(meeting.cache, object[i]), PYSLAB_OK);
    pthread_barrier_wait(&meeting.barrier);
    pthread_barrier_wait(&meeting.barrier);
    return NULL;
}

/* Destroy empties the sheaves of threads that live on, and leaves no frame behind. The
 * destroying thread has never used the arena: the emptied slabs make it a member. */
static void destroy_by_a_thread_without_slots(void)
{
    pthread_t thread;

    slab_rig_begin(&rig, 16384, 10);
    meeting.cache = slab_rig_cache(&rig, 4096, 0);
    pthread_barrier_init(&meeting.barrier, NULL, 2);
    REQUIRE(pthread_create(&thread, NULL, hoard_and_stay, NULL) == 0);
    pthread_barrier_wait(&meeting.barrier);
    EXPECT_EQ(cache_destroy(meeting.cache), PYSLAB_OK);
    pthread_barrier_wait(&meeting.barrier);
    pthread_join(thread, NULL);
    expect_all_frames_free();
    pthread_barrier_destroy(&meeting.barrier);
    slab_rig_end(&rig);
}

/* The same, by a thread whose block names another arena, because it used that last. */
static void destroy_after_using_another_arena(void)
{
    static struct slab_rig second;
    static void *object[3000];
    struct kmem_cache *cache, *elsewhere;

    slab_rig_begin(&rig, 16384, 10);
    slab_rig_begin(&second, 1024, 10);
    cache = slab_rig_cache(&rig, 4096, 0);
    elsewhere = slab_rig_cache(&second, 64, 0);
    for (int i = 0; i < 3000; i++)
        object[i] = cache_alloc(cache, KERNEL);
    for (int i = 0; i < 3000; i++)
        EXPECT_EQ(cache_free(cache, object[i]), PYSLAB_OK);
    EXPECT_EQ(cache_free(elsewhere, cache_alloc(elsewhere, KERNEL)), PYSLAB_OK);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    expect_all_frames_free();
    slab_rig_end(&rig);
    slab_rig_end(&second);
}

/* --- caches come and go ------------------------------------------------- */

static atomic_bool stop;

/* Uses one cache, runs out of memory again and again, and so looks through all caches. */
static void *look_for_memory(void *argument)
{
    struct kmem_cache *cache = argument;
    static _Thread_local void *object[64];

    while (!stop) {
        uint32_t nr = 0;

        while (nr < ARRAY_SIZE(object) && (object[nr] = cache_alloc(cache, KERNEL)) != NULL)
            nr++;
        while (nr > 0)
            EXPECT_EQ(cache_free(cache, object[--nr]), PYSLAB_OK);
    }
    return NULL;
}

/* Caches are made, used and destroyed by one thread, each used by it alone, while two
 * others exhaust the arena through a cache of theirs. Destroy asks for quiescence on
 * the cache, not on the arena. */
static void caches_come_and_go_under_pressure(void)
{
    struct kmem_cache *shared;
    pthread_t thread[2];

    slab_rig_begin(&rig, 64, 6);
    shared = slab_rig_cache(&rig, 16384, 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&thread[i], NULL, look_for_memory, shared) == 0);
    for (int i = 0; i < (UNDER_TSAN ? 1000 : 20000); i++) {
        struct kmem_cache *cache = slab_rig_cache(&rig, 64 + (size_t)i % 5 * 512, 0);
        void *p = cache_alloc(cache, KERNEL);

        if (p != NULL)
            EXPECT_EQ(cache_free(cache, p), PYSLAB_OK);
        EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    slab_rig_check(&rig);
    expect_all_frames_free();
    slab_rig_end(&rig);
}

/* Statistics may be read at any time: they are inexact then, not absurd. */
static void statistics_beside_busy_threads(void)
{
    struct kmem_cache *cache;
    pthread_t thread[2];

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 64, 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&thread[i], NULL, look_for_memory, cache) == 0);
    for (int i = 0; i < 20000; i++) {
        pyslab_cache_stats stats = slab_rig_stats(cache);

        EXPECT_LE(stats.cached_objects, 100000);
        EXPECT_LE(stats.live_objects, 100000);
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    EXPECT_EQ(slab_rig_stats(cache).live_objects, 0);
    slab_rig_end(&rig);
}

static const struct test tests[] = {
    TEST(exhaustion_and_recovery),           TEST(caches_give_to_each_other),
    TEST(drain_reaches_another_thread),      TEST(destroy_by_a_thread_without_slots),
    TEST(destroy_after_using_another_arena), TEST(caches_come_and_go_under_pressure),
    TEST(statistics_beside_busy_threads),
};

TEST_MAIN(tests)

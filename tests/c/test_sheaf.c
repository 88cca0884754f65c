/* test_sheaf.c - holds down the sheaves of slab/ in one thread: a stack that keeps a
 * working set away from the slabs, the way of an overflow and back (main, spare, barn,
 * slabs), and the bounds of what is kept. */
#include "slab/slab.h"

#include "rig.h"

static void *objects[16384];

static void take(struct kmem_cache *cache, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        objects[i] = cache_alloc(cache, KERNEL);
        if (objects[i] == NULL)
            abort();
    }
}

static void give(struct kmem_cache *cache, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
}

/* What is freed last is given first; a thread's working set needs no slab. */
static void sheaf_is_a_stack(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;
    uint64_t bought;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 64, 0);
    EXPECT_EQ(cache->sheaf_capacity, SHEAF_MAX_OBJECTS);
    take(cache, 0, 50);
    bought = slab_rig_stats(cache).supply_buddy;
    for (int round = 0; round < 100; round++) {
        give(cache, 0, 50);
        for (uint32_t i = 50; i-- > 0;)
            EXPECT_PTR(cache_alloc(cache, KERNEL), objects[i]);
    }
    EXPECT_EQ(slab_rig_stats(cache).supply_buddy, bought);
    EXPECT_EQ(slab_rig_stats(cache).live_objects, 50);
    give(cache, 0, 50);
    slab_rig_end(&rig);
}

/* Addresses go up within a fresh slab. */
static void fresh_objects_ascend(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 64, 0);
    take(cache, 0, 64);
    for (uint32_t i = 1; i < 64; i++)
        EXPECT_PTR(objects[i], (char *)objects[i - 1] + 64);
    give(cache, 0, 64);
    slab_rig_end(&rig);
}

/* Overflow fills main, spare, then the barn, then slabs; underflow comes back the same
 * way, by swap and barn, without a look at a slab. */
static void swap_and_barn(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;
    uint32_t cap, most;
    pyslab_cache_stats stats;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 64, 0);
    cap = cache->sheaf_capacity;
    most = (2 + cache->max_full_sheaves) * cap; /* main, spare and the barn's */
    take(cache, 0, most + 2 * cap);
    for (uint32_t freed = cap; freed <= most + 2 * cap; freed += cap) {
        give(cache, freed - cap, freed);
        stats = slab_rig_stats(cache);
        EXPECT_GE(stats.cached_objects, freed <= most - cap ? freed : most - cap);
        EXPECT_LE(stats.cached_objects, most + cap);
        EXPECT_EQ(stats.live_objects, most + 2 * cap - freed);
        slab_rig_check(&rig);
    }
    EXPECT_EQ(cache->barn.nr_full, cache->max_full_sheaves);
    stats = slab_rig_stats(cache);
    EXPECT_GE(stats.supply_swap, most / cap - 1);
    take(cache, 0, (uint32_t)stats.cached_objects);
    EXPECT_EQ(slab_rig_stats(cache).supply_barn - stats.supply_barn, cache->max_full_sheaves);
    EXPECT_EQ(slab_rig_stats(cache).supply_partial, stats.supply_partial);
    EXPECT_EQ(slab_rig_stats(cache).supply_empty, stats.supply_empty);
    EXPECT_EQ(slab_rig_stats(cache).supply_buddy, stats.supply_buddy);
    EXPECT_EQ(slab_rig_stats(cache).cached_objects, 0);
    EXPECT_EQ(cache->barn.nr_full, 0);
    slab_rig_check(&rig);
    give(cache, 0, (uint32_t)stats.cached_objects);
    slab_rig_end(&rig);
}

/* Bytes a cache keeps per thread and in the barn are bounded, also in small arenas. */
static void cached_bytes_are_bounded(void)
{
    static const uint32_t pages[] = {64, 1024, 16384, 65536};

    for (size_t p = 0; p < ARRAY_SIZE(pages); p++)
        for (size_t size = 16; size <= CACHE_MAX_OBJECT; size *= 4) {
            struct slab_rig rig;
            struct kmem_cache *cache;
            uint64_t sheaf;

            slab_rig_begin(&rig, pages[p], 10);
            cache = slab_rig_cache(&rig, size, 0);
            sheaf = (uint64_t)cache->sheaf_capacity * size;
            EXPECT_GE(cache->sheaf_capacity, 2);
            EXPECT(sheaf <= 64 * KIB || cache->sheaf_capacity == 2);
            EXPECT(sheaf <= pages[p] * PAGE_SIZE / 1024 || cache->sheaf_capacity == 2);
            EXPECT(cache->max_full_sheaves * sheaf <= MIB || cache->max_full_sheaves == 2);
            slab_rig_end(&rig);
        }
}

static const struct test tests[] = {
    TEST(sheaf_is_a_stack),
    TEST(fresh_objects_ascend),
    TEST(swap_and_barn),
    TEST(cached_bytes_are_bounded),
};

TEST_MAIN(tests)

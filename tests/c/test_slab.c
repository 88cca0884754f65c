/* test_slab.c - holds down slab/ in the ordinary case: arguments and geometry, objects
 * that never overlap, where a refill finds them (partial, empty, buddy: in that order),
 * the slab lists, bulk, shrink, destroy, and ids above the class map. Sheaves are in
 * test_sheaf.c, misuse in test_slab_misuse.c, shortage in test_slab_pressure.c. */
#include "slab/slab_internal.h"

#include "rig.h"

#define MANY 4096u

static void *objects[MANY];

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

static void expect_lists(struct kmem_cache *cache, uint64_t full, uint64_t partial, uint64_t empty)
{
    pyslab_cache_stats stats = slab_rig_stats(cache);

    EXPECT_EQ(stats.nr_full, full);
    EXPECT_EQ(stats.nr_partial, partial);
    EXPECT_EQ(stats.nr_empty, empty);
}

static void expect_supply(struct kmem_cache *cache, uint64_t partial, uint64_t empty,
                          uint64_t buddy)
{
    pyslab_cache_stats stats = slab_rig_stats(cache);

    EXPECT_EQ(stats.supply_partial, partial);
    EXPECT_EQ(stats.supply_empty, empty);
    EXPECT_EQ(stats.supply_buddy, buddy);
}

/* --- creation ----------------------------------------------------------- */

/* Arguments outside the documented range make no cache. */
static void bad_arguments(void)
{
    static const char *const long_name = "0123456789012345678901234567890"; /* 31: fits */
    struct kmem_cache *cache = NULL;
    struct slab_rig rig;

    slab_rig_begin(&rig, 1024, 10);
    EXPECT_EQ(rig_cache_create(&rig.sa, NULL, 64, 0, &cache), PYSLAB_EINVAL);
    EXPECT_EQ(rig_cache_create(&rig.sa, "", 64, 0, &cache), PYSLAB_EINVAL);
    EXPECT_EQ(rig_cache_create(&rig.sa, "01234567890123456789012345678901", 64, 0, &cache),
              PYSLAB_EINVAL);
    EXPECT_EQ(rig_cache_create(&rig.sa, "x", 0, 0, &cache), PYSLAB_EINVAL);
    EXPECT_EQ(rig_cache_create(&rig.sa, "x", CACHE_MAX_OBJECT + 1, 0, &cache), PYSLAB_EINVAL);
    EXPECT_EQ(rig_cache_create(&rig.sa, "x", SIZE_MAX, 0, &cache), PYSLAB_EINVAL);
    EXPECT_EQ(rig_cache_create(&rig.sa, "x", 64, 3, &cache), PYSLAB_EINVAL);
    EXPECT_EQ(rig_cache_create(&rig.sa, "x", 64, 8192, &cache), PYSLAB_EINVAL);
    EXPECT(cache == NULL);
    EXPECT_EQ(rig_cache_create(&rig.sa, long_name, CACHE_MAX_OBJECT, 4096, &cache), PYSLAB_OK);
    EXPECT_EQ(strcmp(slab_rig_stats(cache).name, long_name), 0);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    slab_rig_end(&rig);
    slab_rig_begin(&rig, 64, 2); /* no block holds five frames here */
    EXPECT_EQ(rig_cache_create(&rig.sa, "x", 4 * PAGE_SIZE + 1, 0, &cache), PYSLAB_EINVAL);
    slab_rig_end(&rig);
}

/* Any stride fits its slab, the order is within the cap, waste is below a half. */
static void slab_orders(void)
{
    for (unsigned max_order = 0; max_order <= 10; max_order++)
        for (size_t stride = 8; stride <= PAGE_SIZE << min_uint(max_order, 6); stride += 8) {
            unsigned order = slab_order_for(stride, 2, max_order);
            size_t bytes = PAGE_SIZE << order;

            EXPECT_LE(order, max_order);
            EXPECT_LE(order, stride <= 2 * PAGE_SIZE ? 3 : SLAB_LARGEST_ORDER);
            EXPECT_GE(bytes, stride);
            EXPECT_LE(bytes % stride, bytes / 2);
        }
    EXPECT_EQ(slab_order_for(64, 2, 18), 0); /* the kernel's: min_objects 4*(2+1) */
    EXPECT_EQ(slab_order_for(256, 2, 18), 0);
    EXPECT_EQ(slab_order_for(512, 2, 18), 1);
    EXPECT_EQ(slab_order_for(1024, 2, 18), 2);
    EXPECT_EQ(slab_order_for(4096, 2, 18), 3);
    EXPECT_EQ(slab_order_for(8192, 2, 18), 3);
}

/* Objects of any size and alignment are aligned, inside one slab, and never overlap:
 * each is filled to its last byte and must still be so when it is freed. */
static void check_objects_of(struct slab_rig *rig, size_t size, size_t align)
{
    struct kmem_cache *cache = slab_rig_cache(rig, size, align);
    uint32_t nr = (uint32_t)(2 * MIB / size < 300 ? 2 * MIB / size : 300);
    size_t least = align != 0 ? align : 8;

    EXPECT_GE(cache->desc->stride, size);
    EXPECT_EQ(cache->desc->stride & (least - 1), 0);
    for (uint32_t i = 0; i < nr; i++) {
        objects[i] = cache_alloc(cache, KERNEL);
        REQUIRE(objects[i] != NULL);
        EXPECT_EQ((uintptr_t)objects[i] & (least - 1), 0);
        EXPECT(slab_cache_of(&rig->sa, objects[i]) == cache);
        memset(objects[i], (int)(i % 251 + 1), size);
    }
    slab_rig_check(rig);
    for (uint32_t i = 0; i < nr; i++) {
        EXPECT(rig_is_filled(objects[i], size, (unsigned char)(i % 251 + 1)));
        EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
    }
    for (uint32_t i = 0; i < nr; i++) { /* and once more, from sheaves and slabs, zeroed */
        objects[i] = cache_alloc(cache, ZEROED);
        REQUIRE(objects[i] != NULL);
        EXPECT(rig_is_filled(objects[i], size, 0));
    }
    give(cache, 0, nr);
    slab_rig_check(rig);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
}

static void objects_do_not_overlap(void)
{
    static const size_t sizes[] = {8,    9,    15,   16,   17,    24,    48,     100,   192,
                                   1000, 4095, 4096, 4097, 12288, 65537, 200001, 262144};
    struct slab_rig rig;

    slab_rig_begin(&rig, 16384, 10);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (size_t align = 8; align <= 4096; align *= 8)
            check_objects_of(&rig, sizes[i], align);
    slab_rig_end(&rig);
}

/* Alignments below 8 and odd sizes are allowed, and must not let objects share bytes. */
static void small_alignments(void)
{
    struct slab_rig rig;

    slab_rig_begin(&rig, 16384, 10);
    for (size_t align = 0; align <= 4; align = align == 0 ? 1 : align * 2)
        for (size_t size = 1; size <= 40; size++)
            check_objects_of(&rig, size, align);
    slab_rig_end(&rig);
}

/* --- slabs and their lists ---------------------------------------------- */

/* 8-byte objects have no sheaves, so that every step is seen: partial slabs serve
 * first, then empty ones, and only then the buddy. */
static void supply_order(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;
    uint32_t per;

    slab_rig_begin(&rig, 1024, 10);
    cache = slab_rig_cache(&rig, 8, 0);
    per = cache->desc->objects_per_slab;
    EXPECT_EQ(per, 512);
    EXPECT_EQ(cache->sheaf_capacity, 0);
    take(cache, 0, 2 * per + 1);
    expect_lists(cache, 2, 1, 0);
    expect_supply(cache, per - 1 + per - 1, 0, 3);
    give(cache, 0, per); /* the first slab: empty */
    expect_lists(cache, 1, 1, 1);
    take(cache, 0, per - 1); /* all from the partial one */
    expect_lists(cache, 2, 0, 1);
    expect_supply(cache, 3 * (per - 1), 0, 3);
    take(cache, per - 1, per);
    expect_lists(cache, 2, 1, 0);
    expect_supply(cache, 3 * (per - 1), 1, 3);
    take(cache, 2 * per + 1, 3 * per);
    expect_lists(cache, 3, 0, 0);
    EXPECT_EQ(slab_rig_stats(cache).supply_buddy, 3);
    take(cache, 3 * per, 3 * per + 1);
    expect_lists(cache, 3, 1, 0);
    EXPECT_EQ(slab_rig_stats(cache).supply_buddy, 4);
    slab_rig_check(&rig);
    give(cache, 0, 3 * per + 1);
    expect_lists(cache, 0, 0, 4);
    EXPECT_EQ(slab_rig_stats(cache).live_objects, 0);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    slab_rig_end(&rig);
}

/* Empty slabs beyond the cache's limit go back to the buddy at once. */
static void empty_slabs_are_bounded(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;
    uint64_t before;

    slab_rig_begin(&rig, 1024, 10);
    cache = slab_rig_cache(&rig, 8, 0);
    before = page_rig_free(&rig.pages) + rig_pcp_pages(&rig.pages.pa);
    take(cache, 0, 8 * 512);
    give(cache, 0, 8 * 512);
    expect_lists(cache, 0, 0, cache->max_empty_slabs);
    EXPECT_LE(cache->max_empty_slabs, 7);
    EXPECT_EQ(page_rig_free(&rig.pages) + rig_pcp_pages(&rig.pages.pa),
              before - cache->max_empty_slabs);
    EXPECT_EQ(cache_shrink(cache), cache->max_empty_slabs);
    expect_lists(cache, 0, 0, 0);
    EXPECT_EQ(cache_shrink(cache), 0);
    slab_rig_end(&rig);
}

/* Object i of a slab is free in the pattern: runs of one and more, within words of 64 bits and
 * across them, whole words, and the last object. */
static bool in_pattern(uint32_t i)
{
    return i % 3 == 1 || (i >= 60 && i < 70) || (i >= 128 && i < 320) || i == 511;
}

static void turn_round(void **p, uint32_t nr)
{
    for (uint32_t i = 0; i < nr / 2; i++) {
        void *first = p[i];

        p[i] = p[nr - 1 - i];
        p[nr - 1 - i] = first;
    }
}

/* Free objects are taken from the lowest address up, each once, however many at a time; of what is
 * taken at once the lowest comes last. */
static void holes_are_taken_from_the_lowest(void)
{
    static const uint32_t batches[] = {1, 2, 7, 64, 65, 512};

    for (size_t b = 0; b < ARRAY_SIZE(batches); b++) {
        void *taken[512];
        struct slab_rig rig;
        struct kmem_cache *cache;
        uint32_t nr = 0, got;

        slab_rig_begin(&rig, 1024, 10);
        cache = slab_rig_cache(&rig, 8, 0);
        take(cache, 0, 512);
        for (uint32_t i = 0; i < 512; i++)
            if (in_pattern(i))
                EXPECT_EQ(cache_free(cache, (char *)objects[0] + 8 * i), PYSLAB_OK);
        lock_acquire(&cache->lock);
        while ((got = slab_take_locked(cache, taken + nr, min_uint(batches[b], 512 - nr))) != 0) {
            turn_round(taken + nr, got);
            nr += got;
        }
        for (uint32_t i = 0, n = 0; i < 512; i++)
            if (in_pattern(i))
                EXPECT(n < nr && taken[n++] == (char *)objects[0] + 8 * i);
        slab_put_locked(cache, taken, nr, NULL);
        lock_release(&cache->lock);
        for (uint32_t i = 0; i < 512; i++)
            if (!in_pattern(i))
                EXPECT_EQ(cache_free(cache, (char *)objects[0] + 8 * i), PYSLAB_OK);
        expect_lists(cache, 0, 0, 1);
        slab_rig_end(&rig);
    }
}

static const void *reported[8];
static unsigned nr_reported;

static void note_reported(const void *p)
{
    reported[nr_reported++ % ARRAY_SIZE(reported)] = p;
}

/* An object that is given back twice, in one batch or after it, beside others of its word, of other
 * words and of other slabs: told each time, and counted once. */
static void doubles_in_a_batch_are_told(void)
{
    static const uint32_t before[] = {4, 5}, batch[] = {100, 7, 4, 6, 7, 511, 600, 7, 100};
    static const uint32_t told[] = {4, 7, 7, 100};
    void *objects_back[ARRAY_SIZE(batch)];
    struct slab_rig rig;
    struct kmem_cache *cache;

    slab_rig_begin(&rig, 1024, 10);
    rig.sa.on_corruption = note_reported;
    cache = slab_rig_cache(&rig, 8, 0);
    take(cache, 0, 1024);
    nr_reported = 0;
    lock_acquire(&cache->lock);
    for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
        object_set_mark(cache, objects[before[i]]);
        slab_put_locked(cache, &objects[before[i]], 1, NULL);
    }
    for (size_t i = 0; i < ARRAY_SIZE(batch); i++) {
        objects_back[i] = objects[batch[i]];
        object_set_mark(cache, objects_back[i]);
    }
    slab_put_locked(cache, objects_back, ARRAY_SIZE(batch), NULL);
    EXPECT_EQ(cache->desc->nr_inuse, 1024 - 7); /* 4 to 7, 100, 511, 600 */
    EXPECT_EQ(nr_reported, ARRAY_SIZE(told));
    for (size_t i = 0; i < ARRAY_SIZE(told); i++)
        EXPECT(reported[i] == objects[told[i]]);
    lock_release(&cache->lock);
    for (uint32_t i = 0; i < 1024; i++)
        if ((i < 4 || i > 7) && i != 100 && i != 511 && i != 600)
            EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
    EXPECT_EQ(slab_rig_stats(cache).live_objects, 0);
    slab_rig_end(&rig);
}

/* --- bulk, shrink, destroy ---------------------------------------------- */

/* All objects or none: a request beyond the arena leaves nothing live. */
static void bulk_is_all_or_nothing(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;
    void *seen = NULL;

    slab_rig_begin(&rig, 256, 8); /* 1 MiB */
    cache = slab_rig_cache(&rig, 1000, 0);
    EXPECT_EQ(cache_alloc_bulk(cache, KERNEL, 0, objects), 0);
    EXPECT_EQ(cache_alloc_bulk(cache, ZEROED, 500, objects), 500);
    for (uint32_t i = 0; i < 500; i++) {
        EXPECT(rig_is_filled(objects[i], 1000, 0) && objects[i] != seen);
        seen = objects[i];
        memset(objects[i], 7, 1000);
    }
    EXPECT_EQ(slab_rig_stats(cache).live_objects, 500);
    EXPECT_EQ(cache_alloc_bulk(cache, KERNEL, 3000, objects + 500), 0);
    EXPECT_EQ(slab_rig_stats(cache).live_objects, 500);
    EXPECT_EQ(cache_alloc_bulk(cache, 0x200, 1, objects + 500), 0);
    slab_rig_check(&rig);
    give(cache, 0, 500);
    EXPECT_EQ(slab_rig_stats(cache).live_objects, 0);
    slab_rig_end(&rig);
}

/* Shrink gives back every frame whose objects are all free. */
static void shrink(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;
    uint64_t slabs;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 512, 0);
    take(cache, 0, 2000);
    give(cache, 1, 2000);
    cache_shrink(cache);
    slabs = slab_rig_stats(cache).nr_partial;
    expect_lists(cache, 0, slabs, 0);
    EXPECT_EQ(slabs, 1);
    EXPECT_EQ(slab_rig_stats(cache).cached_objects, 0);
    give(cache, 0, 1);
    EXPECT_EQ(cache_shrink(cache), 1u << cache->desc->slab_order);
    pcp_drain(&rig.pages.pa);
    EXPECT_EQ(page_rig_free(&rig.pages), 16384);
    slab_rig_end(&rig);
}

/* Destroy refuses while an object lives, the cache works on; then it leaves nothing. */
static void destroy_busy_then_ok(void)
{
    struct slab_rig rig;
    struct kmem_cache *cache;
    size_t heap;
    uint32_t id;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 8, 0); /* warm the thread up */
    take(cache, 0, 1);
    give(cache, 0, 1);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    heap = os_heap_live_bytes();
    for (size_t size = 8; size <= 8 * KIB; size *= 4) {
        cache = slab_rig_cache(&rig, size, 0);
        id = cache->id;
        take(cache, 0, 700);
        give(cache, 1, 700);
        EXPECT_EQ(cache_destroy(cache), PYSLAB_EBUSY);
        slab_rig_check(&rig);
        take(cache, 1, 20);
        give(cache, 0, 20);
        EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
        cache = slab_rig_cache(&rig, 40, 0); /* the id serves again, with nothing left in it */
        EXPECT_EQ(cache->id, id);
        EXPECT_EQ(slab_rig_stats(cache).supply_buddy, 0);
        take(cache, 0, 10);
        give(cache, 0, 10);
        EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    }
    EXPECT_EQ(os_heap_live_bytes(), heap);
    pcp_drain(&rig.pages.pa);
    EXPECT_EQ(page_rig_free(&rig.pages), 16384);
    slab_rig_end(&rig);
}

/* Caches beyond what a class byte can name work the same, to the last id. */
static void ids_above_the_class_map(void)
{
    static struct kmem_cache *cache[MAX_CACHES];
    struct kmem_cache *more = NULL;
    struct slab_rig rig;

    slab_rig_begin(&rig, 16384, 10);
    for (uint32_t id = 1; id < MAX_CACHES; id++) {
        REQUIRE(rig_cache_create(&rig.sa, "many", 24 + id % 100, 0, &cache[id]) == PYSLAB_OK);
        EXPECT_EQ(cache[id]->id, id);
    }
    EXPECT_EQ(rig_cache_create(&rig.sa, "one more", 8, 0, &more), PYSLAB_ELIMIT);
    for (uint32_t id = 1; id < MAX_CACHES; id += id < 240 || id > 255 ? 97 : 1) {
        take(cache[id], 0, 400);
        EXPECT(slab_cache_of(&rig.sa, objects[399]) == cache[id]);
        EXPECT_EQ(cache_free(cache[id], (char *)objects[7] + 8), PYSLAB_EPOINTER);
        EXPECT_EQ(cache_free(cache[id == 1 ? 2 : 1], objects[7]), PYSLAB_ECACHE);
        give(cache[id], 0, 400);
        EXPECT_EQ(cache_free(cache[id], objects[0]), PYSLAB_EDOUBLE);
        EXPECT_EQ(slab_rig_stats(cache[id]).live_objects, 0);
        EXPECT_NE(cache_shrink(cache[id]), 0);
    }
    slab_rig_check(&rig);
    for (uint32_t id = 1; id < MAX_CACHES; id++)
        EXPECT_EQ(cache_destroy(cache[id]), PYSLAB_OK);
    EXPECT_EQ(rig.sa.nr_caches, 0);
    slab_rig_end(&rig);
}

static const struct test tests[] = {
    TEST(bad_arguments),
    TEST(slab_orders),
    TEST(objects_do_not_overlap),
    TEST(small_alignments),
    TEST(supply_order),
    TEST(empty_slabs_are_bounded),
    TEST(bulk_is_all_or_nothing),
    TEST(shrink),
    TEST(destroy_busy_then_ok),
    TEST(ids_above_the_class_map),
    TEST(holes_are_taken_from_the_lowest),
    TEST(doubles_in_a_batch_are_told),
};

TEST_MAIN(tests)

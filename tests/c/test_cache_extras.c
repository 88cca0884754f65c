/* test_cache_extras.c - holds down what only C sees of kmem_cache: errors of free by
 * cache, live_objects, cache_of, bulk calls, prefilled sheaves, sheaves that grow, empty
 * slabs that go after an interval, the order shrink leaves, pins on dying caches. */
#include "slab/slab.h"

#include "rig.h"

static void *objects[8192];

static struct slab_rig rig;

static void take(struct kmem_cache *cache, size_t nr)
{
    REQUIRE(cache_alloc_bulk(cache, KERNEL, nr, objects) == nr);
}

static void give(struct kmem_cache *cache, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
}

static pyslab_kmem_cache *cache_in(pyslab_arena *arena, const char *name, size_t size)
{
    pyslab_kmem_cache *cache = NULL;

    EXPECT_EQ(pyslab_kmem_cache_create(arena, name, size, NULL, &cache), PYSLAB_OK);
    return cache;
}

/* A free to the wrong cache changes nothing, and cache_of tells the right one. */
static void another_cache(void)
{
    pyslab_arena *arena = rig_arena(64 * MIB, 10);
    pyslab_kmem_cache *right = cache_in(arena, "right", 64), *wrong = cache_in(arena, "wrong", 64);
    void *p = pyslab_kmem_cache_alloc(right, KERNEL), *large = pyslab_kmalloc(arena, MIB, KERNEL);
    int local = 0;

    EXPECT_EQ(pyslab_kmem_cache_free(wrong, p), PYSLAB_ECACHE);
    EXPECT_PTR(pyslab_kmem_cache_of(arena, p), right);
    EXPECT_EQ(strcmp(pyslab_kmem_cache_name(pyslab_kmem_cache_of(arena, p)), "right"), 0);
    EXPECT(pyslab_kmem_cache_of(arena, (char *)p + 8) == NULL);
    EXPECT(pyslab_kmem_cache_of(arena, large) == NULL);
    EXPECT(pyslab_kmem_cache_of(arena, &local) == NULL);
    EXPECT(pyslab_kmem_cache_of(arena, NULL) == NULL);
    EXPECT_EQ(pyslab_kmem_cache_free(wrong, large), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_kmem_cache_free(wrong, &local), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_kmem_cache_free(wrong, NULL), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_free(right, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, large), PYSLAB_OK);
    rig_end(arena);
}

/* cache_of speaks of live objects only: a free one belongs to nobody. */
static void cache_of_a_free_object(void)
{
    pyslab_arena *arena = rig_arena(64 * MIB, 10);
    pyslab_kmem_cache *cache = cache_in(arena, "one", 64);
    void *p = pyslab_kmem_cache_alloc(cache, KERNEL);

    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    EXPECT(pyslab_kmem_cache_of(arena, p) == NULL);
    rig_end(arena);
}

/* live_objects lists each live object once; its array may be too short, or absent. */
static void live_objects(void)
{
    static void *found[200];
    struct kmem_cache *cache;
    size_t matched = 0;

    slab_rig_begin(&rig, 4096, 8);
    cache = slab_rig_cache(&rig, 600, 0);
    EXPECT_EQ(cache_live_objects(cache, found, 200), 0);
    take(cache, 1000);
    give(cache, 100, 1000);
    EXPECT_EQ(cache_live_objects(cache, NULL, 0), 100);
    EXPECT_EQ(cache_live_objects(cache, found, 200), 100);
    for (size_t i = 0; i < 100; i++)
        for (size_t j = 0; j < 100; j++)
            matched += found[i] == objects[j];
    EXPECT_EQ(matched, 100);
    found[3] = NULL;
    EXPECT_EQ(cache_live_objects(cache, found, 3), 100);
    EXPECT(found[3] == NULL);
    slab_rig_check(&rig);
    give(cache, 0, 100);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    slab_rig_end(&rig);
}

/* free_bulk stops at the first error and tells where. */
static void free_bulk(void)
{
    pyslab_arena *arena = rig_arena(64 * MIB, 10);
    pyslab_kmem_cache *cache = cache_in(arena, "one", 64), *other = cache_in(arena, "two", 64);
    pyslab_cache_stats stats;
    void *stray;

    EXPECT_EQ(pyslab_kmem_cache_alloc_bulk(cache, KERNEL, 0, NULL), 0);
    EXPECT_EQ(pyslab_kmem_cache_free_bulk(cache, 0, NULL), 0);
    EXPECT_EQ(pyslab_kmem_cache_alloc_bulk(cache, KERNEL, 500, objects), 500);
    stray = objects[200];
    objects[200] = pyslab_kmem_cache_alloc(other, KERNEL);
    EXPECT_EQ(pyslab_kmem_cache_free_bulk(cache, 500, objects), 200);
    pyslab_kmem_cache_stats(cache, &stats);
    EXPECT_EQ(stats.live_objects, 300);
    EXPECT_EQ(pyslab_kmem_cache_free(other, objects[200]), PYSLAB_OK);
    objects[200] = stray;
    EXPECT_EQ(pyslab_kmem_cache_free_bulk(cache, 300, objects + 200), 300);
    EXPECT_EQ(pyslab_kmem_cache_free_bulk(cache, 1, objects), 0); /* free already */
    rig_end(arena);
}

/* --- prefilled sheaves ----------------------------------------------------- */

/* The n objects can be taken while the arena is full; until then they count as cached. */
static void prefill(void)
{
    struct kmem_cache *cache;
    struct sheaf *sheaf;
    size_t nr = 0;

    slab_rig_begin(&rig, 64, 6);
    cache = slab_rig_cache(&rig, 600, 0);
    sheaf = cache_prefill(cache, KERNEL, 50);
    REQUIRE(sheaf != NULL);
    EXPECT_EQ(slab_rig_stats(cache).live_objects, 0);
    EXPECT_GE(slab_rig_stats(cache).cached_objects, 50);
    EXPECT_EQ(cache_live_objects(cache, NULL, 0), 0);
    while ((objects[nr] = cache_alloc(cache, KERNEL)) != NULL)
        nr++;
    for (int i = 0; i < 20; i++)
        EXPECT((objects[nr++] = cache_alloc_prefilled(cache, sheaf)) != NULL);
    EXPECT_EQ(slab_rig_stats(cache).live_objects, nr);
    EXPECT_EQ(slab_rig_stats(cache).total_allocs, nr + 30); /* handed out to the sheaf */
    slab_rig_check(&rig);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_EBUSY);
    cache_return_prefilled(cache, sheaf);
    slab_rig_check(&rig);
    EXPECT(cache_alloc(cache, KERNEL) != NULL); /* one that was given back */
    EXPECT_EQ(slab_rig_stats(cache).live_objects, nr + 1);
    slab_rig_end(&rig);
}

static void prefill_limits(void)
{
    struct kmem_cache *cache, *small;
    struct sheaf *sheaf;

    slab_rig_begin(&rig, 64, 6);
    cache = slab_rig_cache(&rig, 600, 0);
    small = slab_rig_cache(&rig, 8, 0);
    EXPECT(cache_prefill(cache, KERNEL, 0) == NULL);
    EXPECT(cache_prefill(cache, KERNEL, 5000) == NULL);
    EXPECT(cache_prefill(cache, KERNEL, SIZE_MAX / 8) == NULL);
    EXPECT_EQ(slab_rig_stats(cache).live_objects, 0);
    sheaf = cache_prefill(small, ZEROED, 5);
    REQUIRE(sheaf != NULL);
    for (int i = 0; i < 5; i++)
        EXPECT((objects[i] = cache_alloc_prefilled(small, sheaf)) != NULL);
    EXPECT(cache_alloc_prefilled(small, sheaf) == NULL);
    cache_return_prefilled(small, sheaf);
    give(small, 0, 5);
    EXPECT_EQ(cache_destroy(small), PYSLAB_OK);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    slab_rig_end(&rig);
}

/* --- sheaves that grow ------------------------------------------------------ */

static uint32_t main_capacity(const struct kmem_cache *cache)
{
    const struct sheaf_slot *slot = &sheaf_table_own(cache->owner)->slot[cache->id];

    return (uint32_t)(slot->limit - slot->bottom);
}

/* From 14 objects on, doubling each time the slabs had to be asked, up to the limit. */
static void sheaves_grow(void)
{
    uint32_t before = 14, nr_steps = 0;
    struct kmem_cache *cache;
    size_t nr = 0;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 64, 0);
    objects[nr++] = cache_alloc(cache, KERNEL);
    while (nr < 2000) {
        objects[nr++] = cache_alloc(cache, KERNEL);
        if (main_capacity(cache) == before)
            continue;
        EXPECT_EQ(main_capacity(cache), 2 * before + 2);
        before = main_capacity(cache);
        nr_steps++;
    }
    EXPECT_EQ(before, cache->sheaf_capacity);
    EXPECT_LE(nr_steps, 6);
    give(cache, 0, nr);
    slab_rig_end(&rig);
}

/* A small working set stays with a small sheaf. */
static void small_working_set_keeps_a_small_sheaf(void)
{
    struct kmem_cache *cache;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 64, 0);
    for (int round = 0; round < 1000; round++) {
        objects[0] = cache_alloc(cache, KERNEL);
        give(cache, 0, 1);
    }
    EXPECT_LE(main_capacity(cache), 32);
    slab_rig_end(&rig);
}

/* --- slabs ------------------------------------------------------------------- */

/* Brings all free objects back to their slabs; the empty ones that may stay do. */
static void back_to_slabs(struct kmem_cache *cache)
{
    (void)cache_live_objects(cache, NULL, 0);
}

/* One object, with a refill from the slabs, after ms milliseconds without one. */
static void use_after(struct kmem_cache *cache, uint32_t ms)
{
    back_to_slabs(cache);
    cache->reap_ms = os_time_ms() - ms;
    take(cache, 1);
    give(cache, 0, 1);
}

/* Empty slabs that were not needed for a whole interval go when it ends. */
static void reap_after_an_interval(void)
{
    struct kmem_cache *cache;
    uint64_t nr_empty;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 4096, 0);
    take(cache, 2000);
    give(cache, 0, 2000);
    back_to_slabs(cache);
    nr_empty = slab_rig_stats(cache).nr_empty;
    EXPECT_GE(nr_empty, 4);
    use_after(cache, 16000); /* needed a moment ago: an interval begins */
    EXPECT_EQ(slab_rig_stats(cache).nr_empty, nr_empty - 1);
    use_after(cache, 10000); /* and is not over yet */
    EXPECT_EQ(slab_rig_stats(cache).nr_empty, nr_empty - 1);
    use_after(cache, 16000);
    EXPECT_EQ(slab_rig_stats(cache).nr_empty, 0);
    EXPECT_EQ(cache->desc->list[SLAB_PARTIAL].nr + cache->desc->list[SLAB_FULL].nr, 1);
    slab_rig_check(&rig);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    slab_rig_end(&rig);
}

/* What was needed once in every interval stays. */
static void working_set_is_not_reaped(void)
{
    struct kmem_cache *cache;
    uint64_t bought;
    size_t nr;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 4096, 0);
    nr = (size_t)cache->max_empty_slabs * cache->desc->objects_per_slab;
    take(cache, nr);
    bought = slab_rig_stats(cache).supply_buddy;
    for (int interval = 0; interval < 5; interval++) {
        give(cache, 0, nr);
        use_after(cache, 16000);
        take(cache, nr);
    }
    EXPECT_EQ(slab_rig_stats(cache).supply_buddy, bought);
    give(cache, 0, nr);
    slab_rig_end(&rig);
}

/* After shrink the partial slab with the fewest free objects is the next one used. */
static void shrink_sorts(void)
{
    static const uint32_t keep[] = {1, 5, 3, 7, 2, 6, 4};
    struct index_view links;
    struct kmem_cache *cache;
    uint32_t before = UINT32_MAX, nr = 0;

    slab_rig_begin(&rig, 16384, 10);
    cache = slab_rig_cache(&rig, 4096, 0);
    EXPECT_EQ(cache->desc->objects_per_slab, 8);
    take(cache, 8 * 8);
    for (size_t slab = 0; slab < ARRAY_SIZE(keep); slab++)
        give(cache, slab * 8 + keep[slab], slab * 8 + 8);
    (void)cache_shrink(cache);
    EXPECT_EQ(slab_rig_stats(cache).nr_empty, 0);
    EXPECT_EQ(slab_rig_stats(cache).nr_partial, 7);
    links = page_links(&rig.sa.map);
    for (uint32_t pfn = cache->desc->list[SLAB_PARTIAL].first; pfn != INDEX_NONE;
         pfn = index_link_at(links, pfn)->next, nr++) {
        EXPECT_LE(pfn_to_page(&rig.sa.map, pfn)->slab.inuse, before);
        before = pfn_to_page(&rig.sa.map, pfn)->slab.inuse;
    }
    EXPECT_EQ(nr, 7);
    slab_rig_check(&rig);
    slab_rig_end(&rig);
}

/* --- pins -------------------------------------------------------------------- */

/* A destroyed cache is out of every list at once, and its record goes with the last pin. */
static void dying_caches_and_pins(void)
{
    struct kmem_cache *cache, *seen, *next;
    size_t heap;
    uint32_t id = 1;

    slab_rig_begin(&rig, 1024, 8);
    heap = os_heap_live_bytes();
    cache = slab_rig_cache(&rig, 64, 0);
    EXPECT_EQ(cache->id, 1);
    seen = cache_pin_next(&rig.sa, &id);
    EXPECT_PTR(seen, cache);
    EXPECT_EQ(id, 2);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    EXPECT_EQ(rig.sa.nr_caches, 0);
    id = 1;
    EXPECT(cache_pin_next(&rig.sa, &id) == NULL);
    next = slab_rig_cache(&rig, 128, 0);
    EXPECT_EQ(next->id, 2); /* the first id is still taken */
    EXPECT_EQ(strcmp(seen->desc->name, "test"), 0);
    cache_unpin(seen);
    EXPECT(rig.sa.caches[1] == NULL);
    EXPECT_EQ(cache_destroy(next), PYSLAB_OK);
    EXPECT_EQ(os_heap_live_bytes(), heap);
    cache = slab_rig_cache(&rig, 32, 0);
    EXPECT_EQ(cache->id, 1);
    slab_rig_end(&rig);
}

static const struct test tests[] = {
    TEST(another_cache),
    TEST(cache_of_a_free_object),
    TEST(live_objects),
    TEST(free_bulk),
    TEST(prefill),
    TEST(prefill_limits),
    TEST(sheaves_grow),
    TEST(small_working_set_keeps_a_small_sheaf),
    TEST(reap_after_an_interval),
    TEST(working_set_is_not_reaped),
    TEST(shrink_sorts),
    TEST(dying_caches_and_pins),
};

TEST_MAIN(tests)

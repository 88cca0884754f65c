/* test_prealloc.c - holds down preallocation: it buys slabs from the buddy onto the empty list, all
 * that were asked for or none; time does not take them away again (their number is the cache's
 * floor), but shrink, release and memory pressure do; and one cache's stock is not bought with
 * the slabs of another's. */
#include "slab/slab.h"

#include "rig.h"

static void *objects[20000];

static pyslab_cache_stats stats_of(pyslab_arena *arena, size_t size)
{
    pyslab_cache_stats stats;

    memset(&stats, 0, sizeof stats);
    for (uint32_t i = 0; pyslab_arena_cache_stats(arena, i, &stats) == PYSLAB_OK; i++)
        if (stats.object_size >= size)
            break;
    return stats;
}

/* --- stocking ------------------------------------------------------------- */

/* The slabs are bought, counted and empty, and allocations use them before they buy others. */
static void on_the_empty_list(void)
{
    static const size_t sizes[] = {16, 64, 100, 600, 4096, 8192, 100000};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        pyslab_arena *arena = rig_arena(256 * MIB, 14);
        pyslab_cache_stats stats;
        void *p;

        EXPECT_EQ(pyslab_kmalloc_prealloc(arena, sizes[i], 1), PYSLAB_OK);
        EXPECT_EQ(pyslab_kmalloc_prealloc(arena, sizes[i], 99), PYSLAB_OK);
        stats = stats_of(arena, sizes[i]);
        EXPECT_GE(stats.nr_empty * stats.objects_per_slab, 100);
        EXPECT_LE((stats.nr_empty - 2) * stats.objects_per_slab, 100);
        EXPECT_EQ(stats.supply_buddy, stats.nr_empty);
        EXPECT_EQ(stats.nr_partial + stats.nr_full + stats.live_objects, 0);
        EXPECT_EQ(rig_stats(arena).slab_pages, stats.nr_empty << stats.slab_order);
        p = pyslab_kmalloc(arena, sizes[i], KERNEL);
        EXPECT_EQ(stats_of(arena, sizes[i]).supply_buddy, stats.supply_buddy);
        EXPECT_GE(stats_of(arena, sizes[i]).supply_empty, 1);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        rig_end(arena);
    }
}

static void nothing_asked(void)
{
    pyslab_arena *arena = rig_arena(64 * MIB, 14);

    EXPECT_EQ(pyslab_kmalloc_prealloc(arena, 64, 0), PYSLAB_OK);
    EXPECT_EQ(rig_stats(arena).slab_pages, 0);
    EXPECT_EQ(pyslab_kmalloc_prealloc(arena, 0, 1), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_kmalloc_prealloc(arena, 256 * KIB + 1, 1), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_kmalloc_prealloc(arena, SIZE_MAX, 1), PYSLAB_EINVAL);
    rig_end(arena);
}

/* If memory does not suffice, every slab bought so far is given back. */
static void all_or_nothing(void)
{
    pyslab_arena *arena = rig_arena(MIB, 8);

    for (size_t nr = 300; nr < SIZE_MAX / 16; nr *= 16)
        EXPECT_EQ(pyslab_kmalloc_prealloc(arena, 4096, nr), PYSLAB_ENOMEM);
    EXPECT_EQ(pyslab_kmalloc_prealloc(arena, 4096, 257), PYSLAB_ENOMEM);
    EXPECT_EQ(pyslab_kmalloc_prealloc(arena, 16, SIZE_MAX), PYSLAB_ENOMEM);
    pyslab_arena_release_unused(arena);
    EXPECT_EQ(rig_stats(arena).free_pages, 256);
    EXPECT_EQ(pyslab_kmalloc_prealloc(arena, 4096, 256), PYSLAB_OK);
    EXPECT_EQ(rig_stats(arena).free_pages + rig_stats(arena).pcp_pages, 0);
    EXPECT_EQ(pyslab_kmalloc_prealloc(arena, 64, 1), PYSLAB_ENOMEM); /* not from the other */
    EXPECT_EQ(stats_of(arena, 4096).nr_empty << stats_of(arena, 4096).slab_order, 256);
    EXPECT(pyslab_kmalloc(arena, 64, KERNEL) != NULL); /* but from need */
    rig_end(arena);
}

static unsigned nr_constructed;

static int count_up(void *object, void *context)
{
    (void)object, (void)context;
    return ++nr_constructed == 500;
}

static void count_down(void *object, void *context)
{
    (void)object, (void)context;
    nr_constructed--;
}

/* The objects are constructed with their slabs; if a constructor fails, no slab is kept. */
static void constructed(void)
{
    pyslab_cache_options options = {
        .struct_size = sizeof options, .ctor = count_up, .dtor = count_down};
    pyslab_arena *arena = rig_arena(64 * MIB, 14);
    pyslab_kmem_cache *cache = NULL;

    EXPECT_EQ(pyslab_kmem_cache_create(arena, "ctor", 600, &options, &cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_prealloc(cache, 100), PYSLAB_OK);
    EXPECT_GE(nr_constructed, 100);
    EXPECT_LE(nr_constructed, 160);
    EXPECT_EQ(pyslab_kmem_cache_prealloc(cache, 1000), PYSLAB_ENOMEM);
    EXPECT_LE(nr_constructed, 161); /* the refused one counts */
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    rig_end(arena);
}

/* --- the floor -------------------------------------------------------------- */

static struct slab_rig rig;

static struct kmem_cache *stocked(size_t nr)
{
    struct kmem_cache *cache;

    slab_rig_begin(&rig, 4096, 10);
    cache = slab_rig_cache(&rig, 600, 0);
    EXPECT_EQ(cache_prealloc(cache, nr), PYSLAB_OK);
    return cache;
}

static uint64_t nr_slabs(struct kmem_cache *cache)
{
    pyslab_cache_stats stats = slab_rig_stats(cache);

    return stats.nr_full + stats.nr_partial + stats.nr_empty;
}

static void use_all(struct kmem_cache *cache, size_t nr)
{
    REQUIRE(cache_alloc_bulk(cache, KERNEL, nr, objects) == nr);
    for (size_t i = 0; i < nr; i++)
        EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
}

/* Frees and trimming give back empty slabs beyond the stock, and leave the stock. */
static void trimming_leaves_it(void)
{
    struct kmem_cache *cache = stocked(1000);
    uint64_t stock = nr_slabs(cache);

    EXPECT_GE(stock, 2 * cache->max_empty_slabs); /* or the test says nothing */
    for (int i = 0; i < 3; i++) {
        slab_trim(&rig.sa);
        EXPECT_EQ(slab_rig_stats(cache).nr_empty, stock);
        use_all(cache, 3000);
        slab_trim(&rig.sa);
        EXPECT_EQ(nr_slabs(cache), stock);
        EXPECT_EQ(slab_rig_stats(cache).nr_empty, stock);
        slab_rig_check(&rig);
    }
    slab_rig_end(&rig);
}

/* The floor counts all slabs of the cache, also those in use, not the empty ones alone. */
static void slabs_in_use_count(void)
{
    struct kmem_cache *cache = stocked(1000);
    uint64_t stock = nr_slabs(cache);

    REQUIRE(cache_alloc_bulk(cache, KERNEL, 2500, objects) == 2500);
    slab_trim(&rig.sa);
    for (size_t i = 1250; i < 2500; i++)
        EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
    slab_trim(&rig.sa);
    EXPECT_GE(nr_slabs(cache), stock);
    EXPECT_LE(slab_rig_stats(cache).nr_empty, 1);
    for (size_t i = 0; i < 1250; i++)
        EXPECT_EQ(cache_free(cache, objects[i]), PYSLAB_OK);
    slab_trim(&rig.sa);
    EXPECT_EQ(nr_slabs(cache), stock);
    slab_rig_end(&rig);
}

/* When an interval has passed, empty slabs that were not needed go, except the stock. */
static void reaping_leaves_it(void)
{
    struct kmem_cache *cache = stocked(1000);
    uint64_t stock = nr_slabs(cache);
    void *p;

    for (int i = 0; i < 3; i++) {
        cache->reap_ms -= 20000;
        REQUIRE((p = cache_alloc(cache, KERNEL)) != NULL);
        EXPECT_GE(nr_slabs(cache), stock);
        EXPECT_EQ(cache_free(cache, p), PYSLAB_OK);
        slab_trim(&rig.sa);
    }
    EXPECT_EQ(nr_slabs(cache), stock);
    slab_rig_end(&rig);
}

/* An explicit shrink gives the stock back; slabs bought later are kept in its place. */
static void shrinking_takes_it(void)
{
    struct kmem_cache *cache = stocked(1000);
    uint64_t stock = nr_slabs(cache);

    EXPECT_EQ(cache_shrink(cache), stock << cache->desc->slab_order);
    EXPECT_EQ(nr_slabs(cache), 0);
    slab_trim(&rig.sa);
    use_all(cache, 3000);
    slab_trim(&rig.sa);
    EXPECT_EQ(slab_rig_stats(cache).nr_empty, stock);
    EXPECT_EQ(cache_destroy(cache), PYSLAB_OK);
    slab_rig_end(&rig);
}

/* When memory is short, the stock is given back as well. */
static void pressure_takes_it(void)
{
    struct kmem_cache *cache = stocked(1000);
    uint32_t pfn[16], nr = 0;

    while (nr < 16 && (pfn[nr] = page_alloc_block(&rig.pages.pa, 10, KERNEL)) != PFN_NONE)
        nr++;
    EXPECT_EQ(nr, 4); /* all of it */
    EXPECT_EQ(nr_slabs(cache), 0);
    while (nr > 0)
        page_free_block(&rig.pages.pa, pfn[--nr], 10);
    slab_rig_end(&rig);
}

static const struct test tests[] = {
    TEST(on_the_empty_list), TEST(nothing_asked),      TEST(all_or_nothing),
    TEST(constructed),       TEST(trimming_leaves_it), TEST(slabs_in_use_count),
    TEST(reaping_leaves_it), TEST(shrinking_takes_it), TEST(pressure_takes_it),
};

TEST_MAIN(tests)

/* test_faults.c - holds down what every call does when it is refused memory, at each
 * point where it can be: NULL or its code, nothing lost, nothing taken, all of it usable
 * afterwards; calls that free never fail.
 *
 * Each operation is repeated with the first, the second, ... question for memory answered
 * no, once that one alone and once all from it on, until it runs through without a
 * failure. Needs PYSLAB_CHECK_LEVEL >= 1; without, the one test says so. */
#include "base/fault.h"

#include "rig_zones.h"

#if PYSLAB_CHECK_LEVEL >= 1

#include <pthread.h>

#define MOST_POINTS 1000u /* no operation asks for memory so often */
#define MOST_HELD (UNDER_TSAN ? 600u : 1200u)
#define HIGH_ID 256 /* caches beyond those that have a class byte of their own */

/* An arena, what is held of it, and what the operation under test is about. */
struct scene {
    pyslab_arena *arena;
    pyslab_kmem_cache *cache;
    void *p[MOST_HELD]; /* of kmalloc or of cache */
    size_t nr;
    void *block; /* of alloc_pages, or NULL */
    unsigned order;
    pyslab_sheaf *sheaf;
    pyslab_mempool *pool;
    pyslab_region *region;
};

struct operation {
    const char *name;
    void (*prepare)(struct scene *);
    bool (*run)(struct scene *); /* false: refused, and nothing has changed */
    bool cannot_fail;
};

static struct scene scene;

static int construct(void *object, void *context)
{
    memset(object, 0x5c, *(size_t *)context);
    return 0;
}

static void make_cache(struct scene *s, size_t size, bool constructed)
{
    static size_t bytes;
    pyslab_cache_options options = {.struct_size = sizeof options, .context = &bytes};

    bytes = size;
    options.ctor = constructed ? construct : NULL;
    EXPECT_EQ(pyslab_kmem_cache_create(s->arena, "fault", size, &options, &s->cache), PYSLAB_OK);
}

static bool take(struct scene *s, void *p, size_t bytes)
{
    if (p == NULL)
        return false;
    memset(p, 0xd7, bytes);
    s->p[s->nr++] = p;
    return true;
}

static void take_many(struct scene *s, size_t nr)
{
    EXPECT_EQ(pyslab_kmem_cache_alloc_bulk(s->cache, KERNEL, nr, s->p), nr);
    s->nr = nr;
}

static void give_all(struct scene *s)
{
    while (s->nr > 0)
        EXPECT_EQ(pyslab_kfree(s->arena, s->p[--s->nr]), PYSLAB_OK);
}

/* --- preparations --------------------------------------------------------- */

static void nothing(struct scene *s)
{
    (void)s;
}

static void hold_small(struct scene *s)
{
    EXPECT(take(s, pyslab_kmalloc(s->arena, 100, KERNEL), 100));
}

static void hold_large(struct scene *s)
{
    EXPECT(take(s, pyslab_kmalloc(s->arena, 700 * KIB, KERNEL), 700 * KIB));
}

static void hold_pages(struct scene *s)
{
    for (int i = 0; i < 400; i++)
        EXPECT(take(s, pyslab_kmalloc(s->arena, 3000, KERNEL), 3000));
    s->order = 10;
    EXPECT((s->block = pyslab_get_free_pages(s->arena, s->order, KERNEL)) != NULL);
}

static void cache_of_8(struct scene *s)
{
    make_cache(s, 8, false);
}

static void cache_of_64(struct scene *s)
{
    make_cache(s, 64, false);
}

static void cache_of_5000(struct scene *s)
{
    make_cache(s, 5000, false);
}

static void constructed_cache(struct scene *s)
{
    make_cache(s, 200, true);
}

/* The thread's slots for such ids are allocated separately. */
static void cache_with_high_id(struct scene *s)
{
    for (int i = 0; i < HIGH_ID; i++)
        make_cache(s, 64, false);
}

static void hold_many(struct scene *s)
{
    make_cache(s, 600, false);
    take_many(s, MOST_HELD);
}

static void hold_many_constructed(struct scene *s)
{
    constructed_cache(s);
    take_many(s, MOST_HELD);
}

static void hold_many_with_high_id(struct scene *s)
{
    cache_with_high_id(s);
    take_many(s, MOST_HELD);
}

static void used_cache(struct scene *s)
{
    hold_many(s);
    give_all(s);
}

static void prefilled(struct scene *s)
{
    make_cache(s, 600, false);
    s->sheaf = pyslab_kmem_cache_prefill_sheaf(s->cache, KERNEL, 300);
    EXPECT(s->sheaf != NULL);
}

/* DMA, NORMAL and HIGHMEM with marks, and with page lists. */
static void zoned(struct scene *s)
{
    pyslab_zone_options zones[] = {rig_zone(PYSLAB_ZONE_DMA, 1001, 16),
                                   rig_zone(PYSLAB_ZONE_NORMAL, 3001, 64),
                                   rig_zone(PYSLAB_ZONE_HIGHMEM, 1001, 16)};

    pyslab_arena_destroy(s->arena);
    s->arena = rig_zones_arena(zones, ARRAY_SIZE(zones), 9);
}

static void hold_runs(struct scene *s)
{
    s->p[s->nr++] = pyslab_reserve_range(s->arena, 2049, 64);
    s->p[s->nr++] = pyslab_alloc_contig(s->arena, 7, 1, 0, KERNEL);
    s->p[s->nr++] = pyslab_alloc_pages_exact(s->arena, 11 * PAGE_SIZE, KERNEL);
    EXPECT(s->p[0] != NULL && s->p[1] != NULL && s->p[2] != NULL);
}

static void pooled(struct scene *s)
{
    make_cache(s, 600, false);
    EXPECT_EQ(pyslab_mempool_create(s->cache, 50, &s->pool), PYSLAB_OK);
}

/* --- operations ------------------------------------------------------------ */

static bool kmalloc_64(struct scene *s)
{
    return take(s, pyslab_kmalloc(s->arena, 64, KERNEL), 64);
}

static bool kmalloc_1m(struct scene *s)
{
    return take(s, pyslab_kmalloc(s->arena, MIB, KERNEL), MIB);
}

static bool kmalloc_700k(struct scene *s)
{
    return take(s, pyslab_kmalloc(s->arena, 700 * KIB, KERNEL), 700 * KIB);
}

static bool kmalloc_aligned_64k(struct scene *s)
{
    void *p = pyslab_kmalloc_aligned(s->arena, 100, 64 * KIB, KERNEL);

    EXPECT_EQ((uintptr_t)p & (64 * KIB - 1), 0);
    return take(s, p, 100);
}

static bool kzalloc_of(struct scene *s, size_t size)
{
    void *p = pyslab_kzalloc(s->arena, size, KERNEL);

    EXPECT(p == NULL || rig_is_filled(p, size, 0));
    return take(s, p, size);
}

static bool kzalloc_64(struct scene *s)
{
    return kzalloc_of(s, 64);
}

static bool kzalloc_700k(struct scene *s)
{
    return kzalloc_of(s, 700 * KIB);
}

/* Grows the only block; refused, it is where and what it was. */
static bool krealloc_to(struct scene *s, size_t old_size, size_t size)
{
    void *p = pyslab_krealloc(s->arena, s->p[0], size, KERNEL);

    EXPECT(rig_is_filled(p != NULL ? p : s->p[0], old_size, 0xd7));
    if (p != NULL)
        s->p[0] = p;
    return p != NULL;
}

static bool krealloc_small(struct scene *s)
{
    return krealloc_to(s, 100, 3000);
}

static bool krealloc_small_to_large(struct scene *s)
{
    return krealloc_to(s, 100, MIB);
}

static bool krealloc_large(struct scene *s)
{
    return krealloc_to(s, 700 * KIB, 2 * MIB);
}

static bool pages_of(struct scene *s, unsigned order, uint32_t gfp)
{
    size_t bytes = PAGE_SIZE << order;

    s->order = order;
    s->block = pyslab_get_free_pages(s->arena, order, gfp);
    EXPECT((gfp & PYSLAB_GFP_ZERO) == 0 || s->block == NULL || rig_is_filled(s->block, bytes, 0));
    return s->block != NULL;
}

static bool pages_0(struct scene *s)
{
    return pages_of(s, 0, KERNEL);
}

static bool pages_3_zeroed(struct scene *s)
{
    return pages_of(s, 3, ZEROED);
}

static bool pages_5(struct scene *s)
{
    return pages_of(s, 5, KERNEL);
}

static bool pages_9(struct scene *s)
{
    return pages_of(s, 9, KERNEL);
}

static bool pages_10_zeroed(struct scene *s)
{
    return pages_of(s, 10, ZEROED);
}

static bool alloc_pages_0(struct scene *s)
{
    uint32_t pfn = pyslab_alloc_pages(s->arena, 0, KERNEL);

    s->order = 0;
    s->block = pfn == PFN_NONE ? NULL : pyslab_page_address(s->arena, pfn);
    return s->block != NULL;
}

static bool contig_op(struct scene *s)
{
    void *p = pyslab_alloc_contig(s->arena, 301, 4, 512, ZEROED);

    EXPECT(p == NULL || rig_is_filled(p, 301 * PAGE_SIZE, 0));
    return take(s, p, 301 * PAGE_SIZE);
}

static bool exact_op(struct scene *s)
{
    return take(s, pyslab_alloc_pages_exact(s->arena, 13 * PAGE_SIZE, ZEROED), 13 * PAGE_SIZE);
}

static bool reserve_op(struct scene *s)
{
    return take(s, pyslab_reserve_range(s->arena, 1001, 50), 50 * PAGE_SIZE);
}

/* Fewer than asked for is a refusal here; what there was goes back. */
static bool bulk_of(struct scene *s, uint32_t gfp)
{
    uint32_t pfn[700], nr = pyslab_alloc_pages_bulk(s->arena, gfp, 700, pfn);

    EXPECT_LE(nr, 700);
    rig_give_all(s->arena, 0, pfn, nr);
    return nr == 700;
}

static bool bulk_op(struct scene *s)
{
    return bulk_of(s, ZEROED);
}

static bool bulk_high_op(struct scene *s)
{
    return bulk_of(s, HIGHUSER | PYSLAB_GFP_ZERO);
}

static bool high_block_op(struct scene *s)
{
    uint32_t pfn = pyslab_alloc_pages(s->arena, 4, HIGHUSER | PYSLAB_GFP_COMP);

    if (pfn != PFN_NONE)
        EXPECT_EQ(pyslab_free_pages(s->arena, pfn, 4), PYSLAB_OK);
    return pfn != PFN_NONE;
}

static bool split_op(struct scene *s)
{
    uint32_t pfn = pyslab_alloc_pages(s->arena, 5, DMA);

    if (pfn == PFN_NONE)
        return false;
    EXPECT_EQ(pyslab_split_page(s->arena, pfn, 5), PYSLAB_OK);
    for (uint32_t i = 0; i < 32; i++)
        EXPECT_EQ(pyslab_put_page(s->arena, pfn + i), PYSLAB_OK);
    return true;
}

/* Its cache is made by the first request. */
static bool kmalloc_dma_100(struct scene *s)
{
    return take(s, pyslab_kmalloc(s->arena, 100, DMA), 100);
}

static bool kmalloc_dma_100k(struct scene *s)
{
    return take(s, pyslab_kmalloc(s->arena, 100 * KIB, DMA), 100 * KIB);
}

static uint64_t count_objects(void *context)
{
    return ((const struct scene *)context)->nr;
}

/* Frees through the scene, and asks for memory that it may be refused. */
static int64_t scan_objects(uint64_t nr, void *context)
{
    struct scene *s = context;
    int64_t went = 0;

    for (; (uint64_t)went < nr && s->nr > 0; went++)
        EXPECT_EQ(pyslab_kfree(s->arena, s->p[--s->nr]), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(s->arena, pyslab_kmalloc(s->arena, 300, KERNEL)), PYSLAB_OK);
    return went;
}

static bool register_op(struct scene *s)
{
    pyslab_shrinker_options options = {.struct_size = sizeof options,
                                       .seeks = 0,
                                       .batch = 8,
                                       .count = count_objects,
                                       .scan = scan_objects,
                                       .context = s};
    pyslab_shrinker *shrinker = NULL;
    int code = pyslab_register_shrinker(s->arena, &options, &shrinker);

    EXPECT_EQ(code, shrinker != NULL ? PYSLAB_OK : PYSLAB_ENOMEM);
    return code == PYSLAB_OK;
}

/* Large blocks in all the arena, that a shrinker gives back. */
static void shrinkable(struct scene *s)
{
    void *p;

    EXPECT(register_op(s));
    while (s->nr < 15 && (p = pyslab_kmalloc(s->arena, MIB, KERNEL | PYSLAB_GFP_NORETRY)) != NULL)
        s->p[s->nr++] = p;
}

/* Served by reclaim, or refused; what the shrinker freed is gone either way. */
static bool reclaim_op(struct scene *s)
{
    void *p = pyslab_alloc_contig(s->arena, 2048, 1, 0, KERNEL);

    EXPECT_EQ(pyslab_kfree(s->arena, p), PYSLAB_OK);
    return true;
}

static bool cache_create_op(struct scene *s)
{
    int code = pyslab_kmem_cache_create(s->arena, "fault", 640, NULL, &s->cache);

    EXPECT(code == PYSLAB_OK || code == PYSLAB_ENOMEM);
    return code == PYSLAB_OK;
}

static bool cache_alloc_op(struct scene *s)
{
    return take(s, pyslab_kmem_cache_alloc(s->cache, KERNEL), 8);
}

static bool cache_alloc_bulk_op(struct scene *s)
{
    size_t nr = pyslab_kmem_cache_alloc_bulk(s->cache, KERNEL, MOST_HELD, s->p);

    EXPECT(nr == 0 || nr == MOST_HELD);
    s->nr = nr;
    return nr != 0;
}

/* What was set aside comes although nothing else does. */
static bool prefill_op(struct scene *s)
{
    s->sheaf = pyslab_kmem_cache_prefill_sheaf(s->cache, KERNEL, 300);
    for (int i = 0; s->sheaf != NULL && i < 300; i++)
        EXPECT(take(s, pyslab_kmem_cache_alloc_from_sheaf(s->cache, s->sheaf), 8));
    return s->sheaf != NULL;
}

static bool take_prefilled(struct scene *s)
{
    for (int i = 0; i < 150; i++)
        EXPECT(take(s, pyslab_kmem_cache_alloc_from_sheaf(s->cache, s->sheaf), 8));
    pyslab_kmem_cache_return_sheaf(s->cache, s->sheaf);
    s->sheaf = NULL;
    return true;
}

static bool pool_create(struct scene *s)
{
    return pyslab_mempool_create(s->cache, 300, &s->pool) == PYSLAB_OK;
}

static bool pool_resize(struct scene *s)
{
    return pyslab_mempool_resize(s->pool, 400) == PYSLAB_OK;
}

/* As many as the reserve has come whatever is refused; then it is made smaller. */
static bool pool_use(struct scene *s)
{
    for (int i = 0; i < 50; i++)
        EXPECT((s->p[i] = pyslab_mempool_alloc(s->pool, KERNEL)) != NULL);
    for (int i = 0; i < 50; i++)
        EXPECT_EQ(pyslab_mempool_free(s->pool, s->p[i]), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_resize(s->pool, 3), PYSLAB_OK);
    return true;
}

static bool pool_destroy(struct scene *s)
{
    EXPECT_EQ(pyslab_mempool_destroy(s->pool), PYSLAB_OK);
    s->pool = NULL;
    return true;
}

static bool prealloc_op(struct scene *s)
{
    return pyslab_kmem_cache_prealloc(s->cache, 300) == PYSLAB_OK;
}

static bool free_all(struct scene *s)
{
    give_all(s);
    return true;
}

static bool free_bulk_op(struct scene *s)
{
    EXPECT_EQ(pyslab_kmem_cache_free_bulk(s->cache, s->nr, s->p), s->nr);
    s->nr = 0;
    return true;
}

static bool free_block(struct scene *s)
{
    EXPECT_EQ(pyslab_free_pages_address(s->arena, s->block, s->order), PYSLAB_OK);
    s->block = NULL;
    give_all(s);
    return true;
}

static bool shrink_op(struct scene *s)
{
    (void)pyslab_kmem_cache_shrink(s->cache);
    return true;
}

static bool destroy_op(struct scene *s)
{
    EXPECT_EQ(pyslab_kmem_cache_destroy(s->cache), PYSLAB_OK);
    s->cache = NULL;
    return true;
}

static bool live_objects_op(struct scene *s)
{
    void *p[4];

    EXPECT_EQ(pyslab_kmem_cache_live_objects(s->cache, p, 4), s->nr);
    return true;
}

static bool release_op(struct scene *s)
{
    (void)pyslab_arena_release_unused(s->arena);
    return true;
}

#include "test_faults_region.h"

#define MAY(name, prepare) {#name " after " #prepare, prepare, name, false}
#define MUST(name, prepare) {#name " after " #prepare, prepare, name, true}

static const struct operation operations[] = {
    MAY(kmalloc_64, nothing),
    MAY(kmalloc_1m, nothing),
    MAY(kmalloc_700k, nothing),
    MAY(kmalloc_aligned_64k, nothing),
    MAY(kzalloc_64, nothing),
    MAY(kzalloc_700k, nothing),
    MAY(krealloc_small, hold_small),
    MAY(krealloc_small_to_large, hold_small),
    MAY(krealloc_large, hold_large),
    MAY(pages_0, nothing),
    MAY(pages_3_zeroed, nothing),
    MAY(pages_5, nothing),
    MAY(pages_9, nothing),
    MAY(pages_10_zeroed, nothing),
    MAY(pages_0, used_cache),
    MAY(alloc_pages_0, nothing),
    MAY(contig_op, nothing),
    MAY(contig_op, zoned),
    MAY(exact_op, nothing),
    MAY(exact_op, zoned),
    MAY(reserve_op, nothing),
    MAY(reserve_op, zoned),
    MAY(bulk_op, nothing),
    MAY(bulk_op, zoned),
    MAY(bulk_high_op, zoned),
    MAY(high_block_op, zoned),
    MAY(split_op, zoned),
    MAY(kmalloc_dma_100, nothing),
    MAY(kmalloc_dma_100, zoned),
    MAY(kmalloc_dma_100k, zoned),
    MAY(register_op, nothing),
    MUST(reclaim_op, shrinkable),
    MUST(free_all, hold_runs),
    MAY(cache_create_op, nothing),
    MAY(cache_alloc_op, cache_of_8),
    MAY(cache_alloc_op, cache_of_64),
    MAY(cache_alloc_op, cache_of_5000),
    MAY(cache_alloc_op, constructed_cache),
    MAY(cache_alloc_op, cache_with_high_id),
    MAY(cache_alloc_bulk_op, cache_of_64),
    MAY(cache_alloc_bulk_op, cache_of_5000),
    MAY(cache_alloc_bulk_op, constructed_cache),
    MAY(prefill_op, cache_of_64),
    MAY(prefill_op, constructed_cache),
    MUST(take_prefilled, prefilled),
    MUST(free_all, hold_small),
    MUST(free_all, hold_large),
    MUST(free_all, hold_many),
    MUST(free_all, hold_many_constructed),
    MUST(free_all, hold_many_with_high_id),
    MUST(free_bulk_op, hold_many),
    MUST(free_block, hold_pages),
    MUST(shrink_op, used_cache),
    MUST(shrink_op, hold_many),
    MUST(destroy_op, used_cache),
    MUST(destroy_op, cache_of_64),
    MAY(pool_create, cache_of_64),
    MAY(pool_create, constructed_cache),
    MAY(pool_resize, pooled),
    MUST(pool_use, pooled),
    MUST(pool_destroy, pooled),
    MAY(prealloc_op, cache_of_64),
    MAY(prealloc_op, constructed_cache),
    REGION_OPERATIONS,
    MUST(live_objects_op, hold_many),
    MUST(release_op, used_cache),
    MUST(release_op, nothing),
};

#include "test_faults_run.h"

#else

static void needs_a_checked_build(void)
{
    printf("no faults to inject: PYSLAB_CHECK_LEVEL is 0\n");
}

static const struct test tests[] = {
    TEST(needs_a_checked_build),
};

#endif

TEST_MAIN(tests)

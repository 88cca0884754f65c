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

#include "test_faults_scene.h"

/* --- operations of kmalloc and caches ----------------------------------------- */

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

/* Its cache is made by the first request. */
static bool kmalloc_dma_100(struct scene *s)
{
    return take(s, pyslab_kmalloc(s->arena, 100, DMA), 100);
}

static bool kmalloc_dma_100k(struct scene *s)
{
    return take(s, pyslab_kmalloc(s->arena, 100 * KIB, DMA), 100 * KIB);
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

#include "test_faults_pages.h"
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

/* test_usage.c - holds down page_alloc/usage.h: while a block is open every allocation and
 * free is counted, by whichever way it comes; peaks are those of the block; threads that
 * were on their fast paths leave them, and find them again; a block ends clean. */
#include "rig.h"

#include <pthread.h>

#define NR_THREADS 4u
#define NR_HELD 100u
#define ROUNDS (UNDER_TSAN ? 3000u : 20000u)

static pyslab_arena *arena;

static void begin(void)
{
    arena = rig_arena(64 * MIB, 10);
}

static void end(void)
{
    rig_validate(arena);
    rig_end(arena);
}

static void open_block(struct usage_block *block)
{
    usage_open(arena->pages.usage, arena->pages.domain, block);
}

static struct usage_figures read_block(struct usage_block *block)
{
    struct usage_figures figures;

    usage_read(arena->pages.usage, block, &figures);
    return figures;
}

static struct usage_figures close_block(struct usage_block *block)
{
    struct usage_figures figures;

    usage_close(arena->pages.usage, arena->pages.domain, block, &figures);
    return figures;
}

static void expect_current(struct usage_block *block, int64_t bytes, int64_t count)
{
    struct usage_figures figures = read_block(block);

    EXPECT_EQ(figures.current_bytes, bytes);
    EXPECT_EQ(figures.current_count, count);
}

/* --- every kind ------------------------------------------------------------ */

static void objects(void)
{
    struct usage_block block;
    void *old, *p, *large;

    begin();
    old = pyslab_kmalloc(arena, 100, KERNEL);
    open_block(&block);
    p = pyslab_kmalloc(arena, 100, KERNEL);
    expect_current(&block, 112, 1);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
    expect_current(&block, 0, 0);
    EXPECT_EQ(pyslab_kfree(arena, old), PYSLAB_OK);
    expect_current(&block, -112, -1);
    large = pyslab_kmalloc(arena, MIB, KERNEL);
    expect_current(&block, (int64_t)MIB - 112, 0);
    EXPECT_PTR(pyslab_krealloc(arena, large, MIB / 2, KERNEL), large);
    expect_current(&block, (int64_t)MIB / 2 - 112, 0);
    EXPECT(kmalloc_grow_large(&arena->kmalloc, large, MIB));
    expect_current(&block, (int64_t)MIB - 112, 0);
    EXPECT_EQ(pyslab_kfree(arena, large), PYSLAB_OK);
    p = pyslab_kzalloc(arena, 40, KERNEL);
    p = pyslab_krealloc(arena, p, 3000, KERNEL);
    expect_current(&block, (int64_t)pyslab_ksize(arena, p) - 112, 0);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT(pyslab_kmalloc(arena, 128 * MIB, KERNEL) == NULL);
    EXPECT_EQ(close_block(&block).peak_bytes, (int64_t)MIB - 112);
    end();
}

static void page_blocks(void)
{
    struct usage_block block;
    uint32_t pfn, pfns[10];
    void *area, *run;

    begin();
    open_block(&block);
    pfn = pyslab_alloc_pages(arena, 2, KERNEL);
    EXPECT_EQ(pyslab_get_page(arena, pfn), PYSLAB_OK);
    EXPECT_EQ(pyslab_put_page(arena, pfn), PYSLAB_OK);
    expect_current(&block, 4 * PAGE_SIZE, 1);
    EXPECT_EQ(pyslab_split_page(arena, pfn, 2), PYSLAB_OK);
    expect_current(&block, 4 * PAGE_SIZE, 4);
    for (uint32_t i = 0; i < 4; i++)
        EXPECT_EQ(pyslab_free_pages(arena, pfn + i, 0), PYSLAB_OK);
    expect_current(&block, 0, 0);
    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL, 10, pfns), 10);
    expect_current(&block, 10 * PAGE_SIZE, 10);
    for (uint32_t i = 0; i < 10; i++)
        EXPECT_EQ(pyslab_free_pages(arena, pfns[i], 0), PYSLAB_OK);
    pfn = pyslab_alloc_run(arena, 5, 1, 0, KERNEL);
    run = pyslab_alloc_contig(arena, 3, 1, 0, KERNEL);
    expect_current(&block, 8 * PAGE_SIZE, 2);
    EXPECT_EQ(pyslab_put_page(arena, pfn), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, run), PYSLAB_OK);
    area = pyslab_vmalloc(arena, 64 * PAGE_SIZE, KERNEL); /* of a side arena */
    EXPECT(area != NULL);
    EXPECT_EQ(read_block(&block).current_bytes, 64 * PAGE_SIZE);
    EXPECT_EQ(pyslab_vfree(arena, area), PYSLAB_OK);
    expect_current(&block, 0, 0);
    (void)close_block(&block);
    end();
}

/* With no memory left a pool serves from its reserve, which then takes objects back. */
static void pool_reserve(void)
{
    struct usage_block block;
    pyslab_kmem_cache *cache = NULL;
    pyslab_mempool *pool = NULL;
    uint32_t pfn, pages[64 * MIB / PAGE_SIZE], nr = 0;
    pyslab_mempool_stats stats;
    void *p[40];
    uint32_t nr_objects = 0;

    begin();
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "big", 4000, NULL, &cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_create(cache, 20, &pool), PYSLAB_OK);
    while ((pfn = pyslab_alloc_pages(arena, 0, KERNEL)) != PYSLAB_PFN_NONE)
        pages[nr++] = pfn;
    open_block(&block);
    while (nr_objects < 40 && (p[nr_objects] = pyslab_mempool_alloc(pool, KERNEL)) != NULL)
        nr_objects++;
    pyslab_mempool_stats_read(pool, &stats);
    EXPECT_EQ(stats.nr_from_reserve, 20);
    expect_current(&block, 4000 * (int64_t)nr_objects, nr_objects);
    for (uint32_t i = 0; i < nr_objects; i++)
        EXPECT_EQ(pyslab_mempool_free(pool, p[i]), PYSLAB_OK);
    pyslab_mempool_stats_read(pool, &stats);
    EXPECT_EQ(stats.curr_nr, 20);
    expect_current(&block, 0, 0);
    (void)close_block(&block);
    while (nr > 0)
        EXPECT_EQ(pyslab_free_pages(arena, pages[--nr], 0), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_destroy(pool), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    end();
}

/* What lies in reserve is nobody's. */
static void reserves(void)
{
    struct usage_block block;
    pyslab_kmem_cache *cache = NULL;
    pyslab_mempool *pool = NULL;
    pyslab_sheaf *sheaf;
    void *p;

    begin();
    open_block(&block);
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "inode", 600, NULL, &cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_create(cache, 20, &pool), PYSLAB_OK);
    sheaf = pyslab_kmem_cache_prefill_sheaf(cache, KERNEL, 30);
    expect_current(&block, 0, 0);
    p = pyslab_kmem_cache_alloc_from_sheaf(cache, sheaf);
    expect_current(&block, 600, 1);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    pyslab_kmem_cache_return_sheaf(cache, sheaf);
    p = pyslab_mempool_alloc(pool, KERNEL);
    expect_current(&block, 600, 1);
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_resize(pool, 5), PYSLAB_OK);
    EXPECT_EQ(pyslab_mempool_destroy(pool), PYSLAB_OK);
    expect_current(&block, 0, 0);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    EXPECT_EQ(read_block(&block).peak_count, 1);
    EXPECT_EQ(close_block(&block).total_count, 2);
    end();
}

static void regions(void)
{
    struct usage_block block;
    pyslab_region *region = NULL;
    pyslab_region_stats stats;

    begin();
    open_block(&block);
    EXPECT_EQ(pyslab_region_create(arena, 0, &region), PYSLAB_OK);
    for (unsigned i = 0; i < 5000; i++)
        EXPECT(pyslab_region_alloc(region, 100) != NULL);
    EXPECT(pyslab_region_alloc(region, 3 * MIB - PAGE_SIZE) != NULL);
    EXPECT(pyslab_region_alloc(region, 4 * MIB) != NULL);
    pyslab_region_stats_read(region, &stats);
    EXPECT_EQ(stats.nr_large, 2);
    expect_current(&block, (int64_t)stats.reserved_bytes, stats.nr_blocks + stats.nr_large);
    EXPECT_EQ(pyslab_region_destroy(region), PYSLAB_OK);
    expect_current(&block, 0, 0);
    (void)close_block(&block);
    end();
}

/* --- blocks ---------------------------------------------------------------- */

static void use(size_t bytes)
{
    EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, bytes, KERNEL)), PYSLAB_OK);
}

static void blocks_overlap(void)
{
    struct usage_block outer, inner, later;
    struct usage_figures figures;

    begin();
    open_block(&outer);
    use(1024);
    open_block(&inner);
    use(256);
    open_block(&later);
    EXPECT_EQ(close_block(&inner).peak_bytes, 256);
    use(512);
    figures = close_block(&outer);
    EXPECT_EQ(figures.peak_bytes, 1024);
    EXPECT_EQ(figures.total_bytes, 1024 + 256 + 512);
    EXPECT_EQ(figures.total_count, 3);
    figures = close_block(&later);
    EXPECT_EQ(figures.peak_bytes, 512);
    EXPECT_EQ(figures.total_count, 1);
    EXPECT_EQ(load_relaxed(&arena->pages.usage->nr_blocks), 0);
    end();
}

/* Off the fast path inside, on it again after the first call behind the end. */
static void diverted(void)
{
    struct usage_block block;

    begin();
    use(64);
    EXPECT(thread_has_domain(&arena->domain));
    open_block(&block);
    use(64);
    EXPECT(!thread_has_domain(&arena->domain));
    EXPECT_EQ(read_block(&block).total_count, 1);
    (void)close_block(&block);
    use(64);
    EXPECT(thread_has_domain(&arena->domain));
    EXPECT_EQ(arena->pages.usage->total_count, 1);
    end();
}

/* --- threads --------------------------------------------------------------- */

static pthread_barrier_t barrier;

/* Fills its sheaves, then waits for the block to be opened. */
static void *hold(void *unused)
{
    void *p[NR_HELD];

    (void)unused;
    for (unsigned i = 0; i < 1000; i++)
        use(64);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* it is open */
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < NR_HELD; i++)
            p[i] = pyslab_kmalloc(arena, i % 2 == 0 ? 64 : 1024, KERNEL);
        pthread_barrier_wait(&barrier); /* all have as much as ever */
        for (unsigned i = 0; i < NR_HELD; i++)
            EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void peak_of_threads(void)
{
    struct usage_block block;
    struct usage_figures figures;
    pthread_t thread[NR_THREADS];
    int64_t held = (int64_t)NR_THREADS * NR_HELD / 2 * (64 + 1024);

    begin();
    pthread_barrier_init(&barrier, NULL, NR_THREADS + 1);
    for (unsigned i = 0; i < NR_THREADS; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, hold, NULL), 0);
    pthread_barrier_wait(&barrier);
    open_block(&block);
    pthread_barrier_wait(&barrier);
    for (unsigned round = 0; round < 50; round++) {
        pthread_barrier_wait(&barrier);
        EXPECT_EQ(read_block(&block).peak_bytes, held);
        pthread_barrier_wait(&barrier);
    }
    for (unsigned i = 0; i < NR_THREADS; i++)
        pthread_join(thread[i], NULL);
    figures = close_block(&block);
    EXPECT_EQ(figures.current_bytes, 0);
    EXPECT_EQ(figures.current_count, 0);
    EXPECT_EQ(figures.peak_bytes, held);
    EXPECT_EQ(figures.peak_count, NR_THREADS * NR_HELD);
    EXPECT_EQ(figures.total_count, 50u * NR_THREADS * NR_HELD);
    pthread_barrier_destroy(&barrier);
    end();
}

static void *churn(void *argument)
{
    struct rng rng = {.state = (uintptr_t)argument};
    void *p[16] = {NULL};

    for (unsigned i = 0; i < ROUNDS; i++) {
        void **slot = &p[rng_below(&rng, 16)];

        EXPECT_EQ(pyslab_kfree(arena, *slot), PYSLAB_OK);
        *slot = pyslab_kmalloc(arena, 1 + rng_below(&rng, 20000), KERNEL);
    }
    for (unsigned i = 0; i < 16; i++)
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    return NULL;
}

/* Blocks come and go under threads that come and go: the one around all of it sees every
 * allocation freed. */
static void blocks_under_load(void)
{
    struct usage_block around, block;
    pthread_t thread[NR_THREADS];

    begin();
    open_block(&around);
    for (unsigned i = 0; i < NR_THREADS; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, churn, (void *)(uintptr_t)(i + 1)), 0);
    for (unsigned i = 0; i < 200; i++) {
        struct usage_figures figures;

        open_block(&block);
        use(100);
        figures = close_block(&block);
        EXPECT(figures.peak_bytes >= figures.current_bytes && figures.peak_bytes >= 0);
        EXPECT(figures.total_count >= 1);
    }
    for (unsigned i = 0; i < NR_THREADS; i++)
        pthread_join(thread[i], NULL);
    EXPECT_EQ(close_block(&around).current_bytes, 0);
    end();
}

/* The same without one around: the threads are diverted and restored as they work. */
static void diverting_under_load(void)
{
    struct usage_block block;
    pthread_t thread[NR_THREADS];

    begin();
    for (unsigned i = 0; i < NR_THREADS; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, churn, (void *)(uintptr_t)(i + 1)), 0);
    for (unsigned i = 0; i < 500; i++) {
        open_block(&block);
        use(100);
        EXPECT(close_block(&block).total_count >= 1);
    }
    for (unsigned i = 0; i < NR_THREADS; i++)
        pthread_join(thread[i], NULL);
    EXPECT_EQ(rig_stats(arena).live_objects, 0);
    end();
}

static const struct test tests[] = {
    TEST(objects),           TEST(page_blocks),
    TEST(reserves),          TEST(regions),
    TEST(blocks_overlap),    TEST(diverted),
    TEST(pool_reserve),      TEST(peak_of_threads),
    TEST(blocks_under_load), TEST(diverting_under_load),
};

TEST_MAIN(tests)

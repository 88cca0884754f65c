/* test_faults_scene.h - the scene of test_faults.c: an arena, what is held of it, and how it
 * was made ready for an operation.
 *
 * Not here: the operations, and the loops that refuse them memory. Included once, first. */
#ifndef TESTS_FAULTS_SCENE_H
#define TESTS_FAULTS_SCENE_H

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

#endif

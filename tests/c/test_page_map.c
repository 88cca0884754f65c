/* test_page_map.c - holds down arena/page_map.h and slab_map.c: stretches tile the frames and say
 * what the layers below say of them; free blocks by order are the buddy's; cells add up. */
#include "arena/page_map.h"

#include "rig.h"
#include "slab/mempool.h"

#define NR_PAGES 1024u

static struct pyslab_arena *new_arena(void)
{
    pyslab_arena_options options = {.struct_size = sizeof options,
                                    .size_bytes = (uint64_t)NR_PAGES << PAGE_SHIFT,
                                    .max_order = 8,
                                    .purge_delay_ms = PYSLAB_PURGE_NEVER};
    struct pyslab_arena *arena = NULL;

    if (arena_create(&options, &arena) != PYSLAB_OK)
        abort();
    return arena;
}

struct maps {
    struct page_map exact; /* of all frames */
    struct page_map sums;  /* of the same, in cells of 2**order frames */
};

static void maps_read(struct pyslab_arena *arena, struct maps *maps, unsigned order)
{
    uint32_t nr_cells = (NR_PAGES - 1) / (1u << order) + 1;

    memset(maps, 0, sizeof *maps);
    maps->exact.end = maps->sums.end = NR_PAGES;
    maps->sums.order = order;
    maps->exact.spans = calloc(NR_PAGES, sizeof *maps->exact.spans);
    maps->sums.cells = calloc(nr_cells, sizeof *maps->sums.cells);
    REQUIRE(maps->exact.spans != NULL && maps->sums.cells != NULL);
    page_map_read(arena, &maps->exact);
    page_map_read(arena, &maps->sums);
}

static void maps_free(struct maps *maps)
{
    free(maps->exact.spans);
    free(maps->sums.cells);
}

/* The stretches tile the frames, the cells have the same frames by use, and both count the
 * buddy's free blocks. */
static void expect_sound(struct pyslab_arena *arena, struct maps *maps)
{
    uint32_t nr_cells = (NR_PAGES - 1) / (1u << maps->sums.order) + 1, pfn = 0;
    uint64_t frames[NR_FRAME_USES] = {0}, sums[NR_FRAME_USES] = {0};
    struct zone *zone = &arena->pages.zone[0];

    for (uint32_t i = 0; i < maps->exact.nr_spans; i++) {
        EXPECT_EQ(maps->exact.spans[i].pfn, pfn);
        pfn += maps->exact.spans[i].nr_pages;
        frames[maps->exact.spans[i].use] += maps->exact.spans[i].nr_pages;
    }
    EXPECT_EQ(pfn, NR_PAGES);
    for (uint32_t i = 0; i < nr_cells; i++)
        for (unsigned use = 0; use < NR_FRAME_USES; use++)
            sums[use] += maps->sums.cells[i].nr_pages[use];
    for (unsigned use = 0; use < NR_FRAME_USES; use++)
        EXPECT_EQ(frames[use], sums[use]);
    lock_acquire(&zone->lock);
    EXPECT_EQ(frames[FRAME_UNTOUCHED] + frames[FRAME_ZEROED] + frames[FRAME_DIRTY],
              zone_free_pages(zone));
    EXPECT_EQ(frames[FRAME_DIRTY], zone->dirty_pages);
    for (unsigned order = 0; order <= zone->max_order; order++) {
        EXPECT_EQ(maps->exact.nr_free[0][order], buddy_nr_free_locked(zone, order));
        EXPECT_EQ(maps->sums.nr_free[0][order], buddy_nr_free_locked(zone, order));
    }
    lock_release(&zone->lock);
    EXPECT_EQ(frames[FRAME_LISTED], rig_pcp_pages(&arena->pages));
}

static const struct page_map_span *span_at(const struct maps *maps, uint32_t pfn)
{
    const struct page_map_span *span = maps->exact.spans;

    while (span->pfn + span->nr_pages <= pfn)
        span++;
    return span;
}

/* An untouched arena is free blocks of the largest order. */
static void untouched(void)
{
    struct pyslab_arena *arena = new_arena();
    struct maps maps;

    maps_read(arena, &maps, 4);
    expect_sound(arena, &maps);
    EXPECT_EQ(maps.exact.nr_spans, NR_PAGES >> 8);
    EXPECT_EQ(maps.exact.spans[0].use, FRAME_UNTOUCHED);
    EXPECT_EQ(maps.exact.spans[0].order, 8);
    maps_free(&maps);
    arena_destroy(arena);
}

/* Each kind of block is told as what it is, with its order, and a slab with its objects. */
static void each_use(void)
{
    struct pyslab_arena *arena = new_arena();
    uint32_t pages = pyslab_alloc_pages(arena, 3, KERNEL);
    uint32_t run = pyslab_reserve_run(arena, 700, 5);
    uint32_t listed = pyslab_alloc_pages(arena, 1, KERNEL);
    char *large = pyslab_kmalloc(arena, 300000, KERNEL);
    char *object = pyslab_kmalloc(arena, 100, KERNEL);
    const struct page_map_span *span;
    struct maps maps;

    REQUIRE(pages != PFN_NONE && run == 700 && large != NULL && object != NULL);
    EXPECT_EQ(pyslab_free_pages(arena, listed, 1), PYSLAB_OK);
    maps_read(arena, &maps, 3);
    expect_sound(arena, &maps);
    span = span_at(&maps, pages);
    EXPECT(span->use == FRAME_PAGES && span->order == 3 && span->nr_pages == 8);
    span = span_at(&maps, run);
    EXPECT(span->use == FRAME_RUN && span->nr_pages == 5);
    span = span_at(&maps, listed);
    EXPECT(span->use == FRAME_LISTED && span->nr_pages == 2);
    span = span_at(&maps, virt_to_pfn(&arena->pages.map, large));
    EXPECT(span->use == FRAME_LARGE && span->nr_pages == 74);
    span = span_at(&maps, virt_to_pfn(&arena->pages.map, object));
    EXPECT(span->use == FRAME_SLAB && span->nr_objects == 36 && span->nr_inuse != 0);
    EXPECT_EQ(span->cache, slab_cache_of(&arena->kmalloc.slabs, object)->id);
    maps_free(&maps);
    arena_destroy(arena);
}

/* A free block whose halves differ is told in parts, which name the block. */
static void parts_of_a_free_block(void)
{
    struct pyslab_arena *arena = new_arena();
    uint32_t pfn = pyslab_alloc_pages(arena, 2, KERNEL);
    const struct page_map_span *span;
    struct maps maps;

    EXPECT_EQ(pyslab_free_pages(arena, pfn, 2), PYSLAB_OK);
    pcp_drain(&arena->pages);
    maps_read(arena, &maps, 1);
    expect_sound(arena, &maps);
    span = span_at(&maps, pfn);
    EXPECT(span->use == FRAME_DIRTY && span->nr_pages == 4 && span->order == 8);
    span = span_at(&maps, pfn + 4);
    EXPECT(span->use == FRAME_UNTOUCHED && span->block == pfn && span->order == 8);
    maps_free(&maps);
    arena_destroy(arena);
}

/* A cell names the cache with most of its frames, and how full its slabs are. */
static void cells_of_slabs(void)
{
    struct pyslab_arena *arena = new_arena();
    struct slab_alloc *sa = &arena->kmalloc.slabs;
    struct kmem_cache *few = NULL, *most = NULL;
    void *p[64];
    struct maps maps;

    REQUIRE(rig_cache_create(sa, "few", 4096, 0, &few) == PYSLAB_OK);
    REQUIRE(rig_cache_create(sa, "most", 2048, 0, &most) == PYSLAB_OK);
    EXPECT_EQ(cache_alloc_bulk(few, KERNEL, 2, p), 2);
    EXPECT_EQ(cache_alloc_bulk(most, KERNEL, 64, p), 64);
    maps_read(arena, &maps, 8);
    expect_sound(arena, &maps);
    EXPECT_EQ(maps.sums.cells[0].cache, most->id);
    EXPECT(maps.sums.cells[0].cache_pages >= 32);
    EXPECT(maps.sums.cells[0].fill > 500 && maps.sums.cells[0].fill <= 1000);
    maps_free(&maps);
    arena_destroy(arena);
}

/* Only the frames that were asked for are told; a stretch is cut at both ends. */
static void a_part(void)
{
    struct pyslab_arena *arena = new_arena();
    struct page_map_span spans[100] = {{0}};
    struct page_map map = {.start = 300, .end = 400, .spans = spans};

    page_map_read(arena, &map);
    EXPECT_EQ(map.nr_spans, 1);
    EXPECT(spans[0].pfn == 300 && spans[0].nr_pages == 100 && spans[0].block == 256);
    EXPECT_EQ(map.nr_free[0][8], NR_PAGES >> 8);
    arena_destroy(arena);
}

/* Objects are free in their slab, cached in a sheaf, or live. */
static void objects(void)
{
    struct pyslab_arena *arena = new_arena();
    struct kmem_cache *cache = NULL;
    struct slab_info info[4];
    uint8_t states[4 * 32] = {0};
    uint32_t nr[3] = {0};
    void *p[32];

    REQUIRE(rig_cache_create(&arena->kmalloc.slabs, "map", 128, 0, &cache) == PYSLAB_OK);
    for (unsigned i = 0; i < 32; i++)
        p[i] = cache_alloc(cache, KERNEL);
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(cache_free(cache, p[i]), PYSLAB_OK);
    REQUIRE(cache_slab_map(cache, info, states, 4) <= 4);
    for (unsigned i = 0; i < sizeof states; i++)
        nr[states[i]]++;
    EXPECT_EQ(nr[OBJECT_LIVE], 27);
    EXPECT(nr[OBJECT_CACHED] >= 5);
    cache_shrink(cache);
    EXPECT_EQ(cache_slab_map(cache, info, states, 4), 1);
    EXPECT(info[0].list == SLAB_PARTIAL && info[0].inuse == 27);
    for (unsigned i = 0, live = 0; i < 32; i++) {
        live += states[i] == OBJECT_LIVE;
        EXPECT(states[i] != OBJECT_CACHED);
        EXPECT(i != 31 || live == 27);
    }
    arena_destroy(arena);
}

static const struct test tests[] = {
    TEST(untouched),      TEST(each_use), TEST(parts_of_a_free_block),
    TEST(cells_of_slabs), TEST(a_part),   TEST(objects),
};

TEST_MAIN(tests)

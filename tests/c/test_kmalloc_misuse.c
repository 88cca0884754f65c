/* test_kmalloc_misuse.c - holds down kfree, krealloc and ksize on what is not live: each
 * wrong pointer has its exact code, and leaves the arena unchanged and valid. Also
 * shortage: an arena of 64 frames is exhausted and recovers in full. */
#include "rig.h"

static pyslab_arena *arena;

static void begin(uint32_t geometry)
{
    pyslab_arena_options options = rig_options(64 * MIB, 18);

    options.kmalloc_classes = geometry;
    arena = rig_arena_of(&options);
}

/* The process's heap is not the arena's state. */
static pyslab_arena_stats state(void)
{
    pyslab_arena_stats stats = rig_stats(arena);

    stats.heap_bytes = 0;
    return stats;
}

static void refuse(void *p, int error)
{
    pyslab_arena_stats before = state(), after;

    EXPECT_EQ(pyslab_kfree(arena, p), error);
    EXPECT_EQ(pyslab_ksize(arena, p), 0);
    EXPECT(pyslab_krealloc(arena, p, 100, KERNEL) == NULL);
    EXPECT(pyslab_krealloc(arena, p, 10 * MIB, KERNEL) == NULL);
    EXPECT(pyslab_krealloc(arena, p, 0, KERNEL) == NULL);
    after = state();
    EXPECT_EQ(memcmp(&before, &after, sizeof before), 0);
}

static const size_t sizes[] = {8, 16, 24, 100, 512, 4096, 8192, 20000, 262144, 262145, MIB};

/* A second free is EDOUBLE for every size, also after frees of the neighbours. */
static void double_free(void)
{
    for (uint32_t geometry = 0; geometry <= PYSLAB_CLASSES_LINUX; geometry++) {
        begin(geometry);
        for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
            void *block[6];

            for (int i = 0; i < 6; i++)
                block[i] = pyslab_kmalloc(arena, sizes[s], KERNEL);
            for (int i = 0; i < 6; i++) {
                EXPECT_EQ(pyslab_kfree(arena, block[i]), PYSLAB_OK);
                for (int j = 0; j <= i; j++)
                    refuse(block[j], PYSLAB_EDOUBLE);
            }
            rig_validate(arena);
        }
        pyslab_arena_release_unused(arena); /* the slabs are gone: still free, still said so */
        rig_end(arena);
    }
}

/* Also when the slab or block went back to the buddy meanwhile. */
static void double_free_after_release(void)
{
    begin(PYSLAB_CLASSES_FINE);
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        void *p = pyslab_kmalloc(arena, sizes[s], KERNEL);

        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        pyslab_arena_release_unused(arena);
        refuse(p, PYSLAB_EDOUBLE);
    }
    rig_end(arena);
}

/* Pointers inside a live block, at any distance, are EPOINTER. */
static void interior_pointers(void)
{
    for (uint32_t geometry = 0; geometry <= PYSLAB_CLASSES_LINUX; geometry++) {
        begin(geometry);
        for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
            char *p = pyslab_kmalloc(arena, sizes[s], KERNEL);
            size_t usable = pyslab_ksize(arena, p);

            for (size_t offset = 1; offset < usable; offset += offset < 64 ? 1 : offset / 2)
                refuse(p + offset, PYSLAB_EPOINTER);
            for (size_t offset = PAGE_SIZE; offset < usable; offset *= 2)
                refuse(p + offset, PYSLAB_EPOINTER);
            refuse(p + usable - 1, PYSLAB_EPOINTER);
            EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        }
        rig_end(arena);
    }
}

/* The bytes behind a slab's last object belong to nobody. */
static void tail_of_a_slab(void)
{
    pyslab_cache_stats stats;
    uint32_t tails = 0;

    begin(PYSLAB_CLASSES_FINE);
    for (uint32_t i = 0; pyslab_arena_cache_stats(arena, i, &stats) == PYSLAB_OK; i++) {
        size_t bytes = PAGE_SIZE << stats.slab_order, used = stats.objects_per_slab * stats.stride;
        void *p = pyslab_kmalloc(arena, stats.object_size, KERNEL);
        char *slab = (char *)((uintptr_t)p & ~(bytes - 1));

        for (size_t offset = used; offset < bytes; offset += 8)
            refuse(slab + offset, PYSLAB_EPOINTER);
        tails += used < bytes;
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    }
    EXPECT_GE(tails, 10);
    rig_end(arena);
}

/* Memory that kmalloc did not give: page blocks, other arenas, the stack, the base. */
static void foreign_pointers(void)
{
    pyslab_arena *other;
    char local[64], *base, *pages;
    void *elsewhere;

    begin(PYSLAB_CLASSES_FINE);
    other = rig_arena(MIB, 4);
    base = pyslab_arena_base(arena);
    elsewhere = pyslab_kmalloc(other, 64, KERNEL);
    pages = pyslab_get_free_pages(arena, 2, KERNEL);
    for (int i = 0; i < 4; i++)
        refuse(pages + (size_t)i * PAGE_SIZE, PYSLAB_EPOINTER);
    refuse(elsewhere, PYSLAB_EPOINTER);
    refuse(local, PYSLAB_EPOINTER);
    refuse(base - 1, PYSLAB_EPOINTER);
    refuse(base - PAGE_SIZE, PYSLAB_EPOINTER);
    refuse(base + 64 * MIB, PYSLAB_EPOINTER);
    refuse((void *)(uintptr_t)1, PYSLAB_EPOINTER);
    refuse((void *)(uintptr_t)17, PYSLAB_EPOINTER);
    refuse((void *)UINTPTR_MAX, PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_kfree(other, elsewhere), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages_address(arena, pages, 2), PYSLAB_OK);
    rig_end(other);
    rig_end(arena);
}

/* NULL and the empty block may be freed any number of times. */
static void nothing_is_freed_freely(void)
{
    pyslab_arena_stats before, after;

    begin(PYSLAB_CLASSES_FINE);
    before = state();
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(pyslab_kfree(arena, NULL), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(arena, (void *)(uintptr_t)PYSLAB_ZERO_SIZE), PYSLAB_OK);
        EXPECT_EQ(pyslab_ksize(arena, NULL), 0);
        EXPECT_EQ(pyslab_ksize(arena, (void *)(uintptr_t)PYSLAB_ZERO_SIZE), 0);
    }
    after = state();
    EXPECT_EQ(memcmp(&before, &after, sizeof before), 0);
    rig_end(arena);
}

/* Pointers to objects of a slab that were never handed out are not live. */
static void never_handed_out(void)
{
    begin(PYSLAB_CLASSES_FINE);
    for (size_t s = 1; s < 9; s++) {
        char *p = pyslab_kmalloc(arena, sizes[s], KERNEL);
        pyslab_cache_stats stats = {.stride = 0};

        for (uint32_t i = 0; pyslab_arena_cache_stats(arena, i, &stats) == PYSLAB_OK; i++)
            if (stats.object_size == pyslab_ksize(arena, p))
                break;
        for (uint32_t i = 1; i < stats.objects_per_slab; i++) {
            EXPECT_NE(pyslab_kfree(arena, p + (size_t)i * stats.stride), PYSLAB_OK);
            EXPECT_EQ(pyslab_ksize(arena, p + (size_t)i * stats.stride), 0);
        }
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    }
    rig_end(arena);
}

/* --- shortage ----------------------------------------------------------- */

static uint32_t fill_arena(void **block, uint32_t max, size_t size)
{
    uint32_t nr = 0;

    while (nr < max && (block[nr] = pyslab_kmalloc(arena, size, KERNEL)) != NULL)
        memset(block[nr++], 0xa5, size);
    return nr;
}

/* 64 frames, in every geometry and max_order: filled to the last frame, then refused,
 * and after the frees as if nothing had been. */
static void small_arenas_recover(void)
{
    static void *block[64 * 512];

    for (unsigned max_order = 0; max_order <= 18; max_order += max_order < 4 ? 1 : 7)
        for (uint32_t geometry = 0; geometry <= PYSLAB_CLASSES_LINUX; geometry++) {
            pyslab_arena_options options = rig_options(64 * PAGE_SIZE, max_order);

            options.kmalloc_classes = geometry;
            arena = rig_arena_of(&options);
            for (size_t size = 8; size <= 256 * KIB; size *= 2) {
                uint32_t nr = fill_arena(block, ARRAY_SIZE(block), size);
                pyslab_arena_stats stats = rig_stats(arena);

                EXPECT(nr != 0 || size > PAGE_SIZE << max_order);
                EXPECT(size > PAGE_SIZE || stats.free_pages + stats.pcp_pages == 0);
                EXPECT(pyslab_kmalloc(arena, size, KERNEL) == NULL);
                rig_validate(arena);
                for (uint32_t i = 0; i < nr; i++) {
                    EXPECT(rig_is_filled(block[i], size, 0xa5));
                    EXPECT_EQ(pyslab_kfree(arena, block[i]), PYSLAB_OK);
                }
            }
            pyslab_arena_release_unused(arena);
            EXPECT_EQ(rig_stats(arena).free_pages, 64);
            rig_end(arena);
        }
}

static void expect_counted_once(const void *p)
{
    static uint64_t before;
    uint64_t now = rig_stats(arena).alloc_failures;

    EXPECT(p == NULL);
    EXPECT_EQ(now, before + 1);
    before = now;
}

/* alloc_failures counts requests: one for each NULL, whatever was tried meanwhile. */
static void failures_are_counted_once(void)
{
    static void *block[64];

    arena = rig_arena(64 * PAGE_SIZE, 1);
    expect_counted_once(pyslab_kmalloc(arena, 3 * PAGE_SIZE, KERNEL));
    expect_counted_once(pyslab_kmalloc(arena, 4 * PAGE_SIZE, KERNEL));
    expect_counted_once(pyslab_kmalloc(arena, 100 * MIB, KERNEL));
    expect_counted_once(pyslab_get_free_pages(arena, 2, KERNEL));
    EXPECT_EQ(fill_arena(block, 64, PAGE_SIZE), 64);
    expect_counted_once(pyslab_get_free_pages(arena, 0, KERNEL));
    expect_counted_once(pyslab_kmalloc(arena, 2 * PAGE_SIZE, KERNEL));
    expect_counted_once(pyslab_kmalloc(arena, 16, KERNEL));
    expect_counted_once(pyslab_kzalloc(arena, 1024, KERNEL));
    expect_counted_once(pyslab_krealloc(arena, block[0], 5000, KERNEL));
    for (int i = 0; i < 64; i++)
        EXPECT_EQ(pyslab_kfree(arena, block[i]), PYSLAB_OK);
    rig_end(arena);
}

/* When no block of a slab's size is left, single frames still serve small requests. */
static void single_frames_serve_when_slabs_cannot(void)
{
    void *p;

    arena = rig_arena(64 * PAGE_SIZE, 6);
    for (uint32_t pfn = 0; pfn < 64; pfn++)
        EXPECT_NE(pyslab_alloc_pages(arena, 0, KERNEL), PYSLAB_PFN_NONE);
    for (uint32_t pfn = 0; pfn < 64; pfn += 2)
        EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_OK);
    p = pyslab_kmalloc(arena, 2048, KERNEL); /* its slabs have more than one frame */
    REQUIRE(p != NULL);
    EXPECT_EQ(pyslab_ksize(arena, p), PAGE_SIZE);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    for (uint32_t pfn = 1; pfn < 64; pfn += 2)
        EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_OK);
    rig_end(arena);
}

/* --- planted faults ------------------------------------------------------- */

#if PYSLAB_CHECK_LEVEL >= 2

static void *large_block; /* of 300 frames */
static uint32_t large_pfn;

static void begin_large(void)
{
    begin(0);
    large_block = pyslab_kmalloc(arena, 300 * PAGE_SIZE, KERNEL);
    large_pfn = virt_to_pfn(&arena->pages.map, large_block);
}

static void class_byte_inside_a_large_block(void)
{
    begin_large();
    arena->pages.map.classes[large_pfn + 299] = 7;
    (void)pyslab_kfree(arena, large_block);
}

static void large_block_beyond_the_arena(void)
{
    begin_large();
    store_relaxed(&pfn_to_page(&arena->pages.map, large_pfn)->large.nr_pages, UINT32_MAX);
    arena->pages.shelf.nr_large = UINT64_MAX;
    (void)pyslab_kfree(arena, large_block);
}

static void large_block_was_not_counted(void)
{
    begin_large();
    arena->pages.shelf.nr_large -= SHELF_LARGE(1, 0);
    (void)pyslab_kfree(arena, large_block);
}

static void planted_faults_are_found(void)
{
    EXPECT(check_stops(class_byte_inside_a_large_block, "large_adds_up"));
    EXPECT(check_stops(large_block_beyond_the_arena, "large_adds_up"));
    EXPECT(check_stops(large_block_was_not_counted, "large_is_counted"));
}

#endif

static const struct test tests[] = {
    TEST(double_free),
    TEST(double_free_after_release),
    TEST(interior_pointers),
    TEST(tail_of_a_slab),
    TEST(foreign_pointers),
    TEST(nothing_is_freed_freely),
    TEST(never_handed_out),
    TEST(small_arenas_recover),
    TEST(failures_are_counted_once),
    TEST(single_frames_serve_when_slabs_cannot),
#if PYSLAB_CHECK_LEVEL >= 2
    TEST(planted_faults_are_found),
#endif
};

TEST_MAIN(tests)

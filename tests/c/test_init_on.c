/* test_init_on.c - holds down init_on_alloc and init_on_free: whatever was written before, memory
 * reads zero when it is handed out, and nothing is left of it when it was freed. */
#include "rig_zones.h"

static pyslab_arena *arena;

static const size_t sizes[] = {1, 8, 16, 100, 4096, 20000, 262144, 300000, 4000000};

/* By options; NO also where the environment says otherwise. */
static void begin(uint32_t on_alloc, uint32_t on_free, const char *debug)
{
    pyslab_arena_options options = rig_options(64 * MIB, 12);

    options.init_on_alloc = on_alloc;
    options.init_on_free = on_free;
    options.debug = debug;
    arena = rig_arena_of(&options);
}

/* Of a free object, the words that say so. */
static size_t mark_bytes(size_t size)
{
    return size <= 262144 ? 16 : 0;
}

static void use_kmalloc(bool zero_at_once, bool zero_after)
{
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
        for (unsigned round = 0; round < 40; round++) {
            unsigned char *p = pyslab_kmalloc(arena, sizes[s], KERNEL);
            size_t skip = mark_bytes(sizes[s]);

            if (zero_at_once)
                EXPECT(rig_is_filled(p, sizes[s], 0));
            memset(p, 0x5a, sizes[s]);
            EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
            if (zero_after && sizes[s] > skip)
                EXPECT(rig_is_filled(p + skip, sizes[s] - skip, 0));
        }
}

static void kmalloc_on_alloc(void)
{
    begin(PYSLAB_INIT_YES, PYSLAB_INIT_NO, "");
    use_kmalloc(true, false);
    rig_end(arena);
}

/* Then what is handed out reads zero, too: nothing writes to free memory. */
static void kmalloc_on_free(void)
{
    begin(PYSLAB_INIT_NO, PYSLAB_INIT_YES, "");
    use_kmalloc(true, true);
    rig_end(arena);
}

static void kmalloc_on_both(void)
{
    begin(PYSLAB_INIT_YES, PYSLAB_INIT_YES, "");
    use_kmalloc(true, true);
    rig_end(arena);
}

/* Debug flags look at red zones and words, which stay; with P what is free is poison, as in the
 * kernel, and not zero. */
static void with_debug_flags(void)
{
    begin(PYSLAB_INIT_YES, PYSLAB_INIT_YES, "FZPU");
    use_kmalloc(true, false);
    rig_end(arena);
    begin(PYSLAB_INIT_YES, PYSLAB_INIT_YES, "FZ");
    use_kmalloc(true, false);
    rig_end(arena);
}

/* Many objects at once, so that they are of several slabs; a cache; one set aside. */
static void caches(void)
{
    pyslab_kmem_cache *cache;
    pyslab_sheaf *sheaf;
    unsigned char *p[500];

    begin(PYSLAB_INIT_YES, PYSLAB_INIT_NO, "");
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "c", 200, NULL, &cache), PYSLAB_OK);
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
            p[i] = pyslab_kmem_cache_alloc(cache, KERNEL);
            EXPECT(rig_is_filled(p[i], 200, 0));
            memset(p[i], 0x5a, 200);
        }
        EXPECT_EQ(pyslab_kmem_cache_free_bulk(cache, ARRAY_SIZE(p), (void **)p), ARRAY_SIZE(p));
    }
    sheaf = pyslab_kmem_cache_prefill_sheaf(cache, KERNEL, 10);
    for (unsigned i = 0; i < 5; i++)
        EXPECT(rig_is_filled(pyslab_kmem_cache_alloc_from_sheaf(cache, sheaf), 200, 0));
    pyslab_kmem_cache_return_sheaf(cache, sheaf);
    rig_end(arena);
}

static int construct(void *p, void *context)
{
    (void)context;
    memset(p, 0x33, 100);
    return 0;
}

/* Objects with a constructor keep their state, as in the kernel. */
static void constructed(void)
{
    pyslab_cache_options options = {.struct_size = sizeof options, .ctor = construct};
    pyslab_kmem_cache *cache;
    void *p;

    begin(PYSLAB_INIT_YES, PYSLAB_INIT_YES, "");
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "c", 100, &options, &cache), PYSLAB_OK);
    for (unsigned round = 0; round < 3; round++) {
        p = pyslab_kmem_cache_alloc(cache, KERNEL);
        EXPECT(rig_is_filled(p, 100, 0x33));
        EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    }
    rig_end(arena);
}

static void *address(uint32_t pfn)
{
    return pyslab_page_address(arena, pfn);
}

/* Blocks of frames of all orders, and many single ones at once. */
static void pages(void)
{
    uint32_t pfns[64];

    begin(PYSLAB_INIT_YES, PYSLAB_INIT_YES, "");
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned order = 0; order <= 10; order++) {
            size_t bytes = PAGE_SIZE << order;
            uint32_t pfn = pyslab_alloc_pages(arena, order, KERNEL);
            void *p = address(pfn);

            EXPECT(rig_is_filled(p, bytes, 0));
            memset(p, 0x5a, bytes);
            EXPECT_EQ(pyslab_free_pages(arena, pfn, order), PYSLAB_OK);
            EXPECT(rig_is_filled(p, bytes, 0));
        }
        EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL, 64, pfns), 64);
        for (unsigned i = 0; i < 64; i++) {
            EXPECT(rig_is_filled(address(pfns[i]), PAGE_SIZE, 0));
            memset(address(pfns[i]), 0x5a, PAGE_SIZE);
            EXPECT_EQ(pyslab_free_pages(arena, pfns[i], 0), PYSLAB_OK);
        }
    }
    rig_end(arena);
}

/* A large block that is made longer in place. */
static void longer(void)
{
    unsigned char *p, *q;

    begin(PYSLAB_INIT_YES, PYSLAB_INIT_NO, "");
    p = pyslab_kmalloc(arena, 3000000, KERNEL);
    memset(p, 0x5a, 3000000);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    p = pyslab_kmalloc(arena, 300000, KERNEL);
    q = pyslab_krealloc(arena, p, 2000000, KERNEL);
    EXPECT(rig_is_filled(q, 2000000, 0));
    rig_end(arena);
}

static void vmalloc(void)
{
    begin(PYSLAB_INIT_YES, PYSLAB_INIT_YES, "");
    for (unsigned round = 0; round < 3; round++) {
        unsigned char *p = pyslab_vmalloc(arena, 100000, KERNEL);

        EXPECT(rig_is_filled(p, 100000, 0));
        memset(p, 0x5a, 100000);
        EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    }
    rig_end(arena);
}

/* High frames are zeroed in their file. */
static void high(void)
{
    static const pyslab_zone_options zones[] = {
        {.type = PYSLAB_ZONE_NORMAL, .nr_pages = 512, .batch = 1},
        {.type = PYSLAB_ZONE_HIGHMEM, .nr_pages = 512, .batch = 1},
    };
    pyslab_arena_options options = rig_zones_options(zones, 2, 9);
    pyslab_window *window;

    options.init_on_free = PYSLAB_INIT_YES;
    arena = rig_arena_of(&options);
    EXPECT_EQ(pyslab_window_create(arena, 1, 0, &window), PYSLAB_OK);
    for (unsigned round = 0; round < 3; round++) {
        uint32_t pfn = pyslab_alloc_pages(arena, 0, KERNEL | PYSLAB_GFP_HIGHMEM);
        unsigned char *p = pyslab_window_map(window, 0, pfn);

        EXPECT_GE(pfn, 512);
        EXPECT(rig_is_filled(p, PAGE_SIZE, 0));
        memset(p, 0x5a, PAGE_SIZE);
        EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_OK);
        EXPECT(rig_is_filled(p, PAGE_SIZE, 0));
    }
    pyslab_window_destroy(window);
    rig_end(arena);
}

static void use_region(const char *debug)
{
    pyslab_region *region;

    begin(PYSLAB_INIT_YES, PYSLAB_INIT_YES, debug);
    EXPECT_EQ(pyslab_region_create(arena, 0, &region), PYSLAB_OK);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 300; i++) {
            unsigned char *p = pyslab_region_alloc(region, 1000);

            EXPECT(rig_is_filled(p, 1000, 0));
            memset(p, 0x5a, 1000);
            p = pyslab_region_alloc_aligned(region, 100, 64);
            EXPECT(rig_is_filled(p, 100, 0));
            memset(p, 0x5a, 100);
        }
        EXPECT_EQ(pyslab_region_reset(region), PYSLAB_OK);
    }
    pyslab_region_destroy(region);
    rig_end(arena);
}

static void regions(void)
{
    use_region("");
    use_region("FZPU");
}

/* The environment decides where the options do not; 0 is no. */
static void environment(void)
{
    setenv("PYSLAB_INIT_ON_ALLOC", "1", 1);
    setenv("PYSLAB_INIT_ON_FREE", "1", 1);
    begin(PYSLAB_INIT_DEFAULT, PYSLAB_INIT_DEFAULT, "");
    use_kmalloc(true, true);
    rig_end(arena);
    begin(PYSLAB_INIT_NO, PYSLAB_INIT_NO, "");
    EXPECT_EQ(arena->pages.init, 0);
    rig_end(arena);
    setenv("PYSLAB_INIT_ON_ALLOC", "0", 1);
    unsetenv("PYSLAB_INIT_ON_FREE");
    begin(PYSLAB_INIT_DEFAULT, PYSLAB_INIT_DEFAULT, "");
    EXPECT_EQ(arena->pages.init, 0);
    rig_end(arena);
    unsetenv("PYSLAB_INIT_ON_ALLOC");
}

static void wrong_options(void)
{
    pyslab_arena_options options = rig_options(MIB, 4);

    options.init_on_free = PYSLAB_INIT_YES + 1;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EINVAL);
}

static const struct test tests[] = {
    TEST(kmalloc_on_alloc),
    TEST(kmalloc_on_free),
    TEST(kmalloc_on_both),
    TEST(with_debug_flags),
    TEST(caches),
    TEST(constructed),
    TEST(pages),
    TEST(longer),
    TEST(vmalloc),
    TEST(high),
    TEST(regions),
    TEST(environment),
    TEST(wrong_options),
};

TEST_MAIN(tests)

/* test_api.c - holds down the public header as a client sees it: this file includes
 * <pyslab.h> and the C library only, and uses each function once, in its plain case
 * and with the codes its comment promises. */
#include <pyslab.h>

#include "check.h"

#define KERNEL ((uint32_t)PYSLAB_GFP_KERNEL)

static pyslab_arena *make(uint64_t bytes)
{
    pyslab_arena_options options = {
        .struct_size = sizeof options, .max_order = PYSLAB_DEFAULT_ORDER, .size_bytes = bytes};
    pyslab_arena *arena = NULL;

    if (pyslab_arena_create(&options, &arena) != PYSLAB_OK)
        abort();
    return arena;
}

static void end(pyslab_arena *arena)
{
    char message[200] = "";

    EXPECT_EQ(pyslab_arena_validate(arena, message, sizeof message), PYSLAB_OK);
    EXPECT_EQ(message[0], 0);
    pyslab_arena_destroy(arena);
}

/* Create, ask, destroy; NULL is refused or ignored. */
static void arena_functions(void)
{
    pyslab_arena *arena = make(1000000);
    pyslab_arena_stats stats;
    uint64_t nr_free[PYSLAB_MAX_ORDER + 1] = {0}, total = 0;

    EXPECT_EQ(pyslab_arena_size(arena), 245u * 4096); /* whole frames */
    EXPECT_EQ(pyslab_arena_max_order(arena), PYSLAB_DEFAULT_ORDER);
    EXPECT_EQ((uintptr_t)pyslab_arena_base(arena) & 4095, 0);
    EXPECT_EQ(pyslab_arena_validate(arena, NULL, 0), PYSLAB_OK);
    pyslab_arena_stats_read(arena, &stats);
    EXPECT_EQ(stats.struct_size, sizeof stats);
    EXPECT_EQ(stats.managed_pages, 245);
    EXPECT_EQ(pyslab_arena_buddyinfo(arena, 0, nr_free, PYSLAB_MAX_ORDER + 1),
              PYSLAB_DEFAULT_ORDER + 1);
    for (unsigned order = 0; order <= PYSLAB_MAX_ORDER; order++)
        total += nr_free[order] << order;
    EXPECT_EQ(total, 245);
    nr_free[1] = 99;
    EXPECT_EQ(pyslab_arena_buddyinfo(arena, 0, nr_free, 1), PYSLAB_DEFAULT_ORDER + 1);
    EXPECT_EQ(nr_free[1], 99); /* no more than asked for is written */
    EXPECT_EQ(pyslab_arena_buddyinfo(arena, 1, nr_free, 1), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_arena_release_unused(arena), 0);
    EXPECT_EQ(pyslab_arena_create(NULL, &arena), PYSLAB_EINVAL);
    pyslab_arena_destroy(NULL);
    end(arena);
}

/* kmalloc, kzalloc, aligned, krealloc, ksize, kfree. */
static void kmalloc_functions(void)
{
    pyslab_arena *arena = make(64u << 20);
    char *p = pyslab_kmalloc(arena, 100, KERNEL);

    EXPECT_EQ(pyslab_kmalloc_size_roundup(arena, 100), 112);
    EXPECT_EQ(pyslab_ksize(arena, p), 112);
    strcpy(p, "kept");
    p = pyslab_krealloc(arena, p, 100000, KERNEL);
    EXPECT_EQ(strcmp(p, "kept"), 0);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_kfree(arena, &arena), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_kfree(arena, NULL), PYSLAB_OK);
    EXPECT_EQ((uintptr_t)pyslab_kmalloc(arena, 0, KERNEL), PYSLAB_ZERO_SIZE);
    p = pyslab_kzalloc(arena, 64, KERNEL);
    EXPECT(p[0] == 0 && memcmp(p, p + 1, 63) == 0);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    p = pyslab_kmalloc_aligned(arena, 10, 1u << 20, KERNEL);
    EXPECT_EQ((uintptr_t)p & ((1u << 20) - 1), 0);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    end(arena);
}

/* Blocks by frame number: what is asked about them, and their references. */
static void page_functions(void)
{
    pyslab_arena *arena = make(64u << 20);
    uint32_t pfn = pyslab_alloc_pages(arena, 3, KERNEL);
    char *p = pyslab_page_address(arena, pfn);

    EXPECT_EQ(pyslab_page_order(arena, pfn), 3);
    EXPECT_EQ(pyslab_page_state(arena, pfn), PYSLAB_PAGE_ALLOC);
    EXPECT_EQ(pyslab_page_state(arena, pfn + 1), PYSLAB_PAGE_UNLISTED);
    EXPECT_EQ(pyslab_page_to_zone(arena, pfn), 0);
    EXPECT_EQ(pyslab_virt_to_pfn(arena, p + 4096), pfn + 1);
    EXPECT_EQ(pyslab_virt_to_pfn(arena, &p), PYSLAB_PFN_NONE);
    EXPECT(pyslab_page_address(arena, 1u << 30) == NULL);
    EXPECT_EQ(pyslab_page_count(arena, pfn), 1);
    EXPECT_EQ(pyslab_page_count(arena, pfn + 1), 0);
    EXPECT_EQ(pyslab_page_count(arena, PYSLAB_PFN_NONE), 0);
    EXPECT_EQ(pyslab_get_page(arena, pfn), PYSLAB_OK);
    EXPECT_EQ(pyslab_page_count(arena, pfn), 2);
    EXPECT_EQ(pyslab_put_page(arena, pfn), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 2), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 3), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 3), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_put_page(arena, pfn), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_put_page(arena, PYSLAB_PFN_NONE), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_alloc_pages(arena, PYSLAB_MAX_ORDER + 1, KERNEL), PYSLAB_PFN_NONE);
    EXPECT_EQ(pyslab_alloc_pages(arena, 32, KERNEL), PYSLAB_PFN_NONE);
    end(arena);
}

/* The same by address; misaligned addresses are refused. */
static void page_functions_by_address(void)
{
    pyslab_arena *arena = make(64u << 20);
    char *p = pyslab_get_free_pages(arena, 1, KERNEL | PYSLAB_GFP_ZERO);

    EXPECT(p[0] == 0 && memcmp(p, p + 1, 8191) == 0);
    EXPECT_EQ(pyslab_free_pages_address(arena, p + 1, 1), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_free_pages_address(arena, p + 4096, 0), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_free_pages_address(arena, NULL, 0), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_free_pages_address(arena, p, 1), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages_address(arena, p, 1), PYSLAB_EDOUBLE);
    EXPECT(pyslab_get_free_pages(arena, PYSLAB_MAX_ORDER + 1, KERNEL) == NULL);
    end(arena);
}

/* A cache from creation to destruction, and its place among the arena's caches. */
static void cache_functions(void)
{
    pyslab_arena *arena = make(64u << 20);
    pyslab_kmem_cache *cache = NULL;
    pyslab_cache_stats stats;
    pyslab_arena_stats all;
    void *p[10];

    EXPECT_EQ(pyslab_kmem_cache_create(arena, "point", 24, NULL, &cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "", 24, NULL, &cache), PYSLAB_EINVAL);
    p[0] = pyslab_kmem_cache_alloc(cache, KERNEL);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p[0]), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p[0]), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, &cache), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, NULL), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_alloc_bulk(cache, KERNEL, 10, p), 10);
    pyslab_kmem_cache_stats(cache, &stats);
    EXPECT_EQ(strcmp(stats.name, "point"), 0);
    EXPECT_EQ(stats.object_size, 24);
    EXPECT_EQ(stats.stride, 24);
    EXPECT_EQ(stats.live_objects, 10);
    pyslab_arena_stats_read(arena, &all);
    EXPECT_EQ(pyslab_arena_cache_stats(arena, all.nr_caches - 1, &stats), PYSLAB_OK);
    EXPECT_EQ(strcmp(stats.name, "point"), 0);
    EXPECT_EQ(pyslab_arena_cache_stats(arena, all.nr_caches, &stats), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_EBUSY);
    for (int i = 0; i < 10; i++)
        EXPECT_EQ(pyslab_kmem_cache_free(cache, p[i]), PYSLAB_OK);
    EXPECT_NE(pyslab_kmem_cache_shrink(cache), 0);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    end(arena);
}

/* Each code has a sentence of its own; unknown ones have one too. */
static void error_texts(void)
{
    for (int a = PYSLAB_ELIMIT; a <= PYSLAB_OK; a++)
        for (int b = PYSLAB_ELIMIT - 1; b < a; b++)
            EXPECT_NE(strcmp(pyslab_strerror(a), pyslab_strerror(b)), 0);
    EXPECT(pyslab_strerror(12345) != NULL && pyslab_strerror(-12345)[0] != '\0');
    EXPECT_GE(pyslab_physical_bytes(), 64u << 20);
}

/* Values that other programs and the kernel's headers agree on. */
static void constants(void)
{
    EXPECT_EQ(PYSLAB_GFP_KERNEL, PYSLAB_GFP_IO | PYSLAB_GFP_FS | PYSLAB_GFP_DIRECT_RECLAIM |
                                     PYSLAB_GFP_KSWAPD_RECLAIM);
    EXPECT_EQ(PYSLAB_GFP_ATOMIC, PYSLAB_GFP_HIGH | PYSLAB_GFP_KSWAPD_RECLAIM);
    EXPECT_EQ(PYSLAB_GFP_NOWAIT, PYSLAB_GFP_KSWAPD_RECLAIM | PYSLAB_GFP_NOWARN);
    EXPECT_EQ(sizeof(pyslab_arena_options), 128);
    EXPECT_EQ(offsetof(pyslab_arena_options, background_purge), 64); /* of the first version */
    EXPECT_EQ(sizeof(((pyslab_cache_stats *)0)->name), PYSLAB_NAME_MAX);
}

static const struct test tests[] = {
    TEST(arena_functions), TEST(kmalloc_functions),
    TEST(page_functions),  TEST(page_functions_by_address),
    TEST(cache_functions), TEST(error_texts),
    TEST(constants),
};

TEST_MAIN(tests)

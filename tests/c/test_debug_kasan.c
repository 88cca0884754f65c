/* test_debug_kasan.c - the cases of the tests of KASAN and KFENCE, in mm/kasan and mm/kfence of the
 * kernel, that flags of caches can see, each in our own words: one table, one row for each misuse,
 * with what is to be reported and where.
 *
 * Red zones and poison see writes, so the kernel's reads are writes here. Not here: its cases of
 * large blocks, frames and vmalloc; of RCU, stacks, globals, tags and the CPU's own instructions,
 * which an allocator of user space has nothing of; of SLUB's own tests (test_debug.c).
 */
#include "rig_debug.h"

#define SIZE ((size_t)123) /* as the kernel: within a class, not all of it */

#define RIGHT PYSLAB_CORRUPTION_RIGHT_REDZONE
#define LEFT PYSLAB_CORRUPTION_LEFT_REDZONE
#define POISON PYSLAB_CORRUPTION_POISON
#define DOUBLE PYSLAB_CORRUPTION_DOUBLE_FREE
#define INVALID PYSLAB_CORRUPTION_INVALID_FREE

/* Its writes are what is tested: no compiler leaves them out, or warns of them. */
static void write_at(char *p, ptrdiff_t at, size_t bytes)
{
    volatile char *to = p;

    for (size_t i = 0; i < bytes; i++)
        to[at + (ptrdiff_t)i] = 'x';
}

static char *make(size_t size)
{
    char *p = pyslab_kmalloc(arena, size, KERNEL);

    EXPECT(p != NULL);
    return p;
}

static void drop(void *p)
{
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
}

/* A block of this size is written to, from `at` on, while it is live, and freed. */
static void write_live(size_t size, ptrdiff_t at, size_t bytes)
{
    char *p = make(size);

    write_at(p, at, bytes);
    drop(p);
}

/* Likewise after it was freed. */
static void write_freed(size_t size, ptrdiff_t at, size_t bytes)
{
    char *p = make(size);

    drop(p);
    write_at(p, at, bytes);
}

/* --- kmalloc ------------------------------------------------------------ */

static void kmalloc_oob_right(void)
{
    write_live(SIZE, SIZE, 1);
}

static void kmalloc_oob_right_of_the_class(void)
{
    write_live(SIZE, 128, 1);
}

static void kmalloc_oob_left(void)
{
    write_live(15, -1, 1);
}

static void kmalloc_page_oob_right(void)
{
    write_live(4096, 4096, 1);
}

static void kmalloc_big_oob_right(void)
{
    write_live(((size_t)256 << 10) - 256, ((ptrdiff_t)256 << 10) - 256, 1);
}

static void kmemdup_oob_right(void)
{
    char bytes[100] = "", *p = pyslab_kmemdup(arena, bytes, sizeof bytes, KERNEL);

    write_at(p, sizeof bytes, 1);
    drop(p);
}

static void kmalloc_array_oob_right(void)
{
    char *p = pyslab_kmalloc_array(arena, 7, 12, KERNEL);

    write_at(p, 7 * 12, 12);
    drop(p);
}

static void kmalloc_oob_16(void)
{
    write_live(13, 0, 16);
}

static void kmalloc_oob_in_memset(void)
{
    write_live(SIZE, 0, SIZE + 8);
}

static void kmalloc_oob_memset_2(void)
{
    write_live(128, 127, 2);
}

static void kmalloc_oob_memset_4(void)
{
    write_live(128, 125, 4);
}

static void kmalloc_oob_memset_8(void)
{
    write_live(128, 121, 8);
}

static void kmalloc_oob_memset_16(void)
{
    write_live(128, 113, 16);
}

static void kmalloc_memmove_invalid_size(void)
{
    char *p = make(64);
    volatile size_t size = 64;

    memset(p, 'm', 64);
    memmove(p + 4, p, size);
    drop(p);
}

static void kmalloc_uaf(void)
{
    write_freed(10, 8, 1);
}

static void kmalloc_uaf_16(void)
{
    write_freed(16, 0, 16);
}

static void kmalloc_uaf_memset(void)
{
    write_freed(33, 0, 33);
}

/* Another block was handed out since: it is not the one that was freed. */
static void kmalloc_uaf2(void)
{
    char *p = make(43), *q;

    drop(p);
    q = make(43);
    EXPECT(p != q);
    write_at(p, 40, 1);
    drop(q);
}

static void kmalloc_uaf3(void)
{
    char *p = make(100), *q;

    drop(p);
    q = make(100);
    drop(q);
    write_at(p, 8, 1);
}

static void kmalloc_double_free(void)
{
    char *p = make(32);

    drop(p);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
}

static void kmalloc_invalid_free(void)
{
    char *p = make(32);

    EXPECT_EQ(pyslab_kfree(arena, p + 1), PYSLAB_EPOINTER);
    drop(p);
}

static void kmalloc_invalid_free_aligned(void)
{
    char *p = make(64);

    EXPECT_EQ(pyslab_kfree(arena, p + 16), PYSLAB_EPOINTER);
    drop(p);
}

static void kmalloc_double_kzfree(void)
{
    char *p = make(16);

    EXPECT_EQ(pyslab_kfree_sensitive(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree_sensitive(arena, p), PYSLAB_EDOUBLE);
}

static void kfree_via_page(void)
{
    char *p = make(112);
    uint32_t pfn = pyslab_virt_to_pfn(arena, p);

    drop((char *)pyslab_page_address(arena, pfn) + ((uintptr_t)p & (PAGE_SIZE - 1)));
}

/* KFENCE looks at the bytes next to an object when it is freed. */
static void corruption_right(void)
{
    write_live(32, 32, 1);
}

static void corruption_left(void)
{
    write_live(32, -1, 1);
}

static void gfpzero(void)
{
    for (unsigned i = 0; i < 500; i++) {
        char *p = pyslab_kzalloc(arena, 500, KERNEL);

        EXPECT(rig_is_filled(p, 500, 0));
        write_at(p, 0, 500);
        drop(p);
    }
}

/* --- krealloc and ksize ------------------------------------------------------- */

/* What fits the new size may be written to; one byte more is found. */
static void resize_oob(size_t size, size_t new_size)
{
    char *p = pyslab_krealloc(arena, make(size), new_size, KERNEL);

    write_at(p, 0, new_size);
    rig_validate(arena);
    write_at(p, (ptrdiff_t)new_size, 1);
    drop(p);
}

static void krealloc_more_oob(void)
{
    resize_oob(201, 235);
}

static void krealloc_less_oob(void)
{
    resize_oob(235, 201);
}

static void krealloc_moved_oob(void)
{
    resize_oob(201, 2350);
}

/* It is refused, and does not give the block to anybody. */
static void krealloc_uaf(void)
{
    char *p = make(201);

    drop(p);
    EXPECT_PTR(pyslab_krealloc(arena, p, 235, KERNEL), NULL);
    write_at(p, 0, 1);
}

/* The block that it moved from is free. */
static void krealloc_old_uaf(void)
{
    char *p = make(32);

    drop(pyslab_krealloc(arena, p, 400, KERNEL));
    write_at(p, 31, 1);
}

static void ksize_is_what_was_asked(void)
{
    char *p = make(SIZE);

    EXPECT_EQ(pyslab_ksize(arena, p), SIZE);
    write_at(p, 0, SIZE);
    rig_validate(arena);
    write_at(p, (ptrdiff_t)pyslab_ksize(arena, p), 1);
    drop(p);
}

static void ksize_uaf(void)
{
    char *p = make(SIZE);

    drop(p);
    EXPECT_EQ(pyslab_ksize(arena, p), 0);
    write_at(p, SIZE - 1, 1);
}

/* --- caches ------------------------------------------------------------- */

static pyslab_kmem_cache *cache;

static char *cache_make(size_t size, const pyslab_cache_options *options)
{
    char *p;

    EXPECT_EQ(pyslab_kmem_cache_create(arena, "test_cache", size, options, &cache), PYSLAB_OK);
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    EXPECT(p != NULL);
    return p;
}

static void cache_drop(void *p)
{
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
}

static void kmem_cache_oob(void)
{
    char *p = cache_make(200, NULL);

    write_at(p, 200, 1);
    cache_drop(p);
}

static void kmem_cache_uaf(void)
{
    char *p = cache_make(200, NULL);

    cache_drop(p);
    write_at(p, 199, 1);
}

static void kmem_cache_double_free(void)
{
    char *p = cache_make(200, NULL);

    cache_drop(p);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_EDOUBLE);
}

static void kmem_cache_invalid_free(void)
{
    char *p = cache_make(200, NULL);

    EXPECT_EQ(pyslab_kmem_cache_free(cache, p + 1), PYSLAB_EPOINTER);
    cache_drop(p);
}

static void kmem_cache_wrong_cache(void)
{
    char *p = make(200);

    cache_drop(cache_make(200, NULL));
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_ECACHE);
    drop(p);
}

static void kmem_cache_accounted(void)
{
    cache_drop(cache_make(200, NULL));
    for (unsigned i = 0; i < 500; i++) {
        char *p = pyslab_kmem_cache_alloc(cache, KERNEL);

        write_at(p, 0, 200);
        cache_drop(p);
    }
}

static void bulk(size_t at)
{
    void *p[10];

    cache_drop(cache_make(200, NULL));
    EXPECT_EQ(pyslab_kmem_cache_alloc_bulk(cache, KERNEL, 10, p), 10);
    for (size_t i = 0; i < 10; i++)
        write_at(p[i], 0, 200);
    rig_validate(arena);
    write_at(p[3], (ptrdiff_t)at, 1);
    EXPECT_EQ(pyslab_kmem_cache_free_bulk(cache, 10, p), 10);
}

static void kmem_cache_bulk(void)
{
    bulk(199);
}

static void kmem_cache_bulk_oob(void)
{
    bulk(200);
}

static void kmem_cache_bulk_double_free(void)
{
    void *p[2];

    p[0] = cache_make(200, NULL);
    p[1] = p[0];
    EXPECT_EQ(pyslab_kmem_cache_free_bulk(cache, 2, p), 1);
}

/* What waits leaves the quarantine when the cache is shrunk. */
static void shrink_memcache(void)
{
    char *p = cache_make(32, NULL);

    cache_drop(p);
    write_at(p, 5, 1);
    (void)pyslab_kmem_cache_shrink(cache);
    EXPECT_EQ(nr_seen, 1);
}

static int construct(void *object, void *context)
{
    (void)context;
    memset(object, 'c', 32);
    return 0;
}

/* A constructed object keeps its state while it is free; behind it there is a red zone. */
static void memcache_ctor(void)
{
    pyslab_cache_options options = {.struct_size = sizeof options, .ctor = construct};
    char *p = cache_make(32, &options);

    for (unsigned i = 0; i < 100; i++) {
        EXPECT(rig_is_filled(p, 32, 'c'));
        cache_drop(p);
        p = pyslab_kmem_cache_alloc(cache, KERNEL);
    }
    write_at(p, 32, 1);
    cache_drop(p);
}

/* --- mempools: their objects are those of a cache, with its flags ------------------- */

static pyslab_mempool *pool;

static char *pool_make(size_t size)
{
    char *p;

    cache_drop(cache_make(size, NULL));
    EXPECT_EQ(pyslab_mempool_create(cache, 4, &pool), PYSLAB_OK);
    p = pyslab_mempool_alloc(pool, KERNEL);
    EXPECT(p != NULL);
    return p;
}

static void pool_drop(void *p)
{
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_OK);
}

static void mempool_oob_right(void)
{
    char *p = pool_make(SIZE);

    write_at(p, SIZE, 1);
    pool_drop(p);
}

static void mempool_oob_left(void)
{
    char *p = pool_make(SIZE);

    write_at(p, -1, 1);
    pool_drop(p);
}

static void mempool_uaf(void)
{
    char *p = pool_make(SIZE);

    pool_drop(p);
    write_at(p, 8, 1);
}

static void mempool_double_free(void)
{
    char *p = pool_make(SIZE);

    pool_drop(p);
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_EDOUBLE);
}

static void mempool_invalid_free(void)
{
    char *p = pool_make(SIZE);

    EXPECT_EQ(pyslab_mempool_free(pool, p + 1), PYSLAB_EPOINTER);
    pool_drop(p);
}

static void mempool_wrong_cache(void)
{
    char *p = make(SIZE);

    pool_drop(pool_make(SIZE));
    EXPECT_EQ(pyslab_mempool_free(pool, p), PYSLAB_ECACHE);
    drop(p);
}

/* --- the table ---------------------------------------------------------- */

#define CASE(misuse, kind, offset) {#misuse, misuse, kind, offset}

static const struct {
    const char *name;
    void (*misuse)(void);
    uint32_t kind;  /* of the one report; 0: there is none */
    int64_t offset; /* of what is reported, from the object's start */
} cases[] = {
    CASE(kmalloc_oob_right, RIGHT, SIZE),
    CASE(kmalloc_oob_right_of_the_class, RIGHT, 128),
    CASE(kmalloc_oob_left, LEFT, -1),
    CASE(kmalloc_page_oob_right, RIGHT, 4096),
    CASE(kmalloc_big_oob_right, RIGHT, (256 << 10) - 256),
    CASE(kmemdup_oob_right, RIGHT, 100),
    CASE(kmalloc_array_oob_right, RIGHT, 84),
    CASE(kmalloc_oob_16, RIGHT, 13),
    CASE(kmalloc_oob_in_memset, RIGHT, SIZE),
    CASE(kmalloc_oob_memset_2, RIGHT, 128),
    CASE(kmalloc_oob_memset_4, RIGHT, 128),
    CASE(kmalloc_oob_memset_8, RIGHT, 128),
    CASE(kmalloc_oob_memset_16, RIGHT, 128),
    CASE(kmalloc_memmove_invalid_size, RIGHT, 64),
    CASE(kmalloc_uaf, POISON, 8),
    CASE(kmalloc_uaf_16, POISON, 0),
    CASE(kmalloc_uaf_memset, POISON, 0),
    CASE(kmalloc_uaf2, POISON, 40),
    CASE(kmalloc_uaf3, POISON, 8),
    CASE(kmalloc_double_free, DOUBLE, 0),
    CASE(kmalloc_invalid_free, INVALID, 1),
    CASE(kmalloc_invalid_free_aligned, INVALID, 16),
    CASE(kmalloc_double_kzfree, DOUBLE, 0),
    CASE(kfree_via_page, 0, 0),
    CASE(corruption_right, RIGHT, 32),
    CASE(corruption_left, LEFT, -1),
    CASE(gfpzero, 0, 0),
    CASE(krealloc_more_oob, RIGHT, 235),
    CASE(krealloc_less_oob, RIGHT, 201),
    CASE(krealloc_moved_oob, RIGHT, 2350),
    CASE(krealloc_uaf, POISON, 0),
    CASE(krealloc_old_uaf, POISON, 31),
    CASE(ksize_is_what_was_asked, RIGHT, SIZE),
    CASE(ksize_uaf, POISON, SIZE - 1),
    CASE(kmem_cache_oob, RIGHT, 200),
    CASE(kmem_cache_uaf, POISON, 199),
    CASE(kmem_cache_double_free, DOUBLE, 0),
    CASE(kmem_cache_invalid_free, INVALID, 1),
    CASE(kmem_cache_wrong_cache, PYSLAB_CORRUPTION_WRONG_CACHE, 0),
    CASE(kmem_cache_accounted, 0, 0),
    CASE(kmem_cache_bulk, 0, 0),
    CASE(kmem_cache_bulk_oob, RIGHT, 200),
    CASE(kmem_cache_bulk_double_free, DOUBLE, 0),
    CASE(shrink_memcache, POISON, 5),
    CASE(memcache_ctor, RIGHT, 32),
    CASE(mempool_oob_right, RIGHT, SIZE),
    CASE(mempool_oob_left, LEFT, -1),
    CASE(mempool_uaf, POISON, 8),
    CASE(mempool_double_free, DOUBLE, 0),
    CASE(mempool_invalid_free, INVALID, 1),
    CASE(mempool_wrong_cache, PYSLAB_CORRUPTION_WRONG_CACHE, 0),
};

/* Each misuse is reported once, by the call that does it or by the next validation, as what it is;
 * and the arena is whole after it. */
static void kasan_cases(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        debug_arena(FZPU);
        cases[i].misuse();
        if (nr_seen == 0)
            (void)pyslab_arena_validate(arena, seen_text, sizeof seen_text);
        if (nr_seen != (cases[i].kind != 0) || seen.kind != cases[i].kind ||
            seen.offset != cases[i].offset)
            fprintf(stderr, "%s: %s\n", cases[i].name, seen_text);
        EXPECT_EQ(nr_seen, cases[i].kind != 0);
        EXPECT_EQ(seen.kind, cases[i].kind);
        EXPECT_EQ(seen.offset, cases[i].offset);
        EXPECT_EQ(seen.allocated_at != 0, cases[i].kind != 0 && HAS_BACKTRACE);
        end();
    }
}

static const struct test tests[] = {
    TEST(kasan_cases),
};

TEST_MAIN(tests)

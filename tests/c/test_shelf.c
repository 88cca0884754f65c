/* test_shelf.c - holds down page_alloc/shelf.h: which freed blocks of kmalloc wait whole for the
 * next request, that any thread gets them, and everything that makes them go to the buddy: a
 * request that may be served from them, a shortage, a release, two intervals without use. */
#include "rig.h"

#include "os/os.h"
#include "page_alloc/shelf.h"

#include <pthread.h>

#define BLOCK (512 * KIB)
#define BLOCK_PAGES (BLOCK >> PAGE_SHIFT)

static pyslab_arena *arena;

static void begin(void)
{
    pyslab_arena_options options = rig_options(128 * MIB, 18);

    arena = rig_arena_of(&options);
}

static uint64_t shelved(void)
{
    return shelf_pages(&arena->pages);
}

static void *block_of(size_t bytes)
{
    void *p = pyslab_kmalloc(arena, bytes, KERNEL);

    if (p == NULL)
        abort();
    return p;
}

/* A block that was freed is the next one of its length, whole; of no other length. */
static void serves_the_same_length(void)
{
    void *p, *other;

    begin();
    p = pyslab_get_free_pages(arena, 10, KERNEL); /* so that the buddy has resident memory too */
    REQUIRE(p != NULL);
    EXPECT_EQ(pyslab_free_pages_address(arena, p, 10), PYSLAB_OK);
    p = block_of(BLOCK + 5);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(shelved(), BLOCK_PAGES + 1);
    EXPECT_EQ(rig_stats(arena).large_count, 0);
    EXPECT_EQ(rig_stats(arena).large_pages, 0);
    EXPECT_EQ(rig_stats(arena).pcp_pages, BLOCK_PAGES + 1);
    other = block_of(BLOCK - PAGE_SIZE);
    EXPECT(other != p);
    EXPECT_PTR(block_of(BLOCK + PAGE_SIZE), p);
    EXPECT_EQ(shelved(), 0);
    EXPECT_EQ(pyslab_ksize(arena, p), BLOCK + PAGE_SIZE);
    EXPECT_EQ(rig_stats(arena).large_count, 2);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, other), PYSLAB_OK);
    rig_end(arena);
}

/* Not: what is too large for the arena, too small, or freed while there is a limit. */
static void what_is_not_kept(void)
{
    begin();
    EXPECT_EQ(pyslab_kfree(arena, block_of(2 * MIB + 1)), PYSLAB_OK);
    EXPECT_EQ(shelved(), 0);
    EXPECT_EQ(pyslab_kfree(arena, block_of(2 * MIB)), PYSLAB_OK);
    EXPECT_EQ(shelved(), 512);
    EXPECT(pcp_drain(&arena->pages));
    EXPECT_EQ(shelved(), 0);
    arena->pages.limit_pages = arena->pages.map.nr_pages;
    EXPECT_EQ(pyslab_kfree(arena, block_of(BLOCK + 1)), PYSLAB_OK);
    EXPECT_EQ(shelved(), 0);
    rig_end(arena);
}

/* A ninth block takes the place of another; all lengths are kept apart. */
static void holds_eight(void)
{
    void *p[SHELF_SLOTS + 1];
    uint64_t kept = 0;

    begin();
    for (size_t i = 0; i <= SHELF_SLOTS; i++)
        p[i] = block_of(BLOCK + i * PAGE_SIZE);
    for (size_t i = 0; i < SHELF_SLOTS; i++) {
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
        kept += BLOCK_PAGES + i;
        EXPECT_EQ(shelved(), kept);
    }
    EXPECT_EQ(pyslab_kfree(arena, p[SHELF_SLOTS]), PYSLAB_OK);
    EXPECT_LE(shelved(), kept + SHELF_SLOTS);
    EXPECT_LE(kept - BLOCK_PAGES, shelved());
    EXPECT_PTR(block_of(BLOCK + SHELF_SLOTS * PAGE_SIZE), p[SHELF_SLOTS]);
    EXPECT_EQ(pyslab_kfree(arena, p[SHELF_SLOTS]), PYSLAB_OK);
    rig_end(arena);
}

static void *free_it(void *p)
{
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    return NULL;
}

/* What one thread freed, and it has ended since, another gets. */
static void every_thread_takes(void)
{
    void *p;
    pthread_t thread;

    begin();
    p = block_of(BLOCK);
    REQUIRE(pthread_create(&thread, NULL, free_it, p) == 0);
    pthread_join(thread, NULL);
    EXPECT_PTR(block_of(BLOCK), p);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* A block that is freed again while it waits is told of, and stays there once. */
static void double_free_is_told(void)
{
    char *p;

    begin();
    p = block_of(BLOCK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_kfree(arena, p + PAGE_SIZE), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_free_pages_address(arena, p, 7), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_ksize(arena, p), 0);
    EXPECT_PTR(pyslab_krealloc(arena, p, 10, KERNEL), NULL);
    EXPECT_EQ(shelved(), BLOCK_PAGES);
    rig_end(arena);
}

/* A block of 2 MiB waits, and no other free frame is resident. */
static char *only_the_shelf(void)
{
    char *p;

    (void)page_alloc_release(&arena->pages);
    p = block_of(2 * MIB);
    memset(p, 1, 2 * MIB);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(shelved(), 512);
    EXPECT_EQ(page_alloc_dirty(&arena->pages), 0);
    return p;
}

/* What was asked for came out of the block that had waited at p. */
static void expect_from(const char *p, void *block)
{
    EXPECT(block != NULL && (uintptr_t)block - (uintptr_t)p < 2 * MIB);
    EXPECT_EQ(shelved(), 0);
}

/* Nothing untouched is used, by whichever way, while a block waits that may serve. */
static void goes_before_untouched_memory(void)
{
    char *p;
    void *block;

    begin();
    p = only_the_shelf();
    expect_from(p, block = pyslab_get_free_pages(arena, 0, KERNEL));
    EXPECT_EQ(pyslab_free_pages_address(arena, block, 0), PYSLAB_OK);
    p = only_the_shelf();
    expect_from(p, block = pyslab_get_free_pages(arena, 8, KERNEL));
    EXPECT_EQ(pyslab_free_pages_address(arena, block, 8), PYSLAB_OK);
    p = only_the_shelf();
    expect_from(p, block = block_of(MIB + 1));
    EXPECT_EQ(pyslab_kfree(arena, block), PYSLAB_OK);
    p = only_the_shelf();
    expect_from(p, block = block_of(300 * KIB));
    EXPECT_EQ(pyslab_kfree(arena, block), PYSLAB_OK);
    p = only_the_shelf();
    expect_from(p, block = pyslab_alloc_contig(arena, 5, 1, 0, KERNEL));
    EXPECT_EQ(pyslab_kfree(arena, block), PYSLAB_OK);
    rig_end(arena);
}

static void bulk_takes_from_it_too(void)
{
    uint32_t pfn[40], base;

    begin();
    base = virt_to_pfn(&arena->pages.map, only_the_shelf());
    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL, ARRAY_SIZE(pfn), pfn), ARRAY_SIZE(pfn));
    EXPECT_EQ(shelved(), 0);
    for (size_t i = 0; i < ARRAY_SIZE(pfn); i++) {
        EXPECT_LE(pfn[i] - base, 511);
        EXPECT_EQ(pyslab_free_pages(arena, pfn[i], 0), PYSLAB_OK);
    }
    rig_end(arena);
}

/* A block grows into frames that waited behind it. */
static void a_block_grows_into_it(void)
{
    char *p, *behind;

    begin();
    p = pyslab_alloc_contig(arena, 128, 1, 0, KERNEL);
    behind = pyslab_alloc_contig(arena, 128, 1, 0, KERNEL);
    REQUIRE(p != NULL && behind == p + BLOCK);
    EXPECT_EQ(pyslab_kfree(arena, behind), PYSLAB_OK);
    EXPECT_EQ(shelved(), 128);
    EXPECT(kmalloc_grow_large(&arena->kmalloc, p, BLOCK + BLOCK / 2));
    EXPECT_EQ(shelved(), 0);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* A request that is too large for what else is free gets it. */
static void no_request_fails_for_it(void)
{
    static void *p[64];
    void *small;

    begin();
    for (size_t i = 0; i < ARRAY_SIZE(p); i++)
        p[i] = block_of(2 * MIB - PAGE_SIZE);
    for (size_t i = 0; i < 4; i++)
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    EXPECT_EQ(shelved(), 4 * 511);
    small = pyslab_alloc_contig(arena, 4 * 512, 1, 0, KERNEL);
    EXPECT(small != NULL);
    EXPECT_EQ(pyslab_kfree(arena, small), PYSLAB_OK);
    for (size_t i = 4; i < ARRAY_SIZE(p); i++)
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    rig_end(arena);
}

/* The two calls of who also wants to know the size. They leave alone what is not for the shelf. */
static void with_its_size(void)
{
    struct kmalloc *km;
    void *small, *p;
    char other;

    begin();
    km = &arena->kmalloc;
    EXPECT_PTR(kmalloc_unshelve(km, BLOCK), NULL);
    EXPECT_PTR(kmalloc_unshelve(km, SIZE_MAX), NULL);
    small = block_of(100);
    p = block_of(BLOCK);
    EXPECT_EQ(kmalloc_shelve(km, small), 0);
    EXPECT_EQ(kmalloc_shelve(km, &other), 0);
    EXPECT_EQ(kmalloc_shelve(km, (char *)p + PAGE_SIZE), 0);
    EXPECT_EQ(kmalloc_shelve(km, p), BLOCK);
    EXPECT_EQ(kmalloc_shelve(km, p), 0);
    EXPECT_EQ(shelved(), BLOCK_PAGES);
    EXPECT_EQ(rig_stats(arena).large_count, 0);
    rig_validate(arena);
    EXPECT_PTR(kmalloc_unshelve(km, BLOCK - PAGE_SIZE), NULL);
    EXPECT_PTR(kmalloc_unshelve(km, BLOCK - 5), p);
    EXPECT_EQ(pyslab_ksize(arena, p), BLOCK);
    EXPECT_EQ(rig_stats(arena).large_count, 1);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, small), PYSLAB_OK);
    rig_end(arena);
}

/* What is used in every interval stays; what was not for a whole one goes, and counts as surplus.
 * Everything goes at a release. */
static void goes_when_nobody_needs_it(void)
{
    void *p;

    begin();
    p = block_of(BLOCK);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        EXPECT_EQ(shelf_end_interval(&arena->pages), 0);
        EXPECT_PTR(block_of(BLOCK), p);
    }
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(shelf_end_interval(&arena->pages), 0);
    EXPECT_EQ(shelf_end_interval(&arena->pages), BLOCK_PAGES);
    EXPECT_EQ(shelved(), 0);
    EXPECT_EQ(rig_stats(arena).large_count, 0);
    EXPECT_EQ(rig_stats(arena).large_pages, 0);
    p = only_the_shelf();
    EXPECT_LE(512, page_alloc_release(&arena->pages));
    EXPECT_EQ(shelved(), 0);
    rig_end(arena);
}

/* By the clock: after two intervals in which nobody took it, the block's memory has gone back to
 * the system, as if it had been in the buddy all the time. */
static void purged_after_two_intervals(void)
{
    uint64_t before;

    begin();
    (void)only_the_shelf();
    page_alloc_set_purge(&arena->pages, 20, false);
    before = rig_stats(arena).pages_released;
    for (unsigned i = 0; i < 300 && shelved() != 0; i++) { /* three, if the clock is fine */
        os_sleep_ms(11);
        page_alloc_tick(&arena->pages);
    }
    EXPECT_LE(before + 512, rig_stats(arena).pages_released);
    EXPECT_EQ(shelved(), 0);
    rig_end(arena);
}

/* A loop that only the shelf serves looks at the clock: memory that others dropped goes back. */
static void its_users_tick(void)
{
    void *dropped;

    begin();
    dropped = pyslab_get_free_pages(arena, 11, KERNEL);
    memset(dropped, 1, 8 * MIB);
    EXPECT_EQ(pyslab_free_pages_address(arena, dropped, 11), PYSLAB_OK);
    page_alloc_set_purge(&arena->pages, 20, false);
    for (unsigned i = 0; i < 300 && rig_stats(arena).pages_released < 2048 - BLOCK_PAGES; i++) {
        os_sleep_ms(11);
        for (unsigned n = 0; n < 16; n++)
            EXPECT_EQ(pyslab_kfree(arena, block_of(BLOCK)), PYSLAB_OK);
    }
    EXPECT_LE(2048 - BLOCK_PAGES, rig_stats(arena).pages_released);
    rig_end(arena);
}

/* The recount notices a block that is not what its word says, or is there twice. */
static void recount_notices(void)
{
    struct finding f = {{0}};
    struct shelf *shelf;
    struct page *page;
    uint32_t word;
    void *p;

    begin();
    shelf = &arena->pages.shelf;
    p = block_of(BLOCK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    page = pfn_to_page(&arena->pages.map, virt_to_pfn(&arena->pages.map, p));
    word = page->word;
    EXPECT(page_alloc_check(&arena->pages, &f));
    page->word = PAGE_WORD(PYSLAB_PAGE_LARGE, 7, 0);
    EXPECT(!page_alloc_check(&arena->pages, &f) && f.text[0] != '\0');
    page->word = word;
    shelf->slot[1] = shelf->slot[0];
    f.text[0] = '\0';
    EXPECT(!page_alloc_check(&arena->pages, &f) && f.text[0] != '\0');
    shelf->slot[1] = 0;
    EXPECT(page_alloc_check(&arena->pages, &f));
    rig_end(arena);
}

/* --- many threads -------------------------------------------------------------- */

static void *take_and_put(void *argument)
{
    size_t bytes = BLOCK + PAGE_SIZE * (size_t)(uintptr_t)argument;

    for (unsigned i = 0; i < (UNDER_TSAN ? 2000u : 20000u); i++) {
        unsigned char *p = pyslab_kmalloc(arena, bytes, KERNEL);

        if (p == NULL) {
            EXPECT(p != NULL);
            return NULL;
        }
        p[0] = (unsigned char)i;
        p[bytes - 1] = (unsigned char)i;
        EXPECT(p[0] == (unsigned char)i && p[bytes - 1] == (unsigned char)i);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        if (i % 64 == 0)
            (void)pcp_drain(&arena->pages);
    }
    return NULL;
}

/* Threads that take, put and drain at once never have the same block. */
static void threads_take_and_put(void)
{
    pthread_t thread[4];

    begin();
    for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
        REQUIRE(pthread_create(&thread[i], NULL, take_and_put, (void *)(uintptr_t)(i % 2)) == 0);
    for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
        pthread_join(thread[i], NULL);
    EXPECT_EQ(rig_stats(arena).large_count, 0);
    rig_validate(arena);
    rig_end(arena);
}

static const struct test tests[] = {
    TEST(serves_the_same_length),
    TEST(what_is_not_kept),
    TEST(holds_eight),
    TEST(every_thread_takes),
    TEST(double_free_is_told),
    TEST(goes_before_untouched_memory),
    TEST(bulk_takes_from_it_too),
    TEST(a_block_grows_into_it),
    TEST(no_request_fails_for_it),
    TEST(with_its_size),
    TEST(goes_when_nobody_needs_it),
    TEST(purged_after_two_intervals),
    TEST(its_users_tick),
    TEST(recount_notices),
    TEST(threads_take_and_put),
};

TEST_MAIN(tests)

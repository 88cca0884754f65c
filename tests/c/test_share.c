/* test_share.c - shared arenas between processes: export, open, pass on, close, deferred frees. */
#include "rig_share.h"

static void a_shared_arena_is_an_arena(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    void *small = pyslab_kmalloc(arena, 100, KERNEL), *big = pyslab_kmalloc(arena, MIB, KERNEL);
    uint32_t pfn = pyslab_alloc_pages(arena, 2, ZEROED);

    EXPECT(small != NULL && big != NULL && pfn != PYSLAB_PFN_NONE);
    memset(big, 7, MIB);
    EXPECT(rig_is_filled(pyslab_page_address(arena, pfn), 16 * KIB, 0));
    EXPECT_EQ(pyslab_kfree(arena, small), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, big), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 2), PYSLAB_OK);
    EXPECT(pyslab_arena_release_unused(arena) >= MIB);
    big = pyslab_kzalloc(arena, MIB, KERNEL);
    EXPECT(rig_is_filled(big, MIB, 0));
    EXPECT_EQ(pyslab_kfree(arena, big), PYSLAB_OK);
    rig_end(arena);
}

/* Each kind of block: freed while it is held, it stays, and is freed afterwards. */
static void check_deferral(pyslab_arena *arena, void *p, size_t bytes, int order)
{
    pyslab_handle handle;
    pyslab_shared_block block;
    pyslab_share_stats stats;
    uint64_t used = pyslab_arena_used(arena);

    memset(p, 0x5a, bytes);
    EXPECT_EQ(pyslab_share_export(arena, p, 1, &handle), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_OK);
    EXPECT(block.address == p);
    EXPECT(block.bytes >= bytes);
    EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_ESTALE);
    EXPECT_EQ(order < 0 ? pyslab_kfree(arena, p)
                        : pyslab_free_pages_address(arena, p, (uint32_t)order),
              PYSLAB_OK);
    EXPECT_EQ(order < 0 ? pyslab_kfree(arena, p)
                        : pyslab_free_pages_address(arena, p, (uint32_t)order),
              PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_share_export(arena, p, 1, &handle), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_share_reap(arena), 0);
    EXPECT(rig_is_filled(p, bytes, 0x5a));
    pyslab_share_stats_read(arena, &stats);
    EXPECT_EQ(stats.nr_deferred, 1);
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_EINVAL);
    EXPECT(rig_reap(arena, bytes) >= bytes);
    pyslab_share_stats_read(arena, &stats);
    EXPECT_EQ(stats.nr_deferred + stats.nr_exported + stats.deferred_bytes, 0);
    EXPECT(pyslab_arena_used(arena) <= used);
    rig_validate(arena);
}

static void freed_while_held(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);

    for (size_t bytes = 4 * KIB; bytes <= MIB; bytes += bytes / 4)
        check_deferral(arena, pyslab_kmalloc(arena, bytes, KERNEL), bytes, -1);
    for (int order = 0; order < 6; order++)
        check_deferral(arena, pyslab_get_free_pages(arena, (uint32_t)order, KERNEL),
                       PAGE_SIZE << order, order);
    rig_end(arena);
}

/* A slab's other objects are freed as ever, and its class byte comes back. */
static void a_slab_with_an_exported_object(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    void *p[16];
    pyslab_handle handle;

    for (unsigned i = 0; i < 16; i++)
        p[i] = pyslab_kmalloc(arena, 4 * KIB, KERNEL);
    EXPECT_EQ(pyslab_share_export(arena, p[3], 1, &handle), PYSLAB_OK);
    rig_validate(arena);
    EXPECT_EQ(arena->pages.map.classes[virt_to_pfn(&arena->pages.map, p[3])], CLASS_LOOKUP);
    EXPECT_EQ(pyslab_share_revoke(&handle), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_revoke(&handle), PYSLAB_ESTALE);
    for (unsigned i = 0; i < 16; i++) {
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_EDOUBLE);
    }
    EXPECT(arena->pages.map.classes[virt_to_pfn(&arena->pages.map, p[3])] != CLASS_LOOKUP);
    rig_end(arena);
}

/* A block that others hold is neither trimmed nor grown in place. */
static void resizing_what_is_held(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    void *p = pyslab_kmalloc(arena, MIB, KERNEL), *q;
    pyslab_handle handle;
    pyslab_shared_block block;

    memset(p, 9, MIB);
    EXPECT_EQ(pyslab_share_export(arena, p, 1, &handle), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_OK);
    q = pyslab_krealloc(arena, p, MIB / 2, KERNEL);
    EXPECT(q == p);
    EXPECT_EQ(pyslab_ksize(arena, p), MIB);
    q = pyslab_krealloc(arena, p, 2 * MIB, KERNEL);
    EXPECT(q != NULL && q != p);
    EXPECT(rig_is_filled(block.address, MIB, 9));
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
    EXPECT_EQ(rig_reap(arena, MIB), MIB);
    rig_end(arena);
}

static void what_cannot_be_exported(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ), *private = rig_arena(4 * MIB, 8);
    void *small = pyslab_kmalloc(arena, 100, KERNEL), *p = pyslab_kmalloc(arena, MIB, KERNEL);
    pyslab_handle handle;

    EXPECT_EQ(pyslab_share_export(arena, small, 1, &handle), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_export(arena, &handle, 1, &handle), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_export(arena, (char *)p + PAGE_SIZE, 1, &handle), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_export(arena, p, 0, &handle), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_export(arena, p, 0x10000, &handle), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_export(private, small, 1, &handle), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_kfree(arena, small), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
    rig_end(private);
}

/* A pin may be opened any number of times, until its maker frees the block. */
static void pins(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    void *p = pyslab_kmalloc(arena, MIB, KERNEL);
    pyslab_handle handle;
    pyslab_shared_block block;

    EXPECT_EQ(pyslab_share_export(arena, p, PYSLAB_USES_PINNED, &handle), PYSLAB_OK);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_OK);
        EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    }
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_ESTALE);
    rig_end(arena);
}

/* The window of a slot's tickets is finite; then the caller is told to send bytes. */
static void the_table_is_full(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    void *p = pyslab_kmalloc(arena, MIB, KERNEL);
    static pyslab_handle handle[SHARE_TICKET_WINDOW + 1];
    unsigned nr = 0;
    uint32_t nr_clients, nr_handles;

    while (nr <= SHARE_TICKET_WINDOW && pyslab_share_export(arena, p, 1, &handle[nr]) == PYSLAB_OK)
        nr++;
    EXPECT_EQ(nr, SHARE_TICKET_WINDOW);
    EXPECT_EQ(pyslab_share_export(arena, p, 1, &handle[nr]), PYSLAB_ELIMIT);
    EXPECT_EQ(pyslab_share_holders(arena, p, &nr_clients, &nr_handles), PYSLAB_OK);
    EXPECT_EQ(nr_clients, 0);
    EXPECT_EQ(nr_handles, SHARE_TICKET_WINDOW);
    while (nr > 0)
        EXPECT_EQ(pyslab_share_revoke(&handle[--nr]), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_holders(arena, p, &nr_clients, &nr_handles), PYSLAB_EPOINTER);
    rig_end(arena);
}

/* Forged and stale handles: errors, and nothing is held by them. */
static void garbage_handles(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    void *p = pyslab_kmalloc(arena, MIB, KERNEL);
    pyslab_handle good, bad;
    pyslab_shared_block block;

    EXPECT_EQ(pyslab_share_export(arena, p, 1, &good), PYSLAB_OK);
    for (unsigned i = 0; i < 10000; i++) {
        bad = good;
        bad.id = os_random64();
        EXPECT_EQ(pyslab_share_open(&bad, &block), PYSLAB_ESTALE);
        bad = good;
        bad.ticket = (uint32_t)os_random64();
        if (bad.ticket != good.ticket)
            EXPECT_EQ(pyslab_share_open(&bad, &block), PYSLAB_ESTALE);
        bad = good;
        bad.heap_id[i % 2] = os_random64();
        EXPECT_EQ(pyslab_share_open(&bad, &block), PYSLAB_EPOINTER);
    }
    EXPECT_EQ(pyslab_share_revoke(&good), PYSLAB_OK);
    for (unsigned i = 0; i < 10000; i++) { /* stale ones */
        EXPECT_EQ(pyslab_share_export(arena, p, 1, &bad), PYSLAB_OK);
        EXPECT_EQ(pyslab_share_open(&good, &block), PYSLAB_ESTALE);
        EXPECT_EQ(pyslab_share_revoke(&bad), PYSLAB_OK);
        good = bad;
    }
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

static const struct test tests[] = {
    TEST(a_shared_arena_is_an_arena),
    TEST(freed_while_held),
    TEST(a_slab_with_an_exported_object),
    TEST(resizing_what_is_held),
    TEST(what_cannot_be_exported),
    TEST(pins),
    TEST(the_table_is_full),
    TEST(garbage_handles),
};

TEST_MAIN(tests)

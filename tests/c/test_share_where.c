/* test_share_where.c - from any address to a handle for the block around it: own blocks of every
 * size and kind, opened ones, and what is refused. */
#include "rig_share.h"

#include "share/where.h"

/* Each byte of a block that starts at p leads to it; those around it do not. */
static void check_block(const char *p, uint64_t bytes)
{
    const uint64_t at[] = {0, 1, PAGE_SIZE - 1, PAGE_SIZE, bytes / 2, bytes - 1};
    pyslab_shared_block block;
    pyslab_handle handle;
    uint64_t offset;

    for (unsigned i = 0; i < sizeof at / sizeof at[0]; i++) {
        if (at[i] >= bytes)
            continue;
        EXPECT_EQ(share_send(p + at[i], bytes - at[i], 1, &handle, &offset), PYSLAB_OK);
        EXPECT_EQ(offset, at[i]);
        EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_OK);
        EXPECT((char *)block.address == p);
        EXPECT(block.bytes >= bytes);
        EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
        EXPECT_EQ(share_send(p + at[i], block.bytes - at[i] + 1, 1, &handle, &offset),
                  PYSLAB_EINVAL);
    }
}

static void own_blocks_of_every_size(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    void *before, *p, *behind;

    for (size_t bytes = 4 * KIB; bytes <= 4 * MIB; bytes += bytes / 3) {
        before = pyslab_kmalloc(arena, bytes, KERNEL);
        p = pyslab_kmalloc(arena, bytes, KERNEL);
        behind = pyslab_kmalloc(arena, bytes, KERNEL);
        check_block(p, bytes);
        check_block(before, bytes);
        check_block(behind, bytes);
        EXPECT_EQ(pyslab_kfree(arena, before), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(arena, behind), PYSLAB_OK);
        check_block(p, bytes);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    }
    rig_end(arena);
}

/* A run of frames is a large block that is not aligned as one. */
static void runs_of_frames(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    void *p[5];

    for (unsigned i = 0; i < 5; i++)
        p[i] = pyslab_alloc_contig(arena, 3 + 2 * i, 1, 0, KERNEL);
    for (unsigned i = 0; i < 5; i++)
        check_block(p[i], (3 + 2 * i) * PAGE_SIZE);
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    rig_end(arena);
}

static void page_blocks_once_they_are_exported(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    pyslab_handle handle;
    uint64_t offset;

    for (unsigned order = 0; order < 6; order++) {
        char *p = pyslab_get_free_pages(arena, order, KERNEL);

        EXPECT_EQ(share_send(p, 1, 1, &handle, &offset), PYSLAB_EINVAL);
        EXPECT_EQ(pyslab_share_export(arena, p, 1, &handle), PYSLAB_OK);
        EXPECT_EQ(pyslab_share_revoke(&handle), PYSLAB_OK);
        check_block(p, PAGE_SIZE << order);
        EXPECT_EQ(pyslab_free_pages_address(arena, p, order), PYSLAB_OK);
    }
    rig_end(arena);
}

static void what_is_refused(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ), *private = rig_arena(4 * MIB, 8);
    void *small = pyslab_kmalloc(arena, 3000, KERNEL),
         *other = pyslab_kmalloc(private, MIB, KERNEL);
    void *p = pyslab_kmalloc(arena, MIB, KERNEL);
    pyslab_kmem_cache *cache = NULL;
    pyslab_handle handle;
    uint64_t offset;
    void *object;

    EXPECT_EQ(pyslab_kmem_cache_create(arena, "big", 8 * KIB, NULL, &cache), PYSLAB_OK);
    object = pyslab_kmem_cache_alloc(cache, KERNEL);
    EXPECT_EQ(share_send(&handle, 1, 1, &handle, &offset), PYSLAB_EPOINTER);
    EXPECT_EQ(share_send(NULL, 0, 1, &handle, &offset), PYSLAB_EPOINTER);
    EXPECT_EQ(share_send(other, MIB, 1, &handle, &offset), PYSLAB_EPOINTER);
    EXPECT_EQ(share_send(small, 1, 1, &handle, &offset), PYSLAB_EINVAL);
    EXPECT_EQ(share_send(object, 8 * KIB, 1, &handle, &offset), PYSLAB_EINVAL);
    EXPECT_EQ(share_send(p, MIB, 0, &handle, &offset), PYSLAB_EINVAL);
    EXPECT_EQ(share_send(p, MIB, 0x10000, &handle, &offset), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(share_send(p, MIB, 1, &handle, &offset), PYSLAB_EINVAL);
    pyslab_kmem_cache_free(cache, object);
    EXPECT_EQ(pyslab_kfree(arena, small), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(private, other), PYSLAB_OK);
    rig_end(arena);
    rig_end(private);
}

/* A block that its program has freed, and holds by a handle that came back, can be sent. */
static void what_was_freed_and_came_back(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    char *p = pyslab_kmalloc(arena, MIB, KERNEL);
    pyslab_shared_block block;
    pyslab_handle handle;
    uint64_t offset;

    EXPECT_EQ(share_send(p, MIB, 1, &handle, &offset), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(share_send(p, MIB, 1, &handle, &offset), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_OK);
    check_block(p, MIB);
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    EXPECT_EQ(rig_reap(arena, MIB), MIB);
    rig_end(arena);
}

/* A program that sends what it makes, and drops it before it is received, has few blocks waiting,
 * though there is memory for all of them. */
static void sending_takes_back(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    pyslab_shared_block block;
    pyslab_share_stats stats;
    pyslab_handle handle;
    uint64_t offset;

    for (unsigned i = 0; i < 200; i++) {
        char *p = pyslab_kmalloc(arena, 64 * KIB, KERNEL);

        EXPECT_EQ(share_send(p, 64 * KIB, 1, &handle, &offset), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_OK);
        EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
        pyslab_share_stats_read(arena, &stats);
        EXPECT(stats.deferred_bytes <= MIB + 64 * KIB);
    }
    EXPECT(stats.nr_taken_back > 100);
    rig_end(arena);
}

/* What the client and its owner say to each other. */
struct passed {
    pyslab_handle handle[8];
    int wrong; /* the client's checks that failed */
};

static bool receive(int fd, void *p, size_t bytes)
{
    return read(fd, p, bytes) == (ssize_t)bytes;
}

static void deliver(int fd, const void *p, size_t bytes)
{
    EXPECT_EQ(write(fd, p, bytes), (ssize_t)bytes);
}

/* Opens all handles, sends on half of the blocks by an address in them, and closes the others. */
static void pass_on(int heap_fd, int table_fd, int in, int out)
{
    struct passed passed, back = {0};
    pyslab_shared_block block[8];
    pyslab_handle none;
    pyslab_heap *heap;
    uint64_t offset;

    EXPECT_EQ(pyslab_share_attach(heap_fd, table_fd, 0, &heap), PYSLAB_OK);
    EXPECT(receive(in, &passed, sizeof passed));
    for (unsigned i = 0; i < 8; i++)
        EXPECT_EQ(pyslab_share_open(&passed.handle[i], &block[i]), PYSLAB_OK);
    for (unsigned i = 1; i < 8; i += 2)
        EXPECT_EQ(pyslab_share_close(&block[i]), PYSLAB_OK);
    for (unsigned i = 0; i < 8; i++) {
        const char *p = (char *)block[i].address + block[i].bytes - 100;

        EXPECT_EQ(share_send(p, 101, 1, &none, &offset), PYSLAB_EINVAL);
        EXPECT_EQ(share_send(p, 100, 1, &back.handle[i], &offset),
                  i % 2 == 0 ? PYSLAB_OK : PYSLAB_EINVAL);
        EXPECT(i % 2 != 0 || offset == block[i].bytes - 100);
    }
    for (unsigned i = 0; i < 8; i += 2)
        EXPECT_EQ(pyslab_share_close(&block[i]), PYSLAB_OK);
    EXPECT_EQ(share_send(block[0].address, 1, 1, &none, &offset), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_detach(heap), PYSLAB_OK);
    back.wrong = check_nr_failures != 0;
    deliver(out, &back, sizeof back);
    _exit(0);
}

static pid_t passer_start(pyslab_arena *arena, int to_client[2], int from_client[2])
{
    int heap_fd, table_fd;
    pid_t pid;

    if (pipe(to_client) != 0 || pipe(from_client) != 0)
        abort();
    EXPECT_EQ(pyslab_share_descriptors(arena, &heap_fd, &table_fd), PYSLAB_OK);
    pid = fork();
    if (pid == 0)
        pass_on(heap_fd, table_fd, to_client[0], from_client[1]);
    close(heap_fd);
    close(table_fd);
    return pid;
}

static void opened_blocks(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    int to_client[2], from_client[2], status = -1;
    pid_t pid = passer_start(arena, to_client, from_client);
    struct passed passed = {0}, back;
    pyslab_shared_block block;
    void *p[8];

    for (unsigned i = 0; i < 8; i++) {
        p[i] = pyslab_kmalloc(arena, (4 * KIB + 1000) << i, KERNEL);
        EXPECT_EQ(pyslab_share_export(arena, p[i], 1, &passed.handle[i]), PYSLAB_OK);
    }
    deliver(to_client[1], &passed, sizeof passed);
    EXPECT(receive(from_client[0], &back, sizeof back) && back.wrong == 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    for (unsigned i = 0; i < 8; i++)
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    for (unsigned i = 0; i < 8; i += 2) {
        EXPECT_EQ(pyslab_share_open(&back.handle[i], &block), PYSLAB_OK);
        EXPECT(block.address == p[i]);
        EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    }
    EXPECT(rig_reap(arena, 1) > 0);
    for (unsigned i = 0; i < 2; i++) {
        close(to_client[i]);
        close(from_client[i]);
    }
    rig_end(arena);
}

/* The index of opened blocks against a plain array. */
static void the_index(void)
{
    enum { NR_FRAMES = 1000 };
    struct share_opened opened = {0};
    uint32_t model[NR_FRAMES] = {0}, state = 1;

    EXPECT_EQ(opened_init(&opened, NR_FRAMES * PAGE_SIZE), PYSLAB_OK);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t frame = (state = state * 1103515245 + 12345) >> 8, at;

        frame %= NR_FRAMES;
        if (model[frame] == 0 && state >> 28 < 5) {
            model[frame] = i + 1;
            opened_add(&opened, frame * PAGE_SIZE + 16, i);
        } else if (state >> 28 < 10) {
            opened_remove(&opened, frame * PAGE_SIZE, model[frame] - 1);
            opened_remove(&opened, frame * PAGE_SIZE, i + 1);
            model[frame] = 0;
        }
        at = (frame * 7) % NR_FRAMES;
        frame = at;
        while (at > 0 && model[at] == 0)
            at--;
        EXPECT_EQ(opened_find(&opened, frame * PAGE_SIZE + 4000), model[at] - 1);
    }
    EXPECT(opened_adds_up(&opened));
    EXPECT_EQ(opened_find(&opened, NR_FRAMES * PAGE_SIZE), 0xffffffffu);
    opened_destroy(&opened);
    opened_destroy(&opened);
}

static const struct test tests[] = {
    TEST(own_blocks_of_every_size),
    TEST(runs_of_frames),
    TEST(page_blocks_once_they_are_exported),
    TEST(what_is_refused),
    TEST(what_was_freed_and_came_back),
    TEST(sending_takes_back),
    TEST(opened_blocks),
    TEST(the_index),
};

TEST_MAIN(tests)

/* test_share_table.c - bad files and damaged tables: errors, never a crash, never an access outside
 * of the mappings. */
#include "rig_share.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* A file in memory that keeps its size, with some bytes at its start. */
static int sealed_file(uint64_t bytes, const void *start, size_t start_bytes)
{
    int fd = -1;

    if (os_share_create("pyslab-table", bytes, &fd) != PYSLAB_OK)
        abort();
    if (start_bytes != 0)
        EXPECT_EQ(pwrite(fd, start, start_bytes, 0), (long long)start_bytes);
    EXPECT_EQ(os_share_seal(fd, 0600), PYSLAB_OK);
    return fd;
}

/* The arena's own files, and another process to attach them in: an own heap is found again, and so
 * would not be looked at. */
static void in_another_process(void (*run)(int heap_fd, int table_fd, uint64_t table_bytes))
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    int heap_fd, table_fd, status = -1;
    pid_t child;

    EXPECT_EQ(pyslab_share_descriptors(arena, &heap_fd, &table_fd), PYSLAB_OK);
    child = fork();
    if (child == 0) {
        run(heap_fd, table_fd, arena->share->heap.table.bytes);
        _exit(check_nr_failures != 0);
    }
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    close(heap_fd);
    close(table_fd);
    rig_end(arena);
}

static unsigned nr_descriptors(void)
{
    unsigned nr = 0;

    for (int fd = 0; fd < 4096; fd++)
        nr += fcntl(fd, F_GETFD) >= 0;
    return nr;
}

static void change_each_header_byte(int heap_fd, int table_fd, uint64_t table_bytes)
{
    unsigned char header[sizeof(struct share_header)];
    unsigned nr = nr_descriptors();
    pyslab_heap *heap = NULL;

    EXPECT_EQ(pread(table_fd, header, sizeof header, 0), (long long)sizeof header);
    for (size_t i = 0; i < sizeof header; i++) {
        int fd, error;

        header[i] ^= (unsigned char)(1u << i % 8);
        fd = sealed_file(table_bytes, header, sizeof header);
        error = pyslab_share_attach(heap_fd, fd, 0, &heap);
        EXPECT(error == PYSLAB_EINVAL || (i / 8 == 1 && error == PYSLAB_EFORMAT));
        header[i] ^= (unsigned char)(1u << i % 8);
        close(fd);
    }
    EXPECT(heap == NULL);
    EXPECT_EQ(nr_descriptors(), nr);
    EXPECT_EQ(pyslab_share_attach(heap_fd, table_fd, 0, &heap), PYSLAB_OK);
}

static void a_header_byte_is_changed(void)
{
    in_another_process(change_each_header_byte);
}

static void try_wrong_files(int heap_fd, int table_fd, uint64_t table_bytes)
{
    unsigned char header[sizeof(struct share_header)];
    unsigned nr = nr_descriptors();
    pyslab_heap *heap = NULL;
    int short_fd, empty_fd, plain_fd = memfd_create("plain", MFD_CLOEXEC), fds[2];

    EXPECT_EQ(pread(table_fd, header, sizeof header, 0), (long long)sizeof header);
    short_fd = sealed_file(table_bytes / 2, header, sizeof header);
    empty_fd = sealed_file(0, NULL, 0);
    EXPECT_EQ(pipe(fds), 0);
    EXPECT_EQ(pyslab_share_attach(heap_fd, short_fd, 0, &heap), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_attach(heap_fd, empty_fd, 0, &heap), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_attach(table_fd, heap_fd, 0, &heap), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_attach(table_fd, table_fd, 0, &heap), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_attach(empty_fd, table_fd, 0, &heap), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_attach(heap_fd, plain_fd, 0, &heap), PYSLAB_EOS);
    EXPECT_EQ(pyslab_share_attach(heap_fd, fds[0], 0, &heap), PYSLAB_EOS);
    EXPECT_EQ(pyslab_share_attach(-1, table_fd, 0, &heap), PYSLAB_EOS);
    EXPECT_EQ(pyslab_share_attach(heap_fd, 100000, 0, &heap), PYSLAB_EOS);
    EXPECT_EQ(pyslab_share_attach_process(0x7ffffff, NULL, 0, &heap), PYSLAB_EOS);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(nr_descriptors(), nr + 5);
    EXPECT(heap == NULL);
}

static void files_that_are_no_heap(void)
{
    in_another_process(try_wrong_files);
}

/* Files of an older, a newer, and a differently built library say so by their layout; any other bit
 * that is changed, with a checksum that is right, is found, or is of no consequence. */
static void try_valid_checksums(int heap_fd, int table_fd, uint64_t table_bytes)
{
    struct share_header header, changed;
    uint64_t *words = &changed.magic;
    unsigned nr_free = 0;

    EXPECT_EQ(pread(table_fd, &header, sizeof header, 0), (long long)sizeof header);
    for (unsigned i = 0; i < (sizeof header / 8 - 1) * 64; i++) {
        pyslab_heap *heap = NULL;
        int fd, error;

        changed = header;
        words[i / 64] ^= (uint64_t)1 << i % 64;
        changed.checksum = share_header_checksum(&changed);
        fd = sealed_file(table_bytes, &changed, sizeof changed);
        error = pyslab_share_attach(heap_fd, fd, 0, &heap);
        if (&words[i / 64] == &changed.layout)
            EXPECT_EQ(error, PYSLAB_EFORMAT);
        else if (error != PYSLAB_OK)
            EXPECT_EQ(error, PYSLAB_EINVAL);
        if (error == PYSLAB_OK)
            EXPECT_EQ(pyslab_share_detach(heap), PYSLAB_OK);
        nr_free += error == PYSLAB_OK;
        close(fd);
    }
    EXPECT_EQ(nr_free, 128 + 1 + 32); /* the id, who may write, the age */
}

static void other_versions_and_builds(void)
{
    in_another_process(try_valid_checksums);
}

/* The table of one heap with the frames of another. */
static void foreign_files(void)
{
    pyslab_arena *arenas[2] = {share_rig_arena(PYSLAB_SHARE_READ),
                               share_rig_arena(PYSLAB_SHARE_READ)};
    int heap_fd[2], table_fd[2];
    pyslab_heap *heap = NULL;

    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pyslab_share_descriptors(arenas[i], &heap_fd[i], &table_fd[i]), PYSLAB_OK);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pyslab_share_attach(heap_fd[i], table_fd[1 - i], 0, &heap), PYSLAB_EINVAL);
    EXPECT(heap == NULL);
    for (int i = 0; i < 2; i++) {
        close(heap_fd[i]);
        close(table_fd[i]);
        rig_end(arenas[i]);
    }
}

static void try_read_only(int heap_fd, int table_fd, uint64_t table_bytes)
{
    void *p = mmap(NULL, MIB, PROT_READ, MAP_SHARED, heap_fd, 0);

    (void)table_fd;
    (void)table_bytes;
    EXPECT(p != MAP_FAILED);
    EXPECT(mprotect(p, MIB, PROT_READ | PROT_WRITE) != 0);
    EXPECT(mmap(NULL, MIB, PROT_WRITE, MAP_SHARED, heap_fd, 0) == MAP_FAILED);
    EXPECT(ftruncate(heap_fd, 0) != 0);
    EXPECT(ftruncate(table_fd, 0) != 0);
    EXPECT(fcntl(heap_fd, F_ADD_SEALS, F_SEAL_WRITE) != 0);
    EXPECT(pwrite(heap_fd, "x", 1, 0) < 0);
    EXPECT(fallocate(heap_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) != 0);
}

static void a_descriptor_for_reading_only(void)
{
    in_another_process(try_read_only);
}

/* A place in the table that is in use: headers of arrays, and what the block at hand uses. */
static unsigned char *damaged_byte(struct share_table *table, struct rng *rng, uint32_t ticket)
{
    unsigned char *place[] = {(unsigned char *)table->slots,
                              (unsigned char *)table->tickets,
                              (unsigned char *)&table->tickets[ticket],
                              (unsigned char *)table->rows,
                              (unsigned char *)table->counts,
                              (unsigned char *)table->base};

    return place[rng_below(rng, 6)] + rng_below(rng, 128);
}

/* The owner goes on with its own records: what it frees is either freed or kept. */
static void any_byte_of_the_table_is_changed(void)
{
    struct rng rng = {1};

    for (unsigned run = 0; run < 40; run++) {
        pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
        struct share_table *table = &arena->share->heap.table;

        for (unsigned i = 0; i < 100; i++) {
            void *p = pyslab_kmalloc(arena, 64 * KIB, KERNEL);
            pyslab_handle handle = {.id = 0}, other;
            pyslab_shared_block block;

            (void)pyslab_share_export(arena, p, 1 + i % 3, &handle);
            *damaged_byte(table, &rng, handle.ticket) = (unsigned char)rng_next(&rng);
            if (pyslab_share_open(&handle, &block) == PYSLAB_OK) {
                char *base = arena->pages.map.base;

                EXPECT((char *)block.address >= base && block.bytes <= arena->bytes &&
                       (char *)block.address <= base + arena->bytes - block.bytes);
                *damaged_byte(table, &rng, handle.ticket) = (unsigned char)rng_next(&rng);
                (void)pyslab_share_pass_on(&block, 1, &other);
                (void)pyslab_share_close(&block);
            }
            EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
            (void)pyslab_share_reap(arena);
        }
        pyslab_arena_destroy(arena);
    }
}

/* A client of a heap whose table is damaged, after its owner's death, too. */
static void fuzz_as_a_client(int heap_fd, int table_fd, uint64_t table_bytes)
{
    struct rng rng = {7};
    pyslab_heap *heap = NULL;
    pyslab_handle handle = {.id = 0}, other;
    pyslab_shared_block block;
    uint64_t bytes;

    (void)table_bytes;
    REQUIRE(pyslab_share_attach(heap_fd, table_fd, 1, &heap) == PYSLAB_OK);
    handle.heap_id[0] = heap->table.heap_id[0];
    handle.heap_id[1] = heap->table.heap_id[1];
    for (unsigned i = 0; i < 20000; i++) {
        handle.ticket = rng_below(&rng, 64);
        handle.id = heap->table.tickets[handle.ticket].id;
        *damaged_byte(&heap->table, &rng, handle.ticket) = (unsigned char)rng_next(&rng);
        if (pyslab_share_open(&handle, &block) == PYSLAB_OK) {
            char *end = heap->base + heap->table.heap_bytes;

            EXPECT((char *)block.address >= heap->base && (char *)block.address < end &&
                   block.bytes <= (uint64_t)(end - (char *)block.address));
            (void)pyslab_share_pass_on(&block, 1 + i % 3, &other);
            *damaged_byte(&heap->table, &rng, handle.ticket) = (unsigned char)rng_next(&rng);
            (void)pyslab_share_close(&block);
        }
        if (i % 1000 == 0)
            (void)pyslab_share_reap_heap(heap, &bytes);
    }
}

static void make_and_die(int fd)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_WRITE);
    pyslab_handle handle;

    for (unsigned i = 0; i < 16; i++)
        EXPECT_EQ(pyslab_share_export(arena, pyslab_kmalloc(arena, 64 * KIB, KERNEL), 3, &handle),
                  PYSLAB_OK);
    EXPECT_EQ(write(fd, "x", 1), 1);
    pause();
}

static void a_clients_table_is_damaged(void)
{
    int fds[2], heap_fd, table_fd;
    pyslab_heap *heap = NULL;
    char c;
    pid_t owner;

    EXPECT_EQ(pipe(fds), 0);
    owner = fork();
    if (owner == 0)
        make_and_die(fds[1]);
    EXPECT_EQ(read(fds[0], &c, 1), 1);
    EXPECT_EQ(pyslab_share_attach_process(owner, NULL, 1, &heap), PYSLAB_OK);
    EXPECT_EQ(os_share_reopen(heap->table_fd, true, &table_fd), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_detach(heap), PYSLAB_OK);
    heap_fd = rig_memory_file_of(owner, "pyslab-heap");
    kill(owner, SIGKILL);
    EXPECT_EQ(waitpid(owner, NULL, 0), owner);
    fuzz_as_a_client(heap_fd, table_fd, 0);
}

static void an_arena_that_cannot_be_shared(void)
{
    pyslab_arena_options options = rig_options(32 * MIB, 12);
    pyslab_arena *arena = NULL, *private = rig_arena(4 * MIB, 8);
    pyslab_share_stats stats;
    int a, b;

    options.shared = PYSLAB_SHARE_WRITE + 1;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EINVAL);
    options.shared = PYSLAB_SHARE_READ;
    options.hugepages = PYSLAB_HUGEPAGES_TRY;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EINVAL);
    EXPECT(arena == NULL);
    EXPECT_EQ(pyslab_share_descriptors(private, &a, &b), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_reap(private), 0);
    pyslab_share_stats_read(private, &stats);
    EXPECT_EQ(stats.nr_exports + stats.nr_clients, 0);
    rig_end(private);
}

static const struct test tests[] = {
    TEST(a_header_byte_is_changed),      TEST(files_that_are_no_heap),
    TEST(other_versions_and_builds),     TEST(foreign_files),
    TEST(a_descriptor_for_reading_only), TEST(any_byte_of_the_table_is_changed),
    TEST(a_clients_table_is_damaged),    TEST(an_arena_that_cannot_be_shared),
};

TEST_MAIN(tests)

/* test_share_limits.c - shared arenas where the system or the table has no more to give: clear
 * errors, what was held stays, and all is as before when there is room again. And who counts as
 * alive, whatever a client does to its descriptors, in another pid namespace, too. */
#include "rig_share.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { NOBODY = 65534 };

static void *exported(pyslab_arena *arena, pyslab_handle *handle)
{
    void *p = pyslab_kmalloc(arena, MIB, KERNEL);

    memset(p, 0x33, MIB);
    EXPECT_EQ(pyslab_share_export(arena, p, 1, handle), PYSLAB_OK);
    return p;
}

static int wait_for(pid_t child)
{
    int status = -1;

    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
}

/* --- rows and slots ------------------------------------------------------------------ */

static void all_rows_are_taken(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    static void *signs[SHARE_ROWS];
    int heap_fd, table_fd;
    pid_t child;

    EXPECT_EQ(pyslab_share_descriptors(arena, &heap_fd, &table_fd), PYSLAB_OK);
    for (uint32_t row = 1; row < SHARE_ROWS; row++)
        EXPECT((signs[row] = os_sign_make(table_fd, row)) != NULL);
    child = fork();
    if (child == 0) {
        pyslab_heap *heap = NULL;

        EXPECT_EQ(pyslab_share_attach(heap_fd, table_fd, 0, &heap), PYSLAB_ELIMIT);
        _exit(check_nr_failures != 0);
    }
    EXPECT_EQ(wait_for(child), 0);
    os_sign_end(signs[SHARE_ROWS - 1]);
    child = fork();
    if (child == 0) {
        pyslab_heap *heap = NULL;

        EXPECT_EQ(pyslab_share_attach(heap_fd, table_fd, 0, &heap), PYSLAB_OK);
        EXPECT_EQ(heap->row, SHARE_ROWS - 1);
        _exit(check_nr_failures != 0);
    }
    EXPECT_EQ(wait_for(child), 0);
    rig_end(arena);
}

/* More blocks than slots: the one too many is refused, and has a slot once another is free. */
static void all_slots_are_taken(void)
{
    pyslab_arena_options options = rig_options((uint64_t)640 * MIB, 12);
    pyslab_arena *arena;
    static void *p[SHARE_MAX_SLOTS + 1];
    pyslab_handle handle;
    unsigned nr = 0;

    options.shared = PYSLAB_SHARE_READ;
    options.max_transit_bytes = options.size_bytes;
    arena = rig_arena_of(&options);
    for (unsigned i = 0; i <= SHARE_MAX_SLOTS; i++)
        p[i] = pyslab_get_free_pages(arena, 0, KERNEL);
    while (nr <= SHARE_MAX_SLOTS && pyslab_share_export(arena, p[nr], 1, &handle) == PYSLAB_OK)
        nr++;
    EXPECT_EQ(nr, SHARE_MAX_SLOTS);
    EXPECT_EQ(pyslab_share_export(arena, p[nr], 1, &handle), PYSLAB_ELIMIT);
    EXPECT_EQ(pyslab_share_revoke(&handle), PYSLAB_OK); /* the last that there was */
    EXPECT_EQ(pyslab_free_pages_address(arena, p[nr - 1], 0), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_export(arena, p[nr], 1, &handle), PYSLAB_OK);
    pyslab_arena_destroy(arena);
}

/* --- the system's limits ----------------------------------------------------------------- */

static void set_limit(int resource, rlim_t value)
{
    struct rlimit limit;

    EXPECT_EQ(getrlimit((__rlimit_resource_t)resource, &limit), 0);
    limit.rlim_cur = value;
    EXPECT_EQ(setrlimit((__rlimit_resource_t)resource, &limit), 0);
}

static void open_and_die(pyslab_arena *arena, const pyslab_handle *handle)
{
    int heap_fd, table_fd;
    pyslab_heap *heap;
    pyslab_shared_block block;
    pid_t child;

    EXPECT_EQ(pyslab_share_descriptors(arena, &heap_fd, &table_fd), PYSLAB_OK);
    child = fork();
    if (child == 0)
        _exit(pyslab_share_attach(heap_fd, table_fd, 0, &heap) != PYSLAB_OK ||
              pyslab_share_open(handle, &block) != PYSLAB_OK);
    EXPECT_EQ(wait_for(child), 0);
    close(heap_fd);
    close(table_fd);
}

/* What needs a descriptor fails, and says why; the rest goes on. */
static void no_descriptors_left(void)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ), *more = NULL;
    pyslab_arena_options options = rig_options(32 * MIB, 12);
    pyslab_handle handle, held;
    pyslab_shared_block block;
    void *p = exported(arena, &handle), *q = exported(arena, &held);
    int a, b;

    open_and_die(arena, &held);
    EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
    options.shared = PYSLAB_SHARE_READ;
    set_limit(RLIMIT_NOFILE, 3);
    EXPECT_EQ(pyslab_arena_create(&options, &more), PYSLAB_EOS);
    EXPECT_EQ(errno, EMFILE);
    EXPECT_EQ(pyslab_share_descriptors(arena, &a, &b), PYSLAB_EOS);
    EXPECT_EQ(errno, EMFILE);
    EXPECT_EQ(pyslab_share_attach_process(getppid(), NULL, 0, &(pyslab_heap *){NULL}), PYSLAB_EOS);
    EXPECT_EQ(errno, EMFILE);
    EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_reap(arena), 0);
    EXPECT(rig_is_filled(block.address, MIB, 0x33));
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    EXPECT_EQ(rig_reap(arena, MIB), MIB); /* not what the dead client had */
    set_limit(RLIMIT_NOFILE, 1024);
    EXPECT_EQ(rig_reap(arena, MIB), MIB);
    rig_end(arena);
}

static void files_may_not_be_so_large(void)
{
    pyslab_arena_options options = rig_options(32 * MIB, 12);
    pyslab_arena *arena = NULL;

    options.shared = PYSLAB_SHARE_READ;
    signal(SIGXFSZ, SIG_IGN);
    set_limit(RLIMIT_FSIZE, MIB);
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EOS);
    EXPECT_EQ(errno, EFBIG);
    EXPECT(arena == NULL);
}

static void proc_is_not_there(void)
{
    pyslab_arena_options options = rig_options(32 * MIB, 12);
    pyslab_arena *arena = NULL, *before = share_rig_arena(PYSLAB_SHARE_READ);
    pyslab_handle handle;
    void *p = exported(before, &handle);
    int a, b;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", 0, NULL) != 0) {
        printf("skipped: no mount namespace may be made here\n");
        pyslab_arena_destroy(before);
        return;
    }
    options.shared = PYSLAB_SHARE_READ;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EOS);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(pyslab_share_descriptors(before, &a, &b), PYSLAB_EOS);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(pyslab_share_attach_process(getpid(), NULL, 0, &(pyslab_heap *){NULL}), PYSLAB_EOS);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(pyslab_share_revoke(&handle), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(before, p), PYSLAB_OK);
    rig_end(before);
}

/* --- another user -------------------------------------------------------------------------- */

static void as_nobody(pid_t owner, int heap_fd, int table_fd, const pyslab_handle *handle,
                      bool writable)
{
    pyslab_heap *heap = NULL;
    pyslab_shared_block block;

    EXPECT_EQ(setresgid(NOBODY, NOBODY, NOBODY), 0);
    EXPECT_EQ(setresuid(NOBODY, NOBODY, NOBODY), 0);
    EXPECT_EQ(pyslab_share_attach_process(owner, NULL, 0, &heap), PYSLAB_EOS);
    EXPECT_EQ(errno, EACCES);
    /* A process that changed its user may not look into its own /proc files before it executes. */
    EXPECT_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
    if (!writable)
        EXPECT_EQ(pyslab_share_attach(heap_fd, table_fd, 1, &heap), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_attach(heap_fd, table_fd, writable, &heap), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_open(handle, &block), PYSLAB_OK);
    EXPECT(rig_is_filled(block.address, MIB, 0x33));
    EXPECT_EQ(block.writable, writable);
    if (!writable)
        EXPECT(mprotect(heap->base, PAGE_SIZE, PROT_READ | PROT_WRITE) != 0);
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
}

/* Another user's process is not let in by a process id, and is by descriptors that it was given. */
static void check_user(uint32_t shared)
{
    pyslab_arena *arena = share_rig_arena(shared);
    pyslab_handle handle;
    int heap_fd, table_fd;
    pid_t child;

    (void)exported(arena, &handle);
    EXPECT_EQ(pyslab_share_descriptors(arena, &heap_fd, &table_fd), PYSLAB_OK);
    child = fork();
    if (child == 0) {
        as_nobody(getppid(), heap_fd, table_fd, &handle, shared == PYSLAB_SHARE_WRITE);
        _exit(check_nr_failures != 0);
    }
    EXPECT_EQ(wait_for(child), 0);
    pyslab_arena_destroy(arena);
}

static void another_user(void)
{
    if (geteuid() != 0) {
        printf("skipped: not root\n");
        return;
    }
    check_user(PYSLAB_SHARE_READ);
    check_user(PYSLAB_SHARE_WRITE);
}

/* --- alive or dead ---------------------------------------------------------------------------- */

/* All that takes POSIX record locks away, and keeps or loses descriptors. */
static void treat_descriptors_badly(const pyslab_heap *heap)
{
    void *p;
    int fd = dup(heap->table_fd);

    close(fd);
    EXPECT_EQ(os_share_reopen(heap->table_fd, true, &fd), PYSLAB_OK);
    p = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    munmap(p, PAGE_SIZE);
    EXPECT_EQ(
        fcntl(heap->table_fd, F_SETLK, &(struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET}),
        0);
    if (fork() == 0) /* a child that lives on, and runs another program */
        execl("/bin/sleep", "sleep", "3", (char *)NULL);
    for (fd = 3; fd < 4096; fd++)
        close(fd);
}

static void hold_and_wait(int heap_fd, int table_fd, const pyslab_handle *handle, int said)
{
    pyslab_heap *heap = NULL;
    pyslab_shared_block block;

    if (pyslab_share_attach(heap_fd, table_fd, 0, &heap) != PYSLAB_OK ||
        pyslab_share_open(handle, &block) != PYSLAB_OK || dup2(said, 2) != 2)
        _exit(1);
    treat_descriptors_badly(heap);
    if (write(2, "x", 1) != 1)
        _exit(1);
    pause();
}

/* The holder lives for all that can be seen until it is killed, and is dead from then on. */
static void check_holder(int clone_flags)
{
    pyslab_arena *arena = share_rig_arena(PYSLAB_SHARE_READ);
    pyslab_handle handle;
    void *p = exported(arena, &handle);
    int fds[2], heap_fd, table_fd, skipped = clone_flags != 0 && unshare(clone_flags) != 0;
    char c;
    pid_t child;

    if (skipped)
        printf("skipped: no pid namespace may be made here\n");
    EXPECT_EQ(pipe(fds), 0);
    EXPECT_EQ(pyslab_share_descriptors(arena, &heap_fd, &table_fd), PYSLAB_OK);
    child = fork();
    if (child == 0)
        hold_and_wait(heap_fd, table_fd, &handle, fds[1]);
    EXPECT_EQ(read(fds[0], &c, 1), 1);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    for (unsigned i = 0; i < 100; i++)
        EXPECT_EQ(pyslab_share_reap(arena), 0);
    kill(child, SIGKILL);
    EXPECT_EQ(waitpid(child, NULL, 0), child);
    EXPECT_EQ(rig_reap(arena, MIB), MIB);
    rig_end(arena);
}

static void descriptors_are_treated_badly(void)
{
    check_holder(0);
}

static void another_pid_namespace(void)
{
    check_holder(CLONE_NEWPID);
}

static const struct test tests[] = {
    TEST(all_rows_are_taken),
    TEST(all_slots_are_taken),
    TEST(no_descriptors_left),
    TEST(files_may_not_be_so_large),
    TEST(proc_is_not_there),
    TEST(another_user),
    TEST(descriptors_are_treated_badly),
    TEST(another_pid_namespace),
};

TEST_MAIN(tests)

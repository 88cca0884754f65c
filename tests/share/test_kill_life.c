/* test_kill_life.c - death at every store of all of csrc/share/, and before its system calls: a
 * client that attaches, opens, passes on, closes, detaches or reaps; an owner that exports, frees
 * or collects; an heir that punches. The files and locks are real ones. The others go on: what they
 * hold is whole, and in the end nothing is left in the table and no memory in the heap. */
#include "../c/check.h"
#include "kill_points.h"
#include "os/os_share.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { BLOCK_BYTES = 65536, ARENA_BYTES = 8 << 20, PATTERN = 0x5a, AGE_S = 1000 };

static uint64_t ahead_s; /* of the clock by which tickets end */

uint64_t __real_os_time_ns(void);
uint64_t __wrap_os_time_ns(void);
uint64_t __wrap_os_time_ns(void)
{
    return __real_os_time_ns() + ahead_s * 1000000000u;
}

/* --- system calls are points, too ------------------------------------------------- */

int __real_os_share_punch(void *p, uint64_t bytes);
int __wrap_os_share_punch(void *p, uint64_t bytes);
int __wrap_os_share_punch(void *p, uint64_t bytes)
{
    point_store();
    return __real_os_share_punch(p, bytes);
}

int __real_os_sign_lock(int fd, uint64_t byte, int *out);
int __wrap_os_sign_lock(int fd, uint64_t byte, int *out);
int __wrap_os_sign_lock(int fd, uint64_t byte, int *out)
{
    int error;

    point_store();
    error = __real_os_sign_lock(fd, byte, out);
    point_store();
    return error;
}

void *__real_os_sign_keep(int locked);
void *__wrap_os_sign_keep(int locked);
void *__wrap_os_sign_keep(int locked)
{
    void *sign = __real_os_sign_keep(locked);

    point_store();
    return sign;
}

/* --- the world ---------------------------------------------------------------------- */

/* What the processes tell each other; in memory of all. */
struct board {
    pyslab_handle handles[4]; /* of one block */
    _Atomic int ready;
};

static struct board *board;
static pyslab_arena *arena;      /* the owner's */
static void *block;              /* in it */
static pyslab_heap *heap;        /* the client's */
static pyslab_shared_block held; /* by it */
static int heap_fd, table_fd;    /* for those who attach */

static void owner_make(void)
{
    pyslab_arena_options options = {.struct_size = sizeof options,
                                    .max_order = PYSLAB_DEFAULT_ORDER,
                                    .size_bytes = ARENA_BYTES,
                                    .shared = PYSLAB_SHARE_WRITE};

    if (pyslab_arena_create(&options, &arena) != PYSLAB_OK)
        abort();
    block = pyslab_kmalloc(arena, BLOCK_BYTES, PYSLAB_GFP_KERNEL);
    memset(block, PATTERN, BLOCK_BYTES);
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(pyslab_share_export(arena, block, 1, &board->handles[i]), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_descriptors(arena, &heap_fd, &table_fd), PYSLAB_OK);
}

static void client_attach(void)
{
    EXPECT_EQ(pyslab_share_attach(heap_fd, table_fd, 1, &heap), PYSLAB_OK);
}

static void client_open(void)
{
    EXPECT_EQ(pyslab_share_open(&board->handles[0], &held), PYSLAB_OK);
}

static bool is_whole(const unsigned char *p)
{
    return p[0] == PATTERN && memcmp(p, p + 1, BLOCK_BYTES - 1) == 0;
}

static bool file_keep(void *context, int fd)
{
    *(int *)context = dup(fd);
    return false;
}

static int memory_file_of(pid_t pid, const char *name)
{
    int found = -1, fd = -1;

    (void)os_share_each_of(pid, name, file_keep, &found);
    if (found >= 0)
        (void)os_share_reopen(found, true, &fd);
    close(found);
    return fd;
}

/* --- a client dies --------------------------------------------------------------------- */

static void op_pass_on(void)
{
    pyslab_handle handle;

    EXPECT_EQ(pyslab_share_pass_on(&held, 1, &handle), PYSLAB_OK);
}

static void op_close(void)
{
    EXPECT_EQ(pyslab_share_close(&held), PYSLAB_OK);
}

static void op_detach(void)
{
    EXPECT_EQ(pyslab_share_detach(heap), PYSLAB_OK);
}

static void op_revoke(void)
{
    EXPECT_EQ(pyslab_share_revoke(&board->handles[0]), PYSLAB_OK);
}

static void op_reap(void)
{
    uint64_t bytes;

    EXPECT_EQ(pyslab_share_reap_heap(heap, &bytes), PYSLAB_OK);
}

static void before_none(void) {}

static void before_open(void)
{
    client_attach();
    client_open();
}

/* Another client has died while it held the block. */
static void before_reap(void)
{
    pid_t other;

    client_attach();
    other = fork();
    if (other == 0) {
        client_attach();
        _exit(pyslab_share_open(&board->handles[0], &held) != PYSLAB_OK);
    }
    EXPECT_EQ(waitpid(other, NULL, 0), other);
}

struct operation {
    const char *name;
    void (*before)(void);
    void (*run)(void);
    unsigned points_min;
};

static const struct operation CLIENTS[] = {
    {"attach", before_none, client_attach, 7},  {"open", client_attach, client_open, 4},
    {"pass on", before_open, op_pass_on, 5},    {"close", before_open, op_close, 1},
    {"detach", client_attach, op_detach, 2},    {"revoke", client_attach, op_revoke, 1},
    {"reap the dead", before_reap, op_reap, 4},
};

/* Runs it in a child that is killed at a point; false: there was no such point. */
static bool victim_dies(const struct operation *op, unsigned point)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        check_nr_failures = 0;
        op->before();
        points_arm(POINT_KILL, point);
        op->run();
        points_arm(POINT_NONE, 0);
        fflush(NULL);
        _exit(check_nr_failures != 0);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        EXPECT_EQ(status, 0);
    return WIFSIGNALED(status);
}

/* The owner frees the block; what a ticket names stays until it was opened and closed, and then all
 * comes back. */
static void check_owner_goes_on(void)
{
    pyslab_share_stats stats;

    EXPECT_EQ(pyslab_kfree(arena, block), PYSLAB_OK);
    pyslab_share_reap(arena);
    EXPECT(is_whole(block));
    EXPECT_EQ(pyslab_share_open(&board->handles[1], &held), PYSLAB_OK);
    EXPECT(held.address == block);
    for (int i = 0; i < 4; i++)
        (void)pyslab_share_revoke(&board->handles[i]);
    ahead_s = AGE_S; /* the dead's own tickets */
    EXPECT_EQ(pyslab_share_reap(arena), 0);
    EXPECT(is_whole(block));
    EXPECT_EQ(pyslab_share_close(&held), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_reap(arena), BLOCK_BYTES);
    pyslab_share_stats_read(arena, &stats);
    EXPECT_EQ(stats.nr_clients + stats.nr_exported + stats.nr_in_transit + stats.nr_deferred, 0);
    EXPECT_EQ(pyslab_arena_validate(arena, NULL, 0), PYSLAB_OK);
    ahead_s = 0;
}

static bool client_dies_at(const struct operation *op, unsigned point)
{
    bool killed;

    owner_make();
    killed = victim_dies(op, point);
    check_owner_goes_on();
    close(heap_fd);
    close(table_fd);
    pyslab_arena_destroy(arena);
    return killed;
}

/* --- an owner dies, or its heir ------------------------------------------------------------ */

static void op_export(void)
{
    pyslab_handle handle;
    void *p = pyslab_kmalloc(arena, BLOCK_BYTES, PYSLAB_GFP_KERNEL);

    EXPECT_EQ(pyslab_share_export(arena, p, 1, &handle), PYSLAB_OK);
}

static void op_free(void)
{
    EXPECT_EQ(pyslab_kfree(arena, block), PYSLAB_OK);
}

/* Nobody holds the freed block: its handles are ended, and it is taken back. */
static void op_collect(void)
{
    for (int i = 0; i < 4; i++)
        (void)pyslab_share_revoke(&board->handles[i]);
    EXPECT_EQ(pyslab_kfree(arena, block), PYSLAB_OK);
    (void)pyslab_share_reap(arena);
}

static void op_heir(void)
{
    uint64_t bytes;

    EXPECT_EQ(pyslab_share_reap_heap(heap, &bytes), PYSLAB_OK);
}

static const struct operation OWNERS[] = {
    {"export", before_none, op_export, 5},
    {"free", before_none, op_free, 2},
    {"collect", before_none, op_collect, 6},
};

static const struct operation HEIR = {"inherit", client_attach, op_heir, 8};

/* The owner, a process of its own: makes the arena, waits until the test holds the block, and runs
 * the operation, or only dies. */
static pid_t owner_start(const struct operation *op, unsigned point)
{
    pid_t pid;

    atomic_store(&board->ready, 0);
    fflush(NULL);
    pid = fork();
    if (pid != 0)
        return pid;
    owner_make();
    atomic_store(&board->ready, 1);
    while (atomic_load(&board->ready) != 2)
        usleep(200);
    if (op != NULL) {
        points_arm(POINT_KILL, point);
        op->run();
        points_arm(POINT_NONE, 0);
        _exit(check_nr_failures != 0);
    }
    kill(getpid(), SIGKILL);
    abort();
}

static void attach_owner(pid_t owner)
{
    while (atomic_load(&board->ready) != 1)
        usleep(200);
    EXPECT_EQ(pyslab_share_attach_process(owner, NULL, 1, &heap), PYSLAB_OK);
    client_open();
    heap_fd = memory_file_of(owner, "pyslab-heap");
    table_fd = memory_file_of(owner, "pyslab-table");
    atomic_store(&board->ready, 2);
}

/* What the test holds stays, and then no memory of the heap does. */
static void check_heir_goes_on(void)
{
    struct stat status;
    uint64_t bytes;

    EXPECT_EQ(pyslab_share_reap_heap(heap, &bytes), PYSLAB_OK);
    EXPECT(is_whole(held.address));
    for (int i = 0; i < 4; i++)
        (void)pyslab_share_revoke(&board->handles[i]);
    EXPECT_EQ(pyslab_share_reap_heap(heap, &bytes), PYSLAB_OK);
    EXPECT(is_whole(held.address));
    EXPECT_EQ(pyslab_share_close(&held), PYSLAB_OK);
    ahead_s = AGE_S;
    EXPECT_EQ(pyslab_share_reap_heap(heap, &bytes), PYSLAB_OK);
    EXPECT_EQ(fstat(heap_fd, &status), 0);
    EXPECT_EQ(status.st_blocks, 0);
    EXPECT_EQ(pyslab_share_detach(heap), PYSLAB_OK);
    ahead_s = 0;
    close(heap_fd);
    close(table_fd);
}

static bool owner_dies_at(const struct operation *op, unsigned point)
{
    int status = 0;
    pid_t owner = owner_start(op, point);

    attach_owner(owner);
    EXPECT_EQ(waitpid(owner, &status, 0), owner);
    if (!WIFSIGNALED(status))
        EXPECT_EQ(status, 0);
    check_heir_goes_on();
    return WIFSIGNALED(status);
}

static bool heir_dies_at(const struct operation *op, unsigned point)
{
    pid_t owner = owner_start(NULL, 0);
    bool killed;

    attach_owner(owner);
    EXPECT_EQ(waitpid(owner, NULL, 0), owner);
    killed = victim_dies(op, point);
    check_heir_goes_on();
    return killed;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void each_point(const struct operation *op,
                       bool (*at)(const struct operation *op, unsigned point))
{
    unsigned point = 0;

    while (at(op, point) && check_nr_failures == 0)
        point++;
    if (check_nr_failures != 0)
        fprintf(stderr, "%s, at point %u\n", op->name, point);
    EXPECT_GE(point, op->points_min);
    printf("%-14s killed at %u points\n", op->name, point);
}

static void board_make(void)
{
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        abort();
}

static void a_client_dies(void)
{
    board_make();
    for (size_t i = 0; i < sizeof CLIENTS / sizeof *CLIENTS; i++)
        each_point(&CLIENTS[i], client_dies_at);
}

static void an_owner_dies(void)
{
    board_make();
    for (size_t i = 0; i < sizeof OWNERS / sizeof *OWNERS; i++)
        each_point(&OWNERS[i], owner_dies_at);
}

static void an_heir_dies(void)
{
    board_make();
    each_point(&HEIR, heir_dies_at);
}

static const struct test tests[] = {TEST(a_client_dies), TEST(an_owner_dies), TEST(an_heir_dies)};

TEST_MAIN(tests)

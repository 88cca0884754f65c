/* test_share_fork_access.c - a forked child that gets nothing of a shared arena, because the arena
 * refuses it, or because its descriptors were closed; and one that gets the blocks themselves. It
 * never sees other data. */
#include "rig_share.h"

#include <fcntl.h>

static pyslab_arena *make(uint32_t fork_kind)
{
    pyslab_arena_options options = rig_options(32 * MIB, 12);

    options.shared = PYSLAB_SHARE_READ;
    options.fork = fork_kind;
    return rig_arena_of(&options);
}

struct blocks {
    pyslab_arena *arena;
    unsigned char *small;
    unsigned char *large;
    int gate; /* a child waits for a byte here */
};

static struct blocks blocks_make(pyslab_arena *arena)
{
    struct blocks b = {arena, pyslab_kmalloc(arena, 64, KERNEL), pyslab_kmalloc(arena, MIB, KERNEL),
                       -1};

    memset(b.small, 1, 64);
    memset(b.large, 2, MIB);
    EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, 64, KERNEL)), PYSLAB_OK);
    return b;
}

static void blocks_free(const struct blocks *b)
{
    EXPECT_EQ(pyslab_kfree(b->arena, b->small), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(b->arena, b->large), PYSLAB_OK);
}

typedef void (*child_fn)(const struct blocks *b);

static int status_of(child_fn run, const struct blocks *b)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would end the process its own way */
        run(b);
        _exit(check_nr_failures != 0);
    }
    waitpid(pid, &status, 0);
    return status;
}

static void read_large(const struct blocks *b)
{
    (void)*(volatile unsigned char *)b->large;
}

static void write_small(const struct blocks *b)
{
    *(volatile unsigned char *)b->small = 1;
}

static void expect_no_access(const struct blocks *b)
{
    EXPECT_EQ(status_of(read_large, b), SIGSEGV);
    EXPECT_EQ(status_of(write_small, b), SIGSEGV);
}

/* --- a refusal --------------------------------------------------------------- */

static void use_refused(const struct blocks *b)
{
    void *own;

    blocks_free(b);
    EXPECT(pyslab_kmalloc(b->arena, 64, KERNEL) == NULL);
    EXPECT(pyslab_kmalloc(b->arena, MIB, KERNEL) == NULL);
    EXPECT(pyslab_alloc_pages(b->arena, 0, KERNEL) == PYSLAB_PFN_NONE);
    EXPECT_EQ(pyslab_share_drop_inherited(b->arena), PYSLAB_OK);
    own = pyslab_kmalloc(pyslab_default_arena(), 64, KERNEL);
    EXPECT(own != NULL);
    EXPECT_EQ(pyslab_kfree(pyslab_default_arena(), own), PYSLAB_OK);
}

static void use_refused_and_fork(const struct blocks *b)
{
    use_refused(b);
    EXPECT_EQ(status_of(use_refused, b), 0);
    expect_no_access(b);
}

static void a_child_is_refused(void)
{
    struct blocks b = blocks_make(make(PYSLAB_FORK_REFUSE));
    pyslab_share_stats stats;

    expect_no_access(&b);
    EXPECT_EQ(status_of(use_refused_and_fork, &b), 0);
    EXPECT(rig_is_filled(b.small, 64, 1) && rig_is_filled(b.large, MIB, 2));
    blocks_free(&b);
    pyslab_share_stats_read(b.arena, &stats);
    EXPECT_EQ(stats.nr_fork_deferred, 0);
    rig_end(b.arena);
}

/* --- the blocks themselves ---------------------------------------------------- */

static void write_both(const struct blocks *b)
{
    EXPECT(rig_is_filled(b->small, 64, 1) && rig_is_filled(b->large, MIB, 2));
    memset(b->small, 3, 64);
    memset(b->large, 4, MIB);
    EXPECT(pyslab_kmalloc(b->arena, 64, KERNEL) == NULL);
    EXPECT(pyslab_kmalloc(b->arena, MIB, KERNEL) == NULL);
    blocks_free(b);
}

static void write_both_and_fork(const struct blocks *b)
{
    write_both(b);
    memset(b->small, 1, 64);
    memset(b->large, 2, MIB);
    EXPECT_EQ(status_of(write_both, b), 0);
    EXPECT(rig_is_filled(b->small, 64, 3) && rig_is_filled(b->large, MIB, 4));
    EXPECT_EQ(pyslab_share_drop_inherited(b->arena), PYSLAB_OK);
    EXPECT(rig_is_filled(b->large, MIB, 0));
}

/* What a child and its own child write is in the parent's blocks; their frees, and what they drop,
 * are not. */
static void a_child_has_the_blocks(void)
{
    struct blocks b = blocks_make(make(PYSLAB_FORK_SHARE));

    EXPECT_EQ(status_of(write_both_and_fork, &b), 0);
    EXPECT(rig_is_filled(b.small, 64, 3) && rig_is_filled(b.large, MIB, 4));
    rig_validate(b.arena);
    blocks_free(&b);
    rig_end(b.arena);
}

static void hold_both(const struct blocks *b)
{
    char word;

    EXPECT_EQ(read(b->gate, &word, 1), 1);
    EXPECT(rig_is_filled(b->small, 64, 1) && rig_is_filled(b->large, MIB, 2));
}

/* What the parent frees while a child has it is not used again before the child ends. */
static void a_child_keeps_the_blocks(void)
{
    struct blocks b = blocks_make(make(PYSLAB_FORK_SHARE));
    int gate[2], status = -1;
    pyslab_share_stats stats;
    pid_t pid;

    EXPECT_EQ(pipe(gate), 0);
    b.gate = gate[0];
    pid = fork();
    if (pid == 0) {
        hold_both(&b);
        _exit(check_nr_failures != 0);
    }
    blocks_free(&b);
    for (unsigned char *p; (p = pyslab_kmalloc(b.arena, MIB, KERNEL)) != NULL;)
        memset(p, 9, MIB);
    pyslab_share_stats_read(b.arena, &stats);
    EXPECT_EQ(stats.nr_fork_deferred, 2);
    EXPECT_EQ(write(gate[1], "", 1), 1);
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
    (void)pyslab_share_reap(b.arena);
    pyslab_share_stats_read(b.arena, &stats);
    EXPECT_EQ(stats.nr_fork_deferred, 0);
    close(gate[0]);
    close(gate[1]);
    pyslab_arena_destroy(b.arena);
}

/* --- lost descriptors ----------------------------------------------------------- */

/* Makes every descriptor of a file in memory one of /dev/zero, which could be mapped as well. */
static void replace_descriptors(void)
{
    int zero = open("/dev/zero", O_RDWR);
    char path[64], text[64];

    for (int fd = 3; fd < 4096; fd++) {
        ssize_t length;

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        length = readlink(path, text, sizeof text - 1);
        if (length > 7 && memcmp(text, "/memfd:", 7) == 0)
            EXPECT_EQ(dup2(zero, fd), fd);
    }
    close(zero);
}

static void use_heap(const struct blocks *b)
{
    unsigned char *own = pyslab_kmalloc(b->arena, MIB, ZEROED);

    EXPECT(own != NULL && rig_is_filled(own, MIB, 0));
    EXPECT_EQ(pyslab_kfree(b->arena, own), PYSLAB_OK);
    blocks_free(b);
}

static void descriptors_are_lost(void)
{
    struct blocks b = blocks_make(make(PYSLAB_FORK_VIEW));

    EXPECT_EQ(status_of(read_large, &b), 0);
    replace_descriptors();
    expect_no_access(&b);
    EXPECT_EQ(status_of(use_heap, &b), 0);
    EXPECT(rig_is_filled(b.small, 64, 1) && rig_is_filled(b.large, MIB, 2));
    blocks_free(&b);
    rig_end(b.arena);
}

/* --- options ---------------------------------------------------------------------- */

static void options_are_checked(void)
{
    pyslab_arena_options options = rig_options(32 * MIB, 12);
    pyslab_arena *arena = NULL;

    options.shared = PYSLAB_SHARE_READ;
    options.fork = PYSLAB_FORK_SHARE + 1;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_share_drop_inherited(pyslab_default_arena()), PYSLAB_EINVAL);
}

static const struct test tests[] = {
    TEST(a_child_is_refused),   TEST(a_child_has_the_blocks), TEST(a_child_keeps_the_blocks),
    TEST(descriptors_are_lost), TEST(options_are_checked),
};

TEST_MAIN(tests)

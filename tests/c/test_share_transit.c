/* test_share_transit.c - blocks on their way: how many bytes at most, when their handles end, and
 * what is counted. The clock is the test's (--wrap=os_time_ns). */
#include "rig_share.h"

static _Atomic uint64_t clock_ahead_s;

uint64_t __real_os_time_ns(void);
uint64_t __wrap_os_time_ns(void);
uint64_t __wrap_os_time_ns(void)
{
    return __real_os_time_ns() + clock_ahead_s * 1000000000u;
}

static pyslab_arena *transit_arena(uint64_t max_transit_bytes, uint32_t transit_ttl_s)
{
    pyslab_arena_options options = rig_options(32 * MIB, 12);

    options.shared = PYSLAB_SHARE_READ;
    options.max_transit_bytes = max_transit_bytes;
    options.transit_ttl_s = transit_ttl_s;
    return rig_arena_of(&options);
}

static pyslab_share_stats stats_of(pyslab_arena *arena)
{
    pyslab_share_stats stats;

    pyslab_share_stats_read(arena, &stats);
    return stats;
}

static pyslab_handle export(pyslab_arena *arena, const void *p, uint32_t uses)
{
    pyslab_handle handle = {.id = 0};

    EXPECT_EQ(pyslab_share_export(arena, p, uses, &handle), PYSLAB_OK);
    return handle;
}

static void free_all(pyslab_arena *arena, void **blocks, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++)
        EXPECT_EQ(pyslab_kfree(arena, blocks[i]), PYSLAB_OK);
}

/* --- how much ------------------------------------------------------------------- */

/* A quarter of the arena, and no block more; what is opened is on its way no longer. */
static void check_maximum(pyslab_arena *arena, unsigned nr_max)
{
    void *blocks[16];
    pyslab_handle handles[16], more;
    pyslab_shared_block opened;

    for (unsigned i = 0; i <= nr_max; i++)
        blocks[i] = pyslab_kmalloc(arena, MIB, KERNEL);
    for (unsigned i = 0; i < nr_max; i++)
        handles[i] = export(arena, blocks[i], 1);
    EXPECT_EQ(stats_of(arena).transit_bytes, nr_max * MIB);
    EXPECT_EQ(pyslab_share_export(arena, blocks[nr_max], 1, &more), PYSLAB_ELIMIT);
    EXPECT_EQ(stats_of(arena).nr_refused, 1);
    EXPECT_EQ(stats_of(arena).nr_exported, nr_max);
    more = export(arena, blocks[0], 1); /* it is on its way already */
    EXPECT_EQ(stats_of(arena).transit_bytes, nr_max * MIB);
    EXPECT_EQ(pyslab_share_revoke(&more), PYSLAB_OK);
    more = export(arena, blocks[nr_max], PYSLAB_USES_PINNED); /* its maker holds it */
    EXPECT_EQ(stats_of(arena).transit_bytes, nr_max * MIB);
    EXPECT_EQ(pyslab_share_open(&handles[1], &opened), PYSLAB_OK);
    EXPECT_EQ(stats_of(arena).transit_bytes, (nr_max - 1) * MIB);
    handles[1] = export(arena, blocks[nr_max], 1);
    EXPECT_EQ(stats_of(arena).max_transit_bytes, nr_max * MIB);
    EXPECT_EQ(pyslab_share_close(&opened), PYSLAB_OK);
    for (unsigned i = 0; i < nr_max; i++)
        EXPECT_EQ(pyslab_share_revoke(&handles[i]), PYSLAB_OK);
    free_all(arena, blocks, nr_max + 1);
    rig_end(arena);
}

static void a_quarter_of_the_arena(void)
{
    check_maximum(transit_arena(0, 0), 8);
}

static void a_maximum_of_ones_own(void)
{
    check_maximum(transit_arena(3 * MIB, 0), 3);
}

/* A block that is larger than the maximum is never sent. */
static void a_block_above_the_maximum(void)
{
    pyslab_arena *arena = transit_arena(MIB, 0);
    void *p = pyslab_kmalloc(arena, 2 * MIB, KERNEL);
    pyslab_handle handle;

    EXPECT_EQ(pyslab_share_export(arena, p, 1, &handle), PYSLAB_ELIMIT);
    EXPECT_EQ(stats_of(arena).nr_exports, 0);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* Half of the arena, while nothing else is on its way; and nothing more before it was received. */
static void a_large_block_alone(void)
{
    pyslab_arena *arena = transit_arena(0, 0);
    void *large = pyslab_kmalloc(arena, 16 * MIB, KERNEL);
    void *small = pyslab_kmalloc(arena, MIB, KERNEL);
    pyslab_handle first = export(arena, small, 1), second;
    pyslab_shared_block block;

    EXPECT_EQ(pyslab_share_export(arena, large, 1, &second), PYSLAB_ELIMIT);
    EXPECT_EQ(pyslab_share_revoke(&first), PYSLAB_OK);
    second = export(arena, large, 1);
    EXPECT_EQ(stats_of(arena).transit_bytes, 16 * MIB);
    EXPECT_EQ(pyslab_share_export(arena, small, 1, &first), PYSLAB_ELIMIT);
    EXPECT_EQ(pyslab_share_open(&second, &block), PYSLAB_OK);
    first = export(arena, small, 1);
    EXPECT_EQ(pyslab_share_revoke(&first), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, large), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, small), PYSLAB_OK);
    rig_end(arena);
}

/* Ten times the maximum, each opened before the next: none is refused. */
static void what_was_opened_counts_no_more(void)
{
    pyslab_arena *arena = transit_arena(2 * MIB, 0);
    void *p = pyslab_kmalloc(arena, MIB, KERNEL);

    for (unsigned i = 0; i < 1000; i++) {
        pyslab_handle handle = export(arena, p, 1);
        pyslab_shared_block block;

        EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_OK);
        EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    }
    EXPECT_EQ(stats_of(arena).nr_refused, 0);
    EXPECT_EQ(stats_of(arena).nr_opens, 1000);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* --- age ------------------------------------------------------------------------- */

/* A client passes a block on, lets go of it, and ends. Its handle comes by the pipe. */
static pyslab_handle handle_of_a_client(pyslab_arena *arena, const pyslab_handle *sent, bool dies,
                                        pid_t *pid)
{
    int fds[2], heap_fd, table_fd;
    pyslab_handle handle = {.id = 0};

    if (pipe(fds) != 0 || pyslab_share_descriptors(arena, &heap_fd, &table_fd) != PYSLAB_OK)
        abort();
    *pid = fork();
    if (*pid == 0) {
        pyslab_heap *heap;
        pyslab_shared_block block;

        if (pyslab_share_attach(heap_fd, table_fd, 0, &heap) != PYSLAB_OK ||
            pyslab_share_open(sent, &block) != PYSLAB_OK ||
            pyslab_share_pass_on(&block, 1, &handle) != PYSLAB_OK ||
            pyslab_share_close(&block) != PYSLAB_OK ||
            write(fds[1], &handle, sizeof handle) != (ssize_t)sizeof handle)
            _exit(1);
        if (!dies)
            pause();
        kill(getpid(), SIGKILL);
    }
    EXPECT_EQ(read(fds[0], &handle, sizeof handle), (long long)sizeof handle);
    if (dies)
        EXPECT_EQ(waitpid(*pid, NULL, 0), *pid);
    close(fds[0]);
    close(fds[1]);
    close(heap_fd);
    close(table_fd);
    return handle;
}

static void client_end(pid_t pid)
{
    kill(pid, SIGKILL);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
}

static void check_age(uint32_t option_s, uint32_t ttl_s)
{
    pyslab_arena *arena = transit_arena(0, option_s);
    void *p = pyslab_kmalloc(arena, MIB, KERNEL);
    pyslab_handle sent = export(arena, p, 1), handle;
    pyslab_shared_block block;
    pid_t pid;

    handle = handle_of_a_client(arena, &sent, true, &pid);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    clock_ahead_s = ttl_s - 2; /* not yet */
    EXPECT_EQ(pyslab_share_reap(arena), 0);
    EXPECT_EQ(stats_of(arena).nr_deaths, 1);
    EXPECT_EQ(stats_of(arena).nr_in_transit, 1);
    clock_ahead_s = ttl_s + 1;
    EXPECT_EQ(rig_reap(arena, MIB), MIB);
    EXPECT_EQ(stats_of(arena).nr_expired, 1);
    EXPECT_EQ(stats_of(arena).nr_taken_back, 1);
    EXPECT_EQ(stats_of(arena).taken_back_bytes, MIB);
    EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_ESTALE);
    EXPECT_EQ(stats_of(arena).nr_stale, 1);
    rig_end(arena);
}

static void a_handle_of_the_dead_ends_by_age(void)
{
    check_age(0, 600);
}

static void an_age_of_ones_own(void)
{
    check_age(30, 30);
}

/* Of a living maker it does not, however old; nor when another client has got the maker's row. */
static void a_handle_of_the_living_stays(void)
{
    pyslab_arena *arena = transit_arena(0, 0);
    void *p = pyslab_kmalloc(arena, MIB, KERNEL);
    pyslab_handle sent = export(arena, p, 2), first, second;
    pyslab_shared_block block;
    pid_t dead, alive;

    first = handle_of_a_client(arena, &sent, true, &dead);
    second = handle_of_a_client(arena, &sent, false, &alive); /* in the row of the first */
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    clock_ahead_s = 1000000;
    EXPECT_EQ(pyslab_share_reap(arena), 0);
    EXPECT_EQ(pyslab_share_open(&first, &block), PYSLAB_ESTALE);
    EXPECT_EQ(pyslab_share_open(&second, &block), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    client_end(alive);
    EXPECT_EQ(rig_reap(arena, MIB), MIB);
    rig_end(arena);
}

/* --- want of memory --------------------------------------------------------------- */

/* An arena full of freed blocks on their way: an allocation ends the oldest, and no more. */
static void the_oldest_go_first(void)
{
    pyslab_arena *arena = transit_arena(32 * MIB, 0);
    pyslab_handle handles[32];
    pyslab_shared_block block;
    unsigned nr = 0, nr_stale = 0;
    void *p;

    while ((p = pyslab_kmalloc(arena, 2 * MIB, KERNEL)) != NULL &&
           stats_of(arena).nr_expired == 0) {
        clock_ahead_s = nr;
        handles[nr++] = export(arena, p, 1);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    }
    EXPECT(p != NULL);
    EXPECT_GE(nr, 10);
    EXPECT_EQ(stats_of(arena).nr_expired, 1);
    EXPECT_EQ(pyslab_share_open(&handles[0], &block), PYSLAB_ESTALE);
    for (unsigned i = 1; i < nr; i++) {
        nr_stale += pyslab_share_open(&handles[i], &block) == PYSLAB_ESTALE;
        EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    }
    EXPECT_EQ(nr_stale, 0);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(rig_reap(arena, (nr - 1) * 2 * MIB), (nr - 1) * 2 * MIB);
    rig_end(arena);
}

/* An arena full of short blocks that are freed and on their way: a long block gets their room. */
static void a_long_block_among_short_ones(void)
{
    enum { SHORT_BYTES = 4 * PAGE_SIZE, LONG_BYTES = 32 * PAGE_SIZE, MAX = 2048, STRIDE = 97 };
    static void *blocks[MAX];
    pyslab_arena *arena = transit_arena(32 * MIB, 0);
    unsigned nr = 0;
    void *p;

    while (nr < MAX && (p = pyslab_kmalloc(arena, SHORT_BYTES, KERNEL)) != NULL)
        blocks[nr++] = p;
    EXPECT_GE(nr, MAX / 2);
    if (nr % STRIDE == 0) /* or not every block would be met */
        EXPECT_EQ(pyslab_kfree(arena, blocks[--nr]), PYSLAB_OK);
    for (unsigned i = 0; i < nr; i++) { /* the oldest do not lie side by side */
        clock_ahead_s = i;
        (void)export(arena, blocks[(uint64_t)i * STRIDE % nr], 1);
    }
    free_all(arena, blocks, nr);
    p = pyslab_kmalloc(arena, LONG_BYTES, KERNEL);
    EXPECT(p != NULL);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* What somebody holds is not given up for an allocation. */
static void what_is_held_stays(void)
{
    pyslab_arena *arena = transit_arena(0, 0);
    pyslab_shared_block block;
    pyslab_handle handle, passed_on;
    void *p = pyslab_kmalloc(arena, 4 * MIB, KERNEL);

    memset(p, 0x5a, 4 * MIB);
    handle = export(arena, p, 1);
    EXPECT_EQ(pyslab_share_open(&handle, &block), PYSLAB_OK);
    EXPECT_EQ(pyslab_share_pass_on(&block, 1, &passed_on), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    while (pyslab_kmalloc(arena, 4 * MIB, KERNEL) != NULL) /* all there is */
        continue;
    EXPECT_EQ(stats_of(arena).nr_expired, 0);
    EXPECT(rig_is_filled(block.address, 4 * MIB, 0x5a));
    EXPECT_EQ(pyslab_share_close(&block), PYSLAB_OK);
    EXPECT(pyslab_kmalloc(arena, 4 * MIB, KERNEL) != NULL); /* the handle was all that kept it */
    EXPECT_EQ(stats_of(arena).nr_expired, 1);
    EXPECT_EQ(pyslab_share_open(&passed_on, &block), PYSLAB_ESTALE);
    pyslab_arena_destroy(arena);
}

static const struct test tests[] = {
    TEST(a_quarter_of_the_arena),    TEST(a_maximum_of_ones_own),
    TEST(a_block_above_the_maximum), TEST(what_was_opened_counts_no_more),
    TEST(a_large_block_alone),       TEST(a_handle_of_the_dead_ends_by_age),
    TEST(an_age_of_ones_own),        TEST(a_handle_of_the_living_stays),
    TEST(the_oldest_go_first),       TEST(a_long_block_among_short_ones),
    TEST(what_is_held_stays),
};

TEST_MAIN(tests)

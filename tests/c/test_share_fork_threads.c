/* test_share_fork_threads.c - the owner of a shared arena forks while its threads are at work in
 * it: what the forking thread has is kept for the child, and nobody loses anything. */
#include "rig_share.h"
#include "rig_threads.h"

#include <stdatomic.h>

#define NR_BLOCKS 200u
#define NR_ROUNDS 60u

static pyslab_arena *arena;
static _Atomic bool stop;

static size_t size_of(unsigned i)
{
    return i % 40 == 0 ? 300 * KIB : i % 8 == 0 ? 20000 : 16 + i * 13 % 1500;
}

/* --- threads at work -------------------------------------------------------- */

static void *work(void *seed)
{
    struct rng rng = {(uintptr_t)seed};
    unsigned char *block[40];
    size_t size[40];

    while (!atomic_load(&stop)) {
        for (unsigned i = 0; i < 40; i++) {
            size[i] = 1 + rng_below(&rng, i % 10 == 0 ? 200000 : 3000);
            block[i] = pyslab_kmalloc(arena, size[i], KERNEL);
            if (block[i] != NULL)
                memset(block[i], (int)i, size[i]);
        }
        for (unsigned i = 0; i < 40; i++) {
            if (block[i] == NULL)
                continue;
            EXPECT(rig_is_filled(block[i], size[i], (unsigned char)i));
            EXPECT_EQ(pyslab_kfree(arena, block[i]), PYSLAB_OK);
        }
        if (rng_below(&rng, 20) == 0)
            (void)pyslab_arena_release_unused(arena);
    }
    return NULL;
}

/* --- the thread that forks ----------------------------------------------------- */

struct blocks {
    unsigned char *at[NR_BLOCKS];
};

static void blocks_make(struct blocks *b, unsigned round)
{
    for (unsigned i = 0; i < NR_BLOCKS; i++) {
        b->at[i] = pyslab_kmalloc(arena, size_of(i), KERNEL);
        REQUIRE(b->at[i] != NULL);
        memset(b->at[i], (int)(i + round), size_of(i));
    }
}

static bool blocks_are_whole(const struct blocks *b, unsigned round)
{
    for (unsigned i = 0; i < NR_BLOCKS; i++)
        if (!rig_is_filled(b->at[i], size_of(i), (unsigned char)(i + round)))
            return false;
    return true;
}

static void blocks_free(const struct blocks *b)
{
    for (unsigned i = 0; i < NR_BLOCKS; i++)
        EXPECT_EQ(pyslab_kfree(arena, b->at[i]), PYSLAB_OK);
}

/* Reads for a while what it has inherited, and uses its heap. A sanitizer's own locks are not held
 * across fork(), so that under one it calls nothing. */
static void child_run(const struct blocks *b, unsigned round)
{
    bool ok = true;

    for (unsigned i = 0; i < 5; i++) {
        struct blocks own;

        ok = ok && blocks_are_whole(b, round);
        if (UNDER_TSAN || UNDER_ASAN)
            continue;
        blocks_make(&own, 77);
        ok = ok && blocks_are_whole(&own, 77);
        blocks_free(&own);
        blocks_free(b);
        ok = ok && blocks_are_whole(b, round);
    }
    _exit(!ok);
}

static void fork_once(unsigned round)
{
    struct blocks b;
    int status = -1;
    pid_t pid;

    blocks_make(&b, round);
    pid = fork();
    if (pid == 0)
        child_run(&b, round);
    REQUIRE(pid > 0);
    EXPECT(blocks_are_whole(&b, round));
    blocks_free(&b);
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
}

static void forks_beside_threads(void)
{
    pyslab_arena_options options = rig_options(256 * MIB, 12);
    pthread_t thread[3];
    pyslab_share_stats stats;

    options.shared = PYSLAB_SHARE_READ;
    arena = rig_arena_of(&options);
    atomic_store(&stop, false);
    for (uintptr_t i = 0; i < 3; i++)
        REQUIRE(pthread_create(&thread[i], NULL, work, (void *)(i + 1)) == 0);
    for (unsigned round = 0; round < NR_ROUNDS; round++)
        fork_once(round);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    (void)pyslab_share_reap(arena);
    pyslab_share_stats_read(arena, &stats);
    EXPECT_EQ(stats.nr_fork_deferred, 0);
    rig_end_clean(arena);
}

static const struct test tests[] = {
    TEST(forks_beside_threads),
};

TEST_MAIN(tests)

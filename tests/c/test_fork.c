/* test_fork.c - holds down fork(): the child has an arena of its own that works, and so
 * has the parent; with busy threads no lock is left behind. A child is judged by its
 * exit status. ThreadSanitizer does not follow forks of threaded programs: there the
 * tests with threads are left out. */
#include "rig.h"

#include <pthread.h>

#if UNDER_TSAN
const char *__tsan_default_options(void) __attribute__((visibility("default")));

/* Its deadlock detector gives up at 64 locks held at once; the fork handlers hold more. */
const char *__tsan_default_options(void)
{
    return "detect_deadlocks=0";
}
#endif

static pyslab_arena *arena;
static char *kept;
static atomic_bool stop;

/* Uses every layer; whoever gets memory twice, or hangs, is found out. */
static void use_arena(void)
{
    pyslab_kmem_cache *cache = NULL;
    char *block[300];

    for (int i = 0; i < 300; i++) {
        block[i] = pyslab_kmalloc(arena, 16 + (size_t)i * 100, KERNEL);
        REQUIRE(block[i] != NULL);
        memset(block[i], i & 0xff, 16 + (size_t)i * 100);
    }
    for (int i = 0; i < 300; i++) {
        EXPECT(rig_is_filled(block[i], 16 + (size_t)i * 100, (unsigned char)i));
        EXPECT_EQ(pyslab_kfree(arena, block[i]), PYSLAB_OK);
    }
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "after fork", 80, NULL, &cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_free(cache, pyslab_kmem_cache_alloc(cache, KERNEL)), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, pyslab_alloc_pages(arena, 5, KERNEL), 5), PYSLAB_OK);
    (void)rig_stats(arena);
    pyslab_arena_release_unused(arena);
}

static void *use_arena_thread(void *unused)
{
    use_arena();
    return unused;
}

static void use_by_new_thread(void)
{
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, use_arena_thread, NULL) == 0);
    pthread_join(thread, NULL);
}

/* --- one thread --------------------------------------------------------- */

static void child_uses_all(void)
{
    pyslab_arena *own;

    EXPECT(rig_is_filled(kept, 5000, 0x61));
    EXPECT_EQ(rig_stats(arena).large_count + rig_stats(arena).live_objects, 1);
    memset(kept, 0x62, 5000);
    use_arena();
    rig_validate(arena);
    EXPECT_EQ(pyslab_kfree(arena, kept), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, kept), PYSLAB_EDOUBLE);
    own = rig_arena(MIB, 8);
    EXPECT(pyslab_kmalloc(own, 100, KERNEL) != NULL);
    rig_end(own);
    rig_validate(arena);
    pyslab_arena_release_unused(arena);
    EXPECT_EQ(rig_stats(arena).free_pages, rig_stats(arena).managed_pages);
    rig_end(arena);
}

/* The child reads, writes, frees and destroys its copy; the parent's stays as it was. */
static void child_has_its_own_copy(void)
{
    arena = rig_arena(64 * MIB, 18);
    use_arena();
    kept = pyslab_kmalloc(arena, 5000, KERNEL);
    memset(kept, 0x61, 5000);
    for (int round = 0; round < 3; round++) {
        EXPECT_EQ(check_child(child_uses_all), 0);
        EXPECT(rig_is_filled(kept, 5000, 0x61));
        use_arena();
    }
    EXPECT_EQ(pyslab_kfree(arena, kept), PYSLAB_OK);
    EXPECT_EQ(rig_stats(arena).live_objects, 0);
    rig_end(arena);
}

static void child_forks_again(void)
{
    use_arena();
    EXPECT_EQ(check_child(child_uses_all), 0);
    use_arena();
    rig_end(arena);
}

/* A child's child is no different. */
static void grandchild(void)
{
    arena = rig_arena(64 * MIB, 18);
    kept = pyslab_kmalloc(arena, 5000, KERNEL);
    memset(kept, 0x61, 5000);
    EXPECT_EQ(check_child(child_forks_again), 0);
    EXPECT_EQ(pyslab_kfree(arena, kept), PYSLAB_OK);
    rig_end(arena);
}

static void child_without_arenas(void)
{
    arena = rig_arena(64 * MIB, 18);
    use_arena();
    rig_end(arena);
}

/* A fork after the last arena is gone, and one with several alive. */
static void none_and_several(void)
{
    pyslab_arena *others[5];

    arena = rig_arena(MIB, 8);
    pyslab_arena_destroy(arena);
    EXPECT_EQ(check_child(child_without_arenas), 0);
    for (int i = 0; i < 5; i++) {
        others[i] = rig_arena(MIB, 8);
        EXPECT(pyslab_kmalloc(others[i], 64, KERNEL) != NULL);
    }
    EXPECT_EQ(check_child(child_without_arenas), 0);
    for (int i = 0; i < 5; i++)
        rig_end(others[i]);
}

/* --- with threads ------------------------------------------------------- */

static pthread_barrier_t barrier;

static void *wait_with_full_sheaves(void *unused)
{
    use_arena();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    use_arena();
    return unused;
}

static void child_beside_idle_threads(void)
{
    rig_validate(arena);
    use_arena();
    rig_validate(arena);
    EXPECT_EQ(rig_stats(arena).live_objects, 0);
    use_by_new_thread();
    rig_validate(arena);
    rig_end(arena);
}

/* Threads that only wait are not in the child; what they cached is accounted for. */
static void idle_threads(void)
{
    pthread_t thread[3];

    if (UNDER_TSAN)
        return;
    arena = rig_arena(64 * MIB, 18);
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&thread[i], NULL, wait_with_full_sheaves, NULL) == 0);
    pthread_barrier_wait(&barrier);
    EXPECT_EQ(check_child(child_beside_idle_threads), 0);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    rig_end(arena);
}

static void *work_on_and_on(void *seed)
{
    struct rng rng = {(uintptr_t)seed};

    while (!stop) {
        void *block[40];

        for (int i = 0; i < 40; i++)
            block[i] = pyslab_kmalloc(arena, 1 + rng_below(&rng, 9000), KERNEL);
        for (int i = 0; i < 40; i++)
            EXPECT_EQ(pyslab_kfree(arena, block[i]), PYSLAB_OK);
        if (rng_below(&rng, 20) == 0)
            pyslab_arena_destroy(rig_arena(MIB, 8));
    }
    return NULL;
}

static void child_beside_busy_threads(void)
{
    use_arena();
    use_by_new_thread();
    child_without_arenas();
}

/* Threads in the middle of anything: the child finds every lock free and can work. (It
 * may have lost what they had in hand, so it does not validate.) */
static void busy_threads(void)
{
    pthread_t thread[3];

    /* The sanitizers' own locks are not held across fork(): their child may hang in malloc. */
    if (UNDER_TSAN || UNDER_ASAN)
        return;
    arena = rig_arena(64 * MIB, 18);
    for (uintptr_t i = 0; i < 3; i++)
        REQUIRE(pthread_create(&thread[i], NULL, work_on_and_on, (void *)(i + 1)) == 0);
    for (int round = 0; round < 100; round++)
        EXPECT_EQ(check_child(child_beside_busy_threads), 0);
    stop = true;
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    EXPECT_EQ(rig_stats(arena).live_objects, 0);
    rig_end(arena);
}

/* --- with stdio ---------------------------------------------------------- */

/* A stream whose writes allocate from the arena while its FILE is locked. */
static ssize_t write_through_arena(void *unused, const char *text, size_t bytes)
{
    char *copy = pyslab_kmalloc(arena, 50000, KERNEL);

    (void)unused;
    if (copy == NULL)
        return 0;
    memcpy(copy, text, bytes < 50000 ? bytes : 50000);
    return pyslab_kfree(arena, copy) == PYSLAB_OK ? (ssize_t)bytes : 0;
}

static void *write_on(void *unused)
{
    const cookie_io_functions_t functions = {.write = write_through_arena};
    FILE *file = fopencookie(NULL, "w", functions);

    while (file != NULL && !stop) {
        EXPECT_EQ(fputs("some text", file) < 0, 0);
        EXPECT_EQ(fflush(file), 0);
    }
    return file != NULL && fclose(file) == 0 ? unused : NULL;
}

static void *flush_all_on(void *unused)
{
    while (!stop)
        fflush(NULL);
    return unused;
}

static void child_uses_stdio(void)
{
    EXPECT_EQ(fflush(NULL), 0);
    EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, 50000, KERNEL)), PYSLAB_OK);
}

static void *fork_on(void *unused)
{
    while (!stop) {
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
            child_uses_stdio();
            _exit(check_nr_failures != 0);
        }
        EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    return unused;
}

/* A thread holds a FILE and waits for the arena, another holds the list of FILEs and waits for
 * that FILE, and a third forks: it must not hold the arena while it waits for the list. */
static void forks_beside_stdio(void)
{
    void *(*const run[])(void *) = {write_on, write_on, write_on, write_on, write_on,
                                    fork_on,  fork_on,  fork_on,  fork_on,  flush_all_on};
    pthread_t thread[ARRAY_SIZE(run)];

    if (UNDER_TSAN || UNDER_ASAN || !HAS_GLIBC) /* elsewhere nobody but fork can hold the list */
        return;
    arena = rig_arena(64 * MIB, 18);
    for (size_t i = 0; i < ARRAY_SIZE(run); i++)
        REQUIRE(pthread_create(&thread[i], NULL, run[i], NULL) == 0);
    sleep(3);
    stop = true;
    for (size_t i = 0; i < ARRAY_SIZE(run); i++)
        pthread_join(thread[i], NULL);
    rig_end(arena);
}

static void child_flushes(void)
{
    EXPECT_EQ(fflush(NULL), 0);
    use_arena();
}

/* Without threads fork leaves the list to its handlers: parent and child find it free. */
static void stdio_without_threads(void)
{
    arena = rig_arena(64 * MIB, 18);
    for (int round = 0; round < 3; round++) {
        EXPECT_EQ(check_child(child_flushes), 0);
        use_by_new_thread();
        EXPECT_EQ(fflush(NULL), 0);
    }
    rig_end(arena);
}

static const struct test tests[] = {
    TEST(child_has_its_own_copy), TEST(grandchild),   TEST(none_and_several),
    TEST(idle_threads),           TEST(busy_threads), TEST(forks_beside_stdio),
    TEST(stdio_without_threads),
};

TEST_MAIN(tests)

/* test_large_debug.c - holds down what large blocks of kmalloc with debug flags find: writes past
 * their end and after their free, wrong frees; and that ksize and krealloc keep their promises. */
#include "rig.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE ((size_t)300000) /* above the largest class */

static pyslab_arena *arena;
static pyslab_corruption seen; /* what the handler was given last */
static char seen_text[4096];
static uint64_t nr_seen;

static void note(const pyslab_corruption *found, void *context)
{
    (void)context;
    EXPECT(lock_none_is_held());
    seen = *found;
    nr_seen++;
    EXPECT_LE(pyslab_corruption_text(found, seen_text, sizeof seen_text), sizeof seen_text - 1);
}

static void begin_with(const char *debug)
{
    pyslab_arena_options options = rig_options(64 * MIB, 10);

    options.debug = debug;
    options.overcommit = 1;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_OK);
    pyslab_set_corruption_handler(arena, note, NULL);
    nr_seen = 0;
    memset(&seen, 0, sizeof seen);
}

static void end(void)
{
    EXPECT_EQ(nr_seen, 0);
    rig_validate(arena);
    (void)arena_release_unused(arena);
    EXPECT_EQ(rig_stats(arena).large_pages, 0);
    rig_end(arena);
}

/* One report since the last call, of this block. */
static void expect_found(uint32_t kind, const void *object, size_t size, int64_t offset)
{
    EXPECT_EQ(nr_seen, 1);
    EXPECT_EQ(seen.kind, kind);
    EXPECT(strcmp(seen.cache, "kmalloc-large") == 0);
    EXPECT_PTR(seen.object, object);
    EXPECT_EQ(seen.object_size, size);
    EXPECT_EQ(seen.offset, offset);
    nr_seen = 0;
}

static pyslab_debug_stats debug_stats(void)
{
    pyslab_debug_stats stats;

    pyslab_arena_debug_stats(arena, &stats);
    return stats;
}

static void overrun_found_at_free(void)
{
    char *p;

    begin_with("FZPU");
    p = pyslab_kmalloc(arena, SIZE, KERNEL);
    EXPECT_EQ(pyslab_ksize(arena, p), SIZE);
    memset(p, 1, SIZE);
    p[SIZE] = 2;
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    expect_found(PYSLAB_CORRUPTION_RIGHT_REDZONE, p, SIZE, SIZE);
    EXPECT_EQ(seen.expected, 0xcc);
    EXPECT_EQ(seen.found, 2);
    EXPECT_EQ(seen.allocated_at != 0, HAS_BACKTRACE);
    EXPECT(strstr(seen_text, "1 bytes past the end") != NULL);
    end();
}

/* A size of whole frames has a red zone too: of frames of its own. */
static void overrun_by_64_of_whole_frames(void)
{
    char *p;

    begin_with("Z,kmalloc-large");
    p = pyslab_kmalloc(arena, MIB, KERNEL);
    p[MIB + 63] = 2;
    EXPECT(pyslab_arena_validate(arena, NULL, 0) != PYSLAB_OK);
    expect_found(PYSLAB_CORRUPTION_RIGHT_REDZONE, p, MIB, MIB + 63);
    EXPECT_EQ(pyslab_arena_validate(arena, NULL, 0), PYSLAB_OK);
    EXPECT_EQ(debug_stats().nr_repaired, 1);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    end();
}

static void late_write(void)
{
    char *p;

    begin_with("FZPU");
    p = pyslab_kmalloc(arena, SIZE, KERNEL);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ((unsigned char)p[7], 0x6b);
    EXPECT_EQ(debug_stats().nr_waiting, 1);
    EXPECT_EQ(pyslab_ksize(arena, p), 0);
    p[7] = 1;
    EXPECT(pyslab_arena_validate(arena, NULL, 0) != PYSLAB_OK);
    EXPECT_EQ(seen.nr_bytes, 1);
    EXPECT_EQ(seen.allocated_at != 0 && seen.freed_at != 0, HAS_BACKTRACE);
    expect_found(PYSLAB_CORRUPTION_POISON, p, 74 * 4096, 7);
    p[8] = 1;
    (void)arena_release_unused(arena); /* it leaves the quarantine */
    expect_found(PYSLAB_CORRUPTION_POISON, p, 74 * 4096, 8);
    EXPECT_EQ(debug_stats().nr_waiting, 0);
    end();
}

static void quarantine_is_bounded(void)
{
    begin_with("P");
    for (int i = 0; i < 100; i++) {
        char *p = pyslab_kmalloc(arena, SIZE, KERNEL);

        EXPECT(p != NULL);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        EXPECT_LE(debug_stats().waiting_bytes, 64 * MIB / 16);
    }
    EXPECT_EQ(debug_stats().nr_waiting, 13);
    end();
}

/* What waits is given back before a request fails. */
static void short_of_memory(void)
{
    char *p;

    begin_with("P");
    p = pyslab_kmalloc(arena, MIB / 2, KERNEL);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(debug_stats().nr_waiting, 1);
    while (pyslab_kmalloc(arena, MIB, KERNEL | (uint32_t)PYSLAB_GFP_NOWARN) != NULL)
        continue;
    EXPECT_EQ(debug_stats().nr_waiting, 0);
    EXPECT_EQ(nr_seen, 0);
    pyslab_arena_destroy(arena);
}

static void wrong_frees(void)
{
    char *p;

    begin_with("FPU");
    p = pyslab_kmalloc(arena, SIZE, KERNEL);
    EXPECT_EQ(pyslab_kfree(arena, p + 8192), PYSLAB_EPOINTER);
    expect_found(PYSLAB_CORRUPTION_INVALID_FREE, p, SIZE, 8192);
    EXPECT_EQ(pyslab_kfree(arena, p + 8), PYSLAB_EPOINTER);
    expect_found(PYSLAB_CORRUPTION_INVALID_FREE, p, SIZE, 8);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
    EXPECT_EQ(seen.freed_at != 0, HAS_BACKTRACE);
    expect_found(PYSLAB_CORRUPTION_DOUBLE_FREE, p, 74 * 4096, 0);
    end();
}

/* Without P nothing waits: the frames are free, and it is not known whose they were. */
static void double_free_without_quarantine(void)
{
    char *p;

    begin_with("F");
    p = pyslab_kmalloc(arena, SIZE, KERNEL);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
    EXPECT_EQ(nr_seen, 1);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_DOUBLE_FREE);
    EXPECT_PTR(seen.address, p);
    nr_seen = 0;
    end();
}

static void resizing(void)
{
    char *p, *q;

    begin_with("FZPU");
    p = pyslab_kmalloc(arena, SIZE, KERNEL);
    memset(p, 1, SIZE);
    q = pyslab_krealloc(arena, p, SIZE + 10, KERNEL | (uint32_t)PYSLAB_GFP_ZERO);
    EXPECT_PTR(q, p);
    EXPECT_EQ(pyslab_ksize(arena, q), SIZE + 10);
    EXPECT_EQ(q[SIZE - 1], 1);
    EXPECT_EQ(q[SIZE + 9], 0);
    q[SIZE + 10] = 1;
    p = pyslab_krealloc(arena, q, 3 * SIZE, KERNEL);
    expect_found(PYSLAB_CORRUPTION_RIGHT_REDZONE, q, SIZE + 10, SIZE + 10);
    EXPECT(p != q);
    EXPECT_EQ(p[SIZE - 1], 1);
    EXPECT_EQ(pyslab_ksize(arena, p), 3 * SIZE);
    p = pyslab_krealloc(arena, p, 100, KERNEL);
    EXPECT_EQ(pyslab_ksize(arena, p), 100);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    end();
}

static void runs_and_zeroes(void)
{
    char *p, *z, *run;

    begin_with("FZPU");
    z = pyslab_kzalloc(arena, SIZE, KERNEL);
    for (size_t i = 0; i < SIZE; i++)
        EXPECT_EQ(z[i], 0);
    p = pyslab_alloc_pages_exact(arena, 3 * 4096, KERNEL);
    run = pyslab_alloc_contig(arena, 5, 1, 0, KERNEL);
    EXPECT_EQ(pyslab_ksize(arena, run), 5 * 4096);
    memset(p, 1, 3 * 4096);
    memset(run, 1, 5 * 4096);
    rig_validate(arena);
    EXPECT_EQ(pyslab_kfree(arena, z), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, run), PYSLAB_OK);
    EXPECT_PTR(pyslab_kmalloc(arena, SIZE_MAX, KERNEL | (uint32_t)PYSLAB_GFP_NOWARN), NULL);
    end();
}

static _Atomic bool held;

/* Has the lock of the quarantine for a moment, as a thread that frees has. */
static void *hold(void *unused)
{
    (void)unused;
    lock_acquire(&arena->kmalloc.large_debug.lock);
    store_relaxed(&held, true);
    usleep(50000);
    lock_release(&arena->kmalloc.large_debug.lock);
    return NULL;
}

/* A child may use large blocks, whatever another thread of its parent did at that moment. */
static void forks_beside_a_thread(void)
{
    pthread_t thread;
    int status;
    pid_t pid;

    begin_with("P");
    store_relaxed(&held, false);
    EXPECT(pthread_create(&thread, NULL, hold, NULL) == 0);
    while (!load_relaxed(&held))
        usleep(100);
    pid = fork();
    if (pid == 0) {
        alarm(check_timeout_seconds());
        /* without ThreadSanitizer's last words: to it, the parent's thread was not joined here */
        syscall(SYS_exit_group,
                pyslab_kfree(arena, pyslab_kmalloc(arena, SIZE, KERNEL)) != PYSLAB_OK);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    pthread_join(thread, NULL);
    end();
}

static const struct test tests[] = {
    TEST(overrun_found_at_free),
    TEST(overrun_by_64_of_whole_frames),
    TEST(late_write),
    TEST(quarantine_is_bounded),
    TEST(short_of_memory),
    TEST(wrong_frees),
    TEST(double_free_without_quarantine),
    TEST(resizing),
    TEST(runs_and_zeroes),
    TEST(forks_beside_a_thread),
};

TEST_MAIN(tests)

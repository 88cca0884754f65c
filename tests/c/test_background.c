/* test_background.c - holds down what an arena's own thread does: it is there only when it has
 * something to do, gives back what an idle program dropped, sleeps without waking up when nothing
 * is left, ends with the arena, is not in a forked child, takes no signals and runs no code of
 * users. */
#include "rig.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define DELAY_MS 60u
#define NAME "pyslab-purge"

static pyslab_arena_options options_of(size_t bytes)
{
    pyslab_arena_options options = rig_options(bytes, 12);

    options.background_purge = 1;
    options.purge_delay_ms = DELAY_MS;
    return options;
}

static pyslab_arena *arena_of(size_t bytes)
{
    pyslab_arena_options options = options_of(bytes);

    return rig_arena_of(&options);
}

static void sleep_ms(uint32_t ms)
{
    os_sleep_ms(ms);
}

/* --- what the system knows of threads -------------------------------------- */

/* The text of a file of a thread of this process; "" if there is none. */
static void read_of_task(const char *task, const char *file, char *text, size_t bytes)
{
    char path[128];
    FILE *f;
    size_t got = 0;

    snprintf(path, sizeof path, "/proc/self/task/%.20s/%s", task, file);
    f = fopen(path, "r");
    if (f != NULL) {
        got = fread(text, 1, bytes - 1, f);
        fclose(f);
    }
    text[got] = '\0';
}

/* How many threads of arenas there are, and the last one's number as text. */
static unsigned nr_background(char *task, size_t bytes)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned nr = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char text[64];

        read_of_task(entry->d_name, "comm", text, sizeof text);
        if (strncmp(text, NAME, strlen(NAME)) != 0)
            continue;
        nr++;
        if (task != NULL)
            snprintf(task, bytes, "%.20s", entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    return nr;
}

/* A figure of a thread's status file. */
static uint64_t status_of(const char *task, const char *field, int base)
{
    char text[4096];
    const char *at;

    read_of_task(task, "status", text, sizeof text);
    at = strstr(text, field);
    return at != NULL ? strtoull(at + strlen(field), NULL, base) : UINT64_MAX;
}

/* --- what a program drops --------------------------------------------------- */

static void fill_and_drop(pyslab_arena *arena, size_t total, size_t block)
{
    size_t nr = total / block;
    void **p = calloc(nr, sizeof *p);

    for (size_t i = 0; i < nr; i++) {
        p[i] = pyslab_kmalloc(arena, block, KERNEL);
        if (p[i] == NULL)
            abort();
        memset(p[i], 0x5a, block);
    }
    for (size_t i = 0; i < nr; i++)
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    free(p);
}

/* Waits, without a call that reaches a slow path, until not more than this is free and resident, or
 * 5 seconds have passed; returns what there is. */
static uint64_t dirty_after_wait(pyslab_arena *arena, uint64_t at_most)
{
    uint64_t dirty = UINT64_MAX;

    for (int i = 0; i < 500; i++) {
        dirty = rig_stats(arena).dirty_free_pages;
        if (dirty <= at_most)
            break;
        sleep_ms(10);
    }
    return dirty;
}

#define REST_PAGES 600u /* page lists of 2 MiB blocks, and what is too little for the thread */

/* --- tests -------------------------------------------------------------------- */

static void an_idle_arena_gives_back(void)
{
    pyslab_arena *arena = arena_of(256 * MIB);

    EXPECT_EQ(nr_background(NULL, 0), 0);
    fill_and_drop(arena, 128 * MIB, 1 * MIB);
    EXPECT_GE(rig_stats(arena).dirty_free_pages, 16384);
    EXPECT_LE(dirty_after_wait(arena, REST_PAGES), REST_PAGES);
    rig_end(arena);
}

/* Objects come back through sheaves, barn and slabs. */
static void small_objects_too(void)
{
    pyslab_arena *arena = arena_of(256 * MIB);

    fill_and_drop(arena, 64 * MIB, 256);
    EXPECT_LE(dirty_after_wait(arena, REST_PAGES), REST_PAGES);
    EXPECT_LE(pyslab_arena_used(arena), 6 * MIB);
    rig_end(arena);
}

/* Without the option everything stays. */
static void without_it_nothing_goes(void)
{
    pyslab_arena_options options = options_of(256 * MIB);
    pyslab_arena *arena;

    options.background_purge = 0;
    arena = rig_arena_of(&options);
    fill_and_drop(arena, 32 * MIB, 16 * MIB);
    sleep_ms(5 * DELAY_MS);
    EXPECT_EQ(nr_background(NULL, 0), 0);
    EXPECT_GE(rig_stats(arena).dirty_free_pages, 4096);
    rig_end(arena);
}

/* Without the option, but with work that is served by a sheaf, above the sizes of the fast path. */
static void work_above_the_fast_sizes(void)
{
    pyslab_arena_options options = options_of(256 * MIB);
    pyslab_arena *arena;

    options.background_purge = 0;
    arena = rig_arena_of(&options);
    fill_and_drop(arena, 64 * MIB, 1 * MIB);
    for (uint32_t start = os_time_ms(); os_time_ms() - start < 5000;) {
        EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, 100000, KERNEL)), PYSLAB_OK);
        if (rig_stats(arena).dirty_free_pages <= REST_PAGES)
            break;
    }
    EXPECT_LE(rig_stats(arena).dirty_free_pages, REST_PAGES);
    rig_end(arena);
}

static void no_thread_before_it_is_needed(void)
{
    pyslab_arena *arena = arena_of(256 * MIB);
    void *p = pyslab_kmalloc(arena, 64 * MIB < PAGE_SIZE << 12 ? 64 * MIB : 8 * MIB, KERNEL);

    memset(p, 1, 8 * MIB);
    fill_and_drop(arena, 256 * KIB, 64);
    EXPECT_EQ(nr_background(NULL, 0), 0);
    pyslab_kfree(arena, p);
    sleep_ms(20);
    EXPECT_EQ(nr_background(NULL, 0), 1);
    rig_end(arena);
    EXPECT_EQ(nr_background(NULL, 0), 0);
}

/* When nothing is left it waits without waking up; and it comes back for the next peak. */
static void it_sleeps_and_comes_back(void)
{
    pyslab_arena *arena = arena_of(256 * MIB);
    char task[64] = "";
    uint64_t switches;

    for (int round = 0; round < 2; round++) {
        fill_and_drop(arena, 64 * MIB, 4 * MIB);
        EXPECT_LE(dirty_after_wait(arena, REST_PAGES), REST_PAGES);
        sleep_ms(10 * DELAY_MS);
        EXPECT_EQ(nr_background(task, sizeof task), 1);
        switches = status_of(task, "\nvoluntary_ctxt_switches:", 10);
        EXPECT(switches != UINT64_MAX);
        sleep_ms(10 * DELAY_MS);
        EXPECT_EQ(status_of(task, "\nvoluntary_ctxt_switches:", 10), switches);
    }
    rig_end(arena);
}

static void on_signal(int number)
{
    (void)number;
}

/* Signals are for the program's threads, and the thread that started it keeps its mask. */
static void signals_are_blocked(void)
{
    pyslab_arena *arena = arena_of(64 * MIB);
    char task[64] = "";
    sigset_t before, after;
    uint64_t blocked;

    signal(SIGUSR1, on_signal);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    fill_and_drop(arena, 16 * MIB, 4 * MIB);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    EXPECT_EQ(sigismember(&after, SIGUSR1), sigismember(&before, SIGUSR1));
    sleep_ms(20);
    EXPECT_EQ(nr_background(task, sizeof task), 1);
    blocked = status_of(task, "\nSigBlk:", 16);
    for (int number = 1; number <= 31; number++)
        if (number != SIGKILL && number != SIGSTOP && !UNDER_TSAN && !UNDER_ASAN)
            EXPECT((blocked >> (number - 1) & 1) != 0);
    EXPECT((blocked >> (SIGUSR1 - 1) & 1) != 0);
    rig_end(arena);
}

static void never_and_background_exclude_each_other(void)
{
    pyslab_arena_options options = options_of(16 * MIB);
    pyslab_arena *arena = NULL;

    options.purge_delay_ms = PYSLAB_PURGE_NEVER;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EINVAL);
}

/* --- users' code ---------------------------------------------------------------- */

static pthread_t user;                /* the thread that made the cache */
static _Atomic unsigned nr_elsewhere; /* destructors that ran in another */

static void destruct(void *p, void *context)
{
    (void)p;
    (void)context;
    if (!pthread_equal(pthread_self(), user))
        atomic_fetch_add(&nr_elsewhere, 1);
}

static void no_destructor_runs_in_it(void)
{
    pyslab_arena *arena = arena_of(256 * MIB);
    pyslab_cache_options options = {.struct_size = sizeof options, .dtor = destruct};
    pyslab_kmem_cache *cache;
    static void *p[4096];

    user = pthread_self();
    REQUIRE(pyslab_kmem_cache_create(arena, "hooks", 2048, &options, &cache) == PYSLAB_OK);
    for (int i = 0; i < 4096; i++)
        p[i] = pyslab_kmem_cache_alloc(cache, KERNEL);
    for (int i = 0; i < 4096; i++)
        pyslab_kmem_cache_free(cache, p[i]);
    fill_and_drop(arena, 16 * MIB, 4096);
    EXPECT_LE(dirty_after_wait(arena, REST_PAGES), REST_PAGES);
    sleep_ms(4 * DELAY_MS);
    EXPECT_EQ(nr_elsewhere, 0);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    rig_end(arena);
}

/* --- with other threads, and in children ------------------------------------------ */

static _Atomic bool stop;

static void *busy(void *argument)
{
    pyslab_arena *arena = argument;
    struct rng rng = {(uint64_t)(uintptr_t)&rng | 1};
    void *p[64] = {NULL};

    while (!atomic_load(&stop)) {
        uint32_t i = rng_below(&rng, 64);

        if (p[i] != NULL)
            EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
        p[i] = pyslab_kmalloc(arena, 16 + rng_below(&rng, 100000), KERNEL);
        if (p[i] != NULL)
            memset(p[i], 1, 16);
    }
    for (int i = 0; i < 64; i++)
        pyslab_kfree(arena, p[i]);
    return NULL;
}

/* Threads that end give their frames back under the registry lock, where nothing may start. */
static void threads_that_end(void)
{
    pyslab_arena *arena = arena_of(256 * MIB);
    pthread_t thread[4];

    for (int round = 0; round < 10; round++) {
        atomic_store(&stop, false);
        for (int i = 0; i < 4; i++)
            pthread_create(&thread[i], NULL, busy, arena);
        sleep_ms(DELAY_MS / 2);
        atomic_store(&stop, true);
        for (int i = 0; i < 4; i++)
            pthread_join(thread[i], NULL);
        rig_validate(arena);
    }
    EXPECT_LE(dirty_after_wait(arena, REST_PAGES), REST_PAGES);
    rig_end(arena);
}

/* Recounts find the thread outside. */
static void validate_while_it_works(void)
{
    pyslab_arena_options options = options_of(256 * MIB);
    pyslab_arena *arena;

    options.purge_delay_ms = 2;
    arena = rig_arena_of(&options);
    for (int round = 0; round < 40; round++) {
        fill_and_drop(arena, 8 * MIB, round % 2 == 0 ? 2000 : 1 * MIB);
        for (int i = 0; i < 5; i++) {
            rig_validate(arena);
            sched_yield();
        }
    }
    rig_end(arena);
}

/* A cache that is emptied can be destroyed, whatever the thread has in hand. */
static void caches_come_and_go(void)
{
    pyslab_arena_options options = options_of(256 * MIB);
    pyslab_arena *arena;
    static void *p[20000];

    options.purge_delay_ms = 2;
    arena = rig_arena_of(&options);
    fill_and_drop(arena, 16 * MIB, 1 * MIB);
    for (int round = 0; round < (UNDER_TSAN ? 6 : 60); round++) {
        pyslab_kmem_cache *cache;

        REQUIRE(pyslab_kmem_cache_create(arena, "short", 128, NULL, &cache) == PYSLAB_OK);
        for (int i = 0; i < 20000; i++)
            p[i] = pyslab_kmem_cache_alloc(cache, KERNEL);
        for (int i = 0; i < 20000; i++)
            pyslab_kmem_cache_free(cache, p[i]);
        EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    }
    rig_end(arena);
}

static pyslab_arena *forked;

static void in_child(void)
{
    EXPECT_EQ(nr_background(NULL, 0), 0);
    rig_validate(forked);
    if (UNDER_TSAN) /* allows no thread in the child of a process with several */
        return;
    fill_and_drop(forked, 64 * MIB, 1 * MIB);
    EXPECT_EQ(nr_background(NULL, 0), 1);
    EXPECT_LE(dirty_after_wait(forked, REST_PAGES), REST_PAGES);
    rig_end(forked);
    EXPECT_EQ(nr_background(NULL, 0), 0);
}

static void children_have_their_own(void)
{
    forked = arena_of(256 * MIB);
    fill_and_drop(forked, 64 * MIB, 1 * MIB);
    sleep_ms(20);
    EXPECT_EQ(nr_background(NULL, 0), 1);
    EXPECT_EQ(check_child(in_child), 0); /* while it works */
    EXPECT_LE(dirty_after_wait(forked, REST_PAGES), REST_PAGES);
    sleep_ms(6 * DELAY_MS);
    EXPECT_EQ(check_child(in_child), 0); /* while it sleeps */
    EXPECT_EQ(nr_background(NULL, 0), 1);
    fill_and_drop(forked, 64 * MIB, 1 * MIB);
    EXPECT_LE(dirty_after_wait(forked, REST_PAGES), REST_PAGES);
    rig_end(forked);
}

static void leave(void)
{
    if (UNDER_TSAN) /* see in_child */
        (void)rig_stats(forked);
    else
        fill_and_drop(forked, 4 * MIB, 1 * MIB);
}

/* Forks at any moment of the thread's life, with other threads in the arena. */
static void forks_at_any_moment(void)
{
    pyslab_arena_options options = options_of(256 * MIB);
    pthread_t thread[2];

    options.purge_delay_ms = 2;
    for (int round = 0; round < 3; round++) {
        atomic_store(&stop, false);
        forked = rig_arena_of(&options);
        for (int i = 0; i < 2; i++)
            pthread_create(&thread[i], NULL, busy, forked);
        for (int i = 0; i < (UNDER_TSAN ? 5 : 20); i++) {
            fill_and_drop(forked, 4 * MIB, 1 * MIB);
            EXPECT_EQ(check_child(leave), 0);
        }
        atomic_store(&stop, true);
        for (int i = 0; i < 2; i++)
            pthread_join(thread[i], NULL);
        rig_end(forked);
    }
}

/* vmalloc's side arena is served by the same thread. */
static void vmalloc_too(void)
{
    pyslab_arena *arena = arena_of(256 * MIB);
    size_t bytes = 64 * MIB;
    char *p = pyslab_vmalloc(arena, bytes, KERNEL);

    REQUIRE(p != NULL);
    memset(p, 1, bytes);
    EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    for (int i = 0; i < 500 && load_relaxed(&load_relaxed(&arena->side)->pages.pages_released) <
                                   (bytes >> PAGE_SHIFT) - REST_PAGES;
         i++)
        sleep_ms(10);
    EXPECT_EQ(nr_background(NULL, 0), 1);
    EXPECT_GE(load_relaxed(&load_relaxed(&arena->side)->pages.pages_released),
              (bytes >> PAGE_SHIFT) - REST_PAGES);
    rig_end(arena);
}

/* Each arena has one, and destroying one leaves the other's alone. */
static void two_arenas(void)
{
    pyslab_arena *a = arena_of(64 * MIB), *b = arena_of(64 * MIB);

    fill_and_drop(a, 16 * MIB, 1 * MIB);
    fill_and_drop(b, 16 * MIB, 1 * MIB);
    sleep_ms(20);
    EXPECT_EQ(nr_background(NULL, 0), 2);
    rig_end(a);
    EXPECT_EQ(nr_background(NULL, 0), 1);
    EXPECT_LE(dirty_after_wait(b, REST_PAGES), REST_PAGES);
    rig_end(b);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(an_idle_arena_gives_back),
        TEST(small_objects_too),
        TEST(without_it_nothing_goes),
        TEST(work_above_the_fast_sizes),
        TEST(no_thread_before_it_is_needed),
        TEST(it_sleeps_and_comes_back),
        TEST(signals_are_blocked),
        TEST(never_and_background_exclude_each_other),
        TEST(no_destructor_runs_in_it),
        TEST(threads_that_end),
        TEST(validate_while_it_works),
        TEST(caches_come_and_go),
        TEST(children_have_their_own),
        TEST(forks_at_any_moment),
        TEST(vmalloc_too),
        TEST(two_arenas),
    };

    return run_tests(tests, sizeof tests / sizeof tests[0], argc, argv);
}

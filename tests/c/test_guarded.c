/* test_guarded.c - holds down guard="all": the access that goes wrong ends the process, what a
 * frame cannot stop is found at the free, and beyond the budget memory is allocated as ever. */
#include "rig_debug.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void begin(uint32_t mode, const char *debug)
{
    pyslab_arena_options options = rig_options(64 * MIB, 10);

    sanitize_decline(); /* under a tool there are no guards */
    options.guard = mode;
    options.debug = debug;
    options.purge_delay_ms = PYSLAB_PURGE_NEVER;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_OK);
    pyslab_set_corruption_handler(arena, note, &seen);
    nr_seen = 0;
    memset(&seen, 0, sizeof seen);
}

/* The last report has these words. */
static void expect_words(const char *words)
{
    EXPECT(strstr(seen_text, words) != NULL);
}

static pyslab_debug_stats stats(void)
{
    pyslab_debug_stats out;

    pyslab_arena_debug_stats(arena, &out);
    return out;
}

/* The signal that ends a child which reads, or writes, this byte; 0: none does. */
static int signal_of(volatile char *p, bool writes)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would end the process its own way */
        if (writes)
            *p = 1;
        else
            (void)*p;
        _exit(0);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void expect_fault(char *p)
{
    EXPECT_EQ(signal_of(p, false), SIGSEGV);
    EXPECT_EQ(signal_of(p, true), SIGSEGV);
}

static const size_t sizes[] = {8, 64, 104, 4096, 5000, 262144, 300000, 2000000};

/* The byte behind, the one before a block of whole frames, and after the free each. */
static void faults(void)
{
    begin(PYSLAB_GUARD_ALL, "");
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        char *p = pyslab_kmalloc(arena, sizes[s], KERNEL);

        EXPECT_EQ(pyslab_ksize(arena, p), sizes[s]);
        memset(p, 0x5a, sizes[s]);
        expect_fault(p + sizes[s]);
        if (sizes[s] % PAGE_SIZE == 0)
            expect_fault(p - 1);
        rig_validate(arena);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        expect_fault(p);
        expect_fault(p + sizes[s] - 1);
    }
    EXPECT_EQ(nr_seen, 0);
    rig_end(arena);
}

static void faults_below(void)
{
    begin(PYSLAB_GUARD_BELOW, "");
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        char *p = pyslab_kmalloc(arena, sizes[s], KERNEL);

        memset(p, 0x5a, sizes[s]);
        expect_fault(p - 1);
        if (sizes[s] % PAGE_SIZE == 0)
            expect_fault(p + sizes[s]);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        expect_fault(p);
    }
    EXPECT_EQ(nr_seen, 0);
    rig_end(arena);
}

/* Bytes that share a frame with the block: found at the free, or by a validation. */
static void red_bytes(void)
{
    char *p, message[256];

    begin(PYSLAB_GUARD_ALL, "");
    p = pyslab_kmalloc(arena, 101, KERNEL);
    p[101] = 1;
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 1);
    EXPECT_EQ(seen.kind, PYSLAB_CORRUPTION_RIGHT_REDZONE);
    EXPECT_PTR(seen.object, p);
    EXPECT_EQ(seen.object_size, 101);
    expect_words("BUG kmalloc-112: right red zone overwritten, 1 bytes past the end");
    p = pyslab_kmalloc(arena, 300001, KERNEL);
    p[-1] = 1;
    EXPECT_EQ(pyslab_arena_validate(arena, message, sizeof message), PYSLAB_ECORRUPT);
    EXPECT_EQ(nr_seen, 2);
    expect_words("BUG kmalloc-large: left red zone overwritten, 1 bytes before");
    rig_validate(arena); /* it was made whole */
    EXPECT_EQ(stats().nr_repaired, 2);
    rig_end(arena);
}

/* The alignment that is asked for holds, and the kernel's for sizes that are powers of two. */
static void alignment(void)
{
    for (uint32_t mode = PYSLAB_GUARD_ALL; mode <= PYSLAB_GUARD_BELOW; mode++) {
        begin(mode, "");
        for (size_t size = 1; size <= 8192; size = size * 3 / 2 + 1)
            for (size_t align = 1; align <= 16384; align *= 2) {
                char *p = pyslab_kmalloc_aligned(arena, size, align, KERNEL);

                EXPECT_EQ((uintptr_t)p & (align - 1), 0);
                EXPECT_EQ((uintptr_t)p & 7, 0);
                EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
            }
        for (size_t size = 8; size <= 4096; size *= 2) {
            char *p = pyslab_kmalloc(arena, size, KERNEL);

            EXPECT_EQ((uintptr_t)p & (size - 1), 0);
        }
        rig_end(arena);
    }
}

static void resizing(void)
{
    char *p, *q;

    begin(PYSLAB_GUARD_ALL, "");
    p = pyslab_kmalloc(arena, 1000, KERNEL);
    memset(p, 0x5a, 1000);
    q = pyslab_krealloc(arena, p, 2000, KERNEL);
    expect_fault(p);
    expect_fault(q + 2000);
    EXPECT(rig_is_filled(q, 1000, 0x5a));
    p = pyslab_krealloc(arena, q, 900, KERNEL);
    EXPECT_EQ(pyslab_ksize(arena, p), 900);
    EXPECT(rig_is_filled(p, 900, 0x5a));
    p[900] = 1;
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 1);
    p = pyslab_kzalloc(arena, 5000, KERNEL);
    EXPECT(rig_is_filled(p, 5000, 0));
    EXPECT_EQ(pyslab_kfree_sensitive(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* Objects of a cache are guarded, count as its own, and go back to it alone. */
static void caches(void)
{
    pyslab_kmem_cache *cache = NULL, *other = NULL;
    void *objects[4];
    char *p;

    begin(PYSLAB_GUARD_ALL, "F");
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "one", 200, NULL, &cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "two", 200, NULL, &other), PYSLAB_OK);
    p = pyslab_kmem_cache_alloc(cache, KERNEL);
    expect_fault(p + 200);
    EXPECT_PTR(pyslab_kmem_cache_of(arena, p), cache);
    EXPECT_EQ(pyslab_kmem_cache_live_objects(cache, objects, 4), 1);
    EXPECT_PTR(objects[0], p);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_kmem_cache_free(other, p), PYSLAB_ECACHE);
    expect_words("BUG one: wrong cache");
    EXPECT_EQ(pyslab_kmem_cache_free(cache, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_live_objects(cache, objects, 4), 0);
    EXPECT_EQ(nr_seen, 1);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    rig_end(arena);
}

static void wrong_frees(void)
{
    char *p;

    begin(PYSLAB_GUARD_ALL, "FU");
    p = pyslab_kmalloc(arena, 1000, KERNEL);
    EXPECT_EQ(pyslab_kfree(arena, p + 8), PYSLAB_EPOINTER);
    expect_words("invalid object pointer");
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
    expect_words("BUG kmalloc-1k: object already free");
    EXPECT_EQ(strstr(seen_text, "freed by") != NULL, HAS_BACKTRACE);
    EXPECT_EQ(nr_seen, 2);
    rig_end(arena);
}

/* What waits comes back when memory is short, and all of it in the end. */
static void gives_back(void)
{
    uint64_t used;

    begin(PYSLAB_GUARD_ALL, "");
    used = pyslab_arena_used(arena);
    for (unsigned i = 0; i < 5000; i++)
        EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, 1 + i, KERNEL)), PYSLAB_OK);
    EXPECT_GE(stats().nr_waiting, 300);
    EXPECT_LE(stats().waiting_bytes, 4 * MIB);
    (void)pyslab_arena_release_unused(arena);
    EXPECT_EQ(stats().nr_waiting, 0);
    EXPECT_EQ(pyslab_arena_used(arena), used);
    EXPECT_EQ(stats().nr_guarded, 5000);
    EXPECT_EQ(stats().nr_unguarded, 0);
    rig_end(arena);
}

/* Beyond the budget, which is a fifth of what the system allows, nothing fails. */
static void budget(void)
{
    static void *p[20000];

    begin(PYSLAB_GUARD_ALL, "");
    for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
        p[i] = pyslab_kmalloc(arena, 100, KERNEL);
        memset(p[i], 0x5a, 100);
    }
    EXPECT_GE(stats().nr_guarded, 5000);
    EXPECT_GE(stats().nr_unguarded, 5000);
    EXPECT_EQ(stats().nr_guarded + stats().nr_unguarded, ARRAY_SIZE(p));
    for (size_t i = 0; i < ARRAY_SIZE(p); i++)
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    EXPECT_EQ(nr_seen, 0);
    rig_end(arena);
    begin(PYSLAB_GUARD_ALL, ""); /* the next arena has the whole of it */
    for (size_t i = 0; i < 5000; i++)
        (void)pyslab_kmalloc(arena, 100, KERNEL);
    EXPECT_EQ(stats().nr_unguarded, 0);
    rig_end(arena);
}

/* An arena that is used up, by blocks that are live and ones that wait. */
static void exhausted(void)
{
    pyslab_arena_options options = rig_options(MIB, 8);
    unsigned nr = 0;
    void *p;

    sanitize_decline();
    options.guard = PYSLAB_GUARD_ALL;
    arena = rig_arena_of(&options);
    for (unsigned i = 0; i < 50; i++)
        EXPECT_EQ(pyslab_kfree(arena, pyslab_kmalloc(arena, 100, KERNEL)), PYSLAB_OK);
    while ((p = pyslab_kmalloc(arena, 100, KERNEL)) != NULL)
        nr++;
    EXPECT_GE(nr, 100);
    EXPECT_GE(stats().nr_unguarded, 1);
    rig_validate(arena);
    rig_end(arena);
}

static void environment(void)
{
    setenv("PYSLAB_GUARD", "below", 1);
    begin(PYSLAB_GUARD_DEFAULT, "");
    expect_fault((char *)pyslab_kmalloc(arena, 100, KERNEL) - 1);
    rig_end(arena);
    begin(PYSLAB_GUARD_NO, "");
    (void)pyslab_kmalloc(arena, 100, KERNEL);
    EXPECT_EQ(stats().nr_guarded + stats().nr_unguarded, 0);
    rig_end(arena);
    unsetenv("PYSLAB_GUARD");
}

static const struct test tests[] = {
    TEST(faults),   TEST(faults_below), TEST(red_bytes),   TEST(alignment),
    TEST(resizing), TEST(caches),       TEST(wrong_frees), TEST(gives_back),
    TEST(budget),   TEST(exhausted),    TEST(environment),
};

TEST_MAIN(tests)

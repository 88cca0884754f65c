/* test_vm_debug.c - holds down what areas of vmalloc with debug flags find: writes behind what was
 * asked for, accesses after vfree, wrong frees. In arenas with high memory and without. */
#include "rig.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static pyslab_arena *arena;
static pyslab_corruption seen; /* what the handler was given last */
static uint64_t nr_seen;

static void note(const pyslab_corruption *found, void *context)
{
    (void)context;
    EXPECT(lock_none_is_held());
    seen = *found;
    nr_seen++;
}

static void begin_with(const char *debug, bool high)
{
    static const pyslab_zone_options zones[2] = {
        {.type = PYSLAB_ZONE_NORMAL, .nr_pages = 2048, .batch = 1},
        {.type = PYSLAB_ZONE_HIGHMEM, .nr_pages = 2048, .batch = 1}};
    pyslab_arena_options options = rig_options(16 * MIB, 10);

    options.debug = debug;
    if (high) {
        options.zones = zones;
        options.nr_zones = 2;
    }
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_OK);
    pyslab_set_corruption_handler(arena, note, NULL);
    nr_seen = 0;
    memset(&seen, 0, sizeof seen);
}

static void expect_found(uint32_t kind, const void *object, size_t size, int64_t offset)
{
    EXPECT_EQ(nr_seen, 1);
    EXPECT_EQ(seen.kind, kind);
    EXPECT(strcmp(seen.cache, "vmalloc") == 0);
    EXPECT_PTR(seen.object, object);
    EXPECT_EQ(seen.object_size, size);
    EXPECT_EQ(seen.offset, offset);
    nr_seen = 0;
}

static void overrun(bool high)
{
    char *p;

    begin_with("FZU", high);
    p = pyslab_vmalloc(arena, 10000, KERNEL);
    EXPECT_EQ(pyslab_vsize(arena, p), 10000);
    memset(p, 1, 10000);
    p[10000] = 2;
    EXPECT(pyslab_arena_validate(arena, NULL, 0) != PYSLAB_OK);
    EXPECT_EQ(seen.allocated_at != 0, HAS_BACKTRACE);
    expect_found(PYSLAB_CORRUPTION_RIGHT_REDZONE, p, 10000, 10000);
    EXPECT_EQ(pyslab_arena_validate(arena, NULL, 0), PYSLAB_OK);
    p[12287] = 2;
    EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    expect_found(PYSLAB_CORRUPTION_RIGHT_REDZONE, p, 10000, 12287);
    pyslab_arena_destroy(arena);
}

static void overrun_in_high_memory(void)
{
    overrun(true);
}

static void overrun_beside_low_memory(void)
{
    overrun(false);
}

static void wrong_frees(void)
{
    char *p;

    begin_with("F,vmalloc", true);
    p = pyslab_vmalloc(arena, 10000, KERNEL);
    EXPECT_EQ(pyslab_vfree(arena, p + 4096), PYSLAB_EPOINTER);
    expect_found(PYSLAB_CORRUPTION_INVALID_FREE, NULL, 0, 0);
    EXPECT_PTR(seen.address, p + 4096);
    EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_EPOINTER);
    expect_found(PYSLAB_CORRUPTION_INVALID_FREE, NULL, 0, 0);
    pyslab_arena_destroy(arena);
}

/* A child process reads an area that was freed. */
static void read_after_free(void)
{
    char *p;
    int status = 0;
    pid_t child;

    begin_with("P", true);
    p = pyslab_vmalloc(arena, 10000, KERNEL);
    p[0] = 1;
    EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* sanitizers have a handler, which ends in an exit */
        _exit(*(volatile char *)p);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(WIFSIGNALED(status));
    pyslab_arena_destroy(arena);
}

static void rings_and_sizes(void)
{
    begin_with("FZPU", true);
    for (size_t size = 1; size < 20000; size = size * 2 + 7) {
        char *p = pyslab_vzalloc(arena, size, KERNEL), *ring;

        EXPECT_EQ(pyslab_vsize(arena, p), size);
        for (size_t i = 0; i < size; i++)
            EXPECT_EQ(p[i], 0);
        memset(p, 1, size);
        ring = pyslab_vm_ring(arena, 8192, KERNEL);
        EXPECT_EQ(pyslab_vsize(arena, ring), 16384);
        memset(ring, 1, 16384);
        rig_validate(arena);
        EXPECT_EQ(pyslab_vfree(arena, ring), PYSLAB_OK);
        EXPECT_EQ(pyslab_vfree(arena, p), PYSLAB_OK);
    }
    EXPECT_EQ(nr_seen, 0);
    pyslab_arena_destroy(arena);
}

static const struct test tests[] = {
    TEST(overrun_in_high_memory), TEST(overrun_beside_low_memory), TEST(wrong_frees),
    TEST(read_after_free),        TEST(rings_and_sizes),
};

TEST_MAIN(tests)

/* test_os.c - holds down os/: the life of a mapping, files in memory, advice, and the
 * core's own heap with its account of live bytes. */
#include "os/os.h"

#include "base/bits.h"
#include "os/os_heap.h"

#include "check.h"

#include <pthread.h>
#include <sys/mman.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static size_t resident_pages(void *p, size_t bytes)
{
    static unsigned char map[4096];
    size_t nr = bytes / os_page_bytes(), resident = 0;

    if (nr > sizeof map || mincore(p, bytes, map) != 0)
        abort();
    for (size_t i = 0; i < nr; i++)
        resident += map[i] & 1;
    return resident;
}

/* Every alignment from a page to 1 GiB is honoured, also for sizes smaller than it. */
static void reserve_is_aligned(void)
{
    for (size_t align = os_page_bytes(); align <= 1024 * MIB; align *= 2) {
        void *p = NULL;

        EXPECT_EQ(os_reserve(3 * os_page_bytes(), align, &p), PYSLAB_OK);
        EXPECT_EQ((uintptr_t)p & (align - 1), 0);
        EXPECT_EQ(os_commit(p, 3 * os_page_bytes(), false), PYSLAB_OK);
        memset(p, 1, 3 * os_page_bytes());
        os_release(p, 3 * os_page_bytes());
    }
}

/* Impossible reservations are refused and write nothing. */
static void reserve_refuses_the_impossible(void)
{
    void *p = &p;

    EXPECT_EQ(os_reserve(~(size_t)0 << 12, 4096, &p), PYSLAB_EOS);
    EXPECT_EQ(os_reserve(~(size_t)0 << 12, 1024 * MIB, &p), PYSLAB_EOS);
    EXPECT_EQ(os_reserve((size_t)1 << 60, 4096, &p), PYSLAB_EOS);
    EXPECT_PTR(p, &p);
}

static void touch_reserved(void)
{
    void *p = NULL;

    check_quiet();
    if (os_reserve(4096, 4096, &p) != PYSLAB_OK)
        exit(0);
    *(volatile char *)p = 1;
}

/* Address space that was only reserved cannot be used. */
static void reserved_is_inaccessible(void)
{
    EXPECT_NE(check_child(touch_reserved), 0);
}

/* A commit reads zero, costs nothing until touched, and leaves its neighbours alone. */
static void commit_a_part(void)
{
    char *p;

    REQUIRE(os_reserve(64 * KIB, 64 * KIB, (void **)&p) == PYSLAB_OK);
    EXPECT_EQ(os_commit(p + 16 * KIB, 16 * KIB, true), PYSLAB_OK);
    EXPECT_EQ(resident_pages(p + 16 * KIB, 16 * KIB), 0);
    for (size_t i = 0; i < 16 * KIB; i++)
        EXPECT_EQ(p[16 * KIB + i], 0);
    memset(p + 16 * KIB, 0x5a, 16 * KIB);
    EXPECT_EQ(resident_pages(p + 16 * KIB, 16 * KIB), 16 * KIB / os_page_bytes());
    EXPECT_EQ(os_commit(p + 32 * KIB, 16 * KIB, false), PYSLAB_OK);
    EXPECT_EQ(p[32 * KIB - 1], 0x5a);
    EXPECT_EQ(p[32 * KIB], 0);
    os_release(p, 64 * KIB);
}

/* A discard drops the memory, keeps the range usable, and touches no other page. */
static void discard_reads_zero(void)
{
    char *p;

    REQUIRE(os_reserve(32 * KIB, 4 * KIB, (void **)&p) == PYSLAB_OK);
    REQUIRE(os_commit(p, 32 * KIB, false) == PYSLAB_OK);
    memset(p, 0x77, 32 * KIB);
    EXPECT_EQ(os_discard(p + 8 * KIB, 8 * KIB), PYSLAB_OK);
    EXPECT_EQ(resident_pages(p, 32 * KIB), 24 * KIB / os_page_bytes());
    for (size_t i = 0; i < 32 * KIB; i++)
        EXPECT_EQ(p[i], i >= 8 * KIB && i < 16 * KIB ? 0 : 0x77);
    p[8 * KIB] = 3;
    EXPECT_EQ(p[8 * KIB], 3);
    os_release(p, 32 * KIB);
    EXPECT_EQ(os_discard(p, 32 * KIB), PYSLAB_EOS);
}

static char *uncommitted;

static void touch_uncommitted(void)
{
    check_quiet();
    *(volatile char *)uncommitted = 1;
}

/* What was committed and is no more faults like address space that never was. */
static void uncommitted_is_inaccessible(void)
{
    REQUIRE(os_reserve(8 * KIB, 4 * KIB, (void **)&uncommitted) == PYSLAB_OK);
    REQUIRE(os_commit(uncommitted, 8 * KIB, false) == PYSLAB_OK);
    EXPECT_EQ(check_child(touch_uncommitted), 0);
    REQUIRE(os_uncommit(uncommitted, 4 * KIB) == PYSLAB_OK);
    EXPECT_NE(check_child(touch_uncommitted), 0);
    uncommitted += 4 * KIB;
    EXPECT_EQ(check_child(touch_uncommitted), 0);
    os_release(uncommitted - 4 * KIB, 8 * KIB);
}

/* Advice, asked for or against, leaves content and access as they were. */
static void advice_is_harmless(void)
{
    char *p;

    REQUIRE(os_reserve(4 * MIB, 2 * MIB, (void **)&p) == PYSLAB_OK);
    REQUIRE(os_commit(p, 4 * MIB, false) == PYSLAB_OK);
    os_advise_hugepages(p, 4 * MIB, true);
    memset(p, 0x11, 3 * MIB);
    os_advise_hugepages(p, 4 * MIB, false);
    EXPECT_EQ(p[0], 0x11);
    EXPECT_EQ(p[3 * MIB - 1], 0x11);
    EXPECT_EQ(p[3 * MIB], 0);
    os_release(p, 4 * MIB);
}

/* Huge pages from the reserve: granted and usable, or refused with EOS. */
static void hugetlb_or_eos(void)
{
    char *p;
    int error;

    REQUIRE(os_reserve(2 * MIB, 2 * MIB, (void **)&p) == PYSLAB_OK);
    error = os_commit_hugetlb(p, 2 * MIB);
    if (error == PYSLAB_OK)
        p[2 * MIB - 1] = 1;
    else
        EXPECT_EQ(error, PYSLAB_EOS);
    os_release(p, 2 * MIB);
}

/* What the machine says about itself is plausible. */
static void machine_facts(void)
{
    uint32_t start = os_time_ms(), now = start;

    EXPECT(is_power_of_two(os_page_bytes()));
    EXPECT_GE(os_page_bytes(), 4096);
    EXPECT_GE(os_physical_bytes(), 64 * MIB);
    EXPECT_GE(os_nr_cpus(), 1);
    EXPECT(os_hugepage_bytes() == 0 || is_power_of_two(os_hugepage_bytes()));
    EXPECT_NE(os_random64(), os_random64());
    while (now == start)
        now = os_time_ms();
    EXPECT_LE(now - start, 1000);
}

/* --- the heap ----------------------------------------------------------- */

static size_t heap_rounded(size_t bytes)
{
    size_t size = 64;

    if (bytes > 16 * KIB)
        return align_up(bytes, os_page_bytes());
    while (size < bytes)
        size *= 2;
    return size;
}

/* Blocks are zeroed also when reused, aligned to 64, and counted as rounded. */
static void heap_blocks_are_zeroed_and_counted(void)
{
    static const size_t sizes[] = {1,    63,   64,   65,    100,   128,   4095,   4096,
                                   4097, 8080, 8193, 16384, 16385, 20000, 123456, 1048576};
    size_t before = os_heap_live_bytes();

    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            unsigned char *p = os_heap_alloc(sizes[i]);

            REQUIRE(p != NULL);
            EXPECT_EQ((uintptr_t)p & 63, 0);
            EXPECT_EQ(os_heap_live_bytes() - before, heap_rounded(sizes[i]));
            for (size_t n = 0; n < sizes[i]; n++)
                EXPECT_EQ(p[n], 0);
            memset(p, 0xff, sizes[i]);
            os_heap_free(p, sizes[i]);
            EXPECT_EQ(os_heap_live_bytes(), before);
        }
    os_heap_free(NULL, 100);
    EXPECT_EQ(os_heap_live_bytes(), before);
}

#define NR_BLOCKS 300u

struct heap_churn {
    uint64_t seed;
    pthread_t thread;
};

/* Random blocks, each filled with its own byte: none overlaps another. */
static void *heap_churn(void *argument)
{
    struct heap_churn *churn = argument;
    unsigned char *block[NR_BLOCKS] = {NULL};
    size_t bytes[NR_BLOCKS] = {0};
    struct rng rng = {churn->seed};

    for (int step = 0; step < 8000; step++) {
        uint32_t i = rng_below(&rng, NR_BLOCKS);

        if (block[i] == NULL) {
            bytes[i] = 1 + rng_below(&rng, rng_below(&rng, 8) == 0 ? 40000 : 2000);
            block[i] = os_heap_alloc(bytes[i]);
            if (block[i] != NULL)
                memset(block[i], (int)(i & 0xff), bytes[i]);
            continue;
        }
        for (size_t n = 0; n < bytes[i]; n += 61)
            EXPECT_EQ(block[i][n], i & 0xff);
        EXPECT_EQ(block[i][bytes[i] - 1], i & 0xff);
        os_heap_free(block[i], bytes[i]);
        block[i] = NULL;
    }
    for (uint32_t i = 0; i < NR_BLOCKS; i++)
        os_heap_free(block[i], bytes[i]);
    return NULL;
}

static void heap_blocks_do_not_overlap(void)
{
    struct heap_churn churn[4];
    size_t before = os_heap_live_bytes();

    for (unsigned i = 0; i < ARRAY_SIZE(churn); i++) {
        churn[i].seed = i + 1;
        REQUIRE(pthread_create(&churn[i].thread, NULL, heap_churn, &churn[i]) == 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(churn); i++)
        pthread_join(churn[i].thread, NULL);
    EXPECT_EQ(os_heap_live_bytes(), before);
}

/* --- contracts ---------------------------------------------------------- */

static void reserve_half_a_page(void)
{
    void *p;

    (void)os_reserve(os_page_bytes() / 2, os_page_bytes(), &p);
}

static void reserve_aligned_to_three_pages(void)
{
    void *p;

    (void)os_reserve(os_page_bytes(), 3 * os_page_bytes(), &p);
}

static void commit_within_a_page(void)
{
    char *p;

    if (os_reserve(8 * KIB, 4 * KIB, (void **)&p) == PYSLAB_OK)
        (void)os_commit(p + 64, 4 * KIB, false);
}

static void discard_half_a_page(void)
{
    (void)os_discard(NULL, 100);
}

static void fork_done_without_prepare(void)
{
    os_heap_free(os_heap_alloc(1), 1);
    os_heap_fork_done();
}

static void free_no_block(void)
{
    os_heap_free((char *)os_heap_alloc(100) + 1, 100);
}

/* Nobody has so many bytes. */
static void free_with_another_size(void)
{
    os_heap_free(os_heap_alloc(100), 200);
}

/* A block that is freed twice is on its list twice: the list has no end. */
static void free_twice(void)
{
    void *p = os_heap_alloc(100);

    (void)os_heap_alloc(100);
    os_heap_free(p, 100);
    os_heap_free(p, 100);
    for (int i = 0; i < 600; i++)
        os_heap_free(os_heap_alloc(2000), 2000);
}

/* Broken preconditions end the process, each by its own check. */
static void contracts(void)
{
    EXPECT(check_stops(reserve_half_a_page, "is_whole_pages"));
    EXPECT(check_stops(reserve_aligned_to_three_pages, "is_power_of_two(align)"));
    EXPECT(check_stops(commit_within_a_page, "is_whole_frames"));
    EXPECT(check_stops(discard_half_a_page, "is_whole_frames"));
    EXPECT(check_stops(fork_done_without_prepare, "lock_is_held(&heap.lock)"));
    EXPECT(check_stops(free_no_block, "(uintptr_t)p & 63"));
    EXPECT(check_stops(free_with_another_size, "heap.live_bytes >= "));
    if (PYSLAB_CHECK_LEVEL >= 2)
        EXPECT(check_stops(free_twice, "has no end"));
}

static const struct test tests[] = {
    TEST(reserve_is_aligned),
    TEST(reserve_refuses_the_impossible),
    TEST(commit_a_part),
    TEST(reserved_is_inaccessible),
    TEST(discard_reads_zero),
    TEST(uncommitted_is_inaccessible),
    TEST(advice_is_harmless),
    TEST(hugetlb_or_eos),
    TEST(machine_facts),
    TEST(heap_blocks_are_zeroed_and_counted),
    TEST(heap_blocks_do_not_overlap),
    TEST(contracts),
};

TEST_MAIN(tests)

/* test_track.c - holds down page_alloc/track.h: the table against a model; sums by stack; every
 * kind of allocation is tracked, by whichever way it comes and goes; no memory for an entry;
 * threads; fork. */
#include "rig.h"

#include "base/fault.h"
#include "stack/depot.h"

#include <pthread.h>

#define NR_KEYS 2000u
#define NR_STACKS 77u
#define NR_THREADS 4u
#define ROUNDS (UNDER_TSAN ? 2000u : 20000u)

struct sums {
    uint64_t bytes, count;
    uint32_t nr; /* groups */
};

/* Checks that the groups are in order, and adds them up. */
static struct sums sums_of(struct tracker *tracker)
{
    struct sums sums = {0};
    uint64_t lost;
    struct track_group *group = tracker_groups(tracker, &sums.nr, &lost);

    for (uint32_t i = 0; i < sums.nr; i++) {
        sums.bytes += group[i].bytes;
        sums.count += group[i].count;
        EXPECT(i == 0 || group[i - 1].bytes >= group[i].bytes);
    }
    os_heap_free(group, sums.nr * sizeof *group);
    return sums;
}

/* The groups with the most bytes are the first of all. */
static void expect_top(struct tracker *tracker)
{
    struct track_group top[3];
    uint32_t nr, nr_live, nr_top = tracker_top(tracker, top, 3, &nr_live);
    uint64_t lost;
    struct track_group *group = tracker_groups(tracker, &nr, &lost);

    EXPECT_EQ(nr_live, nr);
    EXPECT_EQ(nr_top, nr < 3 ? nr : 3);
    for (uint32_t i = 0; i < nr_top; i++) {
        EXPECT_EQ(top[i].bytes, group[i].bytes);
        EXPECT_EQ(top[i].count, group[i].count);
        EXPECT_EQ(top[i].stack, group[i].stack);
    }
    os_heap_free(group, nr * sizeof *group);
}

static void expect_sums(struct tracker *tracker, uint64_t bytes, uint64_t count)
{
    struct sums sums = sums_of(tracker);

    EXPECT_EQ(sums.bytes, bytes);
    EXPECT_EQ(sums.count, count);
}

/* --- the table -------------------------------------------------------------- */

struct model {
    uint64_t bytes[NR_KEYS]; /* 0: not there */
    uint64_t sum, count;
};

static void model_set(struct model *model, uint32_t i, uint64_t bytes)
{
    model->count += (uint64_t)(bytes != 0) - (uint64_t)(model->bytes[i] != 0);
    model->sum += bytes - model->bytes[i];
    model->bytes[i] = bytes;
}

static uintptr_t key_of(uint32_t i)
{
    return ((uintptr_t)i + 1) * 16 * (i % 3 == 0 ? 4096 : 1);
}

/* Additions, removals, also of what is not there, and changes of size: as in an array. */
static void table_is_a_map(void)
{
    static struct model model;
    struct tracker *tracker = tracker_new();
    struct rng rng = {1};

    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t k = rng_below(&rng, NR_KEYS);
        uint64_t bytes = 1 + rng_below(&rng, 1000);

        switch (rng_below(&rng, 3)) {
        case 0:
            tracker_add(tracker, key_of(k), bytes, 1 + k % NR_STACKS);
            model_set(&model, k, bytes);
            break;
        case 1:
            tracker_remove(tracker, key_of(k));
            model_set(&model, k, 0);
            break;
        default:
            tracker_resize(tracker, key_of(k), (int64_t)bytes);
            if (model.bytes[k] != 0)
                model_set(&model, k, model.bytes[k] + bytes);
        }
        if (i % 5000 == 0) {
            expect_sums(tracker, model.sum, model.count);
            expect_top(tracker);
        }
    }
    EXPECT_EQ(sums_of(tracker).nr, NR_STACKS);
    for (uint32_t k = 0; k < NR_KEYS; k++)
        tracker_remove(tracker, key_of(k));
    expect_sums(tracker, 0, 0);
    tracker_delete(tracker);
    EXPECT_EQ(os_heap_live_bytes(), 0);
}

#if PYSLAB_CHECK_LEVEL >= 1
/* Without memory entries are lost and counted; those that are there stay; it goes on later. */
static void lost_entries_are_counted(void)
{
    struct tracker *tracker = tracker_new();
    uint32_t nr;
    uint64_t lost;

    tracker_add(tracker, 16, 1, 1);
    fault_inject(1, true);
    for (uint32_t i = 1; i < 1000; i++)
        tracker_add(tracker, 16 * (i + 1), 1, 1);
    EXPECT(tracker_groups(tracker, &nr, &lost) == NULL);
    EXPECT_EQ(nr, UINT32_MAX);
    fault_inject(0, false);
    EXPECT_EQ(sums_of(tracker).count + lost, 1000);
    EXPECT_NE(lost, 0);
    tracker_remove(tracker, 16 * 1000);
    for (uint32_t i = 0; i < 1000; i++)
        tracker_add(tracker, 16 * (i + 1), 1, 1);
    expect_sums(tracker, 1000, 1000);
    tracker_delete(tracker);
}
#endif

/* --- an arena ---------------------------------------------------------------- */

static pyslab_arena *arena;
static struct tracker *tracker;

static void begin(void)
{
    arena = rig_arena(64 * MIB, 10);
    tracker = usage_track(arena->pages.usage, arena->pages.domain);
    EXPECT(tracker != NULL);
    EXPECT_PTR(usage_track(arena->pages.usage, arena->pages.domain), tracker);
}

static void end(void)
{
    expect_sums(tracker, 0, 0);
    rig_validate(arena);
    rig_end(arena);
    EXPECT_LE(os_heap_live_bytes() % 65536, 64); /* pools of stacks; this thread's record */
}

static void kmalloc_is_tracked(void)
{
    void *p, *q, *large;

    begin();
    p = pyslab_kmalloc(arena, 100, KERNEL);
    q = pyslab_kzalloc(arena, 5000, KERNEL);
    expect_sums(tracker, 112 + 5120, 2);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
    expect_sums(tracker, 5120, 1);
    q = pyslab_krealloc(arena, q, 20, KERNEL);
    expect_sums(tracker, pyslab_ksize(arena, q), 1);
    EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
    large = pyslab_kmalloc(arena, MIB, KERNEL);
    EXPECT_PTR(pyslab_krealloc(arena, large, MIB / 2, KERNEL), large);
    expect_sums(tracker, MIB / 2, 1);
    EXPECT(kmalloc_grow_large(&arena->kmalloc, large, MIB));
    expect_sums(tracker, MIB, 1);
    EXPECT_EQ(pyslab_kfree(arena, large), PYSLAB_OK);
    end();
}

static void frames_are_tracked(void)
{
    uint32_t pfn, pfns[10];
    void *area;

    begin();
    pfn = pyslab_alloc_pages(arena, 2, KERNEL);
    EXPECT_EQ(pyslab_get_page(arena, pfn), PYSLAB_OK);
    EXPECT_EQ(pyslab_put_page(arena, pfn), PYSLAB_OK);
    expect_sums(tracker, 4 * PAGE_SIZE, 1);
    EXPECT_EQ(pyslab_split_page(arena, pfn, 2), PYSLAB_OK);
    expect_sums(tracker, 4 * PAGE_SIZE, 4);
    EXPECT_EQ(sums_of(tracker).nr, 1);
    for (uint32_t i = 0; i < 4; i++)
        EXPECT_EQ(pyslab_free_pages(arena, pfn + i, 0), PYSLAB_OK);
    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL, 10, pfns), 10);
    expect_sums(tracker, 10 * PAGE_SIZE, 10);
    for (uint32_t i = 0; i < 10; i++)
        EXPECT_EQ(pyslab_free_pages(arena, pfns[i], 0), PYSLAB_OK);
    area = pyslab_vmalloc(arena, 64 * PAGE_SIZE, KERNEL); /* of a side arena */
    EXPECT_EQ(sums_of(tracker).bytes, 64 * PAGE_SIZE);
    EXPECT_EQ(pyslab_vfree(arena, area), PYSLAB_OK);
    end();
}

static void objects_and_regions_are_tracked(void)
{
    pyslab_kmem_cache *cache;
    pyslab_region *region;
    void *p[40];

    begin();
    EXPECT_EQ(pyslab_kmem_cache_create(arena, "inode", 600, NULL, &cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_kmem_cache_alloc_bulk(cache, KERNEL, 40, p), 40);
    expect_sums(tracker, 40 * 600, 40);
    EXPECT_EQ(pyslab_kmem_cache_free_bulk(cache, 40, p), 40);
    EXPECT_EQ(pyslab_kmem_cache_destroy(cache), PYSLAB_OK);
    EXPECT_EQ(pyslab_region_create(arena, 0, &region), PYSLAB_OK);
    EXPECT(pyslab_region_alloc(region, 100) != NULL);
    EXPECT_EQ(sums_of(tracker).bytes, PAGE_SIZE);
    EXPECT_EQ(pyslab_region_destroy(region), PYSLAB_OK);
    end();
}

/* What was allocated before is not in the report, and its free does no harm. */
static void tracking_begins_later(void)
{
    void *p, *q;

    arena = rig_arena(64 * MIB, 10);
    p = pyslab_kmalloc(arena, 100, KERNEL);
    tracker = usage_track(arena->pages.usage, arena->pages.domain);
    q = pyslab_kmalloc(arena, 100, KERNEL);
    expect_sums(tracker, 112, 1);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    expect_sums(tracker, 112, 1);
    EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
    end();
}

static __attribute__((noinline)) void *one_place(size_t size)
{
    void *p = pyslab_kmalloc(arena, size, KERNEL);

    __asm__ volatile("" ::: "memory"); /* no tail call: this frame is in the stack */
    return p;
}

static __attribute__((noinline)) void *other_place(size_t size)
{
    void *p = pyslab_kmalloc(arena, size, KERNEL);

    __asm__ volatile("" ::: "memory");
    return p;
}

/* A group is a place. */
static void groups_are_places(void)
{
    void *p[4];
    uint32_t nr;
    uint64_t lost;
    struct track_group *group;

    begin();
    for (volatile unsigned i = 0; i < 3; i++)
        p[i] = one_place(100);
    p[3] = other_place(10);
    group = tracker_groups(tracker, &nr, &lost);
    EXPECT_EQ(nr, HAS_BACKTRACE ? 2 : 1); /* untraced, all are of one place */
    EXPECT_EQ(group[0].count, HAS_BACKTRACE ? 3 : 4);
    EXPECT_EQ(group[0].bytes, HAS_BACKTRACE ? 336 : 352);
    EXPECT(!HAS_BACKTRACE || group[0].stack != group[1].stack);
    EXPECT_EQ(lost, 0);
    os_heap_free(group, nr * sizeof *group);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    end();
}

/* The text for C has the sums, and then each place with its calls; it is cut to the room. */
static void the_text(void)
{
    char text[4000], cut[10];
    size_t bytes;
    void *p, *q;

    begin();
    EXPECT_EQ(pyslab_arena_leaks(arena, text, sizeof text), 0);
    EXPECT_EQ(strlen(text), 0);
    p = one_place(100);
    q = other_place(5000);
    bytes = pyslab_arena_leaks(arena, text, sizeof text);
    EXPECT_EQ(bytes, strlen(text));
    EXPECT(strstr(text, "5232 bytes in 2 allocations still in use\n") == text);
    EXPECT_EQ(strstr(text, "\n5120 bytes in 1 allocation:\n") != NULL, HAS_BACKTRACE);
    EXPECT_EQ(strstr(text, "\n112 bytes in 1 allocation:\n") != NULL, HAS_BACKTRACE);
    EXPECT_EQ(strstr(text, "(test_track+0x") != NULL, HAS_BACKTRACE);
    EXPECT_EQ(pyslab_arena_leaks(arena, cut, sizeof cut), bytes);
    EXPECT_EQ(strcmp(cut, "5232 byte"), 0);
    EXPECT_EQ(pyslab_arena_leaks(arena, NULL, 0), bytes);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
    end();
}

static void *churn(void *number)
{
    struct rng rng = {(uintptr_t)number + 1};
    void *held[50] = {0};

    for (unsigned i = 0; i < ROUNDS; i++) {
        void **p = &held[rng_below(&rng, 50)];

        EXPECT_EQ(pyslab_kfree(arena, *p), PYSLAB_OK);
        *p = pyslab_kmalloc(arena, 1 + rng_below(&rng, 20000), KERNEL);
    }
    for (unsigned i = 0; i < 50; i++)
        EXPECT_EQ(pyslab_kfree(arena, held[i]), PYSLAB_OK);
    return NULL;
}

static void threads_are_tracked(void)
{
    pthread_t thread[NR_THREADS];

    begin();
    for (uintptr_t i = 0; i < NR_THREADS; i++)
        if (pthread_create(&thread[i], NULL, churn, (void *)i) != 0)
            abort();
    for (unsigned i = 0; i < NR_THREADS; i++)
        pthread_join(thread[i], NULL);
    end();
}

/* The child's copy of the table is whole, and its own. */
static void children_have_a_copy(void)
{
    void *p;
    pid_t pid;
    int status;

    begin();
    p = pyslab_kmalloc(arena, 100, KERNEL);
    pid = fork();
    if (pid == 0) {
        expect_sums(tracker, 112, 1);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        expect_sums(tracker, 0, 0);
        _exit(check_nr_failures != 0);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    expect_sums(tracker, 112, 1);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    end();
}

static const struct test tests[] = {
    TEST(table_is_a_map),
#if PYSLAB_CHECK_LEVEL >= 1
    TEST(lost_entries_are_counted),
#endif
    TEST(kmalloc_is_tracked),
    TEST(frames_are_tracked),
    TEST(objects_and_regions_are_tracked),
    TEST(tracking_begins_later),
    TEST(groups_are_places),
    TEST(the_text),
    TEST(threads_are_tracked),
    TEST(children_have_a_copy),
};

TEST_MAIN(tests)

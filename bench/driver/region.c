/* region.c - objects of 32 bytes that go together: a region, and malloc and kmalloc beside
 * it.
 *
 * What it is: each round makes so many objects, writes to each, and gives all of them back:
 * by one reset of the region, by a rewind to a mark after each 100, by destroying a region
 * made for each 100; by a free of each for the others. Times are nanoseconds an object, the
 * release included; the fastest round counts, and the median.
 * What it is not: a comparison with other bump allocators.
 *
 * Output: {"region": [{"contender", "objects", "min_ns", "median_ns"}]}
 */
#include "driver.h"
#include <stdlib.h>

enum { OBJECT_BYTES = 32, NR_TOGETHER = 10000, NR_SMALL = 100 };

static const uint64_t arena_bytes = (uint64_t)256 << 20;

struct task {
    pyslab_arena *arena;
    pyslab_region *region;
    void **slots;    /* NR_TOGETHER */
    uint64_t nr_ops; /* a multiple of NR_TOGETHER */
};

static void objects_make(pyslab_region *region, uint64_t nr)
{
    for (uint64_t i = 0; i < nr; i++)
        bench_use(pyslab_region_alloc(region, OBJECT_BYTES));
}

static void run_reset(void *argument)
{
    struct task *task = argument;

    for (uint64_t done = 0; done < task->nr_ops; done += NR_TOGETHER) {
        objects_make(task->region, NR_TOGETHER);
        pyslab_region_reset(task->region);
    }
}

static void run_rewind(void *argument)
{
    struct task *task = argument;

    for (uint64_t done = 0; done < task->nr_ops; done += NR_SMALL) {
        uint64_t mark = pyslab_region_mark(task->region);

        objects_make(task->region, NR_SMALL);
        pyslab_region_rewind(task->region, mark);
    }
}

static void run_destroy(void *argument)
{
    struct task *task = argument;

    for (uint64_t done = 0; done < task->nr_ops; done += NR_SMALL) {
        pyslab_region *region;

        if (pyslab_region_create(task->arena, 0, &region) != PYSLAB_OK)
            bench_die("no memory for a region");
        objects_make(region, NR_SMALL);
        pyslab_region_destroy(region);
    }
}

static void run_kmalloc(void *argument)
{
    struct task *task = argument;

    for (uint64_t done = 0; done < task->nr_ops; done += NR_TOGETHER) {
        for (uint64_t i = 0; i < NR_TOGETHER; i++)
            bench_use(
                task->slots[i] = pyslab_kmalloc(task->arena, OBJECT_BYTES, PYSLAB_GFP_KERNEL));
        for (uint64_t i = 0; i < NR_TOGETHER; i++)
            pyslab_kfree(task->arena, task->slots[i]);
    }
}

static void run_malloc(void *argument)
{
    struct task *task = argument;

    for (uint64_t done = 0; done < task->nr_ops; done += NR_TOGETHER) {
        for (uint64_t i = 0; i < NR_TOGETHER; i++)
            bench_use(task->slots[i] = malloc(OBJECT_BYTES));
        for (uint64_t i = 0; i < NR_TOGETHER; i++)
            free(task->slots[i]);
    }
}

static const struct bench_entry contenders[] = {
    {"region, reset", BENCH_PYSLAB, run_reset, NR_TOGETHER},
    {"region, rewind", BENCH_PYSLAB, run_rewind, NR_SMALL},
    {"region, destroy", BENCH_PYSLAB, run_destroy, NR_SMALL},
    {"kmalloc", BENCH_PYSLAB, run_kmalloc, NR_TOGETHER},
    {"malloc", BENCH_LIBC, run_malloc, NR_TOGETHER},
};

enum { NR_CONTENDERS = sizeof(contenders) / sizeof(contenders[0]) };

void bench_run_region(const struct bench_options *options)
{
    struct task task = {.arena = bench_arena_create(arena_bytes),
                        .slots = bench_map(NR_TOGETHER * sizeof(void *)),
                        .nr_ops = bench_scale(100, options->scale) * NR_TOGETHER};

    if (pyslab_region_create(task.arena, 0, &task.region) != PYSLAB_OK)
        bench_die("no memory for a region");
    bench_run_contest(options, "region", contenders, NR_CONTENDERS, &task, task.nr_ops);
    bench_unmap(task.slots, NR_TOGETHER * sizeof(void *));
    pyslab_region_destroy(task.region);
    pyslab_arena_destroy(task.arena);
}

/* capi.c - the calls of an extension: through the table of the C API, beside malloc.
 *
 * What it is: a client of pyslab.h, compiled as any extension is: it sees the table and the
 * wrappers, not the prototypes, and gets the table by its address at run time. Pairs of an
 * allocation of 64 bytes, a byte written and a free; objects of 32 bytes of a region, bumped
 * in the header, with one reset for each 10000. Times are nanoseconds a pair or an object, in
 * rounds of all contenders in turn; the fastest round counts, and the median.
 * What it is not: a measurement of anything but the way to the functions; what the functions
 * themselves cost is measured by the other modes.
 *
 * Output: {"capi": [{"contender", "min_ns", "median_ns"}]}
 */
#undef PYSLAB_CORE
#define PYSLAB_NO_PYTHON
#include "driver.h"
#include <stdlib.h>

enum { PAIR_BYTES = 64, OBJECT_BYTES = 32, NR_TOGETHER = 10000 };

static const uint64_t arena_bytes = (uint64_t)256 << 20;

struct task {
    pyslab_arena *arena;
    pyslab_kmem_cache *cache;
    pyslab_region *region;
    uint64_t nr_ops; /* a multiple of NR_TOGETHER */
};

static void run_malloc(void *argument)
{
    struct task *task = argument;

    for (uint64_t i = 0; i < task->nr_ops; i++) {
        void *p = malloc(PAIR_BYTES);

        bench_use(p);
        free(p);
    }
}

static void run_kmalloc(void *argument)
{
    struct task *task = argument;

    for (uint64_t i = 0; i < task->nr_ops; i++) {
        void *p = pyslab_kmalloc(task->arena, PAIR_BYTES, PYSLAB_GFP_KERNEL);

        bench_use(p);
        (void)pyslab_kfree(task->arena, p);
    }
}

static void run_kmem_cache(void *argument)
{
    struct task *task = argument;

    for (uint64_t i = 0; i < task->nr_ops; i++) {
        void *p = pyslab_kmem_cache_alloc(task->cache, PYSLAB_GFP_KERNEL);

        bench_use(p);
        (void)pyslab_kmem_cache_free(task->cache, p);
    }
}

static void run_region(void *argument)
{
    struct task *task = argument;

    for (uint64_t done = 0; done < task->nr_ops; done += NR_TOGETHER) {
        for (uint64_t i = 0; i < NR_TOGETHER; i++)
            bench_use(pyslab_region_alloc(task->region, OBJECT_BYTES));
        pyslab_region_reset(task->region);
    }
}

static const struct bench_entry contenders[] = {
    {"malloc + free", BENCH_LIBC, run_malloc, 0},
    {"kmalloc + kfree", BENCH_PYSLAB, run_kmalloc, 0},
    {"kmem_cache alloc + free", BENCH_PYSLAB, run_kmem_cache, 0},
    {"region alloc", BENCH_PYSLAB, run_region, 0},
};

enum { NR_CONTENDERS = sizeof(contenders) / sizeof(contenders[0]) };

void bench_run_capi(const struct bench_options *options)
{
    struct task task = {.nr_ops = bench_scale(40, options->scale) * NR_TOGETHER};

    if (pyslab_set_api(bench_api_table()) != PYSLAB_OK)
        bench_die("the table is of another version");
    task.arena = bench_arena_create(arena_bytes);
    if (pyslab_kmem_cache_create(task.arena, "pair", PAIR_BYTES, NULL, &task.cache) != PYSLAB_OK ||
        pyslab_region_create(task.arena, 0, &task.region) != PYSLAB_OK)
        bench_die("no memory for a cache and a region");
    bench_run_contest(options, "capi", contenders, NR_CONTENDERS, &task, task.nr_ops);
    pyslab_region_destroy(task.region);
    pyslab_kmem_cache_destroy(task.cache);
    pyslab_arena_destroy(task.arena);
}

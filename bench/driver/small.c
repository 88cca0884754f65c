/* small.c - what a program with a few small objects pays for its allocator.
 *
 * What it is: the growth of this process by 5000 objects of 16 to 500 bytes, written
 * in full, from before the first call: code that becomes resident and what the
 * allocator sets up are part of it. So it measures one contender, in this process.
 * What it is not: a measurement of live sets; see memory.c.
 *
 * Output: {"small": [{"contender", "resident_bytes"}]}
 */
#include "driver.h"
#include <inttypes.h>
#include <string.h>

enum { NR_OBJECTS = 5000, SMALL_MIN = 16, SMALL_MAX = 500 };

static const uint64_t arena_bytes = (uint64_t)16 << 30;

/* The resident set is read twice before the work: the first reading makes the code and buffers
 * of the reading itself resident, the second one is the base. */
static uint64_t growth_measure(const struct bench_heap *heap)
{
    uint64_t random = 0x9e3779b97f4a7c15u;
    pyslab_arena *arena = NULL;
    uint64_t before, after;

    (void)bench_resident_bytes();
    before = bench_resident_bytes();
    if (heap->allocator == BENCH_PYSLAB)
        arena = bench_arena_create(arena_bytes);
    for (unsigned i = 0; i < NR_OBJECTS; i++) {
        size_t bytes = (size_t)(SMALL_MIN + bench_random_below(&random, SMALL_MAX - SMALL_MIN + 1));
        void *p = heap->alloc(arena, bytes);

        memset(p, 1, bytes);
        bench_keep(p);
    }
    after = bench_resident_bytes();
    if (arena)
        pyslab_arena_destroy(arena);
    return after > before ? after - before : 0;
}

void bench_run_small(const struct bench_options *options)
{
    for (size_t i = 0; i < bench_heaps_length; i++) {
        if (options->only != bench_heaps[i].allocator)
            continue;
        printf("{\"small\": [{\"contender\": \"%s\", \"resident_bytes\": %" PRIu64 "}]}\n",
               bench_heaps[i].name, growth_measure(&bench_heaps[i]));
        bench_progress(1, 1);
        return;
    }
    bench_die("--small needs --only libc or --only pyslab");
}

/* supply.c - which path of pyslab serves the objects of each cache.
 *
 * What it is: the workload "random sizes, 1e5 live" without a clock, then the counters
 * of every cache that was used: objects that came from the sheaf at hand, and how often
 * the slower paths were taken.
 * What it is not: a comparison; only pyslab has these paths.
 *
 * Output: {"supply": [{"cache", "object_size", "sheaf_capacity", "objects", "sheaf",
 * "swap", "barn", "partial", "empty", "buddy"}]}
 */
#include "driver.h"
#include <inttypes.h>

enum { NR_LIVE = 100000, NR_OPS = 2000000 };

static const uint64_t arena_bytes = (uint64_t)4 << 30;

static void cache_print(const pyslab_cache_stats *stats, const char *separator)
{
    printf("%s\n  {\"cache\": \"%s\", \"object_size\": %" PRIu32 ", \"sheaf_capacity\": %" PRIu32
           ", \"objects\": %" PRIu64 ", \"sheaf\": %" PRIu64 ", \"swap\": %" PRIu64
           ", \"barn\": %" PRIu64 ", \"partial\": %" PRIu64 ", \"empty\": %" PRIu64
           ", \"buddy\": %" PRIu64 "}",
           separator, stats->name, stats->object_size, stats->sheaf_capacity, stats->total_allocs,
           stats->supply_sheaf, stats->supply_swap, stats->supply_barn, stats->supply_partial,
           stats->supply_empty, stats->supply_buddy);
}

static void supply_measure(const struct bench_options *options)
{
    const struct bench_method *method = &bench_pyslab_methods.random;
    struct bench_state state = {
        .arena = bench_arena_create(arena_bytes),
        .argument = bench_scale(NR_LIVE, options->scale),
        .random = 0x9e3779b97f4a7c15u,
    };
    const char *separator = "";
    pyslab_cache_stats stats;

    method->prepare(&state);
    (void)method->run(&state, bench_scale(NR_OPS, options->scale));
    for (uint32_t i = 0; pyslab_arena_cache_stats(state.arena, i, &stats) == PYSLAB_OK; i++) {
        if (stats.total_allocs == 0)
            continue;
        cache_print(&stats, separator);
        separator = ",";
    }
    method->finish(&state);
    pyslab_arena_destroy(state.arena);
}

void bench_run_supply(const struct bench_options *options)
{
    printf("{\"supply\": [");
    if (bench_takes_part(options, BENCH_PYSLAB))
        supply_measure(options);
    printf("\n]}\n");
    bench_progress(1, 1);
}

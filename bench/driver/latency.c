/* latency.c - how long single calls take while many objects live.
 *
 * What it is: live sets of 1e3, 1e5 and (at scale 1 and above) 1e7 small objects; in
 * each round random objects are replaced, first timed as a whole, then call by call.
 * Each contender works in a child of its own, so that it finds no other's heap. The
 * cost of reading the clock is part of every latency, and is reported.
 * What it is not: a histogram with exact figures; a bucket is 3 % wide (inline.h), and
 * stands for its least latency.
 *
 * Output: {"latency": [{"contender", "live", "clock_ns", "ns_per_op": [...], "p50",
 * "p99", "p99.9", "max": one figure per round, "alloc", "release": [[ns, calls]]}]}
 */
#include "driver.h"
#include <inttypes.h>

enum {
    NR_OPS = 100000,       /* of a round at scale 1: p99.9 is the 200th slowest call, and a round is
                              so short that some have no other work of the machine in them */
    CLOCK_READINGS = 4096, /* that find the clock's own cost */
    CALIBRATE_MS = 5,
    NR_RANKS = 4,
};

static const uint64_t arena_bytes = (uint64_t)8 << 30;
static const uint64_t live_sets[] = {1000, 100000, 10000000};
static const double scale_of_largest = 1.0;

enum { NR_LIVE_SETS = sizeof(live_sets) / sizeof(live_sets[0]) };

static const struct rank {
    const char *name;
    double share; /* of all calls that are at most as slow */
} ranks[NR_RANKS] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1.0}};

struct task {
    const struct bench_heap *heap;
    uint64_t live;
    uint64_t nr_ops;
    uint64_t rounds;
};

struct round {
    double ns_per_op;
    double ranks[NR_RANKS];
};

struct result {
    double clock_ns;
    double ns_per_tick;
    struct bench_latencies latencies; /* of all rounds */
    struct round rounds[];            /* task.rounds */
};

static double ns_per_tick(void)
{
    uint64_t ns = bench_now_ns();
    uint64_t ticks = bench_ticks();

    bench_sleep_ms(CALIBRATE_MS);
    ticks = bench_ticks() - ticks;
    ns = bench_now_ns() - ns;
    return (double)ns / (double)(ticks ? ticks : 1);
}

/* Least ticks of the bucket in which the call of this rank falls. */
static uint64_t rank_ticks(const struct bench_latencies *latencies, double share)
{
    uint64_t total = 0, seen = 0, wanted;
    size_t bucket = 0;

    for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++)
        total += latencies->alloc.count[i] + latencies->release.count[i];
    wanted = bench_scale(total, share);
    for (; bucket < BENCH_HISTOGRAM_BUCKETS - 1; bucket++) {
        seen += latencies->alloc.count[bucket] + latencies->release.count[bucket];
        if (seen >= wanted)
            break;
    }
    return bench_histogram_floor(bucket);
}

static void histogram_add(struct bench_histogram *sum, const struct bench_histogram *more)
{
    for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++)
        sum->count[i] += more->count[i];
}

/* The median of two readings with nothing in between. */
static uint64_t clock_ticks(void)
{
    struct bench_latencies readings = {0};

    for (unsigned i = 0; i < CLOCK_READINGS; i++) {
        uint64_t start = bench_ticks();

        readings.alloc.count[bench_histogram_bucket(bench_ticks() - start)]++;
    }
    return rank_ticks(&readings, ranks[0].share);
}

static void task_run(const void *context, void *shared)
{
    const struct task *task = context;
    const struct bench_methods *methods = task->heap->methods;
    struct result *result = shared;
    struct bench_latencies *latencies = bench_map(sizeof(*latencies));
    struct bench_state state = {.argument = task->live, .random = 0x9e3779b97f4a7c15u};

    if (task->heap->allocator == BENCH_PYSLAB)
        state.arena = bench_arena_create(arena_bytes);
    result->ns_per_tick = ns_per_tick();
    result->clock_ns = (double)clock_ticks() * result->ns_per_tick;
    methods->objects.prepare(&state);
    for (uint64_t i = 0; i < task->rounds; i++) {
        struct round *round = &result->rounds[i];
        uint64_t ns = methods->objects.run(&state, task->nr_ops);

        round->ns_per_op = (double)ns / (double)task->nr_ops;
        *latencies = (struct bench_latencies){0};
        methods->objects_sample(&state, task->nr_ops, latencies);
        for (size_t j = 0; j < NR_RANKS; j++)
            round->ranks[j] = (double)rank_ticks(latencies, ranks[j].share) * result->ns_per_tick;
        histogram_add(&result->latencies.alloc, &latencies->alloc);
        histogram_add(&result->latencies.release, &latencies->release);
    }
    /* The process ends here: nobody needs the live set freed one by one. */
}

static void histogram_print(const char *name, const struct bench_histogram *histogram, double tick)
{
    const char *separator = "";

    printf(",\n   \"%s\": [", name);
    for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
        if (histogram->count[i] == 0)
            continue;
        printf("%s[%.2f, %" PRIu64 "]", separator, (double)bench_histogram_floor(i) * tick,
               histogram->count[i]);
        separator = ", ";
    }
    putchar(']');
}

static void result_print(const struct task *task, const struct result *result,
                         const char *separator)
{
    printf("%s\n  {\"contender\": \"%s\", \"live\": %" PRIu64 ", \"clock_ns\": %.2f", separator,
           task->heap->name, task->live, result->clock_ns);
    printf(", \"ns_per_op\": [");
    for (uint64_t i = 0; i < task->rounds; i++)
        printf("%s%.2f", i ? ", " : "", result->rounds[i].ns_per_op);
    putchar(']');
    for (size_t j = 0; j < NR_RANKS; j++) {
        printf(", \"%s\": [", ranks[j].name);
        for (uint64_t i = 0; i < task->rounds; i++)
            printf("%s%.2f", i ? ", " : "", result->rounds[i].ranks[j]);
        putchar(']');
    }
    histogram_print("alloc", &result->latencies.alloc, result->ns_per_tick);
    histogram_print("release", &result->latencies.release, result->ns_per_tick);
    putchar('}');
}

void bench_run_latency(const struct bench_options *options)
{
    size_t bytes = sizeof(struct result) + (size_t)options->rounds * sizeof(struct round);
    struct result *result = bench_map(bytes);
    uint64_t step = 0, total = NR_LIVE_SETS * bench_heaps_length;
    const char *separator = "";

    printf("{\"latency\": [");
    for (size_t i = 0; i < NR_LIVE_SETS; i++) {
        for (size_t j = 0; j < bench_heaps_length; j++) {
            struct task task = {
                .heap = &bench_heaps[j],
                .live = live_sets[i],
                .nr_ops = bench_scale(NR_OPS, options->scale),
                .rounds = options->rounds,
            };
            bool is_left_out = i == NR_LIVE_SETS - 1 && options->scale < scale_of_largest;

            if (!is_left_out && bench_takes_part(options, task.heap->allocator)) {
                struct bench_child child = bench_child_start(task_run, &task, bytes);

                bench_child_finish(&child, result);
                result_print(&task, result, separator);
                separator = ",";
            }
            bench_progress(++step, total);
        }
    }
    printf("\n]}\n");
    bench_unmap(result, bytes);
}

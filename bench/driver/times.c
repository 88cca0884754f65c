/* times.c - runs the catalogue, contenders interleaved, and prints the times.
 *
 * What it is: for each workload, rounds in which every contender runs once; the
 * contender that starts moves on by one each round, so that a slow spell of the
 * machine, or the order, favours nobody. A shorter run before warms caches up.
 * What it is not: a judge; minimum, median and ratios are the reader's work.
 *
 * Output: {"results": [{"group", "workload", "contender", "ops", "ns_per_op": [...]}]}
 */
#include "driver.h"

enum { WARM_UP_SHARE = 8 }; /* the warm-up does one n-th of a round */

static const uint64_t arena_bytes = (uint64_t)4 << 30;

struct lane { /* a contender that takes part */
    const struct bench_contender *contender;
    struct bench_state state;
    uint64_t nr_ops;
    double *ns_per_op; /* one figure per round */
};

struct report {
    uint64_t step;  /* rounds of workloads finished */
    uint64_t total; /* ... of all of them */
    const char *separator;
};

static uint64_t lanes_select(const struct bench_workload *workload,
                             const struct bench_options *options, struct lane *lanes)
{
    uint64_t nr = 0;

    for (size_t i = 0; i < BENCH_CONTENDERS_MAX && workload->contenders[i].method; i++) {
        const struct bench_contender *contender = &workload->contenders[i];

        if (bench_takes_part(options, contender->allocator))
            lanes[nr++].contender = contender;
    }
    return nr;
}

static void lane_open(struct lane *lane, pyslab_arena *arena, const struct bench_options *options)
{
    const struct bench_contender *contender = lane->contender;

    lane->state = (struct bench_state){
        .arena = arena,
        .argument = contender->argument,
        .random = 0x9e3779b97f4a7c15u,
    };
    lane->nr_ops = bench_scale(contender->nr_ops, options->scale);
    lane->ns_per_op = bench_map((size_t)options->rounds * sizeof(double));
    if (contender->method->prepare)
        contender->method->prepare(&lane->state);
    contender->method->run(&lane->state, bench_scale(lane->nr_ops, 1.0 / WARM_UP_SHARE));
}

static void lane_close(struct lane *lane, const struct bench_options *options)
{
    if (lane->contender->method->finish)
        lane->contender->method->finish(&lane->state);
    bench_unmap(lane->ns_per_op, (size_t)options->rounds * sizeof(double));
}

static void lane_print(const struct bench_workload *workload, const struct lane *lane,
                       const struct bench_options *options, struct report *report)
{
    printf("%s\n  {\"group\": \"%s\", \"workload\": \"%s\", \"contender\": \"%s\", \"ops\": %llu, "
           "\"ns_per_op\": [",
           report->separator, workload->group, workload->name, lane->contender->name,
           (unsigned long long)lane->nr_ops);
    for (uint64_t round = 0; round < options->rounds; round++)
        printf("%s%.4f", round ? ", " : "", lane->ns_per_op[round]);
    printf("]}");
    report->separator = ",";
}

static void workload_run(const struct bench_workload *workload, pyslab_arena *arena,
                         const struct bench_options *options, struct report *report)
{
    struct lane lanes[BENCH_CONTENDERS_MAX];
    uint64_t nr = lanes_select(workload, options, lanes);

    if (nr == 0)
        return;
    for (uint64_t i = 0; i < nr; i++)
        lane_open(&lanes[i], arena, options);
    for (uint64_t round = 0; round < options->rounds; round++) {
        for (uint64_t i = 0; i < nr; i++) {
            struct lane *lane = &lanes[(round + i) % nr];
            uint64_t ns = lane->contender->method->run(&lane->state, lane->nr_ops);

            lane->ns_per_op[round] = (double)ns / (double)lane->nr_ops;
        }
        bench_progress(++report->step, report->total);
    }
    for (uint64_t i = 0; i < nr; i++) {
        lane_print(workload, &lanes[i], options, report);
        lane_close(&lanes[i], options);
    }
}

void bench_run_times(const struct bench_options *options)
{
    bool with_pyslab = bench_takes_part(options, BENCH_PYSLAB);
    pyslab_arena *arena = with_pyslab ? bench_arena_create(arena_bytes) : NULL;
    struct report report = {.separator = ""};

    for (size_t i = 0; i < bench_catalogue_length; i++) {
        struct lane lanes[BENCH_CONTENDERS_MAX];

        if (lanes_select(&bench_catalogue[i], options, lanes))
            report.total += options->rounds;
    }
    printf("{\"rounds\": %llu, \"scale\": %g, \"results\": [", (unsigned long long)options->rounds,
           options->scale);
    for (size_t i = 0; i < bench_catalogue_length; i++)
        workload_run(&bench_catalogue[i], arena, options, &report);
    printf("\n]}\n");
    if (arena)
        pyslab_arena_destroy(arena);
}

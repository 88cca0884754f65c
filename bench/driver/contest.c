/* contest.c - contenders that share one task, in rounds of all of them in turn.
 *
 * What it is: the timing of region.c and capi.c, and the list they print: for each contender
 * the nanoseconds an operation of its fastest round, and of the median one.
 * What it is not: for workloads of the catalogue, which have a state each (times.c).
 */
#include "driver.h"
#include "inline.h"
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double run_timed(const struct bench_entry *entry, void *task, uint64_t nr_ops)
{
    uint64_t start = bench_now_ns();

    entry->run(task);
    return (double)(bench_now_ns() - start) / (double)nr_ops;
}

static void print_entry(const struct bench_entry *entry, const double *sorted, uint64_t rounds)
{
    printf("\n  {\"contender\": \"%s\", ", entry->name);
    if (entry->nr_objects != 0)
        printf("\"objects\": %llu, ", (unsigned long long)entry->nr_objects);
    printf("\"min_ns\": %.2f, \"median_ns\": %.2f}", sorted[0], sorted[rounds / 2]);
}

void bench_run_contest(const struct bench_options *options, const char *name,
                       const struct bench_entry *entries, size_t nr, void *task, uint64_t nr_ops)
{
    size_t bytes = options->rounds * nr * sizeof(double);
    double *ns = bench_map(bytes);
    const char *comma = "";

    for (uint64_t round = 0; round < options->rounds; round++)
        for (size_t i = 0; i < nr; i++)
            if (bench_takes_part(options, entries[i].allocator))
                ns[i * options->rounds + round] = run_timed(&entries[i], task, nr_ops);
    printf("{\"%s\": [", name);
    for (size_t i = 0; i < nr; i++) {
        double *of = &ns[i * options->rounds];

        if (!bench_takes_part(options, entries[i].allocator))
            continue;
        qsort(of, options->rounds, sizeof *of, compare);
        fputs(comma, stdout);
        print_entry(&entries[i], of, options->rounds);
        comma = ",";
    }
    fputs("\n]}\n", stdout);
    bench_unmap(ns, bytes);
}

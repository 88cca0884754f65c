/* main.c - the command line of the benchmark driver.
 *
 * What it is: options, --list, and the choice of a mode.
 * What it is not: a user's tool; `python -m pyslab bench` runs it, also with
 * another malloc preloaded, and reads the JSON document on stdout.
 *
 * Exit status: 0, 1 when something could not be measured, 2 for bad arguments.
 */
#include "driver.h"
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS_DEFAULT = 11, ROUNDS_MAX = 100000, USAGE_STATUS = 2 };

static const double scale_max = 1000.0;

static const char *const allocator_names[] = {
    [BENCH_LIBC] = "libc",
    [BENCH_PYSLAB] = "pyslab",
    [BENCH_MMAP] = "mmap",
};

static _Noreturn void usage(void)
{
    fputs("usage: driver [--rounds N] [--scale F] [--only libc|pyslab|mmap]\n"
          "              [--list | --memory | --threads | --latency | --residency | --small |\n"
          "               --zeroed | --fragmentation | --supply | --aligned | --region |\n"
          "               --capi | --shared | --fork]\n",
          stderr);
    exit(USAGE_STATUS);
}

static uint64_t parse_rounds(const char *text)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value < 1 || value > ROUNDS_MAX)
        usage();
    return value;
}

static double parse_scale(const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !isfinite(value) || value <= 0.0 || value > scale_max)
        usage();
    return value;
}

static enum bench_allocator parse_allocator(const char *text)
{
    for (enum bench_allocator i = BENCH_LIBC; i < BENCH_ANY; i++)
        if (strcmp(text, allocator_names[i]) == 0)
            return i;
    usage();
}

static void list(void)
{
    for (size_t i = 0; i < bench_catalogue_length; i++) {
        const struct bench_workload *workload = &bench_catalogue[i];

        printf("%s: %s:", workload->group, workload->name);
        for (size_t j = 0; j < BENCH_CONTENDERS_MAX && workload->contenders[j].method; j++)
            printf("%s %s", j ? "," : "", workload->contenders[j].name);
        putchar('\n');
    }
}

/* What --NAME runs. The value that getopt_long returns for modes[i] is MODE_FIRST + i. */
struct mode {
    const char *name;
    void (*run)(const struct bench_options *options);
};

enum { MODE_FIRST = 256 };

static const struct mode modes[] = {
    {"memory", bench_run_memory},
    {"threads", bench_run_threads},
    {"latency", bench_run_latency},
    {"residency", bench_run_residency},
    {"small", bench_run_small},
    {"zeroed", bench_run_zeroed},
    {"fragmentation", bench_run_fragmentation},
    {"supply", bench_run_supply},
    {"aligned", bench_run_aligned},
    {"region", bench_run_region},
    {"capi", bench_run_capi},
    {"shared", bench_run_shared},
    {"fork", bench_run_fork},
};

enum { NR_MODES = sizeof(modes) / sizeof(modes[0]), NR_OTHERS = 4 };

int main(int argc, char **argv)
{
    struct option long_options[NR_OTHERS + NR_MODES + 1] = {
        {"rounds", required_argument, NULL, 'r'},
        {"scale", required_argument, NULL, 's'},
        {"only", required_argument, NULL, 'o'},
        {"list", no_argument, NULL, 'l'},
    };
    struct bench_options options = {.rounds = ROUNDS_DEFAULT, .scale = 1.0, .only = BENCH_ANY};
    void (*run)(const struct bench_options *) = bench_run_times;
    int option;

    for (int i = 0; i < NR_MODES; i++)
        long_options[NR_OTHERS + i] = (struct option){modes[i].name, no_argument, NULL,
                                                      MODE_FIRST + i};
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'r':
            options.rounds = parse_rounds(optarg);
            break;
        case 's':
            options.scale = parse_scale(optarg);
            break;
        case 'o':
            options.only = parse_allocator(optarg);
            break;
        case 'l':
            list();
            return EXIT_SUCCESS;
        default:
            if (option < MODE_FIRST)
                usage();
            run = modes[option - MODE_FIRST].run;
        }
    }
    if (optind != argc)
        usage();
    run(&options);
    if (fflush(stdout) != 0)
        bench_die("cannot write the result");
    return EXIT_SUCCESS;
}

/* threads.c - one thread and two threads, each on objects of its own.
 *
 * What it is: a ring of 64 blocks of 64 bytes whose oldest makes room, and 64 live
 * blocks of random sizes, on one thread and on two at once. Nothing is shared but the
 * allocator, so two threads should do twice the work of one. "none" reads and
 * writes a random pointer of 64: what the machine's processors can do together. Threads
 * stay on a processor each, where the machine has two; the slower one's time counts.
 * What it is not: a measurement of blocks that change threads; see producer/consumer.
 *
 * Output: {"threads": [{"contender", "workload", "one_ns": [...], "two_ns": [...]}]};
 * nanoseconds per operation of one thread, a figure per round.
 */
#include "driver.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum {
    NR_THREADS = 2,
    NR_LIVE = 64,      /* blocks of each thread */
    NR_OPS = 250000,   /* of each thread and round at scale 1: a millisecond or two, so that some
                          rounds have both processors to themselves on a machine with other work */
    WARM_UP_SHARE = 8, /* the warm-up does one n-th of a round */
};

static const uint64_t arena_bytes = (uint64_t)1 << 30;

struct contender {
    const char *name;
    const char *workload;
    const struct bench_method *method;
    enum bench_allocator allocator; /* BENCH_ANY: none, takes part always */
};

/* What the threads of one round share. */
struct start {
    _Atomic unsigned ready;
    unsigned nr_threads;
};

struct worker {
    const struct bench_method *method;
    struct start *start;
    struct bench_state state;
    uint64_t nr_ops;
    uint64_t ns; /* result */
    unsigned number;
    pthread_t thread;
};

/* A live set of pointers to itself; random ones are read and written. */
static void table_create(struct bench_state *state)
{
    state->nr_slots = state->argument;
    state->slots = bench_map((size_t)state->nr_slots * sizeof(*state->slots));
    for (uint64_t i = 0; i < state->nr_slots; i++)
        state->slots[i] = &state->slots[i];
}

static uint64_t table_run(struct bench_state *state, uint64_t nr_ops)
{
    void **slots = state->slots;
    uint64_t nr_slots = state->nr_slots;
    uint64_t random = state->random;
    uint64_t start = bench_now_ns();
    uint64_t elapsed;

    for (uint64_t i = 0; i < nr_ops; i++) {
        void **slot = &slots[bench_random_below(&random, nr_slots)];

        bench_use(*slot);
        *slot = slot;
    }
    elapsed = bench_now_ns() - start;
    state->random = random;
    return elapsed;
}

static void table_destroy(struct bench_state *state)
{
    bench_unmap(state->slots, (size_t)state->nr_slots * sizeof(*state->slots));
}

static const struct bench_method table = {table_create, table_run, table_destroy};

static const char fixed_name[] = "64 B, 64 live";
static const char random_name[] = "random sizes, 64 live";

static const struct contender contenders[] = {
    {"none", fixed_name, &table, BENCH_ANY},
    {"libc", fixed_name, &bench_libc_methods.fifo, BENCH_LIBC},
    {"pyslab", fixed_name, &bench_pyslab_methods.fifo, BENCH_PYSLAB},
    {"libc", random_name, &bench_libc_methods.random, BENCH_LIBC},
    {"pyslab", random_name, &bench_pyslab_methods.random, BENCH_PYSLAB},
};

enum { NR_CONTENDERS = sizeof(contenders) / sizeof(contenders[0]) };

/* Binds the calling thread to one of the processors that the process may use, by number. */
static void worker_pin(unsigned number)
{
    cpu_set_t allowed, one;
    unsigned seen = 0;

    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 ||
        (unsigned)CPU_COUNT(&allowed) < NR_THREADS)
        return;
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &allowed))
            continue;
        if (seen++ == number) {
            CPU_SET(i, &one);
            (void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
            return;
        }
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct start *start = worker->start;

    worker_pin(worker->number);
    if (worker->method->prepare)
        worker->method->prepare(&worker->state);
    worker->method->run(&worker->state, bench_scale(worker->nr_ops, 1.0 / WARM_UP_SHARE));
    atomic_fetch_add_explicit(&start->ready, 1, memory_order_acq_rel);
    while (atomic_load_explicit(&start->ready, memory_order_acquire) < start->nr_threads)
        sched_yield();
    worker->ns = worker->method->run(&worker->state, worker->nr_ops);
    /* A thread that is done waits here: its clean-up would disturb one that is still timed. */
    atomic_fetch_add_explicit(&start->ready, 1, memory_order_acq_rel);
    while (atomic_load_explicit(&start->ready, memory_order_acquire) < 2 * start->nr_threads)
        sched_yield();
    if (worker->method->finish)
        worker->method->finish(&worker->state);
    return NULL;
}

/* Nanoseconds per operation of the slower thread. */
static double contender_run(const struct contender *contender, pyslab_arena *arena,
                            unsigned nr_threads, uint64_t nr_ops)
{
    struct start start = {.nr_threads = nr_threads};
    struct worker workers[NR_THREADS];
    uint64_t slowest = 0;

    for (unsigned i = 0; i < nr_threads; i++) {
        workers[i] = (struct worker){
            .method = contender->method,
            .start = &start,
            .state = {.arena = arena, .argument = NR_LIVE, .random = 0x9e3779b97f4a7c15u + i},
            .nr_ops = nr_ops,
            .number = i,
        };
        if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
            bench_die("cannot start a thread");
    }
    for (unsigned i = 0; i < nr_threads; i++) {
        if (pthread_join(workers[i].thread, NULL) != 0)
            bench_die("cannot join a thread");
        if (workers[i].ns > slowest)
            slowest = workers[i].ns;
    }
    return (double)slowest / (double)nr_ops;
}

static void figures_print(const char *name, const double *ns, uint64_t rounds)
{
    printf(", \"%s\": [", name);
    for (uint64_t i = 0; i < rounds; i++)
        printf("%s%.4f", i ? ", " : "", ns[i]);
    putchar(']');
}

static bool takes_part(const struct bench_options *options, const struct contender *contender)
{
    return contender->allocator == BENCH_ANY || bench_takes_part(options, contender->allocator);
}

void bench_run_threads(const struct bench_options *options)
{
    bool with_pyslab = bench_takes_part(options, BENCH_PYSLAB);
    pyslab_arena *arena = with_pyslab ? bench_arena_create(arena_bytes) : NULL;
    uint64_t nr_ops = bench_scale(NR_OPS, options->scale);
    size_t bytes = (size_t)options->rounds * NR_THREADS * NR_CONTENDERS * sizeof(double);
    double *ns = bench_map(bytes); /* of contender c, n threads, round r: ns_of */
    const char *separator = "";

#define ns_of(c, n) (ns + ((c) * NR_THREADS + (n) - 1) * options->rounds)
    for (uint64_t round = 0; round < options->rounds; round++) {
        for (size_t i = 0; i < NR_CONTENDERS; i++) {
            size_t c = (size_t)((round + i) % NR_CONTENDERS);

            if (takes_part(options, &contenders[c]))
                for (unsigned n = 1; n <= NR_THREADS; n++)
                    ns_of(c, n)[round] = contender_run(&contenders[c], arena, n, nr_ops);
        }
        bench_progress(round + 1, options->rounds);
    }
    printf("{\"threads\": [");
    for (size_t c = 0; c < NR_CONTENDERS; c++) {
        if (!takes_part(options, &contenders[c]))
            continue;
        printf("%s\n  {\"contender\": \"%s\", \"workload\": \"%s\"", separator, contenders[c].name,
               contenders[c].workload);
        figures_print("one_ns", ns_of(c, 1), options->rounds);
        figures_print("two_ns", ns_of(c, 2), options->rounds);
        putchar('}');
        separator = ",";
    }
#undef ns_of
    printf("\n]}\n");
    bench_unmap(ns, bytes);
    if (arena)
        pyslab_arena_destroy(arena);
}

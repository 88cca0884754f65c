/* zeroed.c - a zeroed buffer of 64 MiB, from fresh and from used memory.
 *
 * What it is: each round, in a child of its own, allocates a zeroed buffer ("fresh"),
 * writes it and frees it, and does so again ("recycled"). Times: the allocation alone,
 * and with the buffer written in full, since memory that is not resident yet only moves
 * the cost. For pyslab also how many frames it cleared and how many it knew to be zero.
 * A last child, which is not timed, looks whether the buffers are zero.
 * What it is not: a measurement of small zeroed blocks.
 *
 * Output: {"zeroed": [{"contender", "state", "alloc_ns": [...], "written_ns": [...],
 * "cleared", "known_zero"}]}; the last two of the last round, null but for pyslab.
 */
#include "driver.h"
#include <inttypes.h>
#include <string.h>

enum { NR_STATES = 2, BUFFER_BYTES = 64 << 20 };

static const uint64_t arena_bytes = (uint64_t)1 << 30;
static const char *const state_names[NR_STATES] = {"fresh", "recycled"};

struct task {
    const struct bench_heap *heap;
    bool looks; /* whether the buffers are zero; spoils the times */
};

struct measured {
    uint64_t alloc_ns;
    uint64_t written_ns;
    uint64_t cleared;
    uint64_t known_zero;
};

struct round {
    struct measured states[NR_STATES];
};

static void zero_check(const struct task *task, const unsigned char *buffer)
{
    if (buffer[0] != 0 || memcmp(buffer, buffer + 1, BUFFER_BYTES - 1) != 0)
        bench_die("%s: the buffer is not zero", task->heap->name);
}

static void counters_read(pyslab_arena *arena, uint64_t *cleared, uint64_t *known_zero)
{
    pyslab_arena_stats stats;

    if (!arena)
        return;
    pyslab_arena_stats_read(arena, &stats);
    *cleared = stats.pages_cleared - *cleared;
    *known_zero = stats.pages_known_zero - *known_zero;
}

static void buffer_measure(const struct task *task, pyslab_arena *arena, struct measured *measured)
{
    const struct bench_heap *heap = task->heap;
    uint64_t start;
    void *buffer;

    counters_read(arena, &measured->cleared, &measured->known_zero);
    start = bench_now_ns();
    buffer = heap->zalloc(arena, BUFFER_BYTES);
    bench_keep(buffer);
    measured->alloc_ns = bench_now_ns() - start;
    if (task->looks)
        zero_check(task, buffer);
    memset(buffer, 1, BUFFER_BYTES);
    bench_keep(buffer);
    measured->written_ns = bench_now_ns() - start;
    counters_read(arena, &measured->cleared, &measured->known_zero);
    heap->release(arena, buffer);
}

static void task_run(const void *context, void *shared)
{
    const struct task *task = context;
    struct round *round = shared;
    pyslab_arena *arena = NULL;

    if (task->heap->allocator == BENCH_PYSLAB)
        arena = bench_arena_create(arena_bytes);
    for (size_t i = 0; i < NR_STATES; i++)
        buffer_measure(task, arena, &round->states[i]);
}

static void round_run(const struct bench_heap *heap, bool looks, struct round *round)
{
    struct task task = {.heap = heap, .looks = looks};
    struct bench_child child = bench_child_start(task_run, &task, sizeof(*round));

    bench_child_finish(&child, round);
}

static void state_print(const struct bench_heap *heap, size_t state, const struct round *rounds,
                        uint64_t nr_rounds, const char *separator)
{
    const struct measured *last = &rounds[nr_rounds - 1].states[state];

    printf("%s\n  {\"contender\": \"%s\", \"state\": \"%s\", \"alloc_ns\": [", separator,
           heap->name, state_names[state]);
    for (uint64_t i = 0; i < nr_rounds; i++)
        printf("%s%" PRIu64, i ? ", " : "", rounds[i].states[state].alloc_ns);
    printf("], \"written_ns\": [");
    for (uint64_t i = 0; i < nr_rounds; i++)
        printf("%s%" PRIu64, i ? ", " : "", rounds[i].states[state].written_ns);
    if (heap->allocator == BENCH_PYSLAB)
        printf("], \"cleared\": %" PRIu64 ", \"known_zero\": %" PRIu64 "}", last->cleared,
               last->known_zero);
    else
        printf("], \"cleared\": null, \"known_zero\": null}");
}

void bench_run_zeroed(const struct bench_options *options)
{
    size_t bytes = (size_t)options->rounds * sizeof(struct round);
    struct round *rounds = bench_map(bytes);
    const char *separator = "";

    printf("{\"zeroed\": [");
    for (size_t i = 0; i < bench_heaps_length; i++) {
        const struct bench_heap *heap = &bench_heaps[i];

        if (bench_takes_part(options, heap->allocator)) {
            struct round unused;

            for (uint64_t j = 0; j < options->rounds; j++)
                round_run(heap, false, &rounds[j]);
            round_run(heap, true, &unused);
            for (size_t j = 0; j < NR_STATES; j++) {
                state_print(heap, j, rounds, options->rounds, separator);
                separator = ",";
            }
        }
        bench_progress(i + 1, bench_heaps_length);
    }
    printf("\n]}\n");
    bench_unmap(rounds, bytes);
}

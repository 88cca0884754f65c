/* residency.c - what stays resident after a peak.
 *
 * What it is: blocks of random size fill 2 GiB (at scale 1), all written in full; all
 * but about 10 MiB are freed, so that the survivors are the first ones ("contiguous")
 * or random ones ("scattered"). Resident memory is sampled at the peak, after the last
 * free, after an idle second, and four times in two seconds of activity on a small live
 * set. Each case runs in a forked child; the two cases of a contender run side by side.
 * The tables of pointers are mapped and resident before the first sample, and so are
 * no part of the figures.
 * What it is not: a measurement of time.
 *
 * Output: {"peaks": [{"contender", "survivors", "peak_bytes", "kept_bytes", "samples":
 * [{"stage", "ms", "resident_bytes"}]}]}; ms since the last free. kept_bytes is what
 * the allocator rounded the survivors to.
 */
#include "driver.h"
#include <inttypes.h>
#include <string.h>

enum {
    BLOCK_MIN = 16, /* bytes */
    BLOCK_MAX = 1500,
    LIVE_ACTIVE = 256, /* blocks of the activity, of any size up to BENCH_RANDOM_MAX */
    BURST_OPS = 20000, /* the activity rests after so many */
    REST_MS = 20,
    IDLE_MS = 1000,
    ACTIVE_MS = 500, /* from one sample to the next */
    NR_ACTIVE = 4,   /* samples of the activity */
    NR_SAMPLES = 3 + NR_ACTIVE,
    NR_CASES = 2,
    NS_PER_MS = 1000000,
};

static const uint64_t arena_bytes = (uint64_t)16 << 30;
static const uint64_t peak_full_bytes = (uint64_t)2 << 30;
static const uint64_t kept_target_bytes = (uint64_t)10 << 20;
static const uint64_t seed = 0x9e3779b97f4a7c15u;
static const char *const case_names[NR_CASES] = {"contiguous", "scattered"};
static const char *const stage_names[NR_SAMPLES] = {
    "peak", "freed", "idle", "active", "active", "active", "active",
};

struct task {
    const struct bench_heap *heap;
    bool is_scattered;
    uint64_t peak_bytes;
};

struct sample {
    uint64_t ms;
    uint64_t resident_bytes;
};

struct result {
    uint64_t kept_bytes;
    struct sample samples[NR_SAMPLES];
};

/* The process under way. */
struct scene {
    const struct bench_heap *heap;
    pyslab_arena *arena;
    uint64_t before;   /* resident before the first allocation */
    uint64_t freed_ns; /* when the last free was over; 0: not yet */
    uint64_t random;
    struct result *result;
    size_t nr_samples;
};

static size_t block_size(uint64_t *random)
{
    return (size_t)(BLOCK_MIN + bench_random_below(random, BLOCK_MAX - BLOCK_MIN + 1));
}

/* How many blocks of the sequence that begins with the seed make the peak. */
static uint64_t count_blocks(uint64_t peak_bytes)
{
    uint64_t random = seed;
    uint64_t nr = 0;

    for (uint64_t bytes = 0; bytes < peak_bytes; nr++)
        bytes += block_size(&random);
    return nr;
}

static void sample_take(struct scene *scene)
{
    uint64_t resident = bench_anonymous_bytes();
    struct sample *sample = &scene->result->samples[scene->nr_samples++];

    sample->resident_bytes = resident > scene->before ? resident - scene->before : 0;
    if (scene->freed_ns)
        sample->ms = (bench_now_ns() - scene->freed_ns) / NS_PER_MS;
}

static void blocks_fill(struct scene *scene, void **blocks, uint64_t nr)
{
    for (uint64_t i = 0; i < nr; i++) {
        size_t bytes = block_size(&scene->random);

        blocks[i] = scene->heap->alloc(scene->arena, bytes);
        memset(blocks[i], 1, bytes);
    }
}

/* The sizes come a second time from the seed: a table of them would be resident. */
static void blocks_thin(struct scene *scene, const struct task *task, void **blocks, uint64_t nr)
{
    uint64_t sizes = seed;
    uint64_t kept_requested = 0;
    uint64_t one_of = task->peak_bytes / kept_target_bytes;

    for (uint64_t i = 0; i < nr; i++) {
        size_t bytes = block_size(&sizes);
        bool is_kept = task->is_scattered
                           ? bench_random_below(&scene->random, one_of ? one_of : 1) == 0
                           : kept_requested < kept_target_bytes;

        if (is_kept) {
            kept_requested += bytes;
            scene->result->kept_bytes += scene->heap->usable(scene->arena, blocks[i]);
        } else {
            scene->heap->release(scene->arena, blocks[i]);
        }
    }
}

/* Replaces blocks of a small live set in bursts, until this time after the last free. */
static void activity(struct scene *scene, void **live, uint64_t until_ms)
{
    while (bench_now_ns() - scene->freed_ns < until_ms * NS_PER_MS) {
        for (unsigned i = 0; i < BURST_OPS; i++) {
            void **slot = &live[bench_random_below(&scene->random, LIVE_ACTIVE)];

            if (*slot)
                scene->heap->release(scene->arena, *slot);
            *slot = scene->heap->alloc(scene->arena, bench_random_size(&scene->random));
            bench_use(*slot);
        }
        bench_sleep_ms(REST_MS);
    }
    for (unsigned i = 0; i < LIVE_ACTIVE; i++) {
        if (live[i])
            scene->heap->release(scene->arena, live[i]);
        live[i] = NULL;
    }
}

static void task_run(const void *context, void *shared)
{
    const struct task *task = context;
    uint64_t nr = count_blocks(task->peak_bytes);
    void **blocks = bench_map((size_t)nr * sizeof(*blocks));
    void **live = bench_map(LIVE_ACTIVE * sizeof(*live));
    struct scene scene = {.heap = task->heap, .random = seed, .result = shared};

    scene.before = bench_anonymous_bytes();
    if (task->heap->allocator == BENCH_PYSLAB)
        scene.arena = bench_arena_create(arena_bytes);
    blocks_fill(&scene, blocks, nr);
    sample_take(&scene);
    blocks_thin(&scene, task, blocks, nr);
    scene.freed_ns = bench_now_ns();
    sample_take(&scene);
    bench_sleep_ms(IDLE_MS);
    sample_take(&scene);
    for (unsigned i = 1; i <= NR_ACTIVE; i++) {
        activity(&scene, live, IDLE_MS + i * ACTIVE_MS);
        sample_take(&scene);
    }
}

static void result_print(const struct task *task, const struct result *result,
                         const char *separator)
{
    printf("%s\n  {\"contender\": \"%s\", \"survivors\": \"%s\", \"peak_bytes\": %" PRIu64
           ", \"kept_bytes\": %" PRIu64 ", \"samples\": [",
           separator, task->heap->name, case_names[task->is_scattered], task->peak_bytes,
           result->kept_bytes);
    for (size_t i = 0; i < NR_SAMPLES; i++)
        printf("%s{\"stage\": \"%s\", \"ms\": %" PRIu64 ", \"resident_bytes\": %" PRIu64 "}",
               i ? ", " : "", stage_names[i], result->samples[i].ms,
               result->samples[i].resident_bytes);
    printf("]}");
}

void bench_run_residency(const struct bench_options *options)
{
    const char *separator = "";

    printf("{\"peaks\": [");
    for (size_t i = 0; i < bench_heaps_length; i++) {
        struct task tasks[NR_CASES];
        struct bench_child children[NR_CASES];

        if (bench_takes_part(options, bench_heaps[i].allocator)) {
            for (size_t j = 0; j < NR_CASES; j++) {
                tasks[j] = (struct task){
                    .heap = &bench_heaps[i],
                    .is_scattered = j == 1,
                    .peak_bytes = bench_scale(peak_full_bytes, options->scale),
                };
                children[j] = bench_child_start(task_run, &tasks[j], sizeof(struct result));
            }
            for (size_t j = 0; j < NR_CASES; j++) {
                struct result result;

                bench_child_finish(&children[j], &result);
                result_print(&tasks[j], &result, separator);
                separator = ",";
            }
        }
        bench_progress(i + 1, bench_heaps_length);
    }
    printf("\n]}\n");
}

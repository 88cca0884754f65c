/* memory.c - how much resident memory a live set costs.
 *
 * What it is: each contender works in a forked child, so that none finds the heap
 * another left behind. Blocks of random size are allocated and written in full
 * ("filled"), a random half is freed ("halved"), then the rest ("empty"). At each
 * stage: bytes asked for, bytes the allocator rounded them to (internal
 * fragmentation) and growth of resident memory (with what it keeps, external;
 * without code).
 * A further child takes every frame of an arena and writes it; what is resident
 * beyond the frames is metadata.
 * What it is not: a measurement of time.
 *
 * Output: {"live_sets": [{"contender", "stages": [...]}], "metadata": {...}}
 */
#include "driver.h"
#include <inttypes.h>
#include <string.h>

enum { NR_BLOCKS = 40000, NR_STAGES = 3 };

static const uint64_t live_set_arena_bytes = (uint64_t)4 << 30;
static const uint64_t metadata_arena_bytes = (uint64_t)256 << 20;
static const char *const stage_names[NR_STAGES] = {"filled", "halved", "empty"};

struct stage {
    uint64_t nr_blocks;
    uint64_t requested_bytes;
    uint64_t rounded_bytes;
    uint64_t resident_bytes; /* growth since before the first allocation */
};

struct metadata {
    uint64_t frame_bytes;    /* of the frames taken and written */
    uint64_t resident_bytes; /* growth since before the arena was made */
    uint64_t reserved_bytes; /* metadata_bytes of the statistics */
    uint64_t heap_bytes;     /* heap_bytes of the statistics */
};

union result {
    struct stage stages[NR_STAGES];
    struct metadata metadata;
};

/* What a child is to do: the live set of heap, or the metadata if heap is NULL. */
struct task {
    const struct bench_heap *heap;
    uint64_t nr_blocks;
};

struct block {
    unsigned char *p;
    size_t bytes;
};

static uint64_t resident_growth(uint64_t before)
{
    uint64_t now = bench_anonymous_bytes();

    return now > before ? now - before : 0;
}

/* The contender's own requests, whatever else of this process is resident. */
static void stage_take(const struct bench_heap *heap, pyslab_arena *arena,
                       const struct block *blocks, uint64_t nr_blocks, uint64_t before,
                       struct stage *stage)
{
    stage->resident_bytes = resident_growth(before);
    stage->nr_blocks = nr_blocks;
    for (uint64_t i = 0; i < nr_blocks; i++) {
        stage->requested_bytes += blocks[i].bytes;
        stage->rounded_bytes += heap->usable(arena, blocks[i].p);
    }
}

/* Fisher and Yates: the first half of the result is a random half. */
static void blocks_shuffle(struct block *blocks, uint64_t nr_blocks, uint64_t *random)
{
    for (uint64_t i = nr_blocks; i > 1; i--) {
        uint64_t other = bench_random_below(random, i);
        struct block swap = blocks[i - 1];

        blocks[i - 1] = blocks[other];
        blocks[other] = swap;
    }
}

static void live_set_measure(const struct bench_heap *heap, uint64_t nr_blocks,
                             union result *result)
{
    size_t table_bytes = (size_t)nr_blocks * sizeof(struct block);
    struct block *blocks = bench_map(table_bytes);
    uint64_t random = 0x9e3779b97f4a7c15u;
    uint64_t before = bench_anonymous_bytes();
    pyslab_arena *arena = NULL;
    uint64_t half = nr_blocks / 2;

    if (heap->allocator == BENCH_PYSLAB)
        arena = bench_arena_create(live_set_arena_bytes);
    for (uint64_t i = 0; i < nr_blocks; i++) {
        struct block *block = &blocks[i];

        block->bytes = bench_random_size(&random);
        block->p = heap->alloc(arena, block->bytes);
        memset(block->p, 1, block->bytes);
    }
    stage_take(heap, arena, blocks, nr_blocks, before, &result->stages[0]);
    blocks_shuffle(blocks, nr_blocks, &random);
    for (uint64_t i = half; i < nr_blocks; i++)
        heap->release(arena, blocks[i].p);
    stage_take(heap, arena, blocks, half, before, &result->stages[1]);
    for (uint64_t i = 0; i < half; i++)
        heap->release(arena, blocks[i].p);
    stage_take(heap, arena, blocks, 0, before, &result->stages[2]);
    bench_unmap(blocks, table_bytes);
}

static void metadata_measure(union result *result)
{
    size_t frame_bytes = (size_t)1 << PYSLAB_PAGE_SHIFT;
    struct metadata *metadata = &result->metadata;
    uint64_t before = bench_anonymous_bytes();
    pyslab_arena *arena = bench_arena_create(metadata_arena_bytes);
    pyslab_arena_stats stats;
    void *frame;

    while ((frame = pyslab_get_free_pages(arena, 0, PYSLAB_GFP_KERNEL)) != NULL) {
        memset(frame, 1, frame_bytes);
        metadata->frame_bytes += frame_bytes;
    }
    metadata->resident_bytes = resident_growth(before);
    pyslab_arena_stats_read(arena, &stats);
    metadata->reserved_bytes = stats.metadata_bytes;
    metadata->heap_bytes = stats.heap_bytes;
}

static void task_run(const void *context, void *result)
{
    const struct task *task = context;

    if (task->heap)
        live_set_measure(task->heap, task->nr_blocks, result);
    else
        metadata_measure(result);
}

static union result measure_in_child(const struct bench_heap *heap, uint64_t nr_blocks)
{
    struct task task = {.heap = heap, .nr_blocks = nr_blocks};
    union result result;
    struct bench_child child = bench_child_start(task_run, &task, sizeof(result));

    bench_child_finish(&child, &result);
    return result;
}

static void live_set_print(const struct bench_heap *heap, const union result *result, bool first)
{
    printf("%s\n  {\"contender\": \"%s\", \"stages\": [", first ? "" : ",", heap->name);
    for (size_t i = 0; i < NR_STAGES; i++) {
        const struct stage *stage = &result->stages[i];

        printf("%s\n    {\"stage\": \"%s\", \"blocks\": %" PRIu64 ", \"requested_bytes\": %" PRIu64
               ", \"rounded_bytes\": %" PRIu64 ", \"resident_bytes\": %" PRIu64 "}",
               i ? "," : "", stage_names[i], stage->nr_blocks, stage->requested_bytes,
               stage->rounded_bytes, stage->resident_bytes);
    }
    printf("]}");
}

static void metadata_print(const struct metadata *metadata)
{
    printf("{\"frame_bytes\": %" PRIu64 ", \"resident_bytes\": %" PRIu64
           ", \"reserved_bytes\": %" PRIu64 ", \"heap_bytes\": %" PRIu64 "}",
           metadata->frame_bytes, metadata->resident_bytes, metadata->reserved_bytes,
           metadata->heap_bytes);
}

void bench_run_memory(const struct bench_options *options)
{
    uint64_t nr_blocks = bench_scale(NR_BLOCKS, options->scale);
    uint64_t total = bench_heaps_length + 1;
    union result result;
    bool first = true;

    printf("{\"live_sets\": [");
    for (size_t i = 0; i < bench_heaps_length; i++) {
        if (bench_takes_part(options, bench_heaps[i].allocator)) {
            result = measure_in_child(&bench_heaps[i], nr_blocks);
            live_set_print(&bench_heaps[i], &result, first);
            first = false;
        }
        bench_progress(i + 1, total);
    }
    printf("\n], \"metadata\": ");
    if (bench_takes_part(options, BENCH_PYSLAB)) {
        result = measure_in_child(NULL, 0);
        metadata_print(&result.metadata);
    } else {
        printf("null");
    }
    printf("}\n");
    bench_progress(total, total);
}

/* aligned.c - small blocks far apart: what fragmenting an arena costs per operation.
 *
 * What it is: the kernel's gpu_buddy measurement. 65,536 blocks of 8 KiB, each at a
 * multiple of 64 KiB, take all of a 4 GiB arena apart ("apart"); freed in the reverse
 * order they let it merge again. Beside it the same number of blocks where nothing is
 * fragmented: of the same size at their natural alignment ("side by side", through the
 * page lists), and of the full 64 KiB, at the same places with nothing split off
 * ("whole"). "in the holes": as side by side, in an arena that is taken apart.
 * All are whole frames; none is written to.
 * What it is not: a comparison of allocators, or of cold metadata: before each timed round
 * the same is done once without a clock.
 *
 * Output: {"aligned": [{"layout", "bytes", "align", "blocks", "ns_per_op": [...]}]}, a
 * figure per round; an operation is an allocation and its free.
 */
#include "driver.h"
#include <inttypes.h>

enum { SMALL_BYTES = 8 << 10, APART_BYTES = 64 << 10, NR_BLOCKS = 65536 };

static const uint64_t arena_bytes = (uint64_t)NR_BLOCKS * APART_BYTES;

static const struct layout {
    const char *name;
    size_t bytes; /* of a block */
    size_t align;
    bool fragmented; /* in an arena that is taken apart */
} layouts[] = {
    {"side by side", SMALL_BYTES, SMALL_BYTES, false},
    {"apart", SMALL_BYTES, APART_BYTES, false},
    {"whole", APART_BYTES, APART_BYTES, false},
    {"in the holes", SMALL_BYTES, SMALL_BYTES, true},
};

enum { NR_LAYOUTS = sizeof(layouts) / sizeof(layouts[0]) };

struct field {
    pyslab_arena *arena; /* all of it free between the layouts */
    void **blocks;       /* of the layout being measured */
    void **apart;        /* that take the arena apart first */
    uint64_t nr_blocks;
};

static void blocks_take(pyslab_arena *arena, const struct layout *layout, void **blocks,
                        uint64_t nr)
{
    for (uint64_t i = 0; i < nr; i++) {
        blocks[i] = pyslab_kmalloc_aligned(arena, layout->bytes, layout->align, PYSLAB_GFP_KERNEL);
        if (__builtin_expect(blocks[i] == NULL, 0))
            bench_die("no block of %zu bytes at %zu", layout->bytes, layout->align);
    }
}

/* Frees the blocks in the reverse order of their allocation, so that all can merge. */
static void blocks_free(pyslab_arena *arena, void **blocks, uint64_t nr)
{
    while (nr-- > 0)
        (void)pyslab_kfree(arena, blocks[nr]);
}

static double round_run(const struct field *field, size_t number)
{
    static const struct layout apart = {"", SMALL_BYTES, APART_BYTES, false};
    const struct layout *layout = &layouts[number];
    pyslab_arena *arena = field->arena;
    uint64_t nr = field->nr_blocks, start, ns;

    if (layout->fragmented)
        blocks_take(arena, &apart, field->apart, nr);
    start = bench_now_ns();
    blocks_take(arena, layout, field->blocks, nr);
    blocks_free(arena, field->blocks, nr);
    ns = bench_now_ns() - start;
    if (layout->fragmented)
        blocks_free(arena, field->apart, nr);
    return (double)ns / (double)nr;
}

static void layout_print(size_t number, const struct field *field, const double *ns,
                         uint64_t nr_rounds)
{
    const struct layout *layout = &layouts[number];

    printf("%s\n  {\"layout\": \"%s\", \"bytes\": %zu, \"align\": %zu, \"blocks\": %" PRIu64
           ", \"ns_per_op\": [",
           number ? "," : "", layout->name, layout->bytes, layout->align, field->nr_blocks);
    for (uint64_t i = 0; i < nr_rounds; i++)
        printf("%s%.2f", i ? ", " : "", ns[i * NR_LAYOUTS + number]);
    printf("]}");
}

static void aligned_measure(const struct bench_options *options)
{
    size_t ns_bytes = (size_t)options->rounds * NR_LAYOUTS * sizeof(double);
    uint64_t nr = bench_scale(NR_BLOCKS, options->scale < 1.0 ? options->scale : 1.0);
    size_t bytes = (size_t)nr * sizeof(void *);
    struct field field = {
        .arena = bench_arena_create(arena_bytes),
        .blocks = bench_map(bytes),
        .apart = bench_map(bytes),
        .nr_blocks = nr,
    };
    double *ns = bench_map(ns_bytes);

    for (uint64_t round = 0; round < options->rounds; round++) {
        for (size_t i = 0; i < NR_LAYOUTS; i++) {
            size_t number = (round + i) % NR_LAYOUTS;

            (void)round_run(&field, number);
            ns[round * NR_LAYOUTS + number] = round_run(&field, number);
        }
        bench_progress(round + 1, options->rounds);
    }
    for (size_t i = 0; i < NR_LAYOUTS; i++)
        layout_print(i, &field, ns, options->rounds);
    pyslab_arena_destroy(field.arena);
    bench_unmap(ns, ns_bytes);
    bench_unmap(field.apart, bytes);
    bench_unmap(field.blocks, bytes);
}

void bench_run_aligned(const struct bench_options *options)
{
    printf("{\"aligned\": [");
    if (bench_takes_part(options, BENCH_PYSLAB))
        aligned_measure(options);
    printf("\n]}\n");
}

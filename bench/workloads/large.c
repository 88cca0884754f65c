/* large.c - large blocks, 1 to 64 MiB, as arrays and file buffers.
 *
 * What it is: a few live blocks; each operation replaces one by a block of a random size (every
 * doubling is equally likely) and writes one word in each page of its first part; some are
 * grown with realloc, some come from calloc and must read zero.
 * What it stresses: whether large blocks are kept or given back to the system each time (a page
 * fault per page), how much stays resident, realloc of mapped blocks, calloc without a memset.
 * Data structure: an array of {pointer, bytes, used}. Invariant: the first word of each page
 * that was written holds the page's number. Lock: none; one thread.
 */
#include "workload.h"

enum { PAGE_BYTES = 4096, KINDS = 8, PARTS = 4, LIVE_MAX = 64, MIB_MAX = 4096 };

static uint64_t live = 6, operations = 150, smallest_mib = 1, doublings = 6, seed = 1;

static const struct argument arguments[] = {
    {"live", &live, "blocks at any time, at most 64"},
    {"ops", &operations, "blocks replaced"},
    {"min", &smallest_mib, "MiB of the smallest block"},
    {"doublings", &doublings, "from the smallest block to the largest, at most 10"},
    {"seed", &seed, "of the generator"},
};

struct block {
    uint64_t *p;
    size_t bytes, used; /* used: written from the start, a page at a time */
};

static uint64_t *page_word(const struct block *block, size_t at)
{
    return block->p + at / sizeof(uint64_t);
}

static void block_write(struct block *block, size_t end)
{
    for (; block->used + PAGE_BYTES <= end; block->used += PAGE_BYTES)
        *page_word(block, block->used) = block->used / PAGE_BYTES;
}

static uint64_t block_check(const struct block *block)
{
    uint64_t sum = 0;

    for (size_t at = 0; at < block->used; at += PAGE_BYTES) {
        if (*page_word(block, at) != at / PAGE_BYTES)
            workload_die("a block lost its content");
        sum += at;
    }
    return sum;
}

static void block_zeroed(const struct block *block)
{
    for (size_t at = 0; at < block->bytes / PARTS; at += PAGE_BYTES)
        if (*page_word(block, at) != 0)
            workload_die("calloc gave memory that is not zero");
}

static void block_make(struct block *block, struct rng *rng)
{
    size_t kind = rng_below(rng, KINDS);

    block->bytes = rng_log_size(rng, (size_t)smallest_mib << 20, (unsigned)doublings);
    block->used = 0;
    if (kind == 0) {
        block->p = must(calloc(1, block->bytes));
        block_zeroed(block);
    } else {
        block->p = must(malloc(block->bytes));
    }
    block_write(block, block->bytes / PARTS * rng_between(rng, 1, PARTS));
    if (kind == 1) {
        block->bytes += block->bytes / 2;
        block->p = must(realloc(block->p, block->bytes));
        block_write(block, block->bytes);
    }
}

int main(int argc, char **argv)
{
    struct block blocks[LIVE_MAX] = {{NULL, 0, 0}};
    struct rng rng;
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    if (live > LIVE_MAX || doublings > 10 || smallest_mib << doublings > MIB_MAX)
        workload_die("--live above 64, --doublings above 10, or blocks above 4096 MiB");
    rng = rng_make(seed, live);
    for (uint64_t done = 0; done < operations; done++) {
        struct block *block = &blocks[rng_below(&rng, live)];

        sum += block_check(block);
        free(block->p);
        block_make(block, &rng);
    }
    for (uint64_t i = 0; i < live; i++) {
        sum += block_check(&blocks[i]);
        free(blocks[i].p);
    }
    workload_report("large", sum);
    return 0;
}

/* pages.c - blocks of 2**order pages: get_free_pages against mmap.
 *
 * What it is: two methods for each; one writes nothing, the other writes the first
 * byte of every page. The block from mmap comes untouched, so it
 * pays a page fault for each page written; that is the difference to measure.
 * What it is not: a measurement of huge pages; mmap gets no advice.
 */
#include "driver.h"
#include <stdbool.h>
#include <sys/mman.h>

static size_t order_bytes(const struct bench_state *state)
{
    return (size_t)1 << (state->argument + PYSLAB_PAGE_SHIFT);
}

static inline void touch_pages(unsigned char *block, size_t bytes)
{
    for (size_t offset = 0; offset < bytes; offset += (size_t)1 << PYSLAB_PAGE_SHIFT)
        bench_use(block + offset);
}

static inline uint64_t pyslab_loop(struct bench_state *state, uint64_t nr_ops, bool every_page)
{
    pyslab_arena *arena = state->arena;
    uint32_t order = (uint32_t)state->argument;
    size_t bytes = order_bytes(state);
    uint64_t start = bench_now_ns();

    for (uint64_t i = 0; i < nr_ops; i++) {
        void *block = pyslab_get_free_pages(arena, order, PYSLAB_GFP_KERNEL);

        if (__builtin_expect(block == NULL, 0))
            bench_die("no block of order %u", order);
        if (every_page)
            touch_pages(block, bytes);
        else
            bench_keep(block);
        (void)pyslab_free_pages_address(arena, block, order);
    }
    return bench_now_ns() - start;
}

static inline uint64_t mmap_loop(struct bench_state *state, uint64_t nr_ops, bool every_page)
{
    size_t bytes = order_bytes(state);
    uint64_t start = bench_now_ns();

    for (uint64_t i = 0; i < nr_ops; i++) {
        void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (__builtin_expect(block == MAP_FAILED, 0))
            bench_die("mmap of %zu bytes failed", bytes);
        if (every_page)
            touch_pages(block, bytes);
        else
            bench_keep(block);
        munmap(block, bytes);
    }
    return bench_now_ns() - start;
}

static uint64_t pyslab_run(struct bench_state *state, uint64_t nr_ops)
{
    return pyslab_loop(state, nr_ops, false);
}

static uint64_t pyslab_touch_run(struct bench_state *state, uint64_t nr_ops)
{
    return pyslab_loop(state, nr_ops, true);
}

static uint64_t mmap_run(struct bench_state *state, uint64_t nr_ops)
{
    return mmap_loop(state, nr_ops, false);
}

static uint64_t mmap_touch_run(struct bench_state *state, uint64_t nr_ops)
{
    return mmap_loop(state, nr_ops, true);
}

const struct bench_method bench_pages_pyslab = {.run = pyslab_run};
const struct bench_method bench_pages_touch_pyslab = {.run = pyslab_touch_run};
const struct bench_method bench_pages_mmap = {.run = mmap_run};
const struct bench_method bench_pages_touch_mmap = {.run = mmap_touch_run};

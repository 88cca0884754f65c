/* heaps.c - the allocators behind function pointers.
 *
 * What it is: libc (or whatever library is preloaded) and an arena of pyslab, for
 * measurements of memory, of large blocks and of latencies.
 * What it is not: for loops that time small blocks; see malloc_template.h.
 */
#include "driver.h"
#include <malloc.h>
#include <stdlib.h>

static void *checked(const char *name, void *p, size_t bytes)
{
    if (!p)
        bench_die("%s: allocation of %zu bytes failed", name, bytes);
    return p;
}

static void *libc_alloc(pyslab_arena *arena, size_t bytes)
{
    (void)arena;
    return checked("libc", malloc(bytes), bytes);
}

static void *libc_zalloc(pyslab_arena *arena, size_t bytes)
{
    (void)arena;
    return checked("libc", calloc(1, bytes), bytes);
}

static void libc_release(pyslab_arena *arena, void *p)
{
    (void)arena;
    free(p);
}

static size_t libc_usable(pyslab_arena *arena, void *p)
{
    (void)arena;
    return malloc_usable_size(p);
}

static void *slab_alloc(pyslab_arena *arena, size_t bytes)
{
    return checked("pyslab", pyslab_kmalloc(arena, bytes, PYSLAB_GFP_KERNEL), bytes);
}

static void *slab_zalloc(pyslab_arena *arena, size_t bytes)
{
    return checked("pyslab", pyslab_kzalloc(arena, bytes, PYSLAB_GFP_KERNEL), bytes);
}

static void slab_release(pyslab_arena *arena, void *p)
{
    (void)pyslab_kfree(arena, p);
}

static size_t slab_usable(pyslab_arena *arena, void *p)
{
    return pyslab_ksize(arena, p);
}

const struct bench_heap bench_heaps[] = {
    {"libc", BENCH_LIBC, &bench_libc_methods, libc_alloc, libc_zalloc, libc_release, libc_usable},
    {"pyslab", BENCH_PYSLAB, &bench_pyslab_methods, slab_alloc, slab_zalloc, slab_release,
     slab_usable},
};

const size_t bench_heaps_length = sizeof(bench_heaps) / sizeof(bench_heaps[0]);

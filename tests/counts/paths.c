/* paths.c - one fast path of the core, taken again and again, for callgrind to count.
 *
 * What it is: `paths NAME N` makes a block and drops it n times, through the functions whose
 * instructions tests/counts/test_instructions.py counts; `paths compiler 1` tells who built it.
 * What it is not: a measurement of time.
 */
#include "counted_arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 64, NR_TOGETHER = 64 };

static pyslab_arena *arena;
static pyslab_kmem_cache *cache;
static pyslab_region *region;

static void path_kmalloc(void)
{
    (void)pyslab_kfree(arena, pyslab_kmalloc(arena, PATH_BYTES, PYSLAB_GFP_KERNEL));
}

static void path_cache(void)
{
    (void)pyslab_kmem_cache_free(cache, pyslab_kmem_cache_alloc(cache, PYSLAB_GFP_KERNEL));
}

static void path_pages(void)
{
    (void)pyslab_free_pages(arena, pyslab_alloc_pages(arena, 0, PYSLAB_GFP_KERNEL), 0);
}

/* The call is inline in other programs; here, where it is a function, it can be told apart. */
static void path_region(void)
{
    static unsigned nr;

    (void)pyslab_region_alloc(region, PATH_BYTES);
    if (++nr % NR_TOGETHER == 0)
        (void)pyslab_region_reset(region);
}

static const struct path {
    const char *name;
    void (*run)(void);
} paths[] = {
    {"kmalloc", path_kmalloc},
    {"cache", path_cache},
    {"pages", path_pages},
    {"region", path_region},
    {"shared_kmalloc", path_kmalloc},
    {"shared_pages", path_pages},
};

/* What is named shared_ runs in an arena that other processes may see; nothing is exported. */
static void set_up(const char *name)
{
    bool shared = strncmp(name, "shared_", strlen("shared_")) == 0;

    arena = counted_arena((uint64_t)64 << 20, shared ? PYSLAB_SHARE_READ : PYSLAB_SHARE_NO);
    if (arena == NULL ||
        pyslab_kmem_cache_create(arena, "path", PATH_BYTES, NULL, &cache) != PYSLAB_OK ||
        pyslab_region_create(arena, 0, &region) != PYSLAB_OK) {
        fputs("paths: no arena\n", stderr);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    const struct path *path = NULL;
    uint64_t nr;

    if (argc == 3 && strcmp(argv[1], "compiler") == 0) {
        puts(__VERSION__);
        return 0;
    }
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (argc == 3 && strcmp(argv[1], paths[i].name) == 0)
            path = &paths[i];
    if (path == NULL) {
        fputs("usage: paths NAME N\n", stderr);
        return 2;
    }
    set_up(path->name);
    nr = strtoull(argv[2], NULL, 10);
    for (uint64_t i = 0; i < nr; i++)
        path->run();
    return 0;
}

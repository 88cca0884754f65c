/* api_debug.c - the functions of pyslab.h for debugging: who is told of what was found, and how
 * much that was. What it is not: the checks (slab/debug.h). Lock: none. */
#include "arena/arena.h"
#include "slab/fence.h"

static struct arena_debug *debug_of(pyslab_arena *arena)
{
    return &arena->kmalloc.slabs.debug;
}

void pyslab_set_corruption_handler(pyslab_arena *arena, pyslab_on_corruption handler, void *context)
{
    atomic_store(&debug_of(arena)->context, context);
    atomic_store(&debug_of(arena)->handler, handler);
}

size_t pyslab_corruption_text(const pyslab_corruption *found, char *text, size_t bytes)
{
    return debug_report_text(found, text, bytes);
}

uint64_t pyslab_kmem_cache_validate(pyslab_kmem_cache *cache)
{
    return debug_validate(cache);
}

void pyslab_arena_debug_stats(pyslab_arena *arena, pyslab_debug_stats *out)
{
    struct arena_debug *debug = debug_of(arena);

    *out = (pyslab_debug_stats){.struct_size = sizeof *out,
                                .flags = debug->flags,
                                .nr_found = load_relaxed(&debug->nr_found),
                                .nr_repaired = load_relaxed(&debug->nr_repaired),
                                .nr_retired = load_relaxed(&debug->nr_retired)};
    debug_count_waiting(&arena->kmalloc.slabs, &out->nr_waiting, &out->waiting_bytes);
    large_debug_count(&arena->kmalloc, &out->nr_waiting, &out->waiting_bytes);
    out->nr_guarded = load_relaxed(&arena->kmalloc.slabs.guard.nr_guarded);
    out->nr_unguarded = load_relaxed(&arena->kmalloc.slabs.guard.nr_unguarded);
    guarded_count_waiting(&arena->kmalloc.slabs, &out->nr_waiting, &out->waiting_bytes);
}

void pyslab_arena_kfence_stats(pyslab_arena *arena, pyslab_kfence_stats *out)
{
    struct kfence *kfence = arena->kmalloc.slabs.kfence;

    *out = (pyslab_kfence_stats){.struct_size = sizeof *out};
    if (kfence != NULL)
        kfence_stats(kfence, out);
}

/* arena_stats.c - statistics and validation: sums over the layers' own counts. */
#include "arena/arena.h"

#include "os/os_heap.h"

#include <string.h>

static void add_zones(struct pyslab_arena *arena, pyslab_arena_stats *out)
{
    struct page_alloc *pages = &arena->pages;

    for (uint32_t i = 0; i < pages->nr_zones; i++) {
        struct zone *zone = &pages->zone[i];
        uint32_t managed = zone->end_pfn - zone->start_pfn;

        lock_acquire(&zone->lock);
        out->managed_pages += managed;
        out->free_pages += zone_free_pages(zone);
        out->dirty_free_pages += zone->dirty_pages;
        out->peak_used_pages += managed - zone->min_free_pages;
        out->page_allocs += zone->nr_allocs;
        out->page_frees += zone->nr_frees;
        lock_release(&zone->lock);
    }
}

static void add_caches(struct pyslab_arena *arena, pyslab_arena_stats *out)
{
    struct slab_alloc *sa = &arena->kmalloc.slabs;
    struct kmem_cache *cache;
    uint32_t id = 1;

    while ((cache = cache_pin_next(sa, &id)) != NULL) {
        pyslab_cache_stats stats;

        cache_stats(cache, &stats);
        cache_unpin(cache);
        out->nr_caches++;
        out->slab_pages += (stats.nr_full + stats.nr_partial + stats.nr_empty)
                           << stats.slab_order;
        out->live_objects += stats.live_objects;
        out->live_object_bytes += stats.live_objects * stats.object_size;
        out->cached_objects += stats.cached_objects;
        out->total_objects += stats.total_allocs;
    }
}

void arena_stats(struct pyslab_arena *arena, pyslab_arena_stats *out)
{
    const struct page_alloc *pages = &arena->pages;
    uint64_t elsewhere;

    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    out->size_bytes = arena->bytes;
    add_zones(arena, out);
    add_caches(arena, out);
    out->pcp_pages = pcp_total_pages(&arena->pages);
    out->large_count = load_relaxed(&arena->kmalloc.nr_large);
    out->large_pages = load_relaxed(&arena->kmalloc.large_pages);
    elsewhere = out->free_pages + out->pcp_pages + out->slab_pages + out->large_pages;
    out->block_pages = out->managed_pages > elsewhere ? out->managed_pages - elsewhere : 0;
    out->metadata_bytes = frame_map_bytes(pages->map.nr_pages) +
                          (uint64_t)out->nr_caches * sizeof(struct cache_desc);
    out->heap_bytes = os_heap_live_bytes();
    out->alloc_failures = load_relaxed(&pages->alloc_failures);
    out->pages_cleared = load_relaxed(&pages->pages_cleared);
    out->pages_known_zero = load_relaxed(&pages->pages_known_zero);
    out->pages_released = load_relaxed(&pages->pages_released);
}

/* Slabs on the caches' lists are all the slabs there are, and the class map shows them. */
static bool check_slab_frames(struct pyslab_arena *arena, struct finding *f)
{
    const struct frame_map *map = &arena->pages.map;
    const struct zone *zone = &arena->pages.zone[0];
    pyslab_arena_stats stats = {0};
    uint64_t nr_pages = 0;

    add_caches(arena, &stats);
    for (uint32_t pfn = zone->start_pfn; pfn < zone->frontier;) {
        const struct page *page = pfn_to_page(map, pfn);
        uint32_t nr = page_block_pages(page);
        bool slab = page_state(page) == PYSLAB_PAGE_SLAB;

        for (uint32_t i = 0; i < nr; i++) {
            unsigned class = map->classes[pfn + i];

            if (slab != (class != CLASS_NONE && class != CLASS_LARGE))
                return finding_report(f, "arena: frame %u in a block of state %u has class %u",
                                      pfn + i, page_state(page), class);
        }
        nr_pages += slab ? nr : 0;
        pfn += nr;
    }
    if (nr_pages != stats.slab_pages)
        return finding_report(f, "arena: %llu frames of slabs, caches list %llu",
                              (unsigned long long)nr_pages,
                              (unsigned long long)stats.slab_pages);
    return true;
}

bool arena_check(struct pyslab_arena *arena, struct finding *f)
{
    return page_alloc_check(&arena->pages, f) && slab_check(&arena->kmalloc.slabs, f) &&
           kmalloc_check(&arena->kmalloc, f) && check_slab_frames(arena, f);
}

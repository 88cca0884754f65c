/* arena_stats.c - statistics and validation: sums over the layers' own counts.
 * What it is not: the counts themselves. Lock: each layer's own, one after the other, so that
 * sums are exact only while no other thread is in the arena. */
#include "arena/arena.h"

#include "os/os_heap.h"

#include <string.h>

static void add_zones(struct pyslab_arena *arena, pyslab_arena_stats *out)
{
    struct page_alloc *pages = &arena->pages;

    for (uint32_t i = 0; i < pages->nr_zones; i++) {
        struct zone *zone = &pages->zone[i];

        lock_acquire(&zone->lock);
        out->managed_pages += zone_managed_pages(zone);
        out->free_pages += zone_free_pages(zone);
        out->dirty_free_pages += zone->dirty_pages;
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
        out->slab_pages += (stats.nr_full + stats.nr_partial + stats.nr_empty) << stats.slab_order;
        out->live_objects += stats.live_objects;
        out->live_object_bytes += stats.live_objects * stats.object_size;
        out->cached_objects += stats.cached_objects;
        out->total_objects += stats.total_allocs;
    }
}

void arena_stats(struct pyslab_arena *arena, pyslab_arena_stats *out)
{
    const struct page_alloc *pages = &arena->pages;
    struct large_count large = shelf_count_large(&arena->pages);
    uint64_t pcp_pages[MAX_NR_ZONES], elsewhere;

    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    out->size_bytes = arena->bytes;
    add_zones(arena, out);
    add_caches(arena, out);
    pcp_count_pages(&arena->pages, pcp_pages);
    for (uint32_t i = 0; i < pages->nr_zones; i++)
        out->pcp_pages += pcp_pages[i];
    out->peak_used_pages = load_relaxed(&pages->peak_used_pages);
    out->large_count = large.nr;
    out->large_pages = large.nr_pages;
    elsewhere = out->free_pages + out->pcp_pages + out->slab_pages + out->large_pages;
    out->block_pages = out->managed_pages > elsewhere ? out->managed_pages - elsewhere : 0;
    out->metadata_bytes = frame_map_record_bytes(pages->map.nr_pages) +
                          (uint64_t)out->nr_caches * sizeof(struct cache_desc);
    out->heap_bytes = os_heap_live_bytes();
    out->alloc_failures = load_relaxed(&pages->alloc_failures);
    out->pages_cleared = load_relaxed(&pages->pages_cleared);
    out->pages_known_zero = load_relaxed(&pages->pages_known_zero);
    out->pages_released = load_relaxed(&pages->pages_released);
}

int arena_zone_stats(struct pyslab_arena *arena, uint32_t index, pyslab_zone_stats *out)
{
    struct page_alloc *pages = &arena->pages;
    uint64_t pcp_pages[MAX_NR_ZONES];
    struct zone *zone;

    if (index >= pages->nr_zones)
        return PYSLAB_EINVAL;
    zone = &pages->zone[index];
    pcp_count_pages(pages, pcp_pages);
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    out->type = zone->type;
    out->start_pfn = zone->start_pfn;
    out->nr_pages = zone_managed_pages(zone);
    memcpy(out->watermark, zone->watermark, sizeof out->watermark);
    memcpy(out->lowmem_reserve, zone->lowmem_reserve, sizeof out->lowmem_reserve);
    out->batch = zone->batch;
    out->high_min = zone->high_min;
    out->high_max = zone->high_max;
    out->has_address = zone->type < PYSLAB_ZONE_HIGHMEM;
    out->pcp_pages = pcp_pages[index];
    out->nr_stalls = load_relaxed(&zone->nr_stalls);
    lock_acquire(&zone->lock);
    out->free_pages = zone_free_pages(zone);
    out->dirty_free_pages = zone->dirty_pages;
    out->pages_allocated = zone->pages_allocated;
    out->pages_freed = zone->pages_freed;
    out->nr_fallbacks = zone->nr_fallbacks;
    lock_release(&zone->lock);
    return PYSLAB_OK;
}

struct frames_recount {
    const struct frame_map *map; /* of the arena */
    struct finding *finding;     /* where to report */
    uint64_t nr_slab_pages;      /* frames of slabs */
    uint64_t nr_large_pages;     /* frames of large kmalloc blocks */
    uint64_t nr_alloc_pages;     /* frames of page blocks */
};

/* Adds one block to the recount; its class bytes must say a slab's class if it is one. */
static bool recount_block(void *context, uint32_t pfn, const struct page *page)
{
    struct frames_recount *count = context;
    bool slab = page_state(page) == PYSLAB_PAGE_SLAB;
    uint32_t nr = page_block_pages(page);

    for (uint32_t i = 0; i < nr; i++) {
        unsigned class = count->map->classes[pfn + i];

        if (slab != (class != CLASS_NONE && class != CLASS_LARGE))
            return finding_report(count->finding,
                                  "arena: frame %u in a block of state %u has class %u", pfn + i,
                                  page_state(page), class);
    }
    count->nr_slab_pages += slab ? nr : 0;
    count->nr_large_pages += page_state(page) == PYSLAB_PAGE_LARGE ? nr : 0;
    count->nr_alloc_pages += page_state(page) == PYSLAB_PAGE_ALLOC ? nr : 0;
    return true;
}

/* The invariant of arena.h, by the state of each block: slabs on the caches' lists are all the
 * slabs there are, and the class map shows them; every frame is of one of the kinds. A forked
 * child misses what other threads of its parent had in hand. */
static bool arena_adds_up(struct pyslab_arena *arena, struct finding *f)
{
    struct frames_recount count = {.map = &arena->pages.map, .finding = f};
    pyslab_arena_stats stats;
    uint64_t isolated = 0, sum;

    arena_stats(arena, &stats);
    for (uint32_t i = 0; i < arena->pages.nr_zones; i++)
        isolated += arena->pages.zone[i].isolated_pages;
    if (!page_alloc_each_block(&arena->pages, recount_block, &count))
        return false;
    if (count.nr_slab_pages != stats.slab_pages)
        return finding_report(f, "arena: %llu frames of slabs, caches list %llu",
                              (unsigned long long)count.nr_slab_pages,
                              (unsigned long long)stats.slab_pages);
    sum = stats.free_pages + stats.pcp_pages + count.nr_slab_pages + count.nr_large_pages +
          count.nr_alloc_pages + isolated;
    if (sum != stats.managed_pages && !arena->pages.forked)
        return finding_report(f, "arena: %llu frames, %llu are accounted for",
                              (unsigned long long)stats.managed_pages, (unsigned long long)sum);
    return true;
}

static bool check_layers(struct pyslab_arena *arena, struct finding *f)
{
    struct pyslab_arena *side = load_acquire(&arena->side);

    if (side != NULL && !check_layers(side, f))
        return false;
    return page_alloc_check(&arena->pages, f) && vm_check(&arena->vm, f) &&
           region_check(&arena->regions, f) && slab_check(&arena->kmalloc.slabs, f) &&
           kmalloc_check(&arena->kmalloc, f) && arena_adds_up(arena, f);
}

/* A thread that ends gives back what it holds, and a recount may see that half done. Callers
 * cannot wait for the end of it, because Python's join() returns before it. So after a finding
 * it counts again if a thread has ended meanwhile. */
bool arena_check(struct pyslab_arena *arena, struct finding *f)
{
    uint64_t nr_ended;
    bool ok;

    background_pause(&arena->background);
    do {
        nr_ended = thread_nr_ended();
        f->text[0] = '\0';
        ok = check_layers(arena, f);
    } while (!ok && thread_nr_ended() != nr_ended);
    background_resume(&arena->background);
    return ok;
}

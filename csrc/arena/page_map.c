/* page_map.c - see page_map.h. Order of the text: slabs, cells, stretches. */
#include "arena/page_map.h"

/* --- slabs -------------------------------------------------------------------- */

/* Fills in whose slab a stretch is. Its cache may be on its way out in another thread. */
static void add_slab(const struct page_map *map, struct page_map_span *span)
{
    const struct slab_alloc *sa = &map->arena->kmalloc.slabs;
    const struct page *page = pfn_to_page(&sa->map, span->block);
    uint32_t id = page->slab.cache_id;

    if (id >= MAX_CACHES)
        return;
    span->cache = id;
    span->nr_objects = sa->descs[id].objects_per_slab;
    span->nr_inuse = min_uint(page->slab.inuse, span->nr_objects);
}

/* --- cells -------------------------------------------------------------------- */

/* Adds nr_pages frames of a stretch to the cell with this number, which is the last one so far or
 * one behind it. */
static void add_to_cell(struct page_map *map, uint32_t number, const struct page_map_span *span,
                        uint32_t nr_pages)
{
    struct page_map_cell *cell = &map->cells[number];
    uint64_t *by_cache = &map->by_cache[span->cache];

    cell->nr_pages[span->use] += nr_pages;
    if (span->use != FRAME_SLAB)
        return;
    if (map->cell != number + 1) {
        map->cell = number + 1;
        map->fill = 0;
    }
    if (span->nr_objects != 0)
        map->fill += (uint64_t)nr_pages * span->nr_inuse * 1000 / span->nr_objects;
    cell->fill = (uint32_t)(map->fill / cell->nr_pages[FRAME_SLAB]);
    if (*by_cache >> 32 != map->cell)
        *by_cache = (uint64_t)map->cell << 32;
    *by_cache += nr_pages;
    if ((uint32_t)*by_cache > cell->cache_pages) {
        cell->cache = span->cache;
        cell->cache_pages = (uint32_t)*by_cache;
    }
}

static void add_to_cells(struct page_map *map, const struct page_map_span *span)
{
    uint32_t pfn = span->pfn, end = span->pfn + span->nr_pages;

    while (pfn < end) {
        uint32_t number = (pfn - map->start) >> map->order;
        uint64_t cell_end = map->start + ((uint64_t)(number + 1) << map->order);
        uint32_t nr_pages = (uint32_t)(cell_end < end ? cell_end : end) - pfn;

        add_to_cell(map, number, span, nr_pages);
        pfn += nr_pages;
    }
}

/* --- stretches ------------------------------------------------------------------ */

/* Cuts a stretch to the frames that were asked for; false: it has none of them. */
static bool clip(const struct page_map *map, struct page_map_span *span)
{
    uint32_t start = max_uint(span->pfn, map->start);
    uint32_t end = min_uint(span->pfn + span->nr_pages, map->end);

    span->pfn = start;
    span->nr_pages = end - start;
    return start < end;
}

static bool is_free(enum frame_use use)
{
    return use == FRAME_UNTOUCHED || use == FRAME_ZEROED || use == FRAME_DIRTY;
}

static void add_span(void *context, const struct frame_span *found)
{
    struct page_map *map = context;
    struct page_map_span span = {.pfn = found->pfn,
                                 .nr_pages = found->nr_pages,
                                 .block = found->block,
                                 .order = found->order,
                                 .use = found->use};

    if (is_free(found->use) && found->pfn == found->block) {
        uint32_t zone = page_alloc_zone_of(&map->arena->pages, found->pfn)->index;

        map->nr_free[zone][found->order]++;
    }
    if (!clip(map, &span))
        return;
    if (found->use == FRAME_SLAB)
        add_slab(map, &span);
    if (map->spans != NULL)
        map->spans[map->nr_spans] = span;
    map->nr_spans++;
    if (map->cells != NULL)
        add_to_cells(map, &span);
}

void page_map_read(struct pyslab_arena *arena, struct page_map *map)
{
    CHECK(map->start < map->end && map->end <= arena->pages.map.nr_pages);
    CHECK(map->order <= MAX_ORDER + 4);
    map->arena = arena;
    frames_walk(&arena->pages, add_span, map);
}

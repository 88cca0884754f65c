/* zones.c - setting up an arena's zones from their options.
 *
 * What it is: the check of the options, the table from a mask's low bits to a zone, and the start
 * and end of struct page_alloc. What it is not: the arithmetic of watermarks and reserves, which
 * whoever makes the options does. Lock: none; no other thread knows the arena yet, or any more.
 */
#include "page_alloc/page_alloc.h"

#include "os/os_heap.h"
#include "page_alloc/pcp.h"
#include "page_alloc/shrinker.h"
#include "page_alloc/watch.h"

static const char *const zone_names[PYSLAB_NR_ZONE_TYPES] = {"DMA", "DMA32", "NORMAL", "HIGHMEM",
                                                             "MOVABLE"};

/* --- options ------------------------------------------------------------ */

static bool marks_ascend(const pyslab_zone_options *zone)
{
    for (unsigned mark = 1; mark < PYSLAB_NR_MARKS; mark++)
        if (zone->watermark[mark] < zone->watermark[mark - 1])
            return false;
    return true;
}

bool page_alloc_zones_valid(const pyslab_zone_options *zones, uint32_t nr_zones, uint64_t nr_pages)
{
    uint64_t sum = 0;

    if (nr_zones == 0)
        return true;
    if (zones == NULL || nr_zones > MAX_NR_ZONES || zones[0].type >= PYSLAB_ZONE_HIGHMEM)
        return false;
    for (uint32_t i = 0; i < nr_zones; i++) {
        sum += zones[i].nr_pages;
        if (zones[i].type >= PYSLAB_NR_ZONE_TYPES || zones[i].nr_pages == 0 ||
            (i > 0 && zones[i].type <= zones[i - 1].type) || !marks_ascend(&zones[i]) ||
            zones[i].batch == 0)
            return false;
    }
    return sum == nr_pages;
}

uint32_t page_alloc_mapped_pages(const pyslab_zone_options *zones, uint32_t nr_zones)
{
    uint32_t nr_pages = 0;

    for (uint32_t i = 0; i < nr_zones && zones[i].type < PYSLAB_ZONE_HIGHMEM; i++)
        nr_pages += zones[i].nr_pages;
    return nr_pages;
}

/* --- set-up ------------------------------------------------------------- */

/* The highest zone of at most this type; the lowest zone if all are above it. A type of
 * low memory that is missing means NORMAL, as in a kernel built without that zone. */
static uint32_t zone_for_type(const struct page_alloc *pa, enum pyslab_zone_type type)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < pa->nr_zones && pa->zone[i].type <= type; i++)
        found = i;
    if (pa->zone[found].type != type && type < PYSLAB_ZONE_NORMAL)
        return zone_for_type(pa, PYSLAB_ZONE_NORMAL);
    return found;
}

static void zone_set_options(struct zone *zone, const pyslab_zone_options *options)
{
    zone->type = options->type;
    for (unsigned i = 0; i < PYSLAB_NR_MARKS; i++)
        zone->watermark[i] = options->watermark[i];
    for (unsigned i = 0; i < MAX_NR_ZONES; i++)
        zone->lowmem_reserve[i] = options->lowmem_reserve[i];
    zone->batch = options->batch;
    zone->high_min = options->high_min;
    zone->high_max = options->high_max;
}

void page_alloc_init(struct page_alloc *pa, const struct frame_map *map,
                     struct thread_domain *domain, unsigned max_order,
                     const pyslab_zone_options *zones, uint32_t nr_zones)
{
    uint32_t batch = zone_batchsize(map->nr_pages);
    const pyslab_zone_options flat = {.type = PYSLAB_ZONE_NORMAL,
                                      .nr_pages = map->nr_pages,
                                      .batch = batch,
                                      .high_min = 4 * batch,
                                      .high_max = 4 * batch};
    uint32_t start = 0;

    CHECK(page_alloc_zones_valid(zones, nr_zones, map->nr_pages));
    if (nr_zones == 0) {
        zones = &flat;
        nr_zones = 1;
    }
    *pa = (struct page_alloc){.map = *map,
                              .domain = domain,
                              .watch = map->low == NULL ? sanitize_mode() : SANITIZE_NONE,
                              .nr_zones = nr_zones,
                              .max_order = max_order,
                              .open_end = PFN_NONE};
    pa->usage = &pa->own_usage;
    pa->faults = &pa->own_faults;
    pa->purge.interval_ms = PURGE_NEVER;
    store_relaxed(&pa->limit_pages, LIMIT_NONE);
    for (uint32_t i = 0; i < nr_zones; i++) {
        zone_init(&pa->zone[i], zone_names[zones[i].type], i, start, zones[i].nr_pages, max_order);
        zone_set_options(&pa->zone[i], &zones[i]);
        start += zones[i].nr_pages;
    }
    for (uint32_t gfp = 0; gfp <= GFP_ZONE_TABLE_BITS; gfp++)
        pa->gfp_zone[gfp] = (uint8_t)zone_for_type(pa, gfp_zone_type(gfp));
    pa->normal = pa->gfp_zone[0];
    lock_init(&pa->limit_lock, LOCK_RANK_LIMIT);
    shrinkers_init(pa);
    pcp_set_up(pa);
}

void page_alloc_destroy(struct page_alloc *pa)
{
    frames_watch_end(pa);
    shrinkers_destroy(pa);
    lock_destroy(&pa->limit_lock);
    os_heap_free(pa->huge.differs, pa->huge.nr_runs);
    for (uint32_t i = 0; i < pa->nr_zones; i++)
        zone_destroy(&pa->zone[i]);
}

/* api_region.c - the functions of pyslab.h for regions: argument checks.
 * What it is not: the work (region/region.h). Lock: none. */
#include "arena/arena.h"

int pyslab_region_create(pyslab_arena *arena, size_t size_hint, pyslab_region **out)
{
    return out == NULL ? PYSLAB_EINVAL : region_create(&arena->regions, size_hint, out);
}

int pyslab_region_create_child(pyslab_region *region, pyslab_region **out)
{
    return region == NULL || out == NULL ? PYSLAB_EINVAL : region_create_child(region, out);
}

void *pyslab_region_alloc(pyslab_region *region, size_t size)
{
    return region_alloc(region, size);
}

void *pyslab_region_alloc_aligned(pyslab_region *region, size_t size, size_t align)
{
    return region_alloc_aligned(region, size, align);
}

void *pyslab_region_zalloc(pyslab_region *region, size_t size)
{
    return region_alloc_zeroed(region, size, REGION_ALIGN);
}

uint64_t pyslab_region_mark(pyslab_region *region)
{
    return region_mark(region);
}

int pyslab_region_rewind(pyslab_region *region, uint64_t mark)
{
    return region_rewind(region, mark);
}

int pyslab_region_reset(pyslab_region *region)
{
    return region_reset(region);
}

int pyslab_region_on_exit(pyslab_region *region, pyslab_region_exit fn, void *context)
{
    return fn == NULL ? PYSLAB_EINVAL : region_on_exit(region, fn, context);
}

int pyslab_region_destroy(pyslab_region *region)
{
    return region == NULL ? PYSLAB_OK : region_destroy(region);
}

void pyslab_region_stats_read(const pyslab_region *region, pyslab_region_stats *out)
{
    region_stats(region, out);
}

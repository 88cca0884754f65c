/* address.c - from an address to the cache whose slab it lies in.
 *
 * What it is: what a free asks of the class map, and of the record of a slab's first frame.
 * What it is not: whether an object is in use there (slab.c).
 * Lock: none; the address is of an object that the caller may use, and its slab stays.
 */
#include "slab/slab_internal.h"

/* Caches with ids above CLASS_MAX share one class byte, which does not say which cache it is. The
 * record of the slab's first frame does: tries where that would be for each order of a slab. */
static struct kmem_cache *lookup_cache(struct slab_alloc *sa, uint32_t pfn)
{
    const struct frame_map *map = &sa->map;

    for (unsigned order = 0; order <= sa->pages->max_order; order++) {
        const struct page *page = pfn_to_page(map, pfn & ~((1u << order) - 1));

        if (page_state(page) == PYSLAB_PAGE_SLAB && page_order(page) == order)
            return sa->caches[page->slab.cache_id];
    }
    return NULL;
}

struct kmem_cache *slab_cache_around(struct slab_alloc *sa, const void *p)
{
    const struct frame_map *map = &sa->map;
    uint32_t pfn = virt_to_pfn(map, p);
    unsigned class = pfn != PFN_NONE ? frame_class(map->classes, pfn) : CLASS_NONE;

    if (class == CLASS_NONE || class > CLASS_LOOKUP)
        return NULL;
    return class == CLASS_LOOKUP ? lookup_cache(sa, pfn) : sa->caches[class];
}

struct kmem_cache *slab_cache_of(struct slab_alloc *sa, const void *p)
{
    struct kmem_cache *cache = slab_cache_around(sa, p);
    size_t offset;

    if (cache == NULL)
        return NULL;
    offset = (size_t)((const char *)p - sa->map.base) & (cache_slab_bytes(cache->desc) - 1);
    if (offset < cache->desc->front)
        return NULL;
    offset -= cache->desc->front;
    if (offset % cache->desc->stride != 0 ||
        offset / cache->desc->stride >= cache->desc->objects_per_slab)
        return NULL;
    return cache;
}

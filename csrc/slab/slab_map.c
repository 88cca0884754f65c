/* slab_map.c - what the objects of a cache's slabs are, one by one.
 *
 * What it is: for tools that show a cache. What it is not: a check, or a total (cache_stats).
 * Lock: the cache's, taken inside. An object on its way between a thread and the slabs is told as
 * what it was, or will be.
 */
#include "slab/slab_internal.h"

static enum object_state state_of(const struct kmem_cache *cache, void *object)
{
    if (object_is_in_slab(cache, object))
        return OBJECT_FREE;
    return object_is_marked(cache, object) ? OBJECT_CACHED : OBJECT_LIVE;
}

static void tell_slab(const struct kmem_cache *cache, uint32_t pfn, struct slab_info *info,
                      uint8_t *states)
{
    const struct page *page = pfn_to_page(&cache->owner->map, pfn);

    *info = (struct slab_info){pfn, page->slab.list, page->slab.inuse};
    for (uint32_t i = 0; i < cache->desc->objects_per_slab; i++)
        states[i] = (uint8_t)state_of(cache, slab_object(cache, pfn, i));
}

uint32_t cache_slab_map(struct kmem_cache *cache, struct slab_info *info, uint8_t *states,
                        uint32_t nr)
{
    struct index_view links = page_links(&cache->owner->map);
    const struct cache_desc *desc = cache->desc;
    uint32_t found = 0;

    lock_acquire(&cache->lock);
    for (unsigned list = 0; list < NR_SLAB_LISTS; list++)
        for (uint32_t pfn = desc->list[list].first; pfn != INDEX_NONE;
             pfn = index_link_at(links, pfn)->next, found++)
            if (found < nr)
                tell_slab(cache, pfn, &info[found],
                          states + (size_t)found * desc->objects_per_slab);
    lock_release(&cache->lock);
    return found;
}

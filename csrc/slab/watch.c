/* watch.c - objects under a tool that looks for wrong accesses (sanitize/sanitize.h).
 *
 * What it is: a watched cache has no sheaves, so that each object that leaves its slab goes to a
 * caller, and each that comes back is free. Its slabs are closed but for the objects in use.
 * Behind each object lies a red zone that is never opened (watched_stride in cache_layout.c).
 * Lock: cache->lock, as for the slabs' bits.
 */
#include "slab/slab_internal.h"

void slab_watch(const struct kmem_cache *cache, uint32_t pfn, bool open)
{
    void *start = pfn_to_virt(&cache->owner->map, pfn);

    if (open)
        sanitize_open(cache->watch, start, cache_slab_bytes(cache->desc), true);
    else
        sanitize_close(cache->watch, start, cache_slab_bytes(cache->desc));
}

void objects_watch(const struct kmem_cache *cache, void *const *objects, uint32_t nr, bool taken)
{
    for (uint32_t i = 0; i < nr; i++) {
        if (taken)
            sanitize_object_alloc(cache->watch, objects[i], cache->desc->object_size,
                                  cache_is_constructed(cache));
        else
            sanitize_object_free(cache->watch, objects[i], cache->desc->object_size);
    }
}

void slab_forget(const struct kmem_cache *cache, uint32_t pfn)
{
    for (uint32_t i = 0; i < cache->desc->objects_per_slab; i++) {
        void *p = slab_object(cache, pfn, i);

        if (!object_is_in_slab(cache, p))
            objects_watch(cache, &p, 1, false);
    }
}

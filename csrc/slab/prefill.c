/* prefill.c - sheaves set aside: n objects that cannot fail to come.
 *
 * A prefilled sheaf belongs to its caller and to no thread's slot. Its objects are
 * marked free and counted as cached until they are taken out. A mempool's reserve is one.
 */
#include "slab/slab_internal.h"

struct sheaf *sheaf_set_aside(struct kmem_cache *cache, uint32_t gfp, uint32_t capacity,
                              uint32_t nr)
{
    struct sheaf *sheaf = sheaf_new(capacity);

    if (sheaf == NULL)
        return NULL;
    if (cache_alloc_bulk(cache, gfp & ~(uint32_t)PYSLAB_GFP_ZERO, nr, sheaf->object) != nr) {
        sheaf_delete(sheaf);
        return NULL;
    }
    for (uint32_t i = 0; i < nr; i++)
        object_set_mark(cache, sheaf->object[i]);
    sheaf->nr = nr;
    add_relaxed(&cache->nr_prefilled, nr);
    return sheaf;
}

struct sheaf *cache_prefill(struct kmem_cache *cache, uint32_t gfp, size_t nr)
{
    if (nr == 0 || nr > SLAB_MAX_OBJECTS)
        return NULL;
    return sheaf_set_aside(cache, gfp, (uint32_t)nr, (uint32_t)nr);
}

void *cache_alloc_prefilled(struct kmem_cache *cache, struct sheaf *sheaf)
{
    uint32_t nr = sheaf->nr;
    void *p;

    if (nr == 0)
        return NULL;
    p = sheaf->object[nr - 1];
    sheaf->nr = nr - 1;
    object_clear_mark(cache, p);
    sub_relaxed(&cache->nr_prefilled, 1);
    return p;
}

void cache_put_prefilled(struct kmem_cache *cache, struct sheaf *sheaf, void *p)
{
    object_set_mark(cache, p);
    sheaf->object[sheaf->nr++] = p;
    add_relaxed(&cache->nr_prefilled, 1);
}

void cache_return_prefilled(struct kmem_cache *cache, struct sheaf *sheaf)
{
    void *p;

    while ((p = cache_alloc_prefilled(cache, sheaf)) != NULL)
        (void)cache_free_object(cache, p);
    sheaf_delete(sheaf);
}

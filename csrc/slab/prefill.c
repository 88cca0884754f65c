/* prefill.c - sheaves set aside: n objects that cannot fail to come.
 *
 * A prefilled sheaf belongs to its caller and to no thread's slot. Its objects are
 * marked free and counted as cached until they are taken out.
 */
#include "slab/slab_internal.h"

struct sheaf *cache_prefill(struct kmem_cache *cache, uint32_t gfp, size_t nr)
{
    struct sheaf *sheaf;

    if (nr == 0 || nr > SLAB_MAX_OBJECTS || (sheaf = sheaf_new((uint32_t)nr)) == NULL)
        return NULL;
    if (cache_alloc_bulk(cache, gfp & ~(uint32_t)PYSLAB_GFP_ZERO, nr, sheaf->object) != nr) {
        sheaf_delete(sheaf);
        return NULL;
    }
    for (size_t i = 0; i < nr; i++)
        object_set_mark(cache, sheaf->object[i]);
    sheaf->nr = (uint32_t)nr;
    add_relaxed(&cache->nr_prefilled, nr);
    return sheaf;
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

void cache_return_prefilled(struct kmem_cache *cache, struct sheaf *sheaf)
{
    void *p;

    while ((p = cache_alloc_prefilled(cache, sheaf)) != NULL)
        (void)cache_free_object(cache, p);
    sheaf_delete(sheaf);
}

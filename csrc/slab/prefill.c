/* prefill.c - sheaves set aside: n objects that cannot fail to come.
 *
 * A prefilled sheaf belongs to its caller and to no thread's slot. Its objects are
 * marked free and counted as cached until they are taken out. A mempool's reserve is one.
 */
#include "slab/slab_internal.h"

/* As cache_alloc, of an object that no caller has yet. */
static void *take_object(struct kmem_cache *cache, uint32_t gfp)
{
    void *p = NULL;

    if (likely((gfp & ~GFP_FAST_BITS) == 0 && thread_has_domain(cache->owner->domain)))
        p = sheaf_pop(sheaf_table_loaded(), cache->fast_class);
    if (p == NULL && gfp_valid(gfp))
        p = cache_take_any(cache, gfp);
    if (p == NULL)
        add_relaxed(&cache->owner->pages->alloc_failures, 1);
    return p;
}

/* nr objects or none. */
static bool take_objects(struct kmem_cache *cache, uint32_t gfp, struct sheaf *sheaf, uint32_t nr)
{
    while (sheaf->nr < nr) {
        void *p = take_object(cache, gfp);

        if (p == NULL)
            break;
        sheaf->object[sheaf->nr++] = p;
    }
    if (sheaf->nr == nr)
        return true;
    while (sheaf->nr > 0)
        cache_put_any(cache, sheaf->object[--sheaf->nr]);
    return false;
}

struct sheaf *sheaf_set_aside(struct kmem_cache *cache, uint32_t gfp, uint32_t capacity,
                              uint32_t nr)
{
    struct sheaf *sheaf = sheaf_new(capacity);

    if (sheaf == NULL)
        return NULL;
    if (!take_objects(cache, gfp & ~(uint32_t)PYSLAB_GFP_ZERO, sheaf, nr)) {
        sheaf_delete(sheaf);
        return NULL;
    }
    for (uint32_t i = 0; i < nr; i++)
        object_set_mark(cache, sheaf->object[i]);
    add_relaxed(&cache->nr_prefilled, nr);
    return sheaf;
}

struct sheaf *cache_prefill(struct kmem_cache *cache, uint32_t gfp, size_t nr)
{
    if (nr == 0 || nr > SLAB_MAX_OBJECTS)
        return NULL;
    return sheaf_set_aside(cache, gfp, (uint32_t)nr, (uint32_t)nr);
}

void *cache_take_prefilled(struct kmem_cache *cache, struct sheaf *sheaf)
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

void *cache_alloc_prefilled(struct kmem_cache *cache, struct sheaf *sheaf)
{
    void *p = cache_take_prefilled(cache, sheaf);

    if (p != NULL)
        cache_count_alloc(cache, 1);
    return p;
}

void cache_put_prefilled(struct kmem_cache *cache, struct sheaf *sheaf, void *p)
{
    cache_count_free(cache, 1);
    object_set_mark(cache, p);
    sheaf->object[sheaf->nr++] = p;
    add_relaxed(&cache->nr_prefilled, 1);
}

void cache_return_prefilled(struct kmem_cache *cache, struct sheaf *sheaf)
{
    void *p;

    while ((p = cache_take_prefilled(cache, sheaf)) != NULL)
        cache_put_any(cache, p);
    sheaf_delete(sheaf);
}

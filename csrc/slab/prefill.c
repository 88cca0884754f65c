/* prefill.c - sheaves set aside: so many objects that an allocation cannot fail to get.
 *
 * A sheaf set aside (a prefilled one) belongs to the caller that asked for it, not to a thread's
 * slot or the barn. Its objects are marked free, and counted as cached (nr_prefilled), until they
 * are taken out. A mempool's reserve is one, too.
 * Lock: none; the owner of such a sheaf lets one thread at a time use it.
 */
#include "slab/slab_internal.h"

/* As cache_alloc, but does not count the object as in a caller's hands. */
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

/* Takes objects until the sheaf has nr; false, and none, if they cannot be had. */
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

    CHECK(nr <= capacity);
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
    if (cache_fails(cache, gfp))
        return NULL;
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
        cache_count_alloc(cache, p);
    return p;
}

void cache_put_prefilled(struct kmem_cache *cache, struct sheaf *sheaf, void *p)
{
    CHECK(sheaf->nr < sheaf->capacity && slab_cache_of(cache->owner, p) == cache &&
          !object_is_marked(cache, p));
    cache_count_free(cache, p);
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

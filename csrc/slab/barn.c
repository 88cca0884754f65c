/* barn.c - how sheaves, and a cache's barn of them, are emptied: their objects go to their slabs.
 *
 * What it is not: the exchange of sheaves with a barn (sheaf.c), or what ended threads leave there
 * (sheaf_left.c).
 * Data structure: struct barn, lists of full and of empty sheaves, and of those that were left.
 * Invariant: objects are in a sheaf or in their slab whenever the lock is free.
 * Lock: cache->lock.
 */
#include "slab/slab_internal.h"

void sheaf_flush(struct kmem_cache *cache, struct sheaf *sheaf, struct slab_batch *batch)
{
    CHECK_WALK(objects_are_distinct(sheaf->object, sheaf->nr));
    lock_acquire(&cache->lock);
    slab_put_locked(cache, sheaf->object, sheaf->nr, batch);
    sheaf->nr = 0;
    lock_release(&cache->lock);
}

uint64_t barn_flush(struct kmem_cache *cache)
{
    struct slab_batch batch;
    struct sheaf *sheaf;

    slab_batch_init(&batch);
    do {
        lock_acquire(&cache->lock);
        sheaf = sheaf_list_pop(&cache->barn.full, &cache->barn.nr_full);
        if (sheaf == NULL)
            sheaf = left_pop(cache);
        /* At once: a thread that destroys the cache, or counts, must find all its objects. */
        if (sheaf != NULL)
            slab_put_locked(cache, sheaf->object, sheaf->nr, &batch);
        else
            sheaf = sheaf_list_pop(&cache->barn.empty, &cache->barn.nr_empty);
        lock_release(&cache->lock);
        sheaf_delete(sheaf);
    } while (sheaf != NULL);
    return slab_batch_free(cache, &batch);
}

void barn_discard(struct kmem_cache *cache)
{
    struct sheaf *sheaf;

    while ((sheaf = sheaf_list_pop(&cache->barn.full, &cache->barn.nr_full)) != NULL ||
           (sheaf = sheaf_list_pop(&cache->barn.empty, &cache->barn.nr_empty)) != NULL ||
           (sheaf = left_pop(cache)) != NULL)
        sheaf_delete(sheaf);
}

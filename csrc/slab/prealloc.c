/* prealloc.c - slabs that are bought before anybody needs them, and wait on the empty list.
 *
 * The cache remembers how many slabs that were (min_slabs). While it has no more slabs than that,
 * its empty slabs are not given back because they went unused for a while. cache_shrink and
 * slab_reclaim give them back all the same; min_slabs stays as it is, so that slabs which are
 * bought later are kept in their place.
 * Lock: cache->lock for min_slabs and the lists; slabs are bought without it.
 */
#include "slab/slab_internal.h"

/* Notes that this thread starts (1) or ends (-1) to buy slabs for stock: slab_reclaim, which buying
 * may call, then leaves other caches' stock alone. False if the thread has no table to note it
 * in. */
static bool stocking_add(struct slab_alloc *sa, int change)
{
    struct sheaf_table *table = sheaf_table_own(sa);

    if (table != NULL)
        table->nr_stocking += (uint32_t)change;
    return table != NULL;
}

/* Buys slabs until the batch has nr, or there is no memory; returns how many it has. */
static uint32_t buy_slabs(struct kmem_cache *cache, uint32_t nr, struct slab_batch *batch)
{
    struct index_view links = page_links(&cache->owner->map);

    while (batch->list.nr < nr) {
        uint32_t pfn = slab_new(cache, PYSLAB_GFP_KERNEL);

        if (pfn >= SLAB_REFUSED)
            break;
        index_list_add_tail(&batch->list, links, pfn);
    }
    return batch->list.nr;
}

/* Enters the batch's slabs in the cache, as empty ones that are to be kept. */
static void stock_slabs(struct kmem_cache *cache, struct slab_batch *batch)
{
    struct index_view links = page_links(&cache->owner->map);

    lock_acquire(&cache->lock);
    cache->min_slabs = min_uint(cache->min_slabs + batch->list.nr, cache->owner->map.nr_pages);
    while (batch->list.first != INDEX_NONE) {
        uint32_t pfn = batch->list.first;

        index_list_remove(&batch->list, links, pfn);
        slab_add_locked(cache, pfn);
        slab_settle_locked(cache, pfn);
    }
    lock_release(&cache->lock);
}

int cache_prealloc(struct kmem_cache *cache, size_t nr)
{
    struct slab_alloc *sa = cache->owner;
    uint32_t per_slab = cache->desc->objects_per_slab;
    size_t nr_slabs = nr / per_slab + (nr % per_slab != 0);
    struct slab_batch batch;
    bool complete;

    if (nr_slabs > sa->map.nr_pages >> cache->desc->slab_order || !stocking_add(sa, 1))
        return PYSLAB_ENOMEM;
    slab_batch_init(&batch);
    complete = buy_slabs(cache, (uint32_t)nr_slabs, &batch) == nr_slabs;
    (void)stocking_add(sa, -1);
    if (complete)
        stock_slabs(cache, &batch);
    else
        slab_batch_free(cache, &batch);
    return complete ? PYSLAB_OK : PYSLAB_ENOMEM;
}

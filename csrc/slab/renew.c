/* renew.c - the caches of a forked child whose frames are its parent's.
 *
 * What it is: forgets every free object, so that none is handed out: the parent may hand it out as
 * well, and the words in it that mark it free follow the parent. All objects of the slabs that were
 * inherited count as in use; new slabs come from new frames.
 * What it is not: it leaves mempools' reserves as they are.
 * Lock: takes the caches'. No other thread exists.
 */
#include "slab/slab_internal.h"

static void sheaf_forget(struct kmem_cache *cache, struct sheaf_table *table, struct sheaf *sheaf)
{
    if (sheaf == NULL)
        return;
    sheaf->nr = 0;
    slot_sheaf_delete(cache, table, sheaf);
}

/* What this thread has of a cache. The tables of the parent's other threads are out of reach. */
static void slot_forget(struct kmem_cache *cache, struct sheaf_table *table)
{
    struct sheaf_slot *slot = sheaf_slot_of(table, cache->id);
    struct sheaf *spare;

    if (slot == NULL)
        return;
    spare = slot->spare;
    slot->spare = NULL;
    sheaf_forget(cache, table, slot_detach_main(slot));
    sheaf_forget(cache, table, spare);
}

/* Every object of the slab is in use from now on. */
static void slab_use_up_locked(struct kmem_cache *cache, uint32_t pfn)
{
    struct cache_desc *desc = cache->desc;
    struct index_view links = page_links(&cache->owner->map);
    struct page *page = pfn_to_page(&cache->owner->map, pfn);

    lock_assert_held(&cache->lock);
    for (uint32_t i = 0; i < slab_nr_words(desc); i++)
        store_relaxed(slab_free_word(cache, pfn, i), 0);
    desc->nr_inuse += desc->objects_per_slab - page->slab.inuse;
    page->slab.inuse = (uint16_t)desc->objects_per_slab;
    index_list_remove(&desc->list[page->slab.list], links, pfn);
    page->slab.list = SLAB_FULL;
    index_list_add_tail(&desc->list[SLAB_FULL], links, pfn);
}

static void slabs_use_up_locked(struct kmem_cache *cache)
{
    lock_assert_held(&cache->lock);
    while (cache->debug != NULL && waiting_pop(&cache->debug->waiting) != NULL)
        continue;
    for (unsigned list = 0; list < NR_SLAB_LISTS; list++)
        while (list != SLAB_FULL && cache->desc->list[list].first != INDEX_NONE)
            slab_use_up_locked(cache, cache->desc->list[list].first);
    cache->min_empty_slabs = 0;
}

void slab_renew(struct slab_alloc *sa)
{
    struct sheaf_table *table = sheaf_table_own(sa);

    for (uint32_t id = 1; id < load_relaxed(&sa->id_limit); id++) {
        struct kmem_cache *cache = sa->caches[id];

        if (cache == NULL)
            continue;
        if (table != NULL)
            slot_forget(cache, table);
        barn_discard(cache);
        lock_acquire(&cache->lock);
        slabs_use_up_locked(cache);
        lock_release(&cache->lock);
    }
}

/* slab_check.c - the recount behind slab.h's invariant.
 *
 * For each cache: walk its lists and each slab's free list; walk every sheaf that holds
 * its objects; compare with the counters. Objects are looked at, never changed.
 */
#include "slab/slab_internal.h"

struct cache_recount {
    struct kmem_cache *cache;
    struct finding *finding;
    uint64_t nr_inuse;  /* objects outside slabs' free lists */
    uint64_t nr_cached; /* in sheaves and the barn */
    bool ok;
};

static const char *cache_name(const struct cache_recount *rc)
{
    return rc->cache->desc->name;
}

/* --- slabs -------------------------------------------------------------- */

static bool check_free_list(struct cache_recount *rc, uint32_t pfn, const struct page *page)
{
    const struct cache_desc *desc = rc->cache->desc;
    char *start = pfn_to_virt(&rc->cache->owner->map, pfn);
    uint32_t nr = 0;

    for (uint32_t i = page->slab.free_index; i != SLAB_INDEX_NONE;) {
        char *p = start + (size_t)i * desc->stride;

        if (i >= page->slab.carved || ++nr > page->slab.carved)
            return finding_report(rc->finding, "slab: %s: free list of slab %u holds index %u",
                                  desc->name, pfn, i);
        if (!object_is_marked(rc->cache, p))
            return finding_report(rc->finding, "slab: %s: free object %p was written to",
                                  desc->name, (void *)p);
        i = object_next(rc->cache, p);
        if (i == OBJECT_WRITTEN)
            return finding_report(rc->finding, "slab: %s: free object %p was written to",
                                  desc->name, (void *)p);
    }
    if (page->slab.inuse + nr != page->slab.carved)
        return finding_report(rc->finding, "slab: %s: slab %u: %u in use + %u free != %u carved",
                              desc->name, pfn, page->slab.inuse, nr, page->slab.carved);
    return true;
}

static bool check_slab(struct cache_recount *rc, uint32_t pfn, enum slab_list list)
{
    const struct cache_desc *desc = rc->cache->desc;
    const struct page *page = pfn_to_page(&rc->cache->owner->map, pfn);
    uint32_t inuse = page->slab.inuse;
    bool fits = list == SLAB_FULL    ? inuse == desc->objects_per_slab
                : list == SLAB_EMPTY ? inuse == 0
                                     : inuse < desc->objects_per_slab;

    if (page_state(page) != PYSLAB_PAGE_SLAB || page_order(page) != desc->slab_order ||
        page->slab.cache_id != rc->cache->id || page->slab.list != list)
        return finding_report(rc->finding, "slab: %s: frame %u is not a slab of it", desc->name,
                              pfn);
    if (!fits)
        return finding_report(rc->finding, "slab: %s: slab %u with %u in use is on list %d",
                              desc->name, pfn, inuse, (int)list);
    rc->nr_inuse += inuse;
    return check_free_list(rc, pfn, page);
}

static bool check_slab_list(struct cache_recount *rc, enum slab_list which)
{
    const struct index_list *list = &rc->cache->desc->list[which];
    struct index_view links = page_links(&rc->cache->owner->map);
    uint32_t nr = 0;

    for (uint32_t pfn = list->first; pfn != INDEX_NONE; pfn = index_link_at(links, pfn)->next) {
        if (++nr > list->nr || !check_slab(rc, pfn, which))
            return finding_report(rc->finding, "slab: %s: list %d is broken", cache_name(rc),
                                  (int)which);
    }
    if (nr != list->nr)
        return finding_report(rc->finding, "slab: %s: list %d has %u slabs, says %u",
                              cache_name(rc), (int)which, nr, list->nr);
    return true;
}

/* --- sheaves ------------------------------------------------------------ */

static void check_objects(struct cache_recount *rc, void *const *objects, uint64_t nr)
{
    for (uint64_t i = 0; i < nr; i++) {
        if (slab_cache_of(rc->cache->owner, objects[i]) != rc->cache)
            rc->ok = finding_report(rc->finding, "slab: %s: sheaf holds %p, not an object of it",
                                    cache_name(rc), objects[i]);
        else if (!object_is_marked(rc->cache, objects[i]))
            rc->ok = finding_report(rc->finding, "slab: %s: free object %p was written to",
                                    cache_name(rc), objects[i]);
    }
    rc->nr_cached += nr;
}

static void check_slot(void *table, void *context)
{
    struct cache_recount *rc = context;
    struct sheaf_slot *slot = sheaf_slot_of(table, rc->cache->id);
    struct sheaf *spare;
    void **bottom;

    if (slot == NULL || slot->bottom == NULL)
        return;
    bottom = slot->bottom;
    spare = slot->spare;
    check_objects(rc, bottom, (uint64_t)(slot->top - bottom));
    if (spare != NULL)
        check_objects(rc, spare->object, spare->nr);
}

static void check_barn_locked(struct cache_recount *rc)
{
    for (const struct sheaf *s = rc->cache->barn.full; s != NULL; s = s->next)
        check_objects(rc, s->object, s->nr);
}

/* --- caches ------------------------------------------------------------- */

static bool cache_check(struct kmem_cache *cache, struct finding *f)
{
    struct cache_recount rc = {.cache = cache, .finding = f, .ok = true};

    thread_domain_visit(cache->owner->domain, THREAD_SLOT_SLAB, check_slot, &rc);
    lock_acquire(&cache->lock);
    check_barn_locked(&rc);
    for (unsigned i = 0; rc.ok && i < NR_SLAB_LISTS; i++)
        rc.ok = check_slab_list(&rc, (enum slab_list)i);
    if (rc.ok && (rc.nr_inuse != cache->desc->nr_inuse || rc.nr_cached > rc.nr_inuse))
        rc.ok = finding_report(f, "slab: %s: %llu in use (%llu cached), cache says %llu",
                               cache->desc->name, (unsigned long long)rc.nr_inuse,
                               (unsigned long long)rc.nr_cached,
                               (unsigned long long)cache->desc->nr_inuse);
    lock_release(&cache->lock);
    return rc.ok;
}

bool slab_check(struct slab_alloc *sa, struct finding *f)
{
    struct kmem_cache *cache;
    uint32_t id = 1;
    bool ok = true;

    while (ok && (cache = cache_pin_next(sa, &id)) != NULL) {
        ok = cache_check(cache, f);
        cache_unpin(cache);
    }
    return ok && mempools_check(sa, f);
}

/* slab_check.c - the recounts of caches: what slab.h and slab.c claim, counted from scratch.
 *
 * slab_check, behind arena.validate(), walks each cache's lists, each slab's free bits and every
 * sheaf that holds objects of the cache, and compares with the counters. No other thread may use
 * the arena meanwhile. The functions that end in _locked do the part of it that is guarded by
 * the cache's lock; at check level 2 the slow paths call them on their way out.
 * Objects are looked at, never changed.
 */
#include "slab/fence.h"
#include "slab/slab_internal.h"

struct cache_recount {
    struct kmem_cache *cache;
    struct finding *finding;
    uint64_t nr_inuse;     /* objects that are not free in slabs */
    uint64_t nr_cached;    /* in sheaves and the barn */
    bool written_is_found; /* report free objects that a program has written to */
    bool ok;               /* false once something was reported */
};

static const char *cache_name(const struct cache_recount *rc)
{
    return rc->cache->desc->name;
}

/* --- slabs -------------------------------------------------------------- */

/* The invariant of slab.c: each object is free or in use. */
static bool slab_adds_up(const struct cache_desc *desc, const struct page *page, uint32_t nr_free)
{
    return page->slab.inuse + nr_free == desc->objects_per_slab;
}

/* Free object p was written to; true if that is not to be reported. */
static bool pass_written(struct cache_recount *rc, void *p)
{
    return !rc->written_is_found ||
           finding_report(rc->finding, "slab: %s: free object %p was written to", cache_name(rc),
                          p);
}

/* The free objects of one word; *nr: counts them. */
static bool check_free_word(struct cache_recount *rc, uint32_t pfn, uint32_t at, uint32_t *nr)
{
    const struct cache_desc *desc = rc->cache->desc;
    uint64_t word = load_relaxed(slab_free_word(rc->cache, pfn, at));
    char *start = pfn_to_virt(&rc->cache->owner->map, pfn);
    char *first = start + (size_t)64 * at * desc->stride + desc->front;

    if ((word & ~slab_word_all(desc, at)) != 0)
        return finding_report(rc->finding, "slab: %s: slab %u: bits behind the last object",
                              desc->name, pfn);
    for (; word != 0; word &= word - 1, ++*nr) {
        char *p = first + (size_t)ctz64(word) * desc->stride;

        if (!object_is_marked(rc->cache, p) && !pass_written(rc, p))
            return false;
    }
    return true;
}

static bool check_free_bits(struct cache_recount *rc, uint32_t pfn, const struct page *page)
{
    const struct cache_desc *desc = rc->cache->desc;
    uint32_t nr = 0;

    for (uint32_t i = 0; i < slab_nr_words(desc); i++)
        if (!check_free_word(rc, pfn, i, &nr))
            return false;
    return slab_adds_up(desc, page, nr) ||
           finding_report(rc->finding, "slab: %s: slab %u: %u in use + %u free != %u objects",
                          desc->name, pfn, page->slab.inuse, nr, desc->objects_per_slab);
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
    return check_free_bits(rc, pfn, page);
}

static bool check_slab_list(struct cache_recount *rc, enum slab_list which)
{
    const struct index_list *list = &rc->cache->desc->list[which];
    struct index_view links = page_links(&rc->cache->owner->map);

    if (!index_list_adds_up(list, links))
        return finding_report(rc->finding, "slab: %s: list %d does not have the %u slabs it says",
                              cache_name(rc), (int)which, list->nr);
    for (uint32_t pfn = list->first; pfn != INDEX_NONE; pfn = index_link_at(links, pfn)->next)
        if (!check_slab(rc, pfn, which))
            return false;
    return true;
}

static bool check_slabs(struct cache_recount *rc)
{
    for (unsigned i = 0; rc->ok && i < NR_SLAB_LISTS; i++)
        rc->ok = check_slab_list(rc, (enum slab_list)i);
    return rc->ok;
}

/* --- sheaves ------------------------------------------------------------ */

#define SEEN_SHIFT 11u /* a table of twice as many places as a sheaf has objects, at least */

bool objects_are_distinct(void *const *objects, uint32_t nr)
{
    const void *seen[1u << SEEN_SHIFT] = {NULL}; /* by a hash of the address, the next if taken */

    CHECK(nr <= SHEAF_MAX_OBJECTS);
    for (uint32_t i = 0; i < nr; i++) {
        uint64_t hash = (uint64_t)(uintptr_t)objects[i] * 0x9e3779b97f4a7c15u;
        uint32_t at = (uint32_t)(hash >> (64 - SEEN_SHIFT));

        while (seen[at] != NULL && seen[at] != objects[i])
            at = (at + 1) & ((1u << SEEN_SHIFT) - 1);
        if (seen[at] == objects[i])
            return false;
        seen[at] = objects[i];
    }
    return true;
}

static void check_objects(struct cache_recount *rc, void *const *objects, uint32_t nr)
{
    if (!objects_are_distinct(objects, nr))
        rc->ok = finding_report(rc->finding, "slab: %s: a sheaf has an object twice",
                                cache_name(rc));
    for (uint32_t i = 0; i < nr; i++) {
        if (slab_cache_of(rc->cache->owner, objects[i]) != rc->cache)
            rc->ok = finding_report(rc->finding, "slab: %s: sheaf holds %p, not an object of it",
                                    cache_name(rc), objects[i]);
        else if (rc->written_is_found && object_is_in_slab(rc->cache, objects[i]))
            rc->ok = finding_report(rc->finding, "slab: %s: %p is in a sheaf and free in its slab",
                                    cache_name(rc), objects[i]);
        else if (!object_is_marked(rc->cache, objects[i]))
            rc->ok &= pass_written(rc, objects[i]);
    }
    rc->nr_cached += nr;
}

static void check_slot(void *table, void *context)
{
    struct cache_recount *rc = context;
    struct sheaf_slot *slot = sheaf_slot_of(table, rc->cache->id);

    if (slot == NULL)
        return;
    if (!slot_adds_up(slot))
        rc->ok = finding_report(rc->finding, "slab: %s: the pointers of a main sheaf are wrong",
                                cache_name(rc));
    else if (slot->bottom != NULL)
        check_objects(rc, slot->bottom, slot_nr(slot));
    if (slot->spare != NULL)
        check_objects(rc, slot->spare->object, slot->spare->nr);
}

/* One list of the barn has nr sheaves, none of them grown, which are all full, or all empty. */
static bool barn_list_adds_up(const struct kmem_cache *cache, const struct sheaf *list, uint32_t nr,
                              bool full)
{
    for (; list != NULL && nr != 0; list = list->next, nr--)
        if (list->nr != (full ? list->capacity : 0) || sheaf_is_grown(cache, list))
            return false;
    return list == NULL && nr == 0;
}

/* The invariant of struct barn. */
static bool barn_adds_up(const struct kmem_cache *cache)
{
    const struct barn *barn = &cache->barn;

    return barn->nr_full + barn->nr_empty <= cache->max_full_sheaves &&
           barn_list_adds_up(cache, barn->full, barn->nr_full, true) &&
           barn_list_adds_up(cache, barn->empty, barn->nr_empty, false);
}

/* The invariant of sheaf_left.c. */
static bool left_adds_up(const struct kmem_cache *cache)
{
    const struct barn *barn = &cache->barn;
    uint32_t nr = 0, nr_objects = 0;

    for (const struct sheaf *s = barn->left; s != NULL && nr <= LEFT_MAX_SHEAVES; s = s->next) {
        if (s->nr == 0 || s->nr > s->capacity || sheaf_is_grown(cache, s))
            return false;
        nr++;
        nr_objects += s->nr;
    }
    return nr == barn->nr_left && nr <= LEFT_MAX_SHEAVES && nr_objects == barn->nr_left_objects &&
           nr_objects <= cache->max_left_objects;
}

static bool barn_check_locked(const struct kmem_cache *cache, struct finding *f)
{
    lock_assert_held(&cache->lock);
    return barn_adds_up(cache) ||
           finding_report(f, "slab: %s: barn says %u full and %u empty sheaves, of %u at most",
                          cache->desc->name, cache->barn.nr_full, cache->barn.nr_empty,
                          cache->max_full_sheaves);
}

static bool left_check_locked(const struct kmem_cache *cache, struct finding *f)
{
    lock_assert_held(&cache->lock);
    return left_adds_up(cache) ||
           finding_report(f, "slab: %s: ended threads left %u objects in %u sheaves, it says",
                          cache->desc->name, cache->barn.nr_left_objects, cache->barn.nr_left);
}

static void check_barn_objects(struct cache_recount *rc)
{
    for (const struct sheaf *s = rc->cache->barn.full; s != NULL; s = s->next)
        check_objects(rc, s->object, s->nr);
    for (const struct sheaf *s = rc->cache->barn.left; s != NULL; s = s->next)
        check_objects(rc, s->object, s->nr);
}

/* --- caches ------------------------------------------------------------- */

/* The invariant of slab.h, as far as a recount has seen the objects. */
static bool cache_inuse_adds_up(const struct cache_recount *rc)
{
    return rc->nr_inuse == rc->cache->desc->nr_inuse && rc->nr_cached <= rc->nr_inuse;
}

/* The part that the cache's lock guards; the caller may have counted sheaves already. */
static bool check_guarded_locked(struct cache_recount *rc)
{
    lock_assert_held(&rc->cache->lock);
    if (!rc->ok || !barn_check_locked(rc->cache, rc->finding) ||
        !left_check_locked(rc->cache, rc->finding))
        return false;
    check_barn_objects(rc);
    rc->nr_cached += debug_nr_held(rc->cache);
    if (!rc->ok || !check_slabs(rc))
        return false;
    return cache_inuse_adds_up(rc) ||
           finding_report(rc->finding, "slab: %s: %llu in use (%llu cached), cache says %llu",
                          cache_name(rc), (unsigned long long)rc->nr_inuse,
                          (unsigned long long)rc->nr_cached,
                          (unsigned long long)rc->cache->desc->nr_inuse);
}

bool cache_check_locked(struct kmem_cache *cache, struct finding *f)
{
    struct cache_recount rc = {.cache = cache, .finding = f, .ok = true};

    lock_assert_held(&cache->lock);
    return check_guarded_locked(&rc);
}

static bool cache_check(struct kmem_cache *cache, struct finding *f)
{
    struct cache_recount rc = {.cache = cache, .finding = f, .written_is_found = true, .ok = true};

    if (debug_walk(cache, f) != 0)
        return false;
    thread_domain_visit(cache->owner->domain, THREAD_SLOT_SLAB, check_slot, &rc);
    lock_acquire(&cache->lock);
    rc.ok = check_guarded_locked(&rc);
    lock_release(&cache->lock);
    return rc.ok;
}

/* --- budgets of grown sheaves --------------------------------------------- */

struct grown_recount {
    struct slab_alloc *sa;
    uint64_t nr_bytes; /* in the tables so far */
    bool ok;           /* false once a table does not have what it says, or too much */
};

/* No slot of the table has both a grown main and a spare, or a grown spare. */
static bool grown_have_no_spare(const struct slab_alloc *sa, struct sheaf_table *table)
{
    for (uint32_t id = 1; id < load_relaxed(&sa->id_limit); id++) {
        struct sheaf_slot *slot = sheaf_slot_of(table, id);
        const struct kmem_cache *cache = sa->caches[id];

        if (slot == NULL || cache == NULL || slot->spare == NULL)
            continue;
        if (sheaf_is_grown(cache, slot->spare) || sheaf_is_grown(cache, slot_main(slot)))
            return false;
    }
    return true;
}

/* The invariant of sheaf_size.c for one table, whose thread does nothing meanwhile. */
static void check_table_grown(void *table, void *context)
{
    struct grown_recount *rc = context;
    uint32_t said = load_relaxed(&((struct sheaf_table *)table)->grown_bytes);

    rc->ok &= said == table_grown_bytes(rc->sa, table) && said <= THREAD_GROWN_BYTES &&
              grown_have_no_spare(rc->sa, table);
    rc->nr_bytes += said;
}

static bool grown_adds_up(struct slab_alloc *sa)
{
    struct grown_recount rc = {.sa = sa, .ok = true};

    thread_domain_visit(sa->domain, THREAD_SLOT_SLAB, check_table_grown, &rc);
    return rc.ok && rc.nr_bytes == load_relaxed(&sa->grown_bytes) &&
           rc.nr_bytes <= sa->max_grown_bytes;
}

bool slab_check(struct slab_alloc *sa, struct finding *f)
{
    struct kmem_cache *cache;
    uint32_t id = 1;
    bool ok = true;

    /* All of them, so that each damaged object is reported; the finding is the first one's. */
    while ((cache = cache_pin_next(sa, &id)) != NULL) {
        ok &= cache_check(cache, f);
        cache_unpin(cache);
    }
    if (ok && !grown_adds_up(sa))
        ok = finding_report(f, "slab: %llu bytes in grown sheaves are not what the tables have",
                            (unsigned long long)load_relaxed(&sa->grown_bytes));
    if (ok && sa->kfence != NULL)
        ok = kfence_check(sa->kfence, f);
    return ok && mempools_check(sa, f);
}

/* slab.c - one slab, its free list, and the lists of slabs of a cache.
 *
 * Each object of a slab is in one of three states. Listed: on the slab's free list, a chain of
 * indices through the free objects themselves. Uncarved: it never left the slab; these are the
 * objects from index carved on, and they are on no list. In use: outside the slab, with a
 * caller, in a sheaf or in the barn.
 * Invariant (slab_adds_up in slab_check.c): inuse + listed + uncarved == objects_per_slab.
 * Lock: cache->lock, except for a slab that is not on the cache's lists: one just bought, or
 * one in a batch on its way back to the buddy.
 */
#include "slab/slab_internal.h"

#include "os/os.h"

/* --- the words of a free object ----------------------------------------- */

#define SMALL_INDEX_MASK ((uint64_t)0xffff) /* of an object without a second word */

static bool is_small(const struct kmem_cache *cache)
{
    return cache->desc->stride < SLAB_MIN_SHEAF_STRIDE;
}

/* The address of the index word; the key word follows it, if the object has room for one. */
static uint64_t *free_words(const struct kmem_cache *cache, void *p)
{
    return (uint64_t *)(void *)((char *)p + cache->desc->free_offset);
}

bool object_is_marked(const struct kmem_cache *cache, void *p)
{
    const uint64_t *words = free_words(cache, p);
    uint64_t key = object_key_value(cache->secret, p);

    if (is_small(cache))
        return ((words[0] ^ key) & ~SMALL_INDEX_MASK) == 0;
    return words[1] == key;
}

void object_clear_mark(const struct kmem_cache *cache, void *p)
{
    free_words(cache, p)[is_small(cache) ? 0 : 1] = 0;
}

void object_set_mark(const struct kmem_cache *cache, void *p)
{
    uint64_t key = object_key_value(cache->secret, p);

    if (is_small(cache)) {
        free_words(cache, p)[0] = key | SMALL_INDEX_MASK;
    } else {
        free_words(cache, p)[0] = key; /* no index: on no slab's list */
        free_words(cache, p)[1] = key;
    }
}

/* The pattern that is xored over the index word of an object which has a key word too. */
static uint64_t index_veil(const struct kmem_cache *cache, const void *p)
{
    return object_key_value(cache->secret, p) * 0x9e3779b97f4a7c15u;
}

/* pre: p is marked free */
static void object_set_next(const struct kmem_cache *cache, void *p, uint16_t next)
{
    uint64_t *words = free_words(cache, p);

    CHECK(object_is_marked(cache, p));
    words[0] = is_small(cache) ? (words[0] & ~SMALL_INDEX_MASK) | next
                               : index_veil(cache, p) ^ next;
}

uint32_t object_next(const struct kmem_cache *cache, void *p)
{
    uint64_t word = free_words(cache, p)[0];
    uint64_t next = is_small(cache) ? word & SMALL_INDEX_MASK : word ^ index_veil(cache, p);

    return next < cache->desc->objects_per_slab || next == SLAB_INDEX_NONE ? (uint32_t)next
                                                                           : OBJECT_WRITTEN;
}

bool object_is_listed(const struct kmem_cache *cache, void *p)
{
    return !is_small(cache) && object_next(cache, p) != OBJECT_WRITTEN;
}

/* --- one slab ----------------------------------------------------------- */

static void *slab_object(const struct kmem_cache *cache, uint32_t pfn, uint32_t index)
{
    char *start = pfn_to_virt(&cache->owner->map, pfn);

    return start + (size_t)index * cache->desc->stride;
}

/* The class byte of a cache's frames: the byte per frame that says who allocates there. */
static uint8_t cache_class(const struct kmem_cache *cache)
{
    return cache->fast_class != 0 ? (uint8_t)cache->fast_class : (uint8_t)CLASS_LOOKUP;
}

/* Marks all objects of a new slab, and what is left behind the last one, as free. Otherwise a
 * free of an object that was never handed out, or of an address in that rest, would be taken
 * for the free of a live object. */
static void slab_mark_all(struct kmem_cache *cache, uint32_t pfn)
{
    const struct cache_desc *desc = cache->desc;
    uint32_t words = is_small(cache) ? sizeof(uint64_t) : 2 * sizeof(uint64_t);

    for (uint32_t i = 0; i * desc->stride + words <= cache_slab_bytes(desc); i++)
        object_set_mark(cache, slab_object(cache, pfn, i));
}

static void slab_destruct(struct kmem_cache *cache, uint32_t pfn, uint32_t nr)
{
    for (uint32_t i = 0; cache->dtor != NULL && i < nr; i++)
        cache->dtor(slab_object(cache, pfn, i), cache->context);
}

/* Constructs all objects of a new slab, and puts them on its free list; false if a constructor
 * failed: then those that were constructed are destructed again. */
static bool slab_construct(struct kmem_cache *cache, uint32_t pfn, struct page *page)
{
    uint32_t nr = cache->desc->objects_per_slab;

    for (uint32_t i = 0; i < nr; i++) {
        void *p = slab_object(cache, pfn, i);

        if (cache->ctor != NULL && cache->ctor(p, cache->context) != 0) {
            slab_destruct(cache, pfn, i);
            return false;
        }
        object_set_mark(cache, p);
        object_set_next(cache, p, i + 1 < nr ? (uint16_t)(i + 1) : SLAB_INDEX_NONE);
    }
    page->slab.carved = (uint16_t)nr;
    page->slab.free_index = 0;
    return true;
}

/* The flags that the cache itself sets when it buys a slab, whatever those of the request are:
 * its slabs' zone, and that their frames are not cleared. */
#define SLAB_OWN_BITS ((uint32_t)PYSLAB_GFP_ZERO | GFP_ZONE_TABLE_BITS)

uint32_t slab_new(struct kmem_cache *cache, uint32_t gfp)
{
    struct page_alloc *pages = cache->owner->pages;
    unsigned order = cache->desc->slab_order;
    uint32_t pfn = page_alloc_uncounted(pages, order, (gfp & ~SLAB_OWN_BITS) | cache->zone_gfp);
    struct page *page;

    if (pfn == PFN_NONE)
        return page_alloc_gave_up(pages) ? SLAB_REFUSED : PFN_NONE;
    page = pfn_to_page(&pages->map, pfn);
    page->slab.cache_id = (uint16_t)cache->id;
    page->slab.inuse = 0;
    page->slab.carved = 0;
    page->slab.free_index = SLAB_INDEX_NONE;
    if (!cache_is_constructed(cache)) {
        slab_mark_all(cache, pfn);
    } else if (!slab_construct(cache, pfn, page)) {
        page_free_block(pages, pfn, order);
        return SLAB_REFUSED;
    }
    store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_SLAB, order, page_zone(page)));
    frame_map_set_class(&pages->map, pfn, 1u << order, cache_class(cache));
    return pfn;
}

/* A program has written to the free object p, so that the rest of the slab's free list cannot
 * be found. Its objects count as in use for ever, so that nothing is handed out twice. */
static slow_path void slab_abandon_list_locked(struct kmem_cache *cache, struct page *page,
                                               const void *p)
{
    lock_assert_held(&cache->lock);
    if (cache->owner->on_corruption != NULL)
        cache->owner->on_corruption(p);
    cache->desc->nr_inuse += (uint32_t)(page->slab.carved - page->slab.inuse);
    page->slab.inuse = page->slab.carved;
    page->slab.free_index = SLAB_INDEX_NONE;
}

/* Takes one free object, whose mark stays, off a slab. NULL: a program has written to the slab's
 * free list. pre: the slab has one. */
static void *slab_pop_locked(struct kmem_cache *cache, uint32_t pfn, struct page *page)
{
    void *p;

    lock_assert_held(&cache->lock);
    CHECK(page->slab.inuse < cache->desc->objects_per_slab);
    if (page->slab.free_index != SLAB_INDEX_NONE) {
        uint32_t next;

        p = slab_object(cache, pfn, page->slab.free_index);
        next = object_next(cache, p);
        if (unlikely(next == OBJECT_WRITTEN)) {
            slab_abandon_list_locked(cache, page, p);
            return NULL;
        }
        page->slab.inuse++;
        page->slab.free_index = (uint16_t)next;
        object_set_mark(cache, p); /* without an index: it is on no list now */
        return p;
    }
    page->slab.inuse++;
    return slab_object(cache, pfn, page->slab.carved++);
}

static bool slab_is_full(const struct kmem_cache *cache, const struct page *page)
{
    return page->slab.inuse == cache->desc->objects_per_slab;
}

static void slab_move_locked(struct kmem_cache *cache, uint32_t pfn, enum slab_list to)
{
    struct index_view links = page_links(&cache->owner->map);
    struct page *page = pfn_to_page(&cache->owner->map, pfn);

    lock_assert_held(&cache->lock);
    index_list_remove(&cache->desc->list[page->slab.list], links, pfn);
    page->slab.list = (uint16_t)to;
    index_list_add_tail(&cache->desc->list[to], links, pfn);
}

void slab_add_locked(struct kmem_cache *cache, uint32_t pfn)
{
    const struct frame_map *map = &cache->owner->map;

    lock_assert_held(&cache->lock);
    pfn_to_page(map, pfn)->slab.list = SLAB_PARTIAL;
    index_list_add_head(&cache->desc->list[SLAB_PARTIAL], page_links(map), pfn);
    cache->desc->supply[SUPPLY_BUDDY]++;
}

void slab_settle_locked(struct kmem_cache *cache, uint32_t pfn)
{
    lock_assert_held(&cache->lock);
    if (pfn_to_page(&cache->owner->map, pfn)->slab.inuse == 0)
        slab_move_locked(cache, pfn, SLAB_EMPTY);
    cache_recount_locked(cache);
}

/* --- batches of objects ------------------------------------------------- */

/* Takes up to nr objects off one slab; returns how many. */
static uint32_t slab_take_from_locked(struct kmem_cache *cache, uint32_t pfn, void **objects,
                                      uint32_t nr)
{
    struct page *page = pfn_to_page(&cache->owner->map, pfn);
    uint32_t taken = 0;

    lock_assert_held(&cache->lock);
    while (taken < nr && !slab_is_full(cache, page))
        if ((objects[taken] = slab_pop_locked(cache, pfn, page)) != NULL)
            taken++;
    if (slab_is_full(cache, page))
        slab_move_locked(cache, pfn, SLAB_FULL);
    else if (page->slab.list == SLAB_EMPTY)
        slab_move_locked(cache, pfn, SLAB_PARTIAL);
    return taken;
}

/* Notes that an empty slab is about to be used: how many are left matters to slab_reap_locked. */
static void note_empty_use_locked(struct kmem_cache *cache)
{
    uint32_t left = cache->desc->list[SLAB_EMPTY].nr - 1;

    lock_assert_held(&cache->lock);
    if (left < cache->min_empty_slabs)
        cache->min_empty_slabs = left;
}

uint32_t slab_take_locked(struct kmem_cache *cache, void **objects, uint32_t nr)
{
    struct cache_desc *desc = cache->desc;
    uint32_t taken = 0;

    lock_assert_held(&cache->lock);
    while (taken < nr) {
        enum slab_list from = desc->list[SLAB_PARTIAL].nr != 0 ? SLAB_PARTIAL : SLAB_EMPTY;
        uint32_t pfn = desc->list[from].first;

        if (pfn == INDEX_NONE)
            break;
        /* A slab just bought is on the partial list as well, but was counted as bought. */
        if (from == SLAB_EMPTY) {
            desc->supply[SUPPLY_EMPTY]++;
            note_empty_use_locked(cache);
        } else if (pfn_to_page(&cache->owner->map, pfn)->slab.inuse != 0) {
            desc->supply[SUPPLY_PARTIAL]++;
        }
        taken += slab_take_from_locked(cache, pfn, objects + taken, nr - taken);
    }
    desc->nr_inuse += taken;
    cache_recount_locked(cache);
    return taken;
}

static uint32_t nr_slabs_locked(const struct kmem_cache *cache)
{
    const struct cache_desc *desc = cache->desc;

    lock_assert_held(&cache->lock);
    return desc->list[SLAB_PARTIAL].nr + desc->list[SLAB_FULL].nr + desc->list[SLAB_EMPTY].nr;
}

uint32_t slab_surplus_locked(const struct kmem_cache *cache)
{
    uint32_t nr_slabs = nr_slabs_locked(cache);

    lock_assert_held(&cache->lock);
    if (nr_slabs <= cache->min_slabs)
        return 0;
    return min_uint(nr_slabs - cache->min_slabs, cache->desc->list[SLAB_EMPTY].nr);
}

/* True if the cache keeps a slab that has just become empty. */
static bool keeps_empty_locked(const struct kmem_cache *cache)
{
    lock_assert_held(&cache->lock);
    return cache->desc->list[SLAB_EMPTY].nr < cache->max_empty_slabs ||
           nr_slabs_locked(cache) <= cache->min_slabs;
}

/* The slab has just got an object back: puts it on the list where it belongs now, or into the
 * batch. */
static void slab_place_locked(struct kmem_cache *cache, uint32_t pfn, struct slab_batch *batch)
{
    struct index_view links = page_links(&cache->owner->map);
    const struct page *page = pfn_to_page(&cache->owner->map, pfn);

    lock_assert_held(&cache->lock);
    if (page->slab.inuse != 0) {
        if (page->slab.list == SLAB_FULL)
            slab_move_locked(cache, pfn, SLAB_PARTIAL);
    } else if (batch == NULL || keeps_empty_locked(cache)) {
        slab_move_locked(cache, pfn, SLAB_EMPTY);
    } else {
        index_list_remove(&cache->desc->list[page->slab.list], links, pfn);
        index_list_add_tail(&batch->list, links, pfn);
    }
}

/* Returns one object. One that is not marked, or on its slab's list already, was written to or
 * freed twice where that could not be seen: it stays out for ever. */
static void slab_push_locked(struct kmem_cache *cache, void *p, struct slab_batch *batch)
{
    struct cache_desc *desc = cache->desc;
    const struct frame_map *map = &cache->owner->map;
    uint32_t pfn = virt_to_pfn(map, p) & ~((1u << desc->slab_order) - 1);
    struct page *page = pfn_to_page(map, pfn);
    size_t offset = (size_t)((char *)p - (char *)pfn_to_virt(map, pfn));

    lock_assert_held(&cache->lock);
    CHECK(slab_cache_of(cache->owner, p) == cache);
    if (unlikely(!object_is_marked(cache, p) || object_is_listed(cache, p))) {
        if (cache->owner->on_corruption != NULL)
            cache->owner->on_corruption(p);
        desc->nr_inuse++; /* the caller takes it off with the others, and it stays out */
        return;
    }
    object_set_next(cache, p, page->slab.free_index);
    page->slab.free_index = (uint16_t)(offset / desc->stride);
    page->slab.inuse--;
    slab_place_locked(cache, pfn, batch);
}

void slab_put_locked(struct kmem_cache *cache, void *const *objects, uint32_t nr,
                     struct slab_batch *batch)
{
    lock_assert_held(&cache->lock);
    CHECK(nr <= cache->desc->nr_inuse);
    for (uint32_t i = 0; i < nr; i++)
        slab_push_locked(cache, objects[i], batch);
    cache->desc->nr_inuse -= nr;
    cache_recount_locked(cache);
}

void slab_take_empty_locked(struct kmem_cache *cache, uint32_t nr, struct slab_batch *batch)
{
    struct index_view links = page_links(&cache->owner->map);
    struct index_list *list = &cache->desc->list[SLAB_EMPTY];

    lock_assert_held(&cache->lock);
    for (; nr > 0 && list->first != INDEX_NONE; nr--) {
        uint32_t pfn = list->first;

        index_list_remove(list, links, pfn);
        index_list_add_tail(&batch->list, links, pfn);
    }
    cache_recount_locked(cache);
}

/* Bonwick's working set interval: an empty slab that was not used for so long is not needed. */
#define REAP_INTERVAL_MS 15000u

void slab_reap_locked(struct kmem_cache *cache, struct slab_batch *batch)
{
    uint32_t now = os_time_ms();

    lock_assert_held(&cache->lock);
    if (now - cache->reap_ms < REAP_INTERVAL_MS)
        return;
    cache->reap_ms = now;
    slab_take_empty_locked(cache, min_uint(cache->min_empty_slabs, slab_surplus_locked(cache)),
                           batch);
    cache->min_empty_slabs = cache->desc->list[SLAB_EMPTY].nr;
}

uint64_t slab_batch_free(struct kmem_cache *cache, struct slab_batch *batch)
{
    struct page_alloc *pages = cache->owner->pages;
    unsigned order = cache->desc->slab_order;
    uint64_t nr_pages = (uint64_t)batch->list.nr << order;

    while (batch->list.first != INDEX_NONE) {
        uint32_t pfn = batch->list.first;

        index_list_remove(&batch->list, page_links(&pages->map), pfn);
        CHECK(pfn_to_page(&pages->map, pfn)->slab.inuse == 0);
        slab_destruct(cache, pfn, pfn_to_page(&pages->map, pfn)->slab.carved);
        frame_map_set_class(&pages->map, pfn, 1u << order, CLASS_NONE);
        page_free_block(pages, pfn, order);
    }
    return nr_pages;
}

/* --- whole lists -------------------------------------------------------- */

#define SORT_BUCKETS 32u /* slabs with more free objects than that stay unsorted, as in Linux */

void slab_sort_partial_locked(struct kmem_cache *cache)
{
    struct index_view links = page_links(&cache->owner->map);
    struct index_list *partial = &cache->desc->list[SLAB_PARTIAL];
    struct index_list bucket[SORT_BUCKETS];

    lock_assert_held(&cache->lock);
    for (uint32_t i = 0; i < SORT_BUCKETS; i++)
        index_list_init(&bucket[i]);
    for (uint32_t pfn = partial->first; pfn != INDEX_NONE;) {
        uint32_t next = index_link_at(links, pfn)->next;
        uint32_t nr_free = cache->desc->objects_per_slab -
                           pfn_to_page(&cache->owner->map, pfn)->slab.inuse;

        if (nr_free <= SORT_BUCKETS) {
            index_list_remove(partial, links, pfn);
            index_list_add_tail(&bucket[nr_free - 1], links, pfn);
        }
        pfn = next;
    }
    for (uint32_t i = SORT_BUCKETS; i-- > 0;) {
        while (bucket[i].last != INDEX_NONE) {
            uint32_t pfn = bucket[i].last;

            index_list_remove(&bucket[i], links, pfn);
            index_list_add_head(partial, links, pfn);
        }
    }
    cache_recount_locked(cache);
}

void slab_destruct_all(struct kmem_cache *cache)
{
    struct index_view links = page_links(&cache->owner->map);

    for (unsigned i = 0; cache->dtor != NULL && i < NR_SLAB_LISTS; i++)
        for (uint32_t pfn = cache->desc->list[i].first; pfn != INDEX_NONE;
             pfn = index_link_at(links, pfn)->next)
            slab_destruct(cache, pfn, pfn_to_page(&cache->owner->map, pfn)->slab.carved);
}

size_t slab_live_objects_locked(const struct kmem_cache *cache, void **p, size_t nr)
{
    struct index_view links = page_links(&cache->owner->map);
    size_t found = 0;

    lock_assert_held(&cache->lock);
    for (unsigned list = SLAB_PARTIAL; list <= SLAB_FULL; list++)
        for (uint32_t pfn = cache->desc->list[list].first; pfn != INDEX_NONE;
             pfn = index_link_at(links, pfn)->next)
            for (uint32_t i = 0; i < pfn_to_page(&cache->owner->map, pfn)->slab.carved; i++) {
                void *object = slab_object(cache, pfn, i);

                if (object_is_marked(cache, object))
                    continue;
                if (found < nr)
                    p[found] = object;
                found++;
            }
    return found;
}

/* --- from an address to its cache --------------------------------------- */

/* Caches with ids above CLASS_MAX share one class byte, which does not say which cache it is. The
 * record of the slab's first frame does: tries where that would be for each order of a slab. */
static struct kmem_cache *lookup_cache(struct slab_alloc *sa, uint32_t pfn)
{
    const struct frame_map *map = &sa->map;

    for (unsigned order = 0; order <= sa->pages->max_order; order++) {
        const struct page *page = pfn_to_page(map, pfn & ~((1u << order) - 1));

        if (page_state(page) == PYSLAB_PAGE_SLAB && page_order(page) == order)
            return sa->caches[page->slab.cache_id];
    }
    return NULL;
}

struct kmem_cache *slab_cache_of(struct slab_alloc *sa, const void *p)
{
    const struct frame_map *map = &sa->map;
    uint32_t pfn = virt_to_pfn(map, p);
    struct kmem_cache *cache;
    size_t offset;

    if (pfn == PFN_NONE || map->classes[pfn] == CLASS_NONE || map->classes[pfn] > CLASS_LOOKUP)
        return NULL;
    cache = map->classes[pfn] == CLASS_LOOKUP ? lookup_cache(sa, pfn)
                                              : sa->caches[map->classes[pfn]];
    if (cache == NULL)
        return NULL;
    offset = (size_t)((const char *)p - map->base) & (cache_slab_bytes(cache->desc) - 1);
    if (offset % cache->desc->stride != 0 ||
        offset / cache->desc->stride >= cache->desc->objects_per_slab)
        return NULL;
    return cache;
}

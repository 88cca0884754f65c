/* slab.c - one slab, its free list, and the lists of slabs of a cache.
 *
 * A slab's objects are free on its list (index chain through the objects), uncarved
 * (never used: index >= carved), or in use. inuse + listed + uncarved == per slab.
 */
#include "slab/slab_internal.h"

#include "os/os.h"

/* --- the words of a free object ----------------------------------------- */

#define SMALL_INDEX_MASK ((uint64_t)0xffff) /* of an object without a second word */

static bool is_small(const struct kmem_cache *cache)
{
    return cache->desc->stride < SLAB_MIN_SHEAF_STRIDE;
}

/* The index word; the key word follows, if there is room. */
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

/* What hides the index word of an object that has a key word too. */
static uint64_t index_veil(const struct kmem_cache *cache, const void *p)
{
    return object_key_value(cache->secret, p) * 0x9e3779b97f4a7c15u;
}

/* pre: p is marked */
static void object_set_next(const struct kmem_cache *cache, void *p, uint16_t next)
{
    uint64_t *words = free_words(cache, p);

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

/* The class byte of a cache's frames. */
static uint8_t cache_class(const struct kmem_cache *cache)
{
    return cache->fast_class != 0 ? (uint8_t)cache->fast_class : (uint8_t)CLASS_LOOKUP;
}

/* Neither an object that was never handed out nor the rest behind the last one must be
 * taken for a live one at free. */
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

/* All objects are constructed at once, and wait on the slab's free list. */
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

/* What the cache decides for its slabs, not who asks for an object: their zone, and that
 * their frames are not cleared. */
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

/* The slab's list of free objects is broken at p. What it held counts as in use for ever,
 * so that nothing is handed out twice. */
static slow_path void slab_abandon_list(struct kmem_cache *cache, struct page *page, const void *p)
{
    if (cache->owner->on_corruption != NULL)
        cache->owner->on_corruption(p);
    cache->desc->nr_inuse += (uint32_t)(page->slab.carved - page->slab.inuse);
    page->slab.inuse = page->slab.carved;
    page->slab.free_index = SLAB_INDEX_NONE;
}

/* Takes one free object off a slab that has one; its mark stays. NULL: its list is broken. */
static void *slab_pop(struct kmem_cache *cache, uint32_t pfn, struct page *page)
{
    void *p;

    if (page->slab.free_index != SLAB_INDEX_NONE) {
        uint32_t next;

        p = slab_object(cache, pfn, page->slab.free_index);
        next = object_next(cache, p);
        if (unlikely(next == OBJECT_WRITTEN)) {
            slab_abandon_list(cache, page, p);
            return NULL;
        }
        page->slab.inuse++;
        page->slab.free_index = (uint16_t)next;
        object_set_mark(cache, p); /* listed no more */
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

    index_list_remove(&cache->desc->list[page->slab.list], links, pfn);
    page->slab.list = (uint16_t)to;
    index_list_add_tail(&cache->desc->list[to], links, pfn);
}

void slab_add_locked(struct kmem_cache *cache, uint32_t pfn)
{
    const struct frame_map *map = &cache->owner->map;

    pfn_to_page(map, pfn)->slab.list = SLAB_PARTIAL;
    index_list_add_head(&cache->desc->list[SLAB_PARTIAL], page_links(map), pfn);
    cache->desc->supply[SUPPLY_BUDDY]++;
}

void slab_settle_locked(struct kmem_cache *cache, uint32_t pfn)
{
    if (pfn_to_page(&cache->owner->map, pfn)->slab.inuse == 0)
        slab_move_locked(cache, pfn, SLAB_EMPTY);
}

/* --- batches of objects ------------------------------------------------- */

static uint32_t slab_take_from(struct kmem_cache *cache, uint32_t pfn, void **objects, uint32_t nr)
{
    struct page *page = pfn_to_page(&cache->owner->map, pfn);
    uint32_t taken = 0;

    while (taken < nr && !slab_is_full(cache, page))
        if ((objects[taken] = slab_pop(cache, pfn, page)) != NULL)
            taken++;
    if (slab_is_full(cache, page))
        slab_move_locked(cache, pfn, SLAB_FULL);
    else if (page->slab.list == SLAB_EMPTY)
        slab_move_locked(cache, pfn, SLAB_PARTIAL);
    return taken;
}

/* An empty slab is about to be used. */
static void note_empty_use_locked(struct kmem_cache *cache)
{
    uint32_t left = cache->desc->list[SLAB_EMPTY].nr - 1;

    if (left < cache->min_empty_slabs)
        cache->min_empty_slabs = left;
}

uint32_t slab_take_locked(struct kmem_cache *cache, void **objects, uint32_t nr)
{
    struct cache_desc *desc = cache->desc;
    uint32_t taken = 0;

    while (taken < nr) {
        enum slab_list from = desc->list[SLAB_PARTIAL].nr != 0 ? SLAB_PARTIAL : SLAB_EMPTY;
        uint32_t pfn = desc->list[from].first;

        if (pfn == INDEX_NONE)
            break;
        /* A slab just bought is on the partial list too; buying it was counted. */
        if (from == SLAB_EMPTY) {
            desc->supply[SUPPLY_EMPTY]++;
            note_empty_use_locked(cache);
        } else if (pfn_to_page(&cache->owner->map, pfn)->slab.inuse != 0) {
            desc->supply[SUPPLY_PARTIAL]++;
        }
        taken += slab_take_from(cache, pfn, objects + taken, nr - taken);
    }
    desc->nr_inuse += taken;
    return taken;
}

static uint32_t nr_slabs_locked(const struct cache_desc *desc)
{
    return desc->list[SLAB_PARTIAL].nr + desc->list[SLAB_FULL].nr + desc->list[SLAB_EMPTY].nr;
}

uint32_t slab_surplus_locked(const struct kmem_cache *cache)
{
    uint32_t nr_slabs = nr_slabs_locked(cache->desc);

    if (nr_slabs <= cache->min_slabs)
        return 0;
    return min_uint(nr_slabs - cache->min_slabs, cache->desc->list[SLAB_EMPTY].nr);
}

/* A slab that has just become empty is kept. */
static bool keeps_empty_locked(const struct kmem_cache *cache)
{
    return cache->desc->list[SLAB_EMPTY].nr < cache->max_empty_slabs ||
           nr_slabs_locked(cache->desc) <= cache->min_slabs;
}

static void slab_push_locked(struct kmem_cache *cache, void *p, struct slab_batch *batch)
{
    struct cache_desc *desc = cache->desc;
    const struct frame_map *map = &cache->owner->map;
    uint32_t pfn = virt_to_pfn(map, p) & ~((1u << desc->slab_order) - 1);
    struct page *page = pfn_to_page(map, pfn);
    size_t offset = (size_t)((char *)p - (char *)pfn_to_virt(map, pfn));

    if (unlikely(!object_is_marked(cache, p) || object_is_listed(cache, p))) {
        if (cache->owner->on_corruption != NULL)
            cache->owner->on_corruption(p);
        desc->nr_inuse++; /* it stays out: the caller counts it as returned */
        return;
    }
    object_set_next(cache, p, page->slab.free_index);
    page->slab.free_index = (uint16_t)(offset / desc->stride);
    page->slab.inuse--;
    if (page->slab.inuse != 0) {
        if (page->slab.list == SLAB_FULL)
            slab_move_locked(cache, pfn, SLAB_PARTIAL);
    } else if (batch == NULL || keeps_empty_locked(cache)) {
        slab_move_locked(cache, pfn, SLAB_EMPTY);
    } else {
        index_list_remove(&desc->list[page->slab.list], page_links(map), pfn);
        index_list_add_tail(&batch->list, page_links(map), pfn);
    }
}

void slab_put_locked(struct kmem_cache *cache, void *const *objects, uint32_t nr,
                     struct slab_batch *batch)
{
    for (uint32_t i = 0; i < nr; i++)
        slab_push_locked(cache, objects[i], batch);
    cache->desc->nr_inuse -= nr;
}

void slab_take_empty_locked(struct kmem_cache *cache, uint32_t nr, struct slab_batch *batch)
{
    struct index_view links = page_links(&cache->owner->map);
    struct index_list *list = &cache->desc->list[SLAB_EMPTY];

    for (; nr > 0 && list->first != INDEX_NONE; nr--) {
        uint32_t pfn = list->first;

        index_list_remove(list, links, pfn);
        index_list_add_tail(&batch->list, links, pfn);
    }
}

#define REAP_INTERVAL_MS 15000u /* Bonwick's working set interval */

void slab_reap_locked(struct kmem_cache *cache, struct slab_batch *batch)
{
    uint32_t now = os_time_ms();

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
        slab_destruct(cache, pfn, pfn_to_page(&pages->map, pfn)->slab.carved);
        frame_map_set_class(&pages->map, pfn, 1u << order, CLASS_NONE);
        page_free_block(pages, pfn, order);
    }
    return nr_pages;
}

/* --- whole lists -------------------------------------------------------- */

#define SORT_BUCKETS 32u /* slabs with more free objects stay behind, as in Linux */

void slab_sort_partial_locked(struct kmem_cache *cache)
{
    struct index_view links = page_links(&cache->owner->map);
    struct index_list *partial = &cache->desc->list[SLAB_PARTIAL];
    struct index_list bucket[SORT_BUCKETS];

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

/* Ids above CLASS_MAX share one class byte: look for the slab's head at each order. */
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

/* slab.c - one slab, its free list, and the lists of slabs of a cache.
 *
 * A slab's objects are free on its list (index chain through the objects), uncarved
 * (never used: index >= carved), or in use. inuse + listed + uncarved == per slab.
 */
#include "slab/slab_internal.h"

/* --- the words of a free object ----------------------------------------- */

#define SMALL_INDEX_MASK ((uint64_t)0xffff) /* of an object without a second word */

static bool is_small(const struct kmem_cache *cache)
{
    return cache->desc->stride < SLAB_MIN_SHEAF_STRIDE;
}

bool object_is_marked(const struct kmem_cache *cache, void *p)
{
    uint64_t key = object_key_value(cache->owner, p);

    if (is_small(cache))
        return ((*(uint64_t *)p ^ key) & ~SMALL_INDEX_MASK) == 0;
    return *object_key(p) == key;
}

void object_clear_mark(const struct kmem_cache *cache, void *p)
{
    if (is_small(cache))
        *(uint64_t *)p = 0;
    else
        *object_key(p) = 0;
}

void object_set_mark(const struct kmem_cache *cache, void *p)
{
    uint64_t key = object_key_value(cache->owner, p);

    if (is_small(cache))
        *(uint64_t *)p = key | SMALL_INDEX_MASK;
    else
        *object_key(p) = key;
}

/* pre: p is marked */
static void object_set_next(const struct kmem_cache *cache, void *p, uint16_t next)
{
    uint64_t *word = p;

    if (is_small(cache))
        *word = (*word & ~SMALL_INDEX_MASK) | next;
    else
        *word = next;
}

static uint16_t object_next(void *p)
{
    return (uint16_t)(*(uint64_t *)p & SMALL_INDEX_MASK);
}

/* --- one slab ----------------------------------------------------------- */

static void *slab_object(const struct kmem_cache *cache, uint32_t pfn, uint32_t index)
{
    char *start = pfn_to_virt(&cache->owner->pages->map, pfn);

    return start + (size_t)index * cache->desc->stride;
}

/* The class byte of a cache's frames. */
static uint8_t cache_class(const struct kmem_cache *cache)
{
    return cache->id <= CLASS_MAX ? (uint8_t)cache->id : (uint8_t)CLASS_LOOKUP;
}

uint32_t slab_new(struct kmem_cache *cache, uint32_t gfp)
{
    struct page_alloc *pages = cache->owner->pages;
    unsigned order = cache->desc->slab_order;
    uint32_t pfn = page_alloc_block(pages, order, gfp & ~(uint32_t)PYSLAB_GFP_ZERO);
    struct page *page;

    if (pfn == PFN_NONE)
        return PFN_NONE;
    page = pfn_to_page(&pages->map, pfn);
    page->slab.cache_id = (uint16_t)cache->id;
    page->slab.inuse = 0;
    page->slab.carved = 0;
    page->slab.free_index = SLAB_INDEX_NONE;
    store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_SLAB, order, page_zone(page)));
    frame_map_set_class(&pages->map, pfn, 1u << order, cache_class(cache));
    return pfn;
}

/* Takes one free object off a slab that has one; its mark stays. */
static void *slab_pop(struct kmem_cache *cache, uint32_t pfn, struct page *page)
{
    void *p;

    page->slab.inuse++;
    if (page->slab.free_index != SLAB_INDEX_NONE) {
        p = slab_object(cache, pfn, page->slab.free_index);
        page->slab.free_index = object_next(p);
        return p;
    }
    p = slab_object(cache, pfn, page->slab.carved++);
    object_set_mark(cache, p);
    return p;
}

static bool slab_is_full(const struct kmem_cache *cache, const struct page *page)
{
    return page->slab.inuse == cache->desc->objects_per_slab;
}

static void slab_move_locked(struct kmem_cache *cache, uint32_t pfn, enum slab_list to)
{
    struct index_view links = page_links(&cache->owner->pages->map);
    struct page *page = pfn_to_page(&cache->owner->pages->map, pfn);

    index_list_remove(&cache->desc->list[page->slab.list], links, pfn);
    page->slab.list = (uint16_t)to;
    index_list_add_tail(&cache->desc->list[to], links, pfn);
}

void slab_add_locked(struct kmem_cache *cache, uint32_t pfn)
{
    const struct frame_map *map = &cache->owner->pages->map;

    pfn_to_page(map, pfn)->slab.list = SLAB_PARTIAL;
    index_list_add_head(&cache->desc->list[SLAB_PARTIAL], page_links(map), pfn);
}

/* --- batches of objects ------------------------------------------------- */

static uint32_t slab_take_from(struct kmem_cache *cache, uint32_t pfn, void **objects, uint32_t nr)
{
    struct page *page = pfn_to_page(&cache->owner->pages->map, pfn);
    uint32_t taken = 0;

    while (taken < nr && !slab_is_full(cache, page))
        objects[taken++] = slab_pop(cache, pfn, page);
    if (slab_is_full(cache, page))
        slab_move_locked(cache, pfn, SLAB_FULL);
    else if (page->slab.list == SLAB_EMPTY)
        slab_move_locked(cache, pfn, SLAB_PARTIAL);
    return taken;
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
        if (from == SLAB_EMPTY)
            desc->supply[SUPPLY_EMPTY]++;
        else if (pfn_to_page(&cache->owner->pages->map, pfn)->slab.inuse != 0)
            desc->supply[SUPPLY_PARTIAL]++;
        taken += slab_take_from(cache, pfn, objects + taken, nr - taken);
    }
    desc->nr_inuse += taken;
    return taken;
}

static void slab_push_locked(struct kmem_cache *cache, void *p, struct slab_batch *batch)
{
    struct cache_desc *desc = cache->desc;
    const struct frame_map *map = &cache->owner->pages->map;
    uint32_t pfn = virt_to_pfn(map, p) & ~((1u << desc->slab_order) - 1);
    struct page *page = pfn_to_page(map, pfn);
    size_t offset = (size_t)((char *)p - (char *)pfn_to_virt(map, pfn));

    object_set_next(cache, p, page->slab.free_index);
    page->slab.free_index = (uint16_t)(offset / desc->stride);
    page->slab.inuse--;
    if (page->slab.inuse != 0) {
        if (page->slab.list == SLAB_FULL)
            slab_move_locked(cache, pfn, SLAB_PARTIAL);
    } else if (desc->list[SLAB_EMPTY].nr < cache->max_empty_slabs) {
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

void slab_take_empty_locked(struct kmem_cache *cache, struct slab_batch *batch)
{
    struct index_view links = page_links(&cache->owner->pages->map);
    struct index_list *list = &cache->desc->list[SLAB_EMPTY];

    while (list->first != INDEX_NONE) {
        uint32_t pfn = list->first;

        index_list_remove(list, links, pfn);
        index_list_add_tail(&batch->list, links, pfn);
    }
}

uint64_t slab_batch_free(struct kmem_cache *cache, struct slab_batch *batch)
{
    struct page_alloc *pages = cache->owner->pages;
    unsigned order = cache->desc->slab_order;
    uint64_t nr_pages = (uint64_t)batch->list.nr << order;

    while (batch->list.first != INDEX_NONE) {
        uint32_t pfn = batch->list.first;

        index_list_remove(&batch->list, page_links(&pages->map), pfn);
        frame_map_set_class(&pages->map, pfn, 1u << order, CLASS_NONE);
        page_free_block(pages, pfn, order);
    }
    return nr_pages;
}

/* --- from an address to its cache --------------------------------------- */

/* Ids above CLASS_MAX share one class byte: look for the slab's head at each order. */
static struct kmem_cache *lookup_cache(struct slab_alloc *sa, uint32_t pfn)
{
    const struct frame_map *map = &sa->pages->map;

    for (unsigned order = 0; order <= sa->pages->zone[0].max_order; order++) {
        const struct page *page = pfn_to_page(map, pfn & ~((1u << order) - 1));

        if (page_state(page) == PYSLAB_PAGE_SLAB && page_order(page) == order)
            return sa->caches[page->slab.cache_id];
    }
    return NULL;
}

struct kmem_cache *slab_cache_of(struct slab_alloc *sa, const void *p)
{
    const struct frame_map *map = &sa->pages->map;
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

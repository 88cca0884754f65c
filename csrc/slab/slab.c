/* slab.c - one slab, the free bits of its objects, and the lists of slabs of a cache.
 *
 * An object of a slab is free in it, or in use: outside the slab, with a caller, in a sheaf or in
 * the barn. A bit per object tells which. The bits are in the arena's metadata, so that no object,
 * which nobody may have touched for long, must be read or written when it goes to its slab or comes
 * from there. Objects that are put back are mostly of few slabs: those of one slab that follow each
 * other are put back together, with one access to a word for those which have their bits there,
 * and the slab changes its list at most once.
 * Data structure: the bits of the first 64 objects are in the record of the slab's first frame.
 * Objects below 64 bytes need more; these are in words of the frame map, by the frame's number
 * (slab_free_word). Most objects never use any.
 * Invariant (slab_adds_up in slab_check.c): inuse + bits that are set == objects_per_slab.
 * Lock: cache->lock, except for a slab that is not on the cache's lists: one just bought, or
 * one in a batch on its way back to the buddy. Without the lock a bit may be looked at
 * (object_is_in_slab), which is why the words are atomic; they are changed by plain steps.
 */
#include "slab/slab_internal.h"

#include "os/os.h"

#include <string.h>

/* --- one slab ----------------------------------------------------------- */

void *slab_object(const struct kmem_cache *cache, uint32_t pfn, uint32_t index)
{
    char *start = pfn_to_virt(&cache->owner->map, pfn);

    return start + (size_t)index * cache->desc->stride + cache->desc->front;
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
    uint32_t stride = cache->desc->stride, nr_words = cache_is_small(cache) ? 1 : 2;
    uint64_t secret = cache->secret;
    char *p = slab_object(cache, pfn, 0);
    char *last = p + cache_slab_bytes(cache->desc) - nr_words * sizeof(uint64_t);

    for (; p <= last; p += stride) {
        uint64_t *words = (uint64_t *)(void *)p;

        words[0] = object_key_value(secret, p);
        words[nr_words - 1] = words[0];
    }
}

static void slab_destruct(struct kmem_cache *cache, uint32_t pfn, uint32_t nr)
{
    if (cache->dtor != NULL)
        slab_watch(cache, pfn, true);
    for (uint32_t i = 0; cache->dtor != NULL && i < nr; i++)
        cache->dtor(slab_object(cache, pfn, i), cache->context);
}

/* Constructs all objects of a new slab; false if a constructor failed: then those that were
 * constructed are destructed again. */
static bool slab_construct(struct kmem_cache *cache, uint32_t pfn)
{
    uint32_t nr = cache->desc->objects_per_slab;

    for (uint32_t i = 0; i < nr; i++) {
        void *p = slab_object(cache, pfn, i);

        if (cache->ctor != NULL && cache->ctor(p, cache->context) != 0) {
            slab_destruct(cache, pfn, i);
            return false;
        }
        object_set_mark(cache, p);
    }
    return true;
}

/* All objects of a new slab are free in it. */
static void slab_free_all(const struct kmem_cache *cache, uint32_t pfn)
{
    for (uint32_t i = 0; i < slab_nr_words(cache->desc); i++)
        store_relaxed(slab_free_word(cache, pfn, i), slab_word_all(cache->desc, i));
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
    if (cache->debug != NULL)
        debug_slab_init(cache, pfn);
    else if (!cache_is_constructed(cache) && !cache_is_watched(cache))
        slab_mark_all(cache, pfn);
    if (cache_is_constructed(cache) && !slab_construct(cache, pfn)) {
        page_free_block(pages, pfn, order);
        return SLAB_REFUSED;
    }
    slab_watch(cache, pfn, false);
    slab_free_all(cache, pfn);
    store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_SLAB, order, page_zone(page)));
    frame_map_set_class(&pages->map, pfn, 1u << order, cache_class(cache));
    return pfn;
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

/* Moves the bits of up to nr free objects, with the lowest addresses, to the caller: writes these
 * below end, from the back, and returns how many there are. Free objects mostly are neighbours. */
static uint32_t slab_clear_bits_locked(struct kmem_cache *cache, uint32_t pfn, void **end,
                                       uint32_t nr)
{
    char *start = slab_object(cache, pfn, 0);
    size_t stride = cache->desc->stride;
    uint32_t nr_words = slab_nr_words(cache->desc), left = nr;

    lock_assert_held(&cache->lock);
    for (uint32_t i = 0; left != 0 && i < nr_words; i++) {
        _Atomic uint64_t *place = slab_free_word(cache, pfn, i);
        uint64_t word = load_relaxed(place);

        if (word == 0)
            continue;
        while (word != 0 && left != 0) {
            uint32_t at, run = bits_take_run(&word, left, &at);
            char *p = start + (64 * i + at) * stride;

            left -= run;
            for (; run > 0; run--, p += stride)
                *--end = p;
        }
        store_relaxed(place, word);
    }
    return nr - left;
}

/* Programs may have written to some of the nr objects below end while they were free in their
 * slab: keeps only the others, and returns how many these are. The rest stays in use for ever. */
static uint32_t keep_marked(const struct kmem_cache *cache, void **end, uint32_t nr)
{
    uint32_t kept = 0;

    for (uint32_t i = 1; i <= nr; i++) {
        void *p = *(end - i);

        if (likely(object_holds_key(cache, p)))
            *(end - ++kept) = p;
        else
            object_report(cache, p);
    }
    return kept;
}

/* Takes up to nr objects off one slab, and writes them below end; returns how many. */
static uint32_t slab_take_from_locked(struct kmem_cache *cache, uint32_t pfn, void **end,
                                      uint32_t nr)
{
    struct page *page = pfn_to_page(&cache->owner->map, pfn);
    uint32_t taken = slab_clear_bits_locked(cache, pfn, end, nr);

    lock_assert_held(&cache->lock);
    CHECK(taken <= cache->desc->objects_per_slab - page->slab.inuse);
    page->slab.inuse = (uint16_t)(page->slab.inuse + taken);
    cache->desc->nr_inuse += taken;
    if (slab_is_full(cache, page))
        slab_move_locked(cache, pfn, SLAB_FULL);
    else if (page->slab.list == SLAB_EMPTY)
        slab_move_locked(cache, pfn, SLAB_PARTIAL);
    if (cache_is_watched(cache)) {
        objects_watch(cache, end - taken, taken, true);
        return taken;
    }
    if (cache->owner->pops_are_checked || cache->debug != NULL)
        return taken; /* debug_alloc looks itself */
    return keep_marked(cache, end, taken);
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
        taken += slab_take_from_locked(cache, pfn, objects + nr - taken, nr - taken);
    }
    if (taken < nr)
        memmove(objects, objects + nr - taken, taken * sizeof objects[0]);
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

/* The slab has just got objects back: puts it on the list where it belongs now, or into the
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

/* The number of the object at this offset of its slab. */
static uint32_t object_index(const struct kmem_cache *cache, size_t offset)
{
    return (uint32_t)(((uint64_t)offset * cache->index_mul) >> 32);
}

static uint32_t slab_of(const struct kmem_cache *cache, const void *p)
{
    return virt_to_pfn(&cache->owner->map, p) & ~((1u << cache->desc->slab_order) - 1);
}

bool object_is_in_slab(const struct kmem_cache *cache, const void *p)
{
    uint32_t pfn = slab_of(cache, p);
    const char *start = pfn_to_virt(&cache->owner->map, pfn);
    uint32_t index = object_index(cache, (size_t)((const char *)p - start));

    return (load_relaxed(slab_free_word(cache, pfn, index / 64)) >> index % 64 & 1) != 0;
}

/* The frame is the first one of a slab of this cache. It is not if an object was freed twice where
 * that could not be seen, and the first free has sent its slab back to the buddy. */
static bool is_slab_of(const struct kmem_cache *cache, const struct page *page)
{
    return page_state(page) == PYSLAB_PAGE_SLAB && page_order(page) == cache->desc->slab_order &&
           page->slab.cache_id == cache->id;
}

/* So many objects have these bits, and none has another's. */
static inline bool bits_are_distinct(uint64_t bits, uint32_t nr)
{
    return nr == 1 || (uint32_t)__builtin_popcountll(bits) == nr;
}

/* Some of these objects of one word are free already, or twice among them: reports these. Returns
 * how many they are. start: the address of their slab */
static slow_path uint32_t report_doubles(const struct kmem_cache *cache, uint64_t word,
                                         const char *start, void *const *objects, uint32_t nr)
{
    uint32_t doubles = 0;

    for (uint32_t i = 0; i < nr; i++) {
        size_t offset = (size_t)((char *)objects[i] - start);
        uint64_t bit = (uint64_t)1 << object_index(cache, offset) % 64;

        if ((word & bit) != 0) {
            object_report(cache, objects[i]);
            doubles++;
        }
        word |= bit;
    }
    return doubles;
}

/* The free bits of the first objects that lie in these bytes, whose bits are all in one word; *nr,
 * the most there may be, becomes how many they are. */
static uint64_t bits_of_run(const struct kmem_cache *cache, const char *start, size_t bytes,
                            void *const *objects, uint32_t *nr)
{
    void *const *p = objects, *const *end = objects + *nr;
    uint64_t bits = 0;

    for (; p < end; p++) {
        size_t offset = (size_t)((const char *)*p - start);

        if (offset >= bytes)
            break;
        bits |= (uint64_t)1 << object_index(cache, offset) % 64;
    }
    *nr = (uint32_t)(p - objects);
    return bits;
}

/* Sets the bits of the first objects, as many as are of this slab, at most nr; *nr_back: those that
 * were not free in it already. Returns how many are of the slab. Objects that follow each other
 * mostly are of the same word, or of different slabs. */
static uint32_t slab_set_bits_locked(struct kmem_cache *cache, uint32_t pfn, void *const *objects,
                                     uint32_t nr, uint32_t *nr_back)
{
    const char *start = pfn_to_virt(&cache->owner->map, pfn);
    size_t slab_bytes = cache_slab_bytes(cache->desc),
           offset = (size_t)((char *)objects[0] - start);
    uint32_t done = 0, doubles = 0;

    lock_assert_held(&cache->lock);
    while (offset < slab_bytes) {
        uint32_t index = object_index(cache, offset), at = index / 64, first = done++;
        _Atomic uint64_t *place = slab_free_word(cache, pfn, at);
        uint64_t word = load_relaxed(place), bits = (uint64_t)1 << index % 64;

        CHECK(slab_cache_of(cache->owner, objects[first]) == cache);
        offset = done < nr ? (size_t)((char *)objects[done] - start) : slab_bytes;
        if (offset < slab_bytes) {
            size_t word_bytes = 64 * cache->desc->stride, from = at * word_bytes,
                   rest = slab_bytes - from;
            uint32_t more = nr - done;

            bits |= bits_of_run(cache, start + from, rest < word_bytes ? rest : word_bytes,
                                objects + done, &more);
            done += more;
            offset = done < nr ? (size_t)((char *)objects[done] - start) : slab_bytes;
        }
        if (unlikely((word & bits) != 0 || !bits_are_distinct(bits, done - first)))
            doubles += report_doubles(cache, word, start, objects + first, done - first);
        store_relaxed(place, word | bits);
    }
    *nr_back = done - doubles;
    return done;
}

void slab_put_locked(struct kmem_cache *cache, void *const *objects, uint32_t nr,
                     struct slab_batch *batch)
{
    lock_assert_held(&cache->lock);
    CHECK(nr <= cache->desc->nr_inuse);
    if (cache_is_watched(cache))
        objects_watch(cache, objects, nr, false);
    for (uint32_t i = 0; i < nr;) {
        uint32_t pfn = slab_of(cache, objects[i]), nr_back;
        struct page *page = pfn_to_page(&cache->owner->map, pfn);

        if (unlikely(!is_slab_of(cache, page))) {
            object_report(cache, objects[i++]);
            continue;
        }
        i += slab_set_bits_locked(cache, pfn, objects + i, nr - i, &nr_back);
        CHECK(nr_back <= page->slab.inuse);
        page->slab.inuse = (uint16_t)(page->slab.inuse - nr_back);
        cache->desc->nr_inuse -= nr_back;
        if (nr_back != 0)
            slab_place_locked(cache, pfn, batch);
    }
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
        slab_destruct(cache, pfn, cache->desc->objects_per_slab);
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
    bool any = cache->dtor != NULL || cache_is_watched(cache);

    for (unsigned i = 0; any && i < NR_SLAB_LISTS; i++)
        for (uint32_t pfn = cache->desc->list[i].first; pfn != INDEX_NONE;
             pfn = index_link_at(links, pfn)->next) {
            if (cache_is_watched(cache))
                slab_forget(cache, pfn);
            slab_destruct(cache, pfn, cache->desc->objects_per_slab);
        }
}

size_t slab_live_objects_locked(const struct kmem_cache *cache, void **p, size_t nr)
{
    struct index_view links = page_links(&cache->owner->map);
    size_t found = 0;

    lock_assert_held(&cache->lock);
    for (unsigned list = SLAB_PARTIAL; list <= SLAB_FULL; list++)
        for (uint32_t pfn = cache->desc->list[list].first; pfn != INDEX_NONE;
             pfn = index_link_at(links, pfn)->next)
            for (uint32_t i = 0; i < cache->desc->objects_per_slab; i++) {
                void *object = slab_object(cache, pfn, i);

                if (object_is_in_slab(cache, object) || object_is_marked(cache, object))
                    continue;
                if (found < nr)
                    p[found] = object;
                found++;
            }
    return found;
}

/* cache.c - the life of a kmem_cache, and the table of an arena's caches.
 *
 * A cache lives until its last pin is taken off. It is made with one pin, which cache_destroy
 * takes off; whoever goes through all caches of an arena puts one on the cache it is looking at,
 * because it must let go of the table's lock meanwhile.
 * Lock: slab_alloc.lock for the table, pins and counts of pools; a cache's own for its lists.
 * Not here: where its objects lie (cache_layout.c), how one is found (sheaf.c, slab.c), and how
 * much a cache keeps (sheaf_size.c).
 */
#include "slab/fence.h"
#include "slab/slab_internal.h"

#include "os/os.h"
#include "os/os_heap.h"

#include <string.h>

/* --- creation ----------------------------------------------------------- */

/* The lowest free id; MAX_CACHES if there is none. */
static uint32_t free_id_locked(const struct slab_alloc *sa)
{
    uint32_t id = 1;

    lock_assert_held(&sa->lock);
    while (id < MAX_CACHES && sa->caches[id] != NULL)
        id++;
    return id;
}

static void cache_delete(struct kmem_cache *cache)
{
    debug_delete(cache->debug);
    if (cache->release != NULL)
        cache->release(cache->context);
    lock_destroy(&cache->lock);
    os_heap_free(cache, sizeof *cache);
}

#define SLAB_FLAGS ((uint32_t)(PYSLAB_SLAB_HWCACHE_ALIGN | PYSLAB_SLAB_CACHE_DMA))

static bool cache_args_valid(const struct slab_alloc *sa, const char *name, size_t size,
                             const pyslab_cache_options *options)
{
    return options->struct_size == sizeof *options && name != NULL && name[0] != '\0' &&
           strlen(name) < PYSLAB_NAME_MAX && size > 0 && size <= CACHE_MAX_OBJECT &&
           (options->align == 0 || is_power_of_two(options->align)) &&
           options->align <= PAGE_SIZE && (options->flags & ~SLAB_FLAGS) == 0 &&
           cache_layout_fits(sa, name, size, options);
}

/* The table has as many caches that are not being destroyed as it says, all below id_limit. */
static bool caches_add_up_locked(const struct slab_alloc *sa)
{
    uint32_t nr = 0;

    lock_assert_held(&sa->lock);
    for (uint32_t id = 0; id < MAX_CACHES; id++) {
        const struct kmem_cache *cache = sa->caches[id];

        if (cache != NULL && (cache->id != id || id == 0 || id >= load_relaxed(&sa->id_limit)))
            return false;
        nr += cache != NULL && !cache->dying;
    }
    return nr == sa->nr_caches;
}

/* Gives the cache an id and enters it in the table; ELIMIT if there is none left. */
static int cache_enter(struct slab_alloc *sa, struct kmem_cache *cache, const char *name,
                       size_t size, const pyslab_cache_options *options)
{
    uint32_t id;

    lock_acquire(&sa->lock);
    id = free_id_locked(sa);
    if (id == MAX_CACHES) {
        lock_release(&sa->lock);
        return PYSLAB_ELIMIT;
    }
    cache->id = id;
    cache->desc = &sa->descs[id];
    cache_lay_out(sa, cache->desc, name, size, options);
    if (id <= CLASS_MAX && !cache_is_constructed(cache) && cache->desc->front == 0 &&
        rest_can_be_marked(cache->desc, cache->desc->objects_per_slab))
        cache->fast_class = id;
    cache->index_mul = UINT32_MAX / cache->desc->stride + 1;
    CHECK(slab_nr_words(cache->desc) <=
          1 + ((FREE_WORDS_NEAR + FREE_WORDS_FAR) << cache->desc->slab_order));
    cache_set_limits(cache, (uint64_t)sa->map.nr_pages << PAGE_SHIFT);
    sa->caches[id] = cache;
    sa->nr_caches++;
    if (id >= load_relaxed(&sa->id_limit))
        store_relaxed(&sa->id_limit, id + 1);
    CHECK_WALK(caches_add_up_locked(sa));
    lock_release(&sa->lock);
    return PYSLAB_OK;
}

int cache_create(struct slab_alloc *sa, const char *name, size_t size,
                 const pyslab_cache_options *options, struct kmem_cache **out)
{
    static const pyslab_cache_options none = {.struct_size = sizeof none};
    struct kmem_cache *cache;
    int error;

    if (options == NULL)
        options = &none;
    if (!cache_args_valid(sa, name, size, options))
        return PYSLAB_EINVAL;
    if (should_fail(sa->pages->faults, NULL, sizeof *cache, 0))
        return PYSLAB_ENOMEM;
    cache = os_heap_alloc(sizeof *cache);
    if (cache == NULL)
        return PYSLAB_ENOMEM;
    cache->owner = sa;
    cache->domain = sa->domain;
    cache->secret = sa->secret;
    cache->base = sa->map.base;
    cache->classes = sa->map.classes;
    cache->bytes = sa->map.bytes;
    cache->nr_pins = 1; /* until cache_destroy */
    cache->ctor = options->ctor;
    cache->dtor = options->dtor;
    cache->context = options->context;
    if (options->flags & PYSLAB_SLAB_CACHE_DMA)
        cache->zone_gfp = PYSLAB_GFP_DMA;
    cache->reap_ms = os_time_ms();
    lock_init(&cache->lock, LOCK_RANK_CACHE);
    error = cache_set_debug(sa, cache, name, size, options);
    if (error == PYSLAB_OK)
        error = cache_enter(sa, cache, name, size, options);
    if (error != PYSLAB_OK) {
        cache_delete(cache);
        return error;
    }
    *out = cache;
    return PYSLAB_OK;
}

/* --- shrink and destroy ------------------------------------------------- */

/* Gives the empty slabs back; with keep_stock all but those that were preallocated. */
static uint64_t cache_free_empty(struct kmem_cache *cache, bool keep_stock)
{
    struct slab_batch batch;

    slab_batch_init(&batch);
    lock_acquire(&cache->lock);
    slab_take_empty_locked(cache, keep_stock ? slab_surplus_locked(cache) : UINT32_MAX, &batch);
    lock_release(&cache->lock);
    return slab_batch_free(cache, &batch);
}

uint64_t cache_shrink(struct kmem_cache *cache)
{
    struct sheaf_table *table = sheaf_table_own(cache->owner);
    struct sheaf_slot *slot = table != NULL ? sheaf_slot_of(table, cache->id) : NULL;
    struct slab_batch batch;
    uint64_t nr_pages;

    slab_batch_init(&batch);
    if (slot != NULL)
        sheaf_slot_flush(cache, table, slot, &batch);
    nr_pages = slab_batch_free(cache, &batch);
    nr_pages += barn_flush(cache);
    nr_pages += debug_flush(cache);
    lock_acquire(&cache->lock);
    slab_sort_partial_locked(cache);
    lock_release(&cache->lock);
    return nr_pages + cache_free_empty(cache, false);
}

struct member_flush {
    struct kmem_cache *cache;
    struct slab_batch batch; /* slabs that became free */
};

static void flush_members_slot(void *table, void *context)
{
    struct member_flush *flush = context;
    struct sheaf_slot *slot = sheaf_slot_of(table, flush->cache->id);

    if (slot != NULL)
        sheaf_slot_flush(flush->cache, table, slot, &flush->batch);
}

/* Empties every thread's sheaves of a cache, and its barn. No thread may be using the cache. */
static void flush_members(struct kmem_cache *cache)
{
    struct member_flush flush = {.cache = cache};

    slab_batch_init(&flush.batch);
    thread_domain_visit(cache->owner->domain, THREAD_SLOT_SLAB, flush_members_slot, &flush);
    slab_batch_free(cache, &flush.batch);
    barn_flush(cache);
    (void)debug_flush(cache);
}

/* So that a later cache of the same id does not start with this one's counts. */
static void clear_members_count(void *table, void *context)
{
    const struct kmem_cache *cache = context;
    struct sheaf_slot *slot = sheaf_slot_of(table, cache->id);

    if (slot != NULL) {
        slot->nr_allocs = 0;
        slot->nr_swaps = 0;
        slot->nr_exchanges = 0;
    }
}

size_t cache_live_objects(struct kmem_cache *cache, void **p, size_t nr)
{
    size_t found;

    flush_members(cache);
    lock_acquire(&cache->lock);
    found = slab_live_objects_locked(cache, p, nr);
    lock_release(&cache->lock);
    found += guarded_objects(cache, found < nr ? p + found : NULL, found < nr ? nr - found : 0);
    return found +
           fence_live_objects(cache, found < nr ? p + found : NULL, found < nr ? nr - found : 0);
}

/* Slabs on all three lists. */
static uint32_t nr_slabs(const struct cache_desc *desc)
{
    uint32_t nr = 0;

    for (unsigned i = 0; i < NR_SLAB_LISTS; i++)
        nr += desc->list[i].nr;
    return nr;
}

static bool has_pools(struct kmem_cache *cache)
{
    bool found;

    lock_acquire(&cache->owner->lock);
    found = cache->nr_pools != 0;
    lock_release(&cache->owner->lock);
    return found;
}

/* No thread allocates from the cache or frees to it any more, so that other threads' sheaves may
 * be emptied here. A thread that goes through all caches may have a pin on it; whoever takes the
 * last pin off deletes the cache. */
int cache_destroy(struct kmem_cache *cache)
{
    struct slab_alloc *sa = cache->owner;

    if (has_pools(cache))
        return PYSLAB_EBUSY;
    flush_members(cache);
    if (cache->desc->nr_inuse != debug_nr_held(cache) || load_relaxed(&cache->nr_guarded) != 0 ||
        fence_live_objects(cache, NULL, 0) != 0)
        return PYSLAB_EBUSY;
    (void)guarded_flush(sa); /* those that wait know the cache's id */
    debug_release_retired(cache);
    cache_free_empty(cache, false);
    thread_domain_visit(sa->domain, THREAD_SLOT_SLAB, clear_members_count, cache);
    lock_acquire(&sa->lock);
    cache->dying = true;
    sa->nr_caches--;
    CHECK(nr_slabs(cache->desc) == 0);
    CHECK_WALK(caches_add_up_locked(sa));
    lock_release(&sa->lock);
    cache_unpin(cache);
    return PYSLAB_OK;
}

/* --- going through all caches -------------------------------------------- */

struct kmem_cache *cache_pin_next(struct slab_alloc *sa, uint32_t *id)
{
    struct kmem_cache *found = NULL;

    lock_acquire(&sa->lock);
    for (; *id < load_relaxed(&sa->id_limit) && found == NULL; ++*id)
        if (sa->caches[*id] != NULL && !sa->caches[*id]->dying)
            found = sa->caches[*id];
    if (found != NULL)
        found->nr_pins++;
    lock_release(&sa->lock);
    return found;
}

void cache_unpin(struct kmem_cache *cache)
{
    struct slab_alloc *sa = cache->owner;
    bool last;

    lock_acquire(&sa->lock);
    CHECK(cache->nr_pins != 0 && sa->caches[cache->id] == cache);
    last = --cache->nr_pins == 0;
    if (last)
        sa->caches[cache->id] = NULL;
    lock_release(&sa->lock);
    if (last)
        cache_delete(cache);
}

/* True if this thread is buying slabs for one cache's stock (prealloc.c). If memory is short then,
 * it must not take the stock of other caches for it. */
static bool is_stocking(struct slab_alloc *sa)
{
    const struct sheaf_table *table = sheaf_table_own(sa);

    return table != NULL && table->nr_stocking != 0;
}

/* Gives back what the caches keep, with constructed_too also the empty slabs whose objects are
 * constructed, and with keep_stock not those that were preallocated. */
static uint64_t reclaim_caches(struct slab_alloc *sa, bool constructed_too, bool keep_stock)
{
    struct kmem_cache *cache;
    uint64_t nr_pages = 0;
    uint32_t id = 1;

    sheaf_table_drain(sa);
    while ((cache = cache_pin_next(sa, &id)) != NULL) {
        nr_pages += barn_flush(cache);
        if (!keep_stock)
            nr_pages += debug_flush(cache);
        if (constructed_too || !cache_is_constructed(cache))
            nr_pages += cache_free_empty(cache, keep_stock);
        cache_unpin(cache);
    }
    return nr_pages;
}

/* Slabs of constructed objects are worth keeping for longer than the interval after which this is
 * called; slab_reap_locked gives them back after its own. */
void slab_trim(struct slab_alloc *sa)
{
    (void)reclaim_caches(sa, false, true);
}

uint64_t slab_reclaim(struct slab_alloc *sa)
{
    return reclaim_caches(sa, true, is_stocking(sa));
}

/* --- statistics --------------------------------------------------------- */

struct cached_count {
    const struct kmem_cache *cache;
    uint64_t nr;                /* objects in threads' sheaves */
    struct sheaf_counts counts; /* of all threads alive */
};

static void count_slot(void *table, void *context)
{
    struct cached_count *count = context;
    struct sheaf_counts counts;
    struct sheaf_slot *slot = sheaf_slot_of(table, count->cache->id);

    if (slot == NULL)
        return;
    count->nr += sheaf_slot_nr_objects(slot);
    counts = sheaf_slot_counts(slot);
    count->counts.nr_allocs += counts.nr_allocs;
    count->counts.nr_swaps += counts.nr_swaps;
    count->counts.nr_exchanges += counts.nr_exchanges;
}

static uint64_t barn_nr_objects_locked(const struct kmem_cache *cache)
{
    uint64_t nr;

    lock_assert_held(&cache->lock);
    nr = cache->barn.nr_left_objects;
    for (const struct sheaf *s = cache->barn.full; s != NULL; s = s->next)
        nr += s->nr;
    return nr;
}

void cache_stats(struct kmem_cache *cache, pyslab_cache_stats *out)
{
    thread_registry_lock();
    cache_stats_locked(cache, out);
    thread_registry_unlock();
}

void cache_stats_locked(struct kmem_cache *cache, pyslab_cache_stats *out)
{
    struct cached_count count = {.cache = cache};
    const struct cache_desc *desc = cache->desc;
    uint64_t inuse, exchanges;

    lock_assert_held(thread_registry_mutex());
    thread_domain_visit_locked(cache->owner->domain, THREAD_SLOT_SLAB, count_slot, &count);
    memset(out, 0, sizeof *out);
    memcpy(out->name, desc->name, sizeof out->name);
    out->object_size = desc->object_size;
    out->stride = desc->stride;
    out->align = desc->align;
    out->slab_order = desc->slab_order;
    out->objects_per_slab = desc->objects_per_slab;
    out->sheaf_capacity = cache->sheaf_capacity;
    lock_acquire(&cache->lock);
    count.nr += barn_nr_objects_locked(cache) + debug_nr_held(cache);
    inuse = desc->nr_inuse;
    out->nr_partial = desc->list[SLAB_PARTIAL].nr;
    out->nr_full = desc->list[SLAB_FULL].nr;
    out->nr_empty = desc->list[SLAB_EMPTY].nr;
    out->supply_barn = desc->supply[SUPPLY_BARN];
    out->supply_partial = desc->supply[SUPPLY_PARTIAL];
    out->supply_empty = desc->supply[SUPPLY_EMPTY];
    out->supply_buddy = desc->supply[SUPPLY_BUDDY];
    lock_release(&cache->lock);
    count.nr += load_relaxed(&cache->nr_prefilled);
    out->total_allocs = count.counts.nr_allocs + load_relaxed(&cache->nr_past_allocs);
    exchanges = count.counts.nr_exchanges + load_relaxed(&cache->nr_past_exchanges);
    out->supply_sheaf = out->total_allocs > exchanges ? out->total_allocs - exchanges : 0;
    out->supply_swap = count.counts.nr_swaps + load_relaxed(&cache->nr_past_swaps);
    out->cached_objects = count.nr;
    /* Other threads move objects meanwhile, so that the sheaves may seem to have more than all. */
    out->live_objects = inuse > count.nr ? inuse - count.nr : 0;
    out->live_objects += fence_live_objects(cache, NULL, 0) + load_relaxed(&cache->nr_guarded);
}

/* --- set-up ------------------------------------------------------------- */

int slab_alloc_init(struct slab_alloc *sa, struct page_alloc *pages, struct cache_desc *descs,
                    const char *debug)
{
    int error;

    CHECK(descs != NULL && descs[1].objects_per_slab == 0);
    memset(sa, 0, sizeof *sa);
    error = debug_init(&sa->debug, debug);
    if (error != PYSLAB_OK)
        return error;
    sa->caches = os_heap_alloc(MAX_CACHES * sizeof *sa->caches);
    if (sa->caches == NULL)
        return PYSLAB_ENOMEM;
    sa->secret = os_random64();
    sa->pages = pages;
    sa->domain = pages->domain;
    sa->map = pages->map;
    sa->descs = descs;
    sa->max_grown_bytes = sheaf_grown_max((uint64_t)sa->map.nr_pages << PAGE_SHIFT);
    store_relaxed(&sa->id_limit, 1);
    lock_init(&sa->lock, LOCK_RANK_CACHES);
    sheaf_set_up(sa);
    return PYSLAB_OK;
}

void slab_alloc_destroy(struct slab_alloc *sa)
{
    if (sa->caches == NULL)
        return;
    mempools_discard(sa);
    fence_end(sa);
    for (uint32_t id = 1; id < load_relaxed(&sa->id_limit); id++) {
        if (sa->caches[id] == NULL)
            continue;
        barn_discard(sa->caches[id]);
        slab_destruct_all(sa->caches[id]);
        cache_delete(sa->caches[id]);
    }
    lock_destroy(&sa->lock);
    os_heap_free(sa->caches, MAX_CACHES * sizeof *sa->caches);
    sa->caches = NULL;
}

/* cache.c - the life of a kmem_cache, and the table of an arena's caches.
 *
 * Not here: how an object is found (sheaf.c, slab.c).
 */
#include "slab/slab_internal.h"

#include "os/os.h"
#include "os/os_heap.h"

#include <string.h>

/* --- geometry ----------------------------------------------------------- */

#define SLAB_KERNEL_MAX_ORDER 3u  /* the kernel's slub_max_order */
#define SLAB_KERNEL_STRIDE ((size_t)2 << PAGE_SHIFT) /* its rule holds up to here */
#define SLAB_LARGE_OBJECTS 4u     /* per slab, above that */

static uint32_t objects_in(unsigned order, size_t stride)
{
    return (uint32_t)((PAGE_SIZE << order) / stride);
}

/* The smallest order from min to max whose waste is at most 1/fraction; max + 1 if none. */
static unsigned order_with_waste(size_t stride, unsigned min, unsigned max, unsigned fraction)
{
    unsigned order = min;

    while (order <= max && (PAGE_SIZE << order) % stride > (PAGE_SIZE << order) / fraction)
        order++;
    return order;
}

static unsigned order_within(size_t stride, uint32_t min_objects, unsigned max)
{
    unsigned min = order_for_pages(bytes_to_pages((uint64_t)min_objects * stride));

    for (unsigned fraction = 16; fraction > 1; fraction /= 2) {
        unsigned order = order_with_waste(stride, min, max, fraction);

        if (order <= max)
            return order;
    }
    return order_for_pages(bytes_to_pages(stride));
}

unsigned slab_order_for(size_t stride, unsigned nr_cpus, unsigned max_order)
{
    bool large = stride > SLAB_KERNEL_STRIDE;
    unsigned max = min_uint(large ? SLAB_LARGEST_ORDER : SLAB_KERNEL_MAX_ORDER, max_order);
    uint32_t min_objects = large ? SLAB_LARGE_OBJECTS : 4 * (fls64(nr_cpus) + 1);

    return order_within(stride, min_uint(min_objects, max_uint(objects_in(max, stride), 1)), max);
}

/* --- limits of what a cache keeps --------------------------------------- */

#define SHEAF_MAX_BYTES ((uint64_t)64 << 10)   /* of objects, per sheaf */
#define SHEAF_ARENA_SHARE 1024u                /* a sheaf holds at most this part of it */
#define BARN_MAX_BYTES ((uint64_t)1 << 20)     /* of objects in full sheaves */
#define BARN_MAX_SHEAVES 10u                   /* as in Linux */
#define EMPTY_MAX_BYTES ((uint64_t)1 << 20)    /* of empty slabs */

static uint32_t clamp_u64(uint64_t x, uint32_t low, uint32_t high)
{
    return x < low ? low : x > high ? high : (uint32_t)x;
}

static void cache_set_limits(struct kmem_cache *cache, uint64_t arena_bytes)
{
    const struct cache_desc *desc = cache->desc;
    uint64_t share = arena_bytes / SHEAF_ARENA_SHARE;
    uint64_t sheaf_bytes = share < SHEAF_MAX_BYTES ? share : SHEAF_MAX_BYTES;
    /* The kernel's min_partial. */
    uint32_t min_partial = clamp_u64(ilog2(desc->object_size) / 2, 5, 10);

    if (desc->stride >= SLAB_MIN_SHEAF_STRIDE)
        cache->sheaf_capacity = clamp_u64(sheaf_bytes / desc->stride, 2, SHEAF_MAX_OBJECTS);
    sheaf_bytes = (uint64_t)cache->sheaf_capacity * desc->stride;
    if (sheaf_bytes != 0)
        cache->max_full_sheaves = clamp_u64(BARN_MAX_BYTES / sheaf_bytes, 2, BARN_MAX_SHEAVES);
    cache->max_empty_slabs =
        clamp_u64(EMPTY_MAX_BYTES / cache_slab_bytes(desc), 1, min_partial);
}

/* --- creation ----------------------------------------------------------- */

static uint64_t reciprocal_of(uint32_t stride)
{
    return UINT64_MAX / stride + 1;
}

static void desc_init(struct cache_desc *desc, const char *name, size_t size, size_t align,
                      unsigned max_order)
{
    memset(desc, 0, sizeof *desc);
    strncpy(desc->name, name, sizeof desc->name - 1);
    desc->object_size = (uint32_t)size;
    desc->align = (uint32_t)align;
    desc->stride = (uint32_t)align_up(size, align);
    desc->slab_order = slab_order_for(desc->stride, os_nr_cpus(), max_order);
    desc->objects_per_slab = min_uint(objects_in(desc->slab_order, desc->stride),
                                      SLAB_MAX_OBJECTS);
    for (unsigned i = 0; i < NR_SLAB_LISTS; i++)
        index_list_init(&desc->list[i]);
}

static void geometry_init(struct slab_alloc *sa, const struct kmem_cache *cache)
{
    struct slab_geometry *g;

    if (cache->id > CLASS_MAX)
        return;
    g = &sa->geometry[cache->id];
    g->reciprocal = reciprocal_of(cache->desc->stride);
    g->slab_mask = cache_slab_bytes(cache->desc) - 1;
    g->limit = cache->desc->objects_per_slab * cache->desc->stride;
}

/* The lowest free id; MAX_CACHES if there is none. */
static uint32_t free_id_locked(const struct slab_alloc *sa)
{
    uint32_t id = 1;

    while (id < MAX_CACHES && sa->caches[id] != NULL)
        id++;
    return id;
}

static bool cache_args_valid(const char *name, size_t size, size_t align)
{
    return name != NULL && name[0] != '\0' && strlen(name) < PYSLAB_NAME_MAX && size > 0 &&
           size <= CACHE_MAX_OBJECT && (align == 0 || is_power_of_two(align)) &&
           align <= PAGE_SIZE;
}

int cache_create(struct slab_alloc *sa, const char *name, size_t size, size_t align,
                 struct kmem_cache **out)
{
    struct kmem_cache *cache;
    uint32_t id;

    if (!cache_args_valid(name, size, align))
        return PYSLAB_EINVAL;
    if (align == 0)
        align = sizeof(uint64_t);
    if (bytes_to_pages(align_up(size, align)) > 1u << sa->pages->zone[0].max_order)
        return PYSLAB_EINVAL;
    cache = os_heap_alloc(sizeof *cache);
    if (cache == NULL)
        return PYSLAB_ENOMEM;
    lock_acquire(&sa->lock);
    id = free_id_locked(sa);
    if (id == MAX_CACHES) {
        lock_release(&sa->lock);
        os_heap_free(cache, sizeof *cache);
        return PYSLAB_ELIMIT;
    }
    cache->id = id;
    cache->owner = sa;
    cache->desc = &sa->descs[id];
    desc_init(cache->desc, name, size, align, sa->pages->zone[0].max_order);
    cache_set_limits(cache, (uint64_t)sa->pages->map.nr_pages << PAGE_SHIFT);
    lock_init(&cache->lock, LOCK_RANK_CACHE);
    geometry_init(sa, cache);
    sa->caches[id] = cache;
    sa->nr_caches++;
    if (id >= load_relaxed(&sa->id_limit))
        store_relaxed(&sa->id_limit, id + 1);
    lock_release(&sa->lock);
    *out = cache;
    return PYSLAB_OK;
}

/* --- shrink and destroy ------------------------------------------------- */

static uint64_t cache_free_empty(struct kmem_cache *cache)
{
    struct slab_batch batch;

    slab_batch_init(&batch);
    lock_acquire(&cache->lock);
    slab_take_empty_locked(cache, &batch);
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
        sheaf_slot_flush(cache, slot, &batch);
    nr_pages = slab_batch_free(cache, &batch);
    nr_pages += barn_flush(cache);
    return nr_pages + cache_free_empty(cache);
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
        sheaf_slot_flush(flush->cache, slot, &flush->batch);
}

static void cache_delete(struct kmem_cache *cache)
{
    lock_destroy(&cache->lock);
    os_heap_free(cache, sizeof *cache);
}

/* Nobody uses the cache any more, so that other threads' sheaves may be emptied here. */
int cache_destroy(struct kmem_cache *cache)
{
    struct slab_alloc *sa = cache->owner;
    struct member_flush flush = {.cache = cache};

    slab_batch_init(&flush.batch);
    thread_domain_visit(sa->domain, THREAD_SLOT_SLAB, flush_members_slot, &flush);
    slab_batch_free(cache, &flush.batch);
    barn_flush(cache);
    if (cache->desc->nr_inuse != 0)
        return PYSLAB_EBUSY;
    cache_free_empty(cache);
    lock_acquire(&sa->lock);
    sa->caches[cache->id] = NULL;
    sa->nr_caches--;
    lock_release(&sa->lock);
    cache_delete(cache);
    return PYSLAB_OK;
}

uint64_t slab_reclaim(struct slab_alloc *sa)
{
    uint64_t nr_pages = 0;

    sheaf_table_drain(sa);
    for (uint32_t id = 1; id < load_relaxed(&sa->id_limit); id++) {
        struct kmem_cache *cache;

        lock_acquire(&sa->lock);
        cache = sa->caches[id];
        lock_release(&sa->lock);
        if (cache == NULL)
            continue;
        nr_pages += barn_flush(cache) + cache_free_empty(cache);
    }
    return nr_pages;
}

/* --- statistics --------------------------------------------------------- */

struct cached_count {
    const struct kmem_cache *cache;
    uint64_t nr; /* objects in threads' sheaves */
};

static void count_slot(void *table, void *context)
{
    struct cached_count *count = context;
    struct sheaf_slot *slot = sheaf_slot_of(table, count->cache->id);

    if (slot != NULL)
        count->nr += sheaf_slot_nr_objects(slot);
}

static uint64_t barn_nr_objects_locked(const struct kmem_cache *cache)
{
    uint64_t nr = 0;

    for (const struct sheaf *s = cache->barn.full; s != NULL; s = s->next)
        nr += load_relaxed(&s->nr);
    return nr;
}

void cache_stats(struct kmem_cache *cache, pyslab_cache_stats *out)
{
    struct cached_count count = {.cache = cache};
    const struct cache_desc *desc = cache->desc;
    uint64_t inuse;

    thread_domain_visit(cache->owner->domain, THREAD_SLOT_SLAB, count_slot, &count);
    memset(out, 0, sizeof *out);
    memcpy(out->name, desc->name, sizeof out->name);
    out->object_size = desc->object_size;
    out->stride = desc->stride;
    out->align = desc->align;
    out->slab_order = desc->slab_order;
    out->objects_per_slab = desc->objects_per_slab;
    out->sheaf_capacity = cache->sheaf_capacity;
    lock_acquire(&cache->lock);
    count.nr += barn_nr_objects_locked(cache);
    inuse = desc->nr_inuse;
    out->nr_partial = desc->list[SLAB_PARTIAL].nr;
    out->nr_full = desc->list[SLAB_FULL].nr;
    out->nr_empty = desc->list[SLAB_EMPTY].nr;
    out->supply_barn = desc->supply[SUPPLY_BARN];
    out->supply_partial = desc->supply[SUPPLY_PARTIAL];
    out->supply_empty = desc->supply[SUPPLY_EMPTY];
    out->supply_buddy = desc->supply[SUPPLY_BUDDY];
    lock_release(&cache->lock);
    out->supply_swap = load_relaxed(&cache->nr_swaps);
    out->cached_objects = count.nr;
    /* Other threads may move objects between the two counts. */
    out->live_objects = inuse > count.nr ? inuse - count.nr : 0;
}

struct kmem_cache *cache_nth(struct slab_alloc *sa, uint32_t n)
{
    struct kmem_cache *found = NULL;

    lock_acquire(&sa->lock);
    for (uint32_t id = 1; id < load_relaxed(&sa->id_limit) && found == NULL; id++)
        if (sa->caches[id] != NULL && n-- == 0)
            found = sa->caches[id];
    lock_release(&sa->lock);
    return found;
}

/* --- set-up ------------------------------------------------------------- */

int slab_alloc_init(struct slab_alloc *sa, struct page_alloc *pages, struct cache_desc *descs)
{
    memset(sa, 0, sizeof *sa);
    sa->caches = os_heap_alloc(MAX_CACHES * sizeof *sa->caches);
    if (sa->caches == NULL)
        return PYSLAB_ENOMEM;
    sa->secret = os_random64();
    sa->pages = pages;
    sa->domain = pages->domain;
    sa->map = pages->map;
    sa->descs = descs;
    store_relaxed(&sa->id_limit, 1);
    lock_init(&sa->lock, LOCK_RANK_CACHES);
    sheaf_set_up(sa);
    return PYSLAB_OK;
}

void slab_alloc_destroy(struct slab_alloc *sa)
{
    if (sa->caches == NULL)
        return;
    for (uint32_t id = 1; id < load_relaxed(&sa->id_limit); id++) {
        if (sa->caches[id] == NULL)
            continue;
        barn_discard(sa->caches[id]);
        cache_delete(sa->caches[id]);
    }
    lock_destroy(&sa->lock);
    os_heap_free(sa->caches, MAX_CACHES * sizeof *sa->caches);
    sa->caches = NULL;
}

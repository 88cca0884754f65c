/* sheaf.c - what happens when a thread's main sheaf is empty or full.
 *
 * Underflow: swap with a spare that has objects; else take a full sheaf from the barn;
 * else fill main from slabs, buying one if none has a free object.
 * Overflow: swap with an empty spare; else hand the full spare to the barn; else give
 * its objects back to their slabs.
 * Only the barn and the slabs need cache->lock; the swap needs nothing.
 */
#include "slab/slab_internal.h"

#include "os/os_heap.h"

#include <string.h>

/* --- sheaves ------------------------------------------------------------ */

static size_t sheaf_bytes(uint32_t capacity)
{
    return sizeof(struct sheaf) + capacity * sizeof(void *);
}

static struct sheaf *sheaf_new(const struct kmem_cache *cache)
{
    struct sheaf *sheaf = os_heap_alloc(sheaf_bytes(cache->sheaf_capacity));

    if (sheaf != NULL)
        sheaf->capacity = cache->sheaf_capacity;
    return sheaf;
}

static void sheaf_delete(struct sheaf *sheaf)
{
    if (sheaf != NULL)
        os_heap_free(sheaf, sheaf_bytes(sheaf->capacity));
}

/* --- slots -------------------------------------------------------------- */

#define NR_MORE_SLOTS (MAX_CACHES - CLASS_MAX - 1)

struct sheaf_slot *sheaf_slot_of(struct sheaf_table *table, uint32_t id)
{
    if (id <= CLASS_MAX)
        return &table->slot[id];
    return table->more != NULL ? &table->more[id - CLASS_MAX - 1] : NULL;
}

/* This thread's slot for a cache; NULL without memory. */
static struct sheaf_slot *sheaf_slot_own(struct kmem_cache *cache)
{
    struct sheaf_table *table = sheaf_table_own(cache->owner);

    if (table == NULL)
        return NULL;
    if (cache->id > CLASS_MAX && table->more == NULL) {
        table->more = os_heap_alloc(NR_MORE_SLOTS * sizeof *table->more);
        if (table->more == NULL)
            return NULL;
    }
    return sheaf_slot_of(table, cache->id);
}

static uint32_t slot_nr(struct sheaf_slot *slot)
{
    return (uint32_t)(load_relaxed(&slot->top) - load_relaxed(&slot->bottom));
}

static struct sheaf *slot_main(struct sheaf_slot *slot)
{
    void **bottom = load_relaxed(&slot->bottom);

    return bottom == NULL ? NULL : container_of(bottom, struct sheaf, object);
}

/* Closes the main sheaf, so that it tells its own count, and opens another. */
static struct sheaf *slot_exchange(struct sheaf_slot *slot, struct sheaf *next)
{
    struct sheaf *old = slot_main(slot);

    if (old != NULL)
        store_relaxed(&old->nr, slot_nr(slot));
    store_relaxed(&slot->bottom, next->object);
    slot->limit = next->object + next->capacity;
    store_relaxed(&slot->top, next->object + load_relaxed(&next->nr));
    return old;
}

/* A slot with a main sheaf, for a cache that has sheaves; NULL without memory. */
static struct sheaf_slot *slot_ready(struct kmem_cache *cache)
{
    struct sheaf_slot *slot = sheaf_slot_own(cache);

    if (slot != NULL && slot_main(slot) == NULL) {
        struct sheaf *sheaf = sheaf_new(cache);

        if (sheaf == NULL)
            return NULL;
        slot_exchange(slot, sheaf);
    }
    return slot;
}

/* Another thread's call for memory reaches this thread here. */
static void heed_drain(struct slab_alloc *sa)
{
    struct sheaf_table *table = sheaf_table_own(sa);
    uint32_t epoch = load_relaxed(&sa->pages->drain_epoch);

    if (table == NULL || likely(table->drain_epoch == epoch))
        return;
    table->drain_epoch = epoch;
    sheaf_table_drain(sa);
}

/* --- barn --------------------------------------------------------------- */

static void sheaf_list_push(struct sheaf **list, uint32_t *nr, struct sheaf *sheaf)
{
    sheaf->next = *list;
    *list = sheaf;
    ++*nr;
}

static struct sheaf *sheaf_list_pop(struct sheaf **list, uint32_t *nr)
{
    struct sheaf *sheaf = *list;

    if (sheaf != NULL) {
        *list = sheaf->next;
        --*nr;
    }
    return sheaf;
}

/* Gives a sheaf's objects back to their slabs; the batch collects what became free. */
static void sheaf_flush(struct kmem_cache *cache, struct sheaf *sheaf, struct slab_batch *batch)
{
    lock_acquire(&cache->lock);
    slab_put_locked(cache, sheaf->object, load_relaxed(&sheaf->nr), batch);
    store_relaxed(&sheaf->nr, 0);
    lock_release(&cache->lock);
}

uint64_t barn_flush(struct kmem_cache *cache)
{
    struct slab_batch batch;
    struct sheaf *sheaf;

    slab_batch_init(&batch);
    for (;;) {
        lock_acquire(&cache->lock);
        sheaf = sheaf_list_pop(&cache->barn.full, &cache->barn.nr_full);
        if (sheaf == NULL)
            sheaf = sheaf_list_pop(&cache->barn.empty, &cache->barn.nr_empty);
        lock_release(&cache->lock);
        if (sheaf == NULL)
            break;
        sheaf_flush(cache, sheaf, &batch);
        sheaf_delete(sheaf);
    }
    return slab_batch_free(cache, &batch);
}

void barn_discard(struct kmem_cache *cache)
{
    struct sheaf *sheaf;

    while ((sheaf = sheaf_list_pop(&cache->barn.full, &cache->barn.nr_full)) != NULL ||
           (sheaf = sheaf_list_pop(&cache->barn.empty, &cache->barn.nr_empty)) != NULL)
        sheaf_delete(sheaf);
}

/* --- underflow ---------------------------------------------------------- */

/* The youngest object is popped first: turn the batch round, so that addresses go up. */
static void reverse(void **objects, uint32_t nr)
{
    for (uint32_t i = 0; i < nr / 2; i++) {
        void *p = objects[i];

        objects[i] = objects[nr - 1 - i];
        objects[nr - 1 - i] = p;
    }
}

static uint32_t refill_batch(const struct kmem_cache *cache)
{
    return max_uint(cache->sheaf_capacity / 2, 1);
}

static uint32_t fill_from_slabs_locked(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    void **bottom = load_relaxed(&slot->bottom);
    uint32_t nr = slab_take_locked(cache, bottom, refill_batch(cache));

    reverse(bottom, nr);
    store_relaxed(&slot->top, bottom + nr);
    return nr;
}

/* Refills an empty main sheaf under the lock; false if the cache has nothing free. */
static bool refill_from_cache(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    struct sheaf *full, *old = NULL;
    bool any = true;

    lock_acquire(&cache->lock);
    full = sheaf_list_pop(&cache->barn.full, &cache->barn.nr_full);
    if (full != NULL) {
        cache->desc->supply[SUPPLY_BARN]++;
        old = slot_exchange(slot, full);
        sheaf_list_push(&cache->barn.empty, &cache->barn.nr_empty, old);
    } else {
        any = fill_from_slabs_locked(cache, slot) != 0;
    }
    lock_release(&cache->lock);
    return any;
}

/* Buys a slab and fills an empty main sheaf from it. */
static bool refill_from_buddy(struct kmem_cache *cache, struct sheaf_slot *slot, uint32_t gfp)
{
    uint32_t pfn = slab_new(cache, gfp);

    if (pfn == PFN_NONE)
        return false;
    lock_acquire(&cache->lock);
    slab_add_locked(cache, pfn);
    cache->desc->supply[SUPPLY_BUDDY]++;
    /* Memory pressure may have drained this slot, and freed its sheaf, meanwhile. */
    if (slot_main(slot) != NULL)
        fill_from_slabs_locked(cache, slot);
    lock_release(&cache->lock);
    return true;
}

/* One object without a sheaf. */
static void *alloc_direct(struct kmem_cache *cache, uint32_t gfp)
{
    void *p = NULL;
    uint32_t pfn;

    lock_acquire(&cache->lock);
    slab_take_locked(cache, &p, 1);
    lock_release(&cache->lock);
    if (p == NULL && (pfn = slab_new(cache, gfp)) != PFN_NONE) {
        lock_acquire(&cache->lock);
        slab_add_locked(cache, pfn);
        cache->desc->supply[SUPPLY_BUDDY]++;
        slab_take_locked(cache, &p, 1);
        lock_release(&cache->lock);
    }
    if (p != NULL)
        object_clear_mark(cache, p);
    return p;
}

static void swap_spare(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    store_relaxed(&slot->spare, slot_exchange(slot, load_relaxed(&slot->spare)));
    atomic_fetch_add_explicit(&cache->nr_swaps, 1, memory_order_relaxed);
}

static bool spare_has_objects(struct sheaf_slot *slot)
{
    struct sheaf *spare = load_relaxed(&slot->spare);

    return spare != NULL && load_relaxed(&spare->nr) != 0;
}

static void *alloc_any(struct kmem_cache *cache, uint32_t gfp)
{
    struct sheaf_slot *slot;
    void *p;

    if (cache->sheaf_capacity == 0)
        return alloc_direct(cache, gfp);
    heed_drain(cache->owner);
    slot = slot_ready(cache);
    if (slot == NULL)
        return alloc_direct(cache, gfp);
    p = sheaf_pop(slot);
    if (p != NULL)
        return p;
    if (spare_has_objects(slot)) {
        swap_spare(cache, slot);
        return sheaf_pop(slot);
    }
    if (refill_from_cache(cache, slot) || refill_from_buddy(cache, slot, gfp))
        p = sheaf_pop(slot);
    return p != NULL ? p : alloc_direct(cache, gfp);
}

slow_path void *cache_alloc_slow(struct kmem_cache *cache, uint32_t gfp)
{
    void *p = gfp_valid(gfp) ? alloc_any(cache, gfp) : NULL;

    if (p != NULL && (gfp & PYSLAB_GFP_ZERO) != 0)
        memset(p, 0, cache->desc->object_size);
    return p;
}

size_t cache_alloc_bulk(struct kmem_cache *cache, uint32_t gfp, size_t nr, void **p)
{
    size_t done = 0;

    while (done < nr && (p[done] = cache_alloc(cache, gfp)) != NULL)
        done++;
    if (done == nr)
        return nr;
    while (done > 0)
        (void)cache_free(cache, p[--done]);
    return 0;
}

/* --- overflow ----------------------------------------------------------- */

static void free_direct(struct kmem_cache *cache, void *p)
{
    struct slab_batch batch;

    slab_batch_init(&batch);
    lock_acquire(&cache->lock);
    slab_put_locked(cache, &p, 1, &batch);
    lock_release(&cache->lock);
    slab_batch_free(cache, &batch);
}

/* Hands the full spare to the barn for an empty one; empties it if the barn is full.
 * Afterwards the spare is empty or NULL. */
static void trade_full_spare(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    struct slab_batch batch;
    bool traded = false;

    slab_batch_init(&batch);
    lock_acquire(&cache->lock);
    if (cache->barn.nr_full < cache->max_full_sheaves) {
        sheaf_list_push(&cache->barn.full, &cache->barn.nr_full, load_relaxed(&slot->spare));
        store_relaxed(&slot->spare,
                      sheaf_list_pop(&cache->barn.empty, &cache->barn.nr_empty));
        traded = true;
    }
    lock_release(&cache->lock);
    if (!traded)
        sheaf_flush(cache, load_relaxed(&slot->spare), &batch);
    slab_batch_free(cache, &batch);
}

/* Makes room in a full main sheaf; false without memory. */
static bool make_room(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    if (spare_has_objects(slot))
        trade_full_spare(cache, slot);
    if (load_relaxed(&slot->spare) == NULL)
        store_relaxed(&slot->spare, sheaf_new(cache));
    if (load_relaxed(&slot->spare) == NULL)
        return false;
    swap_spare(cache, slot);
    return true;
}

slow_path int cache_free_slow(struct kmem_cache *cache, void *p)
{
    struct sheaf_slot *slot;

    if (object_is_marked(cache, p))
        return PYSLAB_EDOUBLE;
    object_set_mark(cache, p);
    if (cache->sheaf_capacity == 0) {
        free_direct(cache, p);
        return PYSLAB_OK;
    }
    heed_drain(cache->owner);
    slot = slot_ready(cache);
    if (slot == NULL || (load_relaxed(&slot->top) == slot->limit && !make_room(cache, slot))) {
        free_direct(cache, p);
        return PYSLAB_OK;
    }
    *load_relaxed(&slot->top) = p;
    store_relaxed(&slot->top, load_relaxed(&slot->top) + 1);
    return PYSLAB_OK;
}

/* --- counting ------------------------------------------------------------ */

uint64_t sheaf_slot_nr_objects(struct sheaf_slot *slot)
{
    void **top = load_relaxed(&slot->top);
    void **bottom = load_relaxed(&slot->bottom);
    struct sheaf *spare = load_relaxed(&slot->spare);
    uint64_t nr = spare != NULL ? load_relaxed(&spare->nr) : 0;

    /* The owner may be exchanging: two sheaves' pointers make no count. */
    return top >= bottom && top - bottom <= SHEAF_MAX_OBJECTS ? nr + (uint64_t)(top - bottom)
                                                              : nr;
}

/* --- emptying a thread -------------------------------------------------- */

static void sheaf_empty(struct kmem_cache *cache, struct sheaf *sheaf, struct slab_batch *batch)
{
    if (sheaf == NULL)
        return;
    if (load_relaxed(&sheaf->nr) != 0)
        sheaf_flush(cache, sheaf, batch);
    sheaf_delete(sheaf);
}

void sheaf_slot_flush(struct kmem_cache *cache, struct sheaf_slot *slot, struct slab_batch *batch)
{
    struct sheaf *main = slot_main(slot);
    struct sheaf *spare = load_relaxed(&slot->spare);

    if (main != NULL)
        store_relaxed(&main->nr, slot_nr(slot));
    store_relaxed(&slot->spare, NULL);
    store_relaxed(&slot->top, NULL);
    store_relaxed(&slot->bottom, NULL);
    slot->limit = NULL;
    sheaf_empty(cache, main, batch);
    sheaf_empty(cache, spare, batch);
}

static bool table_flush(struct slab_alloc *sa, struct sheaf_table *table)
{
    bool any = false;

    for (uint32_t id = 1; id < load_relaxed(&sa->id_limit); id++) {
        struct sheaf_slot *slot = sheaf_slot_of(table, id);
        struct slab_batch batch;

        if (slot == NULL)
            break;
        if (slot_main(slot) == NULL)
            continue;
        any |= slot_nr(slot) != 0 || spare_has_objects(slot);
        slab_batch_init(&batch);
        sheaf_slot_flush(sa->caches[id], slot, &batch);
        slab_batch_free(sa->caches[id], &batch);
    }
    return any;
}

bool sheaf_table_drain(struct slab_alloc *sa)
{
    struct sheaf_table *table = sheaf_table_own(sa);

    return table != NULL && table_flush(sa, table);
}

static void table_exit(struct thread_domain *domain, void *slot)
{
    struct sheaf_table *table = slot;

    table_flush(domain->layer[THREAD_SLOT_SLAB].context, table);
    os_heap_free(table->more, NR_MORE_SLOTS * sizeof *table->more);
    table->more = NULL;
}

/* The arena goes: the objects vanish with it, the sheaves must be freed. */
static void table_discard(void *slot)
{
    struct sheaf_table *table = slot;

    for (uint32_t id = 1; id < MAX_CACHES; id++) {
        struct sheaf_slot *s = sheaf_slot_of(table, id);

        if (s == NULL)
            break;
        sheaf_delete(slot_main(s));
        sheaf_delete(load_relaxed(&s->spare));
    }
    os_heap_free(table->more, NR_MORE_SLOTS * sizeof *table->more);
}

static void table_init(struct thread_domain *domain, void *slot)
{
    const struct slab_alloc *sa = domain->layer[THREAD_SLOT_SLAB].context;
    struct sheaf_table *table = slot;

    table->drain_epoch = load_relaxed(&sa->pages->drain_epoch);
}

void sheaf_set_up(struct slab_alloc *sa)
{
    struct thread_layer layer = {.bytes = sizeof(struct sheaf_table), .context = sa,
                                 .init = table_init, .flush = table_exit,
                                 .discard = table_discard};

    sa->domain->layer[THREAD_SLOT_SLAB] = layer;
}

/* sheaf_table.c - a thread's table of sheaf slots: making, counting, emptying.
 *
 * A thread has one table in each arena that it uses, as its slot in the arena's domain (thread.h);
 * the table has a slot for each cache, with the thread's two sheaves of that cache.
 * Lock: a table is its thread's alone. When the thread ends, and when a cache or the arena is
 * destroyed, it is emptied under the registry lock.
 * Not here: what moves objects in and out of a slot while its thread works (sheaf.c), and how
 * large its sheaves are (sheaf_size.c).
 */
#include "slab/slab_internal.h"

#include "os/os_heap.h"

#include <string.h>

/* --- sheaves ------------------------------------------------------------ */

static size_t sheaf_bytes(uint32_t capacity)
{
    return sizeof(struct sheaf) + capacity * sizeof(void *);
}

struct sheaf *sheaf_new(uint32_t capacity)
{
    struct sheaf *sheaf = os_heap_alloc(sheaf_bytes(capacity));

    if (sheaf != NULL)
        sheaf->capacity = capacity;
    return sheaf;
}

void sheaf_delete(struct sheaf *sheaf)
{
    if (sheaf != NULL)
        os_heap_free(sheaf, sheaf_bytes(sheaf->capacity));
}

/* --- slots -------------------------------------------------------------- */

#define NR_MORE_SLOTS (MAX_CACHES - CLASS_MAX - 1)

struct sheaf_slot *sheaf_slot_of(struct sheaf_table *table, uint32_t id)
{
    CHECK(table != NULL && id < MAX_CACHES);
    if (id <= CLASS_MAX)
        return &table->slot[id];
    return table->more != NULL ? &table->more[id - CLASS_MAX - 1] : NULL;
}

struct sheaf_slot *sheaf_slot_own(struct kmem_cache *cache)
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

void sheaf_table_note_used(const struct kmem_cache *cache)
{
    struct sheaf_table *table = sheaf_table_own(cache->owner);

    CHECK(table != NULL);
    if (cache->id <= CLASS_MAX)
        table->used[cache->id / 64] |= (uint64_t)1 << cache->id % 64;
}

/* The lowest id from this one on whose slot was used, or is one of table->more; UINT32_MAX past the
 * last. */
static uint32_t next_used(const struct sheaf_table *table, uint32_t id)
{
    for (uint32_t at = id; at <= CLASS_MAX; at = (at / 64 + 1) * 64) {
        uint64_t bits = table->used[at / 64] >> at % 64;

        if (bits != 0)
            return at + (uint32_t)__builtin_ctzll(bits);
    }
    return table->more != NULL ? max_uint(id, CLASS_MAX + 1) : UINT32_MAX;
}

/* --- counting ------------------------------------------------------------ */

/* Another thread's slot is read without a lock, while that thread may exchange its sheaves: the
 * spare may be freed and used for something else in between. The core's heap stays mapped, so
 * that the worst is a wrong number for a moment. */
#define READS_OTHER_THREADS __attribute__((no_sanitize("thread"), noinline))

READS_OTHER_THREADS uint64_t sheaf_slot_nr_objects(const struct sheaf_slot *slot)
{
    void **top = slot->top;
    void **bottom = slot->bottom;
    const struct sheaf *spare = slot->spare;
    uint64_t nr = spare != NULL ? min_uint(spare->nr, SHEAF_MAX_OBJECTS) : 0;

    /* If top was read of one sheaf and bottom of another, their distance is no count. */
    return top >= bottom && top - bottom <= SHEAF_MAX_OBJECTS ? nr + (uint64_t)(top - bottom) : nr;
}

READS_OTHER_THREADS struct sheaf_counts sheaf_slot_counts(const struct sheaf_slot *slot)
{
    return (struct sheaf_counts){slot->nr_allocs, slot->nr_swaps, slot->nr_exchanges};
}

/* The slot's thread ends: adds what it counted to the cache's own statistics, which stay. */
static void note_past(struct kmem_cache *cache, const struct sheaf_slot *slot)
{
    add_relaxed(&cache->nr_past_allocs, slot->nr_allocs);
    add_relaxed(&cache->nr_past_swaps, slot->nr_swaps);
    add_relaxed(&cache->nr_past_exchanges, slot->nr_exchanges);
}

/* --- emptying a thread -------------------------------------------------- */

static void sheaf_empty(struct kmem_cache *cache, struct sheaf_table *table, struct sheaf *sheaf,
                        struct slab_batch *batch)
{
    if (sheaf != NULL && sheaf->nr != 0)
        sheaf_flush(cache, sheaf, batch);
    slot_sheaf_delete(cache, table, sheaf);
}

void sheaf_slot_flush(struct kmem_cache *cache, struct sheaf_table *table, struct sheaf_slot *slot,
                      struct slab_batch *batch)
{
    struct sheaf *main = slot_detach_main(slot);
    struct sheaf *spare = slot->spare;

    slot->spare = NULL;
    sheaf_empty(cache, table, main, batch);
    sheaf_empty(cache, table, spare, batch);
}

/* Empties this thread's slot of one cache; true if it held objects. The registry lock
 * keeps cache_destroy away from the slot. */
static bool drain_one(struct kmem_cache *cache, struct sheaf_table *table, struct sheaf_slot *slot)
{
    struct slab_batch batch;
    bool any;

    slab_batch_init(&batch);
    thread_registry_lock();
    any = slot_main(slot) != NULL && (slot_nr(slot) != 0 || spare_has_objects(slot));
    sheaf_slot_flush(cache, table, slot, &batch);
    thread_registry_unlock();
    slab_batch_free(cache, &batch);
    return any;
}

/* Empties a slot of a thread that ends, which holds the registry lock. No destructor may run under
 * it, so that slabs of a cache with one are not freed here but stay empty in the cache. */
static void end_one(struct kmem_cache *cache, struct sheaf_table *table, struct sheaf_slot *slot)
{
    struct slab_batch batch;

    lock_assert_held(thread_registry_mutex());
    slab_batch_init(&batch);
    (void)main_leave(cache, slot);
    sheaf_slot_flush(cache, table, slot, cache->dtor != NULL ? NULL : &batch);
    slab_batch_free(cache, &batch);
    note_past(cache, slot);
}

/* The next cache, pinned, whose slot in this table was used. The caller holds the registry lock,
 * under which a cache that is destroyed clears its slots in all tables. */
static struct kmem_cache *pin_next_used(struct slab_alloc *sa, struct sheaf_table *table,
                                        uint32_t *id)
{
    lock_assert_held(thread_registry_mutex());
    for (; (*id = next_used(table, *id)) < load_relaxed(&sa->id_limit); ++*id) {
        struct sheaf_slot *slot = sheaf_slot_of(table, *id);

        if (slot != NULL && (slot_main(slot) != NULL || slot->nr_allocs != 0))
            return cache_pin_next(sa, id);
    }
    return NULL;
}

/* Makes a table whose slots are empty as it was when it was new. */
static void table_clear(struct sheaf_table *table)
{
    CHECK(load_relaxed(&table->grown_bytes) == 0 && table->nr_stocking == 0);
    os_heap_free(table->more, NR_MORE_SLOTS * sizeof *table->more);
    table->more = NULL;
    for (uint32_t id = 0; (id = next_used(table, id)) <= CLASS_MAX; id++)
        table->slot[id] = (struct sheaf_slot){.top = NULL};
    memset(table->used, 0, sizeof table->used);
    flow_forget(table);
    table->drain_epoch = 0;
}

bool sheaf_table_drain(struct slab_alloc *sa)
{
    struct sheaf_table *table = sheaf_table_own(sa);
    struct kmem_cache *cache;
    uint32_t id = 1;
    bool any = false;

    if (table != NULL)
        flow_forget(table);
    while (table != NULL && (cache = cache_pin_next(sa, &id)) != NULL) {
        struct sheaf_slot *slot = sheaf_slot_of(table, cache->id);

        if (slot != NULL)
            any |= drain_one(cache, table, slot);
        cache_unpin(cache);
    }
    return any;
}

/* The thread ends: thread.c calls this with the registry lock held. */
static void table_exit(struct thread_domain *domain, void *slot)
{
    struct slab_alloc *sa = domain->layer[THREAD_SLOT_SLAB].context;
    struct sheaf_table *table = slot;
    struct kmem_cache *cache;
    uint32_t id = 1;

    lock_assert_held(thread_registry_mutex());
    CHECK(table != NULL);
    while ((cache = pin_next_used(sa, table, &id)) != NULL) {
        struct sheaf_slot *own = sheaf_slot_of(table, cache->id);

        if (own != NULL)
            end_one(cache, table, own);
        cache_unpin(cache);
    }
    table_clear(table);
}

/* The arena ends: the objects vanish with it, but the sheaves must be freed. thread.c calls this
 * with the registry lock held. */
static void table_discard(void *slot)
{
    struct sheaf_table *table = slot;

    lock_assert_held(thread_registry_mutex());
    CHECK(table != NULL);
    for (uint32_t id = 1; id < MAX_CACHES; id++) {
        struct sheaf_slot *s = sheaf_slot_of(table, id);

        if (s == NULL)
            break;
        sheaf_delete(slot_main(s));
        sheaf_delete(s->spare);
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
    struct thread_layer layer = {.bytes = sizeof(struct sheaf_table),
                                 .context = sa,
                                 .init = table_init,
                                 .flush = table_exit,
                                 .flush_clears = true,
                                 .discard = table_discard};

    sa->domain->layer[THREAD_SLOT_SLAB] = layer;
}

/* sheaf.c - what happens when a thread's main sheaf is empty or full.
 *
 * A sheaf is a thread's private array of free objects of one cache. A thread has two for each
 * cache: main, which its fast paths pop from and push to, and a spare, which is empty or full.
 * The barn is the cache's store of sheaves, through which threads pass them to each other.
 *
 * An allocation that finds main empty: swaps main and spare if the spare has objects; else takes
 * a full sheaf from the barn and leaves the empty main there; else fills main from the slabs,
 * and buys a slab if no slab has a free object.
 * A free that finds main full: swaps main and spare if the spare is empty; else gives the full
 * spare to the barn, for an empty sheaf or for none, and swaps with that; else, if the barn has
 * as many as it may, gives the oldest objects of main back to their slabs.
 * A thread with a grown main (sheaf_size.c) has no spare, and its main stays with it: what it takes
 * from the barn, or gives to it, is copied.
 *
 * Lock: cache->lock for the barn and the slabs; a swap needs none.
 * Not here: a thread's table of slots (sheaf_table.c), how large sheaves are (sheaf_size.c), and
 * how a barn is emptied (barn.c).
 */
#include "slab/fence.h"
#include "slab/slab_internal.h"

#include <string.h>

/* --- slots -------------------------------------------------------------- */

/* Makes next the main sheaf; returns the one before, in which it writes how many objects it has:
 * the pointers of the slot have told so until now. */
struct sheaf *slot_exchange(struct sheaf_slot *slot, struct sheaf *next)
{
    struct sheaf *old = slot_main(slot);

    CHECK(slot_adds_up(slot) && next->nr <= next->capacity);
    CHECK_WALK(objects_are_distinct(slot->bottom, slot_nr(slot)));
    CHECK_WALK(objects_are_distinct(next->object, next->nr));
    if (old != NULL)
        old->nr = slot_nr(slot);
    slot->bottom = next->object;
    slot->limit = next->object + next->capacity;
    slot->top = next->object + next->nr;
    return old;
}

static struct slab_geometry cache_geometry(const struct cache_desc *desc)
{
    return (struct slab_geometry){.reciprocal = UINT64_MAX / desc->stride + 1,
                                  .slab_mask = cache_slab_bytes(desc) - 1};
}

/* This thread's slot, with a main sheaf, in which objects may be; NULL without memory.
 * pre: the cache has sheaves */
static struct sheaf_slot *slot_ready(struct kmem_cache *cache)
{
    struct sheaf_slot *slot = sheaf_slot_own(cache);

    CHECK(cache->sheaf_capacity != 0);
    if (slot != NULL && slot_main(slot) == NULL) {
        struct sheaf *sheaf = sheaf_first(cache);

        if (sheaf == NULL)
            return NULL;
        slot->geometry = cache_geometry(cache->desc);
        sheaf_table_note_used(cache);
        slot_exchange(slot, sheaf);
    }
    return slot;
}

/* Lets page_alloc look at the clock. When an interval has ended, or another thread is short of
 * memory, page_alloc raises its drain_epoch; a thread that finds it raised empties its sheaves,
 * the barns and the caches' empty slabs. Objects that are still used come back into the sheaves
 * with their next free; the others no longer keep slabs. */
static void heed_drain(struct slab_alloc *sa)
{
    struct sheaf_table *table;
    uint32_t epoch;

    page_alloc_tick(sa->pages);
    table = sheaf_table_own(sa);
    epoch = load_relaxed(&sa->pages->drain_epoch);
    if (table == NULL || likely(table->drain_epoch == epoch))
        return;
    table->drain_epoch = epoch;
    slab_trim(sa);
}

/* --- underflow ---------------------------------------------------------- */

/* How many objects to move between this sheaf and the slabs at once: half of it, or three quarters
 * of one that is as large as it gets without growing. */
static uint32_t slab_batch_of(const struct kmem_cache *cache, const struct sheaf *sheaf)
{
    uint32_t capacity = min_uint(sheaf->capacity, cache->sheaf_capacity);
    uint32_t stays = capacity == cache->sheaf_capacity ? capacity / 4 : (capacity + 1) / 2;

    return max_uint(min_uint(capacity - stays, SHEAF_BATCH), 1);
}

/* The same for objects taken from the slabs. A thread with a grown main mostly lacks one object or
 * two, and would keep whatever else it took. So it gets few, unless it has lacked some a moment
 * ago: then twice as many as it has used since. */
static uint32_t slab_take_batch(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    struct sheaf *main = slot_main(slot);
    uint32_t most = slab_batch_of(cache, main), nr_allocs = (uint32_t)slot->nr_allocs;
    uint32_t used = nr_allocs - main->nr, few;

    if (!sheaf_is_grown(cache, main))
        return most;
    main->nr = nr_allocs;
    few = max_uint(GROWN_BATCH_BYTES / cache->desc->stride, 1);
    return min_uint(used < most ? few + 2 * used : few, most);
}

/* Moves objects from the slabs to main; returns how many. Main is empty, unless a constructor
 * that ran while a slab was bought has used the very cache. */
static uint32_t fill_from_slabs_locked(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    uint32_t room = (uint32_t)(slot->limit - slot->top);
    uint32_t nr;

    lock_assert_held(&cache->lock);
    nr = slab_take_locked(cache, slot->top, min_uint(slab_take_batch(cache, slot), room));
    slot->top += nr;
    CHECK_WALK(objects_are_distinct(slot->bottom, slot_nr(slot)));
    return nr;
}

/* Main gets the objects of a full sheaf of the barn: they change places, unless main is grown,
 * which gets them copied. Returns the sheaf that is empty then. pre: main is empty */
static struct sheaf *take_full(struct kmem_cache *cache, struct sheaf_slot *slot,
                               struct sheaf *full)
{
    CHECK(slot_nr(slot) == 0 && full->nr <= cache->sheaf_capacity);
    if (!sheaf_is_grown(cache, slot_main(slot)))
        return slot_exchange(slot, full);
    memcpy(slot->bottom, full->object, full->nr * sizeof slot->bottom[0]);
    slot->top = slot->bottom + full->nr;
    full->nr = 0;
    CHECK_WALK(objects_are_distinct(slot->bottom, slot_nr(slot)));
    return full;
}

/* Fills main with a full sheaf of the barn; false if it has none. pre: main is empty */
static bool fill_from_barn_locked(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    struct sheaf *full = sheaf_list_pop(&cache->barn.full, &cache->barn.nr_full);

    lock_assert_held(&cache->lock);
    if (full == NULL)
        return false;
    cache->desc->supply[SUPPLY_BARN]++;
    sheaf_list_push(&cache->barn.empty, &cache->barn.nr_empty, take_full(cache, slot, full));
    cache_recount_locked(cache);
    return true;
}

/* Fills main from the barn, or else from the slabs, for which it is made larger first; false if
 * neither has anything free. pre: main is empty */
static bool refill_from_cache(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    struct slab_batch reaped;
    bool filled;

    CHECK(slot_nr(slot) == 0);
    slab_batch_init(&reaped);
    lock_acquire(&cache->lock);
    filled = fill_from_barn_locked(cache, slot);
    if (!filled && main_may_grow(cache, slot)) {
        lock_release(&cache->lock);
        grow_main(cache, slot);
        lock_acquire(&cache->lock);
    }
    if (!filled) {
        filled = fill_from_slabs_locked(cache, slot) != 0;
        slab_reap_locked(cache, &reaped);
    }
    lock_release(&cache->lock);
    slab_batch_free(cache, &reaped);
    return filled;
}

/* Buys a slab and fills main from it; returns what slab_new does. */
static uint32_t refill_from_buddy(struct kmem_cache *cache, struct sheaf_slot *slot, uint32_t gfp)
{
    uint32_t pfn = slab_new(cache, gfp);

    if (pfn >= SLAB_REFUSED)
        return pfn;
    lock_acquire(&cache->lock);
    slab_add_locked(cache, pfn);
    /* Buying may have emptied this slot, to make room, and freed its sheaf. */
    if (slot_main(slot) != NULL)
        fill_from_slabs_locked(cache, slot);
    slab_settle_locked(cache, pfn);
    lock_release(&cache->lock);
    return pfn;
}

/* Takes one object from the slabs, past the sheaves. If they have none, buys a slab, but only if
 * may_buy is set. */
static void *alloc_direct(struct kmem_cache *cache, uint32_t gfp, bool may_buy)
{
    void *p;
    uint32_t pfn;

    do {
        p = NULL;
        lock_acquire(&cache->lock);
        slab_take_locked(cache, &p, 1);
        lock_release(&cache->lock);
    } while (p != NULL && !object_may_leave(cache, p));
    if (p == NULL && may_buy && (pfn = slab_new(cache, gfp)) < SLAB_REFUSED) {
        lock_acquire(&cache->lock);
        slab_add_locked(cache, pfn);
        slab_take_locked(cache, &p, 1);
        lock_release(&cache->lock);
    }
    if (p != NULL) {
        object_clear_mark(cache, p);
        add_relaxed(&cache->nr_past_allocs, 1);
        add_relaxed(&cache->nr_past_exchanges, 1);
    }
    return p;
}

static void swap_spare(struct sheaf_slot *slot)
{
    slot->spare = slot_exchange(slot, slot->spare);
    slot->nr_swaps++;
}

/* Pops from this thread's main sheaf, also for caches that no fast path serves; NULL if it is
 * empty. */
static void *slot_pop(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    void *p;

    do {
        if (slot->top == slot->bottom)
            return NULL;
        p = *--slot->top;
    } while (!object_may_leave(cache, p));
    object_clear_mark(cache, p);
    slot->nr_allocs++;
    return p;
}

/* Fills an empty main from the first place that has objects; returns what slab_new does if it came
 * to that, else 0. */
static uint32_t refill(struct kmem_cache *cache, struct sheaf_slot *slot, uint32_t gfp)
{
    if (spare_has_objects(slot)) {
        swap_spare(slot);
        return 0;
    }
    flow_note_lacked(cache, slot);
    if (refill_from_cache(cache, slot))
        return 0;
    return refill_from_buddy(cache, slot, gfp);
}

void *cache_take_any(struct kmem_cache *cache, uint32_t gfp)
{
    struct sheaf_slot *slot;
    uint32_t bought;
    void *p;

    if (cache->sheaf_capacity == 0) {
        if (unlikely(load_relaxed(&cache->nr_past_allocs) % SHEAF_LOOK_EVERY == 0))
            page_alloc_tick(cache->owner->pages);
        return cache->debug != NULL ? debug_alloc(cache, gfp, cache->desc->object_size, 1)
                                    : alloc_direct(cache, gfp, true);
    }
    slot = slot_ready(cache);
    if (slot != NULL && (p = slot_pop(cache, slot)) != NULL) {
        if (unlikely(slot->nr_allocs % SHEAF_LOOK_EVERY == 0))
            page_alloc_tick(cache->owner->pages);
        return p;
    }
    heed_drain(cache->owner);
    slot = slot_ready(cache);
    if (slot == NULL)
        return alloc_direct(cache, gfp, true);
    /* The drain may have run a destructor that freed to this very cache. What follows is for an
     * empty main only. */
    if ((p = slot_pop(cache, slot)) != NULL)
        return p;
    slot->nr_exchanges++;
    bought = refill(cache, slot, gfp);
    if (bought == SLAB_REFUSED)
        return NULL;
    p = slot_pop(cache, slot);
    return p != NULL ? p : alloc_direct(cache, gfp, bought != PFN_NONE);
}

void *cache_alloc_any(struct kmem_cache *cache, uint32_t gfp)
{
    void *p = cache_take_any(cache, gfp);

    if (p != NULL)
        cache_count_alloc(cache, p);
    return p;
}

void *cache_alloc_sized(struct kmem_cache *cache, uint32_t gfp, size_t asked)
{
    void *p;

    CHECK(asked <= cache->desc->object_size);
    p = fence_alloc(cache, asked);
    if (unlikely(p != NULL))
        return p;
    return likely(cache->debug == NULL) ? cache_alloc_any(cache, gfp)
                                        : debug_alloc_counted(cache, gfp, asked, 1);
}

slow_path void *cache_alloc_slow(struct kmem_cache *cache, uint32_t gfp)
{
    void *p = NULL;

    if (gfp_valid(gfp) && !cache_fails(cache, gfp)) {
        p = guard_is_on(&cache->owner->guard) ? guarded_alloc_object(cache, gfp)
                                              : fence_alloc(cache, cache->desc->object_size);
        if (likely(p == NULL))
            p = cache_alloc_any(cache, gfp);
    }
    if (p == NULL)
        add_relaxed(&cache->owner->pages->alloc_failures, 1);
    else if ((gfp & PYSLAB_GFP_ZERO) != 0)
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

/* Gives the spare to the barn, for an empty sheaf of the barn if it has one; false if the barn has
 * as many full ones as it may. pre: the spare is full, and not grown */
static bool trade_spare_locked(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    lock_assert_held(&cache->lock);
    CHECK(slot->spare != NULL && slot->spare->nr == slot->spare->capacity);
    CHECK(!sheaf_is_grown(cache, slot->spare));
    if (cache->barn.nr_full >= cache->max_full_sheaves)
        return false;
    sheaf_list_push(&cache->barn.full, &cache->barn.nr_full, slot->spare);
    slot->spare = sheaf_list_pop(&cache->barn.empty, &cache->barn.nr_empty);
    cache_recount_locked(cache);
    return true;
}

/* The bottom nr objects of main are gone: closes the gap. In a large sheaf not all others move
 * down: those that lie just below the youngest nr fill the gap, and the youngest take their
 * place. pre: main has nr objects */
static void close_gap(struct sheaf_slot *slot, uint32_t nr)
{
    uint32_t have = slot_nr(slot);

    CHECK(nr <= have);
    if (have <= 3 * nr) {
        memmove(slot->bottom, slot->bottom + nr, (have - nr) * sizeof slot->bottom[0]);
    } else {
        memcpy(slot->bottom, slot->top - 2 * nr, nr * sizeof slot->bottom[0]);
        memcpy(slot->top - 2 * nr, slot->top - nr, nr * sizeof slot->bottom[0]);
    }
    slot->top -= nr;
}

/* Gives the barn the oldest objects of main, if it may have one more full sheaf: in an empty sheaf
 * of its own if it has one, else in *part, which becomes NULL. Returns how many objects went; if
 * none did because there was no sheaf for them, *lacks_sheaf is true. */
static uint32_t give_oldest_locked(struct kmem_cache *cache, struct sheaf_slot *slot,
                                   struct sheaf **part, bool *lacks_sheaf)
{
    struct barn *barn = &cache->barn;
    struct sheaf *sheaf;

    lock_assert_held(&cache->lock);
    *lacks_sheaf = false;
    if (barn->nr_full >= cache->max_full_sheaves)
        return 0;
    sheaf = sheaf_list_pop(&barn->empty, &barn->nr_empty);
    if (sheaf == NULL) {
        sheaf = *part;
        *part = NULL;
    }
    if (sheaf == NULL) {
        *lacks_sheaf = true;
        return 0;
    }
    CHECK(sheaf->capacity <= slot_nr(slot));
    sheaf->nr = sheaf->capacity;
    memcpy(sheaf->object, slot->bottom, sheaf->nr * sizeof sheaf->object[0]);
    sheaf_list_push(&barn->full, &barn->nr_full, sheaf);
    return sheaf->nr;
}

/* Gives the oldest objects of a full main back to their slabs; returns how many. The caller closes
 * the gap. */
static uint32_t flush_oldest_locked(struct kmem_cache *cache, struct sheaf_slot *slot,
                                    struct slab_batch *batch)
{
    uint32_t nr = slab_batch_of(cache, slot_main(slot));

    lock_assert_held(&cache->lock);
    CHECK_WALK(objects_are_distinct(slot->bottom, slot_nr(slot)));
    slab_put_locked(cache, slot->bottom, nr, batch);
    return nr;
}

/* A grown main stays with its thread; what it gives to the barn are its oldest objects, in a sheaf
 * of the barn's size. If the barn has as many full sheaves as it may, or there is no memory for
 * one, they go to their slabs. pre: main is full, and grown */
static void give_oldest(struct kmem_cache *cache, struct sheaf_slot *slot, struct slab_batch *batch)
{
    struct sheaf *part = NULL;
    bool lacks_sheaf;
    uint32_t nr;

    CHECK(slot->top == slot->limit && sheaf_is_grown(cache, slot_main(slot)));
    lock_acquire(&cache->lock);
    nr = give_oldest_locked(cache, slot, &part, &lacks_sheaf);
    if (lacks_sheaf) {
        lock_release(&cache->lock);
        part = sheaf_new(cache->sheaf_capacity);
        lock_acquire(&cache->lock);
        nr = give_oldest_locked(cache, slot, &part, &lacks_sheaf);
    }
    if (nr == 0)
        nr = flush_oldest_locked(cache, slot, batch);
    cache_recount_locked(cache);
    lock_release(&cache->lock);
    sheaf_delete(part);
    close_gap(slot, nr);
}

/* Gives the full spare to the barn, or if that has as many as it may, the oldest objects of main to
 * their slabs: false, and main has room now. pre: the spare has objects, main is full */
static bool give_spare(struct kmem_cache *cache, struct sheaf_slot *slot, struct slab_batch *batch)
{
    uint32_t nr = 0;
    bool traded;

    CHECK(spare_has_objects(slot) && slot->top == slot->limit);
    lock_acquire(&cache->lock);
    traded = trade_spare_locked(cache, slot);
    if (!traded)
        nr = flush_oldest_locked(cache, slot, batch);
    lock_release(&cache->lock);
    close_gap(slot, nr);
    return traded;
}

/* Gives the oldest objects of main back to their slabs. pre: main is full */
static void flush_oldest(struct kmem_cache *cache, struct sheaf_slot *slot,
                         struct slab_batch *batch)
{
    uint32_t nr;

    CHECK(slot->top == slot->limit);
    lock_acquire(&cache->lock);
    nr = flush_oldest_locked(cache, slot, batch);
    lock_release(&cache->lock);
    close_gap(slot, nr);
}

/* Makes room in main. Slabs that are to be freed are left in the batch until the caller has used
 * the room: their destructors may use the cache, and fill it again. pre: main is full */
static void make_room(struct kmem_cache *cache, struct sheaf_slot *slot, struct slab_batch *batch)
{
    bool full = spare_has_objects(slot), grown = sheaf_is_grown(cache, slot_main(slot));

    CHECK(slot_main(slot) != NULL && slot->top == slot->limit);
    if (full || grown)
        flow_note_gave(cache);
    if (grown) {
        give_oldest(cache, slot, batch);
        return;
    }
    if (full && !give_spare(cache, slot, batch))
        return;
    if (slot->spare == NULL)
        slot->spare = sheaf_new(next_capacity(cache, slot_main(slot)));
    if (slot->spare != NULL)
        swap_spare(slot);
    else
        flush_oldest(cache, slot, batch);
}

void cache_put_any(struct kmem_cache *cache, void *p)
{
    struct sheaf_slot *slot;
    struct slab_batch batch;

    if (unlikely(cache->debug != NULL)) {
        (void)debug_free(cache, p);
        return;
    }
    object_set_mark(cache, p);
    if (cache->sheaf_capacity == 0) {
        free_direct(cache, p);
        return;
    }
    slot = slot_ready(cache);
    if (slot == NULL || slot->top == slot->limit) {
        heed_drain(cache->owner);
        slot = slot_ready(cache);
    }
    if (slot == NULL) {
        free_direct(cache, p);
        return;
    }
    slab_batch_init(&batch);
    if (slot->top == slot->limit)
        make_room(cache, slot, &batch);
    *slot->top++ = p;
    slab_batch_free(cache, &batch);
}

int cache_free_object(struct kmem_cache *cache, void *p)
{
    int kept;

    CHECK(slab_cache_of(cache->owner, p) == cache);
    kept = page_keeps(cache->owner->pages, p);
    if (kept != PYSLAB_OK)
        return kept == PAGE_KEPT ? PYSLAB_OK : kept;
    if (unlikely(cache->debug != NULL))
        return debug_free_counted(cache, p);
    if (object_is_marked(cache, p))
        return debug_wrong_free(cache->owner, cache, p, PYSLAB_EDOUBLE);
    cache_count_free(cache, p);
    cache_put_any(cache, p);
    return PYSLAB_OK;
}

slow_path int cache_free_slow(struct kmem_cache *cache, void *p)
{
    struct kmem_cache *owner = slab_cache_of(cache->owner, p);
    int error;

    if (p == NULL)
        return PYSLAB_OK;
    if (owner == NULL && guarded_free(cache->owner, cache, p, &error))
        return error;
    if (fence_has(cache->owner, p))
        return fence_free(cache->owner, cache, p);
    if (owner != cache)
        return debug_wrong_free(cache->owner, cache, p,
                                owner != NULL ? PYSLAB_ECACHE : PYSLAB_EPOINTER);
    return cache_free_object(cache, p);
}

/* sheaf_size.c - how large a thread's sheaves of a cache are, and what else a cache may keep.
 *
 * A thread's first sheaves are small. Each time the thread has to go to the slabs, its next sheaf
 * is about twice as large, up to the cache's sheaf_capacity. That suits a thread whose objects go
 * one way: it only takes them, or only gives them back.
 * A thread that had more objects than main and spare hold, gave some away, and later finds both
 * empty, has made a round trip: a larger sheaf would have kept the objects, and no lock would have
 * been taken. It gets one main sheaf in place of the two, which holds a quarter more than they did;
 * and each further round trip makes that a quarter larger, up to the cache's grown_capacity. Such
 * a sheaf is called grown. It stays with its thread: the barn never has one. It is one array
 * because a thread whose objects come and go about the edge of two would swap them all the time.
 * A thread whose grown sheaf runs empty again and again (FLOW_LACKS_MAX * FLOW_NOTED times),
 * without having had too many objects in between, gets a smaller one; and a drain (heed_drain)
 * frees all of them, so that a thread which no longer needs large sheaves does not get them again.
 *
 * Data structure: half a byte per thread and class in sheaf_table.flow: bit 0 says that the thread
 * gave objects away since its sheaves were last empty, bits 1 to 3 count how often they were noted
 * to be empty since it last gave any. Caches with ids above CLASS_MAX have none; their sheaves do
 * not grow. What a destroyed cache left there makes one sheaf of its successor larger, at most.
 * Invariant (grown_adds_up in slab_check.c), budgets: sheaf_table.grown_bytes is the sum over its
 * sheaves of (capacity - sheaf_capacity) * stride, where that is positive, and at most
 * THREAD_GROWN_BYTES; slab_alloc.grown_bytes is the sum of that over all threads, and at most
 * max_grown_bytes. A slot whose main is grown has no spare.
 * Lock: none. A slot and flow are their thread's; another thread that empties a slot (because a
 * cache is destroyed) may change grown_bytes meanwhile, so that they are atomic.
 * Not here: when sheaves are exchanged (sheaf.c).
 */
#include "slab/slab_internal.h"

#include <string.h>

/* --- limits of what a cache keeps ------------------------------------------ */

#define SHEAF_MAX_BYTES ((uint64_t)64 << 10)    /* of small objects, per sheaf */
#define SHEAF_LARGE_BYTES ((uint64_t)16 << 10)  /* of others */
#define SHEAF_SMALL_STRIDE 128u                 /* bytes of an object */
#define SHEAF_GROWN_BYTES ((uint64_t)256 << 10) /* of any objects, in a grown sheaf */
#define GROWN_MAX_BYTES ((uint64_t)16 << 20)    /* in an arena's grown sheaves */
#define GROWN_ARENA_SHARE 64u                   /* and at most this part of it */
#define SHEAF_FIRST_OBJECTS 14u                 /* a thread's first sheaf; it doubles with use */
#define SHEAF_ARENA_SHARE 1024u                 /* a sheaf holds at most this part of it */
#define BARN_MAX_BYTES ((uint64_t)1 << 20)      /* of small objects in full sheaves */
#define BARN_LARGE_BYTES ((uint64_t)128 << 10)  /* of others */
#define BARN_MAX_SHEAVES 10u                    /* as in Linux */
#define LEFT_MAX_BYTES ((uint64_t)64 << 10)     /* of objects that ended threads leave */
#define EMPTY_MAX_BYTES ((uint64_t)128 << 10)   /* of empty slabs */

static uint32_t clamp_u64(uint64_t x, uint32_t low, uint32_t high)
{
    return x < low ? low : x > high ? high : (uint32_t)x;
}

/* How many objects a sheaf holds: two fewer than a power of two, because its header is two words
 * and the heap's blocks are powers of two. */
static uint32_t sheaf_objects(uint64_t objects)
{
    return clamp_u64(is_power_of_two(objects) && objects > 2 ? objects - 2 : objects, 2,
                     SHEAF_MAX_OBJECTS);
}

/* The most that a grown sheaf holds; share is what one sheaf may have of the arena. As much as main
 * and spare together is not worth one: then sheaves of this cache do not grow. */
static uint32_t grown_capacity_of(const struct kmem_cache *cache, uint64_t share)
{
    uint64_t bytes = share < SHEAF_GROWN_BYTES ? share : SHEAF_GROWN_BYTES;
    uint32_t most = sheaf_objects(bytes / cache->desc->stride);

    return most > 2u * cache->sheaf_capacity ? most : cache->sheaf_capacity;
}

uint64_t sheaf_grown_max(uint64_t arena_bytes)
{
    uint64_t share = arena_bytes / GROWN_ARENA_SHARE;

    return share < GROWN_MAX_BYTES ? share : GROWN_MAX_BYTES;
}

void cache_set_limits(struct kmem_cache *cache, uint64_t arena_bytes)
{
    const struct cache_desc *desc = cache->desc;
    uint64_t share = arena_bytes / SHEAF_ARENA_SHARE;
    bool small = desc->stride <= SHEAF_SMALL_STRIDE;
    uint64_t most = small ? SHEAF_MAX_BYTES : SHEAF_LARGE_BYTES;
    uint64_t barn_bytes = small ? BARN_MAX_BYTES : BARN_LARGE_BYTES;
    uint64_t sheaf_bytes = share < most ? share : most;
    /* The kernel's min_partial. */
    uint32_t min_partial = clamp_u64(ilog2(desc->object_size) / 2, 5, 10);

    cache->max_empty_slabs = clamp_u64(EMPTY_MAX_BYTES / cache_slab_bytes(desc), 1, min_partial);
    if (cache_is_watched(cache) || cache->init != 0 || cache->owner->guard.mode != 0 ||
        cache->owner->pages->uncached)
        return;
    if (desc->stride >= SLAB_MIN_SHEAF_STRIDE && cache->debug == NULL)
        cache->sheaf_capacity = sheaf_objects(sheaf_bytes / desc->stride);
    cache->grown_capacity = (uint16_t)grown_capacity_of(cache, share);
    cache->first_capacity = (uint16_t)min_uint(cache->sheaf_capacity, SHEAF_FIRST_OBJECTS);
    sheaf_bytes = (uint64_t)cache->sheaf_capacity * desc->stride;
    if (sheaf_bytes != 0)
        cache->max_full_sheaves = clamp_u64(barn_bytes / sheaf_bytes, 2, BARN_MAX_SHEAVES);
    cache->max_left_objects = clamp_u64(
        (share < LEFT_MAX_BYTES ? share : LEFT_MAX_BYTES) / desc->stride, 0, SHEAF_MAX_OBJECTS);
}

/* --- budgets ------------------------------------------------------------ */

/* What a sheaf of this capacity takes of the budgets. */
static uint32_t bytes_beyond(const struct kmem_cache *cache, uint32_t capacity)
{
    uint32_t base = cache->sheaf_capacity;

    return capacity > base ? (capacity - base) * cache->desc->stride : 0;
}

uint32_t grown_bytes_of(const struct kmem_cache *cache, const struct sheaf *sheaf)
{
    return sheaf != NULL ? bytes_beyond(cache, sheaf->capacity) : 0;
}

static void uncharge(struct slab_alloc *sa, struct sheaf_table *table, uint32_t bytes)
{
    if (bytes == 0)
        return;
    CHECK(load_relaxed(&table->grown_bytes) >= bytes);
    sub_relaxed(&table->grown_bytes, bytes);
    sub_relaxed(&sa->grown_bytes, bytes);
}

/* False if a budget has no room for so many bytes; then none are taken from it. */
static bool charge(struct slab_alloc *sa, struct sheaf_table *table, uint32_t bytes)
{
    if (load_relaxed(&table->grown_bytes) + bytes > THREAD_GROWN_BYTES)
        return false;
    add_relaxed(&table->grown_bytes, bytes);
    add_relaxed(&sa->grown_bytes, bytes);
    if (load_relaxed(&sa->grown_bytes) <= sa->max_grown_bytes)
        return true;
    uncharge(sa, table, bytes);
    return false;
}

void slot_sheaf_delete(struct kmem_cache *cache, struct sheaf_table *table, struct sheaf *sheaf)
{
    CHECK(sheaf == NULL || sheaf->nr == 0);
    uncharge(cache->owner, table, grown_bytes_of(cache, sheaf));
    sheaf_delete(sheaf);
}

uint32_t table_grown_bytes(struct slab_alloc *sa, struct sheaf_table *table)
{
    uint32_t nr_bytes = 0;

    for (uint32_t id = 1; id < load_relaxed(&sa->id_limit) && id <= CLASS_MAX; id++)
        if (sa->caches[id] != NULL)
            nr_bytes += grown_bytes_of(sa->caches[id], slot_main(sheaf_slot_of(table, id)));
    return nr_bytes;
}

/* What fork_recount adds up. */
struct fork_sum {
    struct slab_alloc *sa;
    uint64_t nr_bytes; /* of the tables so far */
};

static void fork_recount(void *table, void *context)
{
    struct fork_sum *sum = context;
    uint32_t nr_bytes = table_grown_bytes(sum->sa, table);

    store_relaxed(&((struct sheaf_table *)table)->grown_bytes, nr_bytes);
    sum->nr_bytes += nr_bytes;
}

void sheaves_after_fork(struct slab_alloc *sa)
{
    struct fork_sum sum = {.sa = sa};

    thread_domain_visit(sa->domain, THREAD_SLOT_SLAB, fork_recount, &sum);
    store_relaxed(&sa->grown_bytes, sum.nr_bytes);
}

/* --- up to sheaf_capacity ------------------------------------------------- */

uint32_t next_capacity(const struct kmem_cache *cache, const struct sheaf *sheaf)
{
    return min_uint(2 * sheaf->capacity + 2, cache->sheaf_capacity);
}

bool main_may_grow(const struct kmem_cache *cache, struct sheaf_slot *slot)
{
    return slot_main(slot)->capacity < cache->sheaf_capacity;
}

void grow_main(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    struct sheaf *larger;

    CHECK(slot_nr(slot) == 0 && main_may_grow(cache, slot));
    larger = sheaf_new(next_capacity(cache, slot_main(slot)));
    if (larger == NULL)
        return;
    sheaf_delete(slot_exchange(slot, larger));
}

/* --- beyond it ------------------------------------------------------------ */

#define FLOW_GAVE 1u      /* bit: gave objects away since its sheaves were last empty */
#define FLOW_LACKED 2u    /* once more they were empty */
#define FLOW_LACKS_MAX 7u /* so many noted in a row are a flow that goes one way */
#define FLOW_NOTED 8u     /* one in so many exchanges is noted */

static uint32_t flow_get(const struct sheaf_table *table, uint32_t id)
{
    return table->flow[id / 2] >> (id % 2 * 4) & 15;
}

static void flow_set(struct sheaf_table *table, uint32_t id, uint32_t flow)
{
    uint32_t shift = id % 2 * 4;

    CHECK(flow <= 15);
    table->flow[id / 2] = (uint8_t)((table->flow[id / 2] & ~(15u << shift)) | flow << shift);
}

void flow_forget(struct sheaf_table *table)
{
    memset(table->flow, 0, sizeof table->flow);
}

/* Puts an empty sheaf of this capacity in the place of main and spare, if the budgets have room and
 * there is memory for it. pre: main and spare are empty */
static void slot_resize(struct kmem_cache *cache, struct sheaf_table *table,
                        struct sheaf_slot *slot, uint32_t capacity)
{
    uint32_t bytes = bytes_beyond(cache, capacity);
    struct sheaf *sheaf, *spare = slot->spare;

    CHECK(slot_nr(slot) == 0 && !spare_has_objects(slot));
    if (!charge(cache->owner, table, bytes))
        return;
    sheaf = sheaf_new(capacity);
    if (sheaf == NULL) {
        uncharge(cache->owner, table, bytes);
        return;
    }
    slot->spare = NULL;
    sheaf_delete(spare);
    slot_sheaf_delete(cache, table, slot_exchange(slot, sheaf));
}

static void slot_grow(struct kmem_cache *cache, struct sheaf_table *table, struct sheaf_slot *slot)
{
    uint32_t capacity = slot_main(slot)->capacity, most = cache->grown_capacity;

    if (capacity < cache->sheaf_capacity)
        return; /* grow_main comes first */
    if (capacity == cache->sheaf_capacity)
        capacity *= 2; /* main and spare */
    if (capacity < most)
        slot_resize(cache, table, slot, min_uint(capacity + capacity / 4 + 1, most));
}

static void slot_shrink(struct kmem_cache *cache, struct sheaf_table *table,
                        struct sheaf_slot *slot)
{
    uint32_t half = slot_main(slot)->capacity / 2;

    if (sheaf_is_grown(cache, slot_main(slot)))
        slot_resize(cache, table, slot, max_uint(half, cache->sheaf_capacity));
}

void flow_note_gave(struct kmem_cache *cache)
{
    if (cache->id <= CLASS_MAX)
        flow_set(sheaf_table_own(cache->owner), cache->id, FLOW_GAVE);
}

void flow_note_lacked(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    struct sheaf_table *table = sheaf_table_own(cache->owner);
    uint32_t flow;

    CHECK(slot_nr(slot) == 0 && !spare_has_objects(slot));
    if (cache->id > CLASS_MAX)
        return;
    flow = flow_get(table, cache->id);
    if ((flow & FLOW_GAVE) != 0) {
        flow_set(table, cache->id, 0);
        slot_grow(cache, table, slot);
    } else if (slot->nr_exchanges % FLOW_NOTED != 0) {
        return;
    } else if (flow < FLOW_LACKED * FLOW_LACKS_MAX) {
        flow_set(table, cache->id, flow + FLOW_LACKED);
    } else {
        flow_set(table, cache->id, 0);
        slot_shrink(cache, table, slot);
    }
}

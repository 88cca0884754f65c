/* slab_internal.h - what the files of this folder share. Not for other layers. */
#ifndef SLAB_SLAB_INTERNAL_H
#define SLAB_SLAB_INTERNAL_H

#include "slab/slab.h"

/* Slabs on their way back to the buddy, collected under a cache's lock and freed
 * after it. */
struct slab_batch {
    struct index_list list; /* heads, linked through struct page */
};

static inline void slab_batch_init(struct slab_batch *batch)
{
    index_list_init(&batch->list);
}

static inline uint32_t cache_slab_bytes(const struct cache_desc *desc)
{
    return (uint32_t)(PAGE_SIZE << desc->slab_order);
}

/* --- slab.c: one slab, and a cache's lists of them ---------------------- */

/* Buys a slab and constructs its objects; its frames are marked in the class map.
 * PFN_NONE without memory, SLAB_REFUSED when a constructor or a shrinker ended the
 * request. No lock held. */
#define SLAB_REFUSED (PFN_NONE - 1)
uint32_t slab_new(struct kmem_cache *cache, uint32_t gfp);
/* Puts a new slab where the next take finds it, and counts it. */
void slab_add_locked(struct kmem_cache *cache, uint32_t pfn);
/* A slab added under the same lock, from which nothing was taken, is an empty one. */
void slab_settle_locked(struct kmem_cache *cache, uint32_t pfn);
/* Takes up to nr objects, from partial slabs, then empty ones; returns how many.
 * Their keys are set. */
uint32_t slab_take_locked(struct kmem_cache *cache, void **objects, uint32_t nr);
/* Returns objects to their slabs; slabs beyond max_empty_slabs, and beyond what was
 * preallocated, go to the batch, or stay empty without one. */
void slab_put_locked(struct kmem_cache *cache, void *const *objects, uint32_t nr,
                     struct slab_batch *batch);
/* Moves up to nr empty slabs to the batch. */
void slab_take_empty_locked(struct kmem_cache *cache, uint32_t nr, struct slab_batch *batch);
/* Empty slabs beyond what was preallocated. */
uint32_t slab_surplus_locked(const struct kmem_cache *cache);
/* Moves empty slabs that were not needed for a whole REAP_INTERVAL_MS to the batch. */
void slab_reap_locked(struct kmem_cache *cache, struct slab_batch *batch);
/* Runs the destructor on every constructed object of every slab: the arena goes. */
void slab_destruct_all(struct kmem_cache *cache);
/* Orders the partial list: slabs with the fewest free objects first. */
void slab_sort_partial_locked(struct kmem_cache *cache);
/* Adds the live objects of every slab to p, as far as it goes; returns their number. */
size_t slab_live_objects_locked(const struct kmem_cache *cache, void **p, size_t nr);
/* Gives the batch's slabs to page_alloc; returns frames. No lock held. */
uint64_t slab_batch_free(struct kmem_cache *cache, struct slab_batch *batch);

/* So many objects have come into callers' hands, or are about to leave them. */
static inline void cache_count_alloc(const struct kmem_cache *cache, uint64_t nr)
{
    usage_add(cache->owner->pages->usage, nr * cache->desc->object_size, nr);
}

static inline void cache_count_free(const struct kmem_cache *cache, uint64_t nr)
{
    usage_sub(cache->owner->pages->usage, nr * cache->desc->object_size, nr);
}

/* Objects have a state that survives their being free. */
static inline bool cache_is_constructed(const struct kmem_cache *cache)
{
    return cache->ctor != NULL || cache->dtor != NULL;
}

/* Index of the next free object behind a free one in a slab, or SLAB_INDEX_NONE, or this:
 * something else was written there. */
#define OBJECT_WRITTEN 0x10000u
uint32_t object_next(const struct kmem_cache *cache, void *p);
/* The other two sides of object_is_marked. */
void object_clear_mark(const struct kmem_cache *cache, void *p);
void object_set_mark(const struct kmem_cache *cache, void *p);

/* --- sheaf.c: exchanges and the barn ------------------------------------ */

/* cache_alloc_any and the end of cache_free_object for objects that no caller has. */
void *cache_take_any(struct kmem_cache *cache, uint32_t gfp);
void cache_put_any(struct kmem_cache *cache, void *p);

/* Gives a sheaf's objects back to their slabs; the batch, if any, collects what became
 * free. */
void sheaf_flush(struct kmem_cache *cache, struct sheaf *sheaf, struct slab_batch *batch);
/* Empties the barn; frees its sheaves and what slabs that empties; returns frames. */
uint64_t barn_flush(struct kmem_cache *cache);
/* Frees the barn's sheaves; their objects vanish with the arena. */
void barn_discard(struct kmem_cache *cache);

/* --- prefill.c: sheaves set aside --------------------------------------- */

/* A sheaf with this capacity and nr objects of the cache; NULL without memory. */
struct sheaf *sheaf_set_aside(struct kmem_cache *cache, uint32_t gfp, uint32_t capacity,
                              uint32_t nr);
/* cache_alloc_prefilled of an object that goes back to the cache. */
void *cache_take_prefilled(struct kmem_cache *cache, struct sheaf *sheaf);
/* pre: an object of the cache, not marked free; the sheaf has room. */
void cache_put_prefilled(struct kmem_cache *cache, struct sheaf *sheaf, void *p);

/* --- mempool.c ----------------------------------------------------------- */

/* Recounts every pool. Quiescence: no other thread in the arena. */
bool mempools_check(struct slab_alloc *sa, struct finding *f);
/* The arena goes: the reserves vanish with it, the records must be freed. */
void mempools_discard(struct slab_alloc *sa);

/* --- sheaf_table.c: sheaves and slots ----------------------------------- */

/* Objects in the main sheaf of this thread's slot. */
static inline uint32_t slot_nr(struct sheaf_slot *slot)
{
    return (uint32_t)(slot->top - slot->bottom);
}

/* NULL before the first exchange. */
static inline struct sheaf *slot_main(struct sheaf_slot *slot)
{
    void **bottom = slot->bottom;

    return bottom == NULL ? NULL : container_of(bottom, struct sheaf, object);
}

static inline bool spare_has_objects(struct sheaf_slot *slot)
{
    struct sheaf *spare = slot->spare;

    return spare != NULL && spare->nr != 0;
}

/* This thread's slot for a cache; NULL without memory. */
struct sheaf_slot *sheaf_slot_own(struct kmem_cache *cache);

/* A sheaf of this capacity; NULL without memory. */
struct sheaf *sheaf_new(uint32_t capacity);
void sheaf_delete(struct sheaf *sheaf);
/* The slot of a cache in a thread's table; NULL if the id is above CLASS_MAX and no
 * slot was made yet. */
struct sheaf_slot *sheaf_slot_of(struct sheaf_table *table, uint32_t id);
/* A slot's counters; another thread's may be changing. */
struct sheaf_counts {
    uint64_t nr_allocs;
    uint64_t nr_swaps;
    uint64_t nr_exchanges;
};
struct sheaf_counts sheaf_slot_counts(const struct sheaf_slot *slot);
/* Objects in both sheaves of a slot; another thread's may be about to change. */
uint64_t sheaf_slot_nr_objects(const struct sheaf_slot *slot);
/* Empties one slot and frees its sheaves; slabs to free are left in the batch, because
 * the caller may hold the registry lock, which page_alloc can need and under which no
 * destructor may run; without a batch all slabs stay. */
void sheaf_slot_flush(struct kmem_cache *cache, struct sheaf_slot *slot, struct slab_batch *batch);
/* Empties every slot of this thread; true if any held an object. */
bool sheaf_table_drain(struct slab_alloc *sa);
/* Registers the thread slot. */
void sheaf_set_up(struct slab_alloc *sa);

#endif

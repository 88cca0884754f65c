/* slab_internal.h - what the files of this folder share with each other, and with no other
 * layer. Lock: each function here whose name ends in _locked has its caller hold cache->lock. */
#ifndef SLAB_SLAB_INTERNAL_H
#define SLAB_SLAB_INTERNAL_H

#include "slab/slab.h"

/* Slabs on their way back to the buddy. They are taken off the cache's lists under its lock,
 * and given back once it is released. */
struct slab_batch {
    struct index_list list; /* first frames of the slabs, linked through struct page */
};

static inline void slab_batch_init(struct slab_batch *batch)
{
    index_list_init(&batch->list);
}

static inline uint32_t cache_slab_bytes(const struct cache_desc *desc)
{
    return (uint32_t)(PAGE_SIZE << desc->slab_order);
}

/* --- cache_layout.c ----------------------------------------------------- */

/* What is left of a slab behind nr objects is nothing, or has room for the two words which mark
 * it as free, so that its address is not taken for an object's. */
static inline bool rest_can_be_marked(const struct cache_desc *desc, uint32_t nr)
{
    uint32_t rest = cache_slab_bytes(desc) - nr * desc->stride;

    return rest == 0 || rest >= 2 * sizeof(uint64_t);
}

/* Fills a descriptor: name, flags, and where the objects lie; its lists are empty. */
void cache_lay_out(const struct slab_alloc *sa, struct cache_desc *desc, const char *name,
                   size_t size, const pyslab_cache_options *options);
/* The debug flags are known ones, and an object with what lies around it fits a block of the
 * buddy. */
bool cache_layout_fits(const struct slab_alloc *sa, const char *name, size_t size,
                       const pyslab_cache_options *options);
/* Gives the cache what its debug flags need, if it has any; else the tool that watches the arena
 * watches its objects, too; and notes what zeroes its objects. ENOMEM. */
int cache_set_debug(const struct slab_alloc *sa, struct kmem_cache *cache, const char *name,
                    size_t size, const pyslab_cache_options *options);

/* --- slab.c: one slab, and a cache's lists of them ---------------------- */

/* The object with this number in the slab at pfn. */
void *slab_object(const struct kmem_cache *cache, uint32_t pfn, uint32_t index);

/* Takes frames from page_alloc for a slab, constructs its objects and enters its frames in the
 * class map; returns its first frame. PFN_NONE: there is no memory. SLAB_REFUSED: a constructor
 * or a shrinker ended the request. The caller holds no lock of this layer or below it, because
 * page_alloc takes its own, and constructors are code of the user. */
#define SLAB_REFUSED (PFN_NONE - 1)
uint32_t slab_new(struct kmem_cache *cache, uint32_t gfp);
/* Enters a slab from slab_new in the cache, on the partial list even though nothing is in use
 * in it: the next slab_take_locked finds it first. Counts it as bought. */
void slab_add_locked(struct kmem_cache *cache, uint32_t pfn);
/* To be called before the lock that slab_add_locked was called under is released: a slab from
 * which nothing was taken since goes to the empty list. */
void slab_settle_locked(struct kmem_cache *cache, uint32_t pfn);
/* Takes up to nr objects, from partial slabs first and then from empty ones; returns how many.
 * They are still marked free. Those of a slab have falling addresses, because sheaves are popped
 * from the end: so a fresh slab is handed out with rising ones. */
uint32_t slab_take_locked(struct kmem_cache *cache, void **objects, uint32_t nr);
/* Returns objects, which are marked free, to their slabs. A slab that becomes empty thereby
 * stays while the cache has fewer than max_empty_slabs of them, or no more slabs than were
 * preallocated; otherwise it goes to the batch. If batch is NULL it always stays. */
void slab_put_locked(struct kmem_cache *cache, void *const *objects, uint32_t nr,
                     struct slab_batch *batch);
/* Moves up to nr empty slabs to the batch. */
void slab_take_empty_locked(struct kmem_cache *cache, uint32_t nr, struct slab_batch *batch);
/* How many empty slabs could go while the cache keeps as many as were preallocated. */
uint32_t slab_surplus_locked(const struct kmem_cache *cache);
/* Moves empty slabs that were not needed for a whole REAP_INTERVAL_MS to the batch. */
void slab_reap_locked(struct kmem_cache *cache, struct slab_batch *batch);
/* For the end of the arena: runs the destructor on every constructed object of every slab. Objects
 * that are in use are free for a tool that watches the arena. */
void slab_destruct_all(struct kmem_cache *cache);
/* Orders the partial list: slabs with the fewest free objects first. */
void slab_sort_partial_locked(struct kmem_cache *cache);
/* Writes the addresses of the first nr live objects to p; returns how many there are in all. */
size_t slab_live_objects_locked(const struct kmem_cache *cache, void **p, size_t nr);
/* Destructs the objects of the batch's slabs and gives the slabs to page_alloc; returns how
 * many frames that is. The caller holds no lock of this layer or below it. */
uint64_t slab_batch_free(struct kmem_cache *cache, struct slab_batch *batch);

/* Counts an object that a caller gets, or gives back, in the arena's use of memory. */
static inline void cache_count_alloc(const struct kmem_cache *cache, const void *p)
{
    usage_add(cache->owner->pages->usage, (uintptr_t)p, cache->desc->object_size);
}

static inline void cache_count_free(const struct kmem_cache *cache, const void *p)
{
    usage_sub(cache->owner->pages->usage, (uintptr_t)p, cache->desc->object_size);
}

/* This request for an object is made to fail (page_alloc/fault_attr.h). */
static inline bool cache_fails(const struct kmem_cache *cache, uint32_t gfp)
{
    return should_fail(cache->owner->pages->faults, cache->desc->name, cache->desc->object_size,
                       gfp);
}

/* A tool watches the cache's objects (sanitize/sanitize.h). A watched cache has no sheaves, and
 * writes nothing into free objects: the free bits of its slabs tell which are. It has no debug
 * flags either, whose checks look at bytes that would be closed. */
static inline bool cache_is_watched(const struct kmem_cache *cache)
{
    return unlikely(cache->watch != SANITIZE_NONE);
}

/* True if the objects have a constructed state, which must survive while they are free. */
static inline bool cache_is_constructed(const struct kmem_cache *cache)
{
    return cache->ctor != NULL || cache->dtor != NULL;
}

/* --- mark.c: the key of a free object ---------------------------------------- */

static inline bool cache_is_small(const struct kmem_cache *cache)
{
    return cache->desc->stride < SLAB_MIN_SHEAF_STRIDE;
}

/* The address of the key word: the second one, if the object has room for two. */
static inline uint64_t *object_key_word(const struct kmem_cache *cache, void *p)
{
    uint64_t *words = (uint64_t *)(void *)((char *)p + cache->desc->free_offset);

    return cache_is_small(cache) ? words : words + 1;
}

/* object_is_marked for a cache that no tool watches. */
static inline bool object_holds_key(const struct kmem_cache *cache, void *p)
{
    return *object_key_word(cache, p) == object_key_value(cache->secret, p);
}

/* False, which was reported, if p is about to leave its sheaf, pops are to be checked, and p was
 * written to: then nobody may have it. */
bool object_may_leave(const struct kmem_cache *cache, void *p);
/* A program has written to the free object p, or freed it twice. */
void object_report(const struct kmem_cache *cache, const void *p);
/* They clear and set the free mark that object_is_marked looks at. */
void object_clear_mark(const struct kmem_cache *cache, void *p);
void object_set_mark(const struct kmem_cache *cache, void *p);

/* --- watch.c: objects under a tool ------------------------------------------ */

/* The bytes of a slab are nobody's, or the cache's own. */
void slab_watch(const struct kmem_cache *cache, uint32_t pfn, bool open);
/* Tells the tool of objects that leave their slabs, or come back. */
void objects_watch(const struct kmem_cache *cache, void *const *objects, uint32_t nr, bool taken);
/* The objects of a slab that are in use are nobody's from now on. */
void slab_forget(const struct kmem_cache *cache, uint32_t pfn);

/* The word with the free bits of a slab's objects 64 * index and up. */
static inline _Atomic uint64_t *slab_free_word(const struct kmem_cache *cache, uint32_t pfn,
                                               uint32_t index)
{
    const struct frame_map *map = &cache->owner->map;
    uint32_t near = FREE_WORDS_NEAR << cache->desc->slab_order;

    if (index == 0)
        return &pfn_to_page(map, pfn)->slab.free;
    if (index <= near)
        return &map->free_near[(size_t)pfn * FREE_WORDS_NEAR + index - 1];
    return &map->free_far[(size_t)pfn * FREE_WORDS_FAR + index - 1 - near];
}

/* How many such words a slab of the cache has. */
static inline uint32_t slab_nr_words(const struct cache_desc *desc)
{
    return (desc->objects_per_slab + 63) / 64;
}

/* The bits that word index has when all objects are free. */
static inline uint64_t slab_word_all(const struct cache_desc *desc, uint32_t index)
{
    uint32_t nr = desc->objects_per_slab - 64 * index;

    return nr >= 64 ? UINT64_MAX : ((uint64_t)1 << nr) - 1;
}

/* --- slab_check.c: recounts under the cache's lock ----------------------- */

/* Recounts the barn, the lists of slabs, each slab's free bits and the cache's count. If a program
 * wrote to an object after it freed it, that is not reported here: it is the program's fault. */
bool cache_check_locked(struct kmem_cache *cache, struct finding *f);
/* True if no object is among these more than once. One is if a program frees it, writes over its
 * mark and frees it again. pre: nr <= SHEAF_MAX_OBJECTS */
bool objects_are_distinct(void *const *objects, uint32_t nr);

/* What each slow path calls before it releases the lock. Nothing below level 2. */
static inline void cache_recount_locked(struct kmem_cache *cache)
{
    struct finding f = {{0}};

    lock_assert_held(&cache->lock);
    CHECK_RECOUNT(1, cache_check_locked(cache, &f), &f);
}

/* --- sheaf.c: exchanges and the barn ------------------------------------ */

/* cache_alloc_any and cache_free_object without counting: for objects that move between the
 * cache and a sheaf set aside, and that no caller has. */
void *cache_take_any(struct kmem_cache *cache, uint32_t gfp);
void cache_put_any(struct kmem_cache *cache, void *p);

/* Gives a sheaf's objects back to their slabs; see slab_put_locked for the batch. */
void sheaf_flush(struct kmem_cache *cache, struct sheaf *sheaf, struct slab_batch *batch);
/* Gives the objects in the barn back to their slabs, and frees the barn's sheaves and the slabs
 * that are too many then; returns the frames of these. */
uint64_t barn_flush(struct kmem_cache *cache);
/* For the end of the arena: frees the barn's sheaves, whose objects vanish with the arena. */
void barn_discard(struct kmem_cache *cache);

/* Makes next the main sheaf; returns the one before. */
struct sheaf *slot_exchange(struct sheaf_slot *slot, struct sheaf *next);

/* --- sheaf_left.c: what an ended thread leaves ------------------------------ */

#define LEFT_MAX_SHEAVES 16u

/* Leaves the main sheaf of a thread that ends in the barn, for the next thread; the slot has none
 * then. False, and nothing has changed, if it has no objects, or the barn has enough of them. */
bool main_leave(struct kmem_cache *cache, struct sheaf_slot *slot);
/* Takes a sheaf that was left off the barn; NULL if there is none. The caller holds cache->lock, or
 * is the last that uses the cache. */
struct sheaf *left_pop(struct kmem_cache *cache);
/* A thread's first main sheaf of a cache: one that was left, with objects, or a new one; NULL
 * without memory. */
struct sheaf *sheaf_first(struct kmem_cache *cache);

/* --- sheaf_size.c: how large a thread's sheaves are ----------------------- */

/* True if a sheaf is larger than those that a thread has without growing. */
static inline bool sheaf_is_grown(const struct kmem_cache *cache, const struct sheaf *sheaf)
{
    return sheaf->capacity > cache->sheaf_capacity;
}

/* Decides how much a cache may keep in sheaves, in its barn and in empty slabs. */
void cache_set_limits(struct kmem_cache *cache, uint64_t arena_bytes);
/* What all threads' sheaves of an arena together may hold because they have grown. */
uint64_t sheaf_grown_max(uint64_t arena_bytes);

/* What grown sheaves of one thread may hold beyond sheaf_capacity, in bytes of objects. */
#define THREAD_GROWN_BYTES ((uint32_t)768 << 10)
/* A grown sheaf takes at most so much from the slabs at once, or one object. */
#define GROWN_BATCH_BYTES 1024u

/* What a sheaf takes of the two budgets: 0 unless it is grown. It may be NULL. */
uint32_t grown_bytes_of(const struct kmem_cache *cache, const struct sheaf *sheaf);
/* The sum of that over a table's sheaves, counted afresh. */
uint32_t table_grown_bytes(struct slab_alloc *sa, struct sheaf_table *table);
/* The capacity of the sheaf that follows one which was too small, so that its thread had to go to
 * the slabs: about twice as large, up to sheaf_capacity. */
uint32_t next_capacity(const struct kmem_cache *cache, const struct sheaf *sheaf);
/* False if main is as large as it gets without growing beyond sheaf_capacity. */
bool main_may_grow(const struct kmem_cache *cache, struct sheaf_slot *slot);
/* Puts a larger sheaf in the place of main, up to sheaf_capacity. pre: main is empty, and may
 * grow */
void grow_main(struct kmem_cache *cache, struct sheaf_slot *slot);
/* Notes that this thread has more objects than its sheaves hold, and gives some away. */
void flow_note_gave(struct kmem_cache *cache);
/* Notes that this thread's sheaves are empty, and makes them larger or smaller if what the thread
 * did before is a reason to. pre: main and spare are empty */
void flow_note_lacked(struct kmem_cache *cache, struct sheaf_slot *slot);
/* Forgets which ways this thread's objects went. */
void flow_forget(struct sheaf_table *table);
/* Frees an empty sheaf of a slot in this table, or NULL, and takes it off the budgets. */
void slot_sheaf_delete(struct kmem_cache *cache, struct sheaf_table *table, struct sheaf *sheaf);

/* --- prefill.c: sheaves set aside --------------------------------------- */

/* A new sheaf with this capacity and nr objects of the cache; NULL without memory.
 * pre: nr <= capacity */
struct sheaf *sheaf_set_aside(struct kmem_cache *cache, uint32_t gfp, uint32_t capacity,
                              uint32_t nr);
/* cache_alloc_prefilled without counting: the object goes back to the cache. */
void *cache_take_prefilled(struct kmem_cache *cache, struct sheaf *sheaf);
/* Puts an object that a caller gives back on a sheaf set aside.
 * pre: p is an object of the cache and not marked free; the sheaf has room. */
void cache_put_prefilled(struct kmem_cache *cache, struct sheaf *sheaf, void *p);

/* --- mempool.c ----------------------------------------------------------- */

/* Recounts every pool, while no other thread uses the arena. */
bool mempools_check(struct slab_alloc *sa, struct finding *f);
/* For the end of the arena: frees the records of the pools that are left. Their objects vanish
 * with the arena. */
void mempools_discard(struct slab_alloc *sa);

/* --- sheaf_table.c: sheaves and slots ----------------------------------- */

/* A slot's pointers fit together: bottom <= top <= limit, and all are NULL or none is. */
static inline bool slot_adds_up(const struct sheaf_slot *slot)
{
    return (slot->bottom == NULL) == (slot->top == NULL) &&
           (slot->bottom == NULL) == (slot->limit == NULL) && slot->bottom <= slot->top &&
           slot->top <= slot->limit;
}

/* Objects in the main sheaf of this thread's slot. */
static inline uint32_t slot_nr(struct sheaf_slot *slot)
{
    return (uint32_t)(slot->top - slot->bottom);
}

/* The main sheaf, found from its array; NULL before the first exchange. */
static inline struct sheaf *slot_main(struct sheaf_slot *slot)
{
    void **bottom = slot->bottom;

    return bottom == NULL ? NULL : container_of(bottom, struct sheaf, object);
}

/* Takes the main sheaf, which has its number of objects then, out of the slot; NULL if there is
 * none. */
static inline struct sheaf *slot_detach_main(struct sheaf_slot *slot)
{
    struct sheaf *main = slot_main(slot);

    if (main != NULL)
        main->nr = slot_nr(slot);
    slot->top = NULL;
    slot->bottom = NULL;
    slot->limit = NULL;
    return main;
}

/* One of the barn's lists of sheaves: a stack linked through next. */
static inline void sheaf_list_push(struct sheaf **list, uint32_t *nr, struct sheaf *sheaf)
{
    sheaf->next = *list;
    *list = sheaf;
    ++*nr;
}

static inline struct sheaf *sheaf_list_pop(struct sheaf **list, uint32_t *nr)
{
    struct sheaf *sheaf = *list;

    CHECK((sheaf != NULL) == (*nr != 0));
    if (sheaf != NULL) {
        *list = sheaf->next;
        --*nr;
    }
    return sheaf;
}

static inline bool spare_has_objects(struct sheaf_slot *slot)
{
    struct sheaf *spare = slot->spare;

    return spare != NULL && spare->nr != 0;
}

/* This thread's slot for a cache; NULL without memory. */
struct sheaf_slot *sheaf_slot_own(struct kmem_cache *cache);

/* Notes in this thread's table that the cache's slot is used. pre: it has a table */
void sheaf_table_note_used(const struct kmem_cache *cache);

/* A sheaf of this capacity; NULL without memory. */
struct sheaf *sheaf_new(uint32_t capacity);
void sheaf_delete(struct sheaf *sheaf);
/* The slot of the cache with this id in a thread's table; NULL if the id is above CLASS_MAX
 * and the thread has no slots for such ids yet. */
struct sheaf_slot *sheaf_slot_of(struct sheaf_table *table, uint32_t id);
/* A slot's counters. Those of another thread's slot may change while they are read. */
struct sheaf_counts {
    uint64_t nr_allocs;    /* see struct sheaf_slot */
    uint64_t nr_swaps;     /* the same */
    uint64_t nr_exchanges; /* the same */
};
struct sheaf_counts sheaf_slot_counts(const struct sheaf_slot *slot);
/* Objects in both sheaves of a slot, which for another thread's slot is a moment old. */
uint64_t sheaf_slot_nr_objects(const struct sheaf_slot *slot);
/* Empties one slot of a table and frees its sheaves. Slabs that are too many then are left in the
 * batch and not freed here: the caller may hold the registry lock, which page_alloc can need, and
 * under which no destructor may run. Without a batch all slabs stay. */
void sheaf_slot_flush(struct kmem_cache *cache, struct sheaf_table *table, struct sheaf_slot *slot,
                      struct slab_batch *batch);
/* Empties every slot of this thread; true if any held an object. */
bool sheaf_table_drain(struct slab_alloc *sa);
/* Tells the arena's domain how large a sheaf_table is, and what to do when a thread ends. */
void sheaf_set_up(struct slab_alloc *sa);

#endif

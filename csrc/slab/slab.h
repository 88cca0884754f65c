/* slab.h - caches of equal objects on slabs, and the sheaves that each thread has before them.
 *
 * What it is: kmem_cache (create, alloc, free, bulk, shrink, destroy) as in the kernel. A slab is
 * a block of frames cut into objects of one cache; a cache keeps its slabs on partial, full and
 * empty lists. A sheaf is a thread's private array of free objects of one cache, which the thread
 * pops from and pushes to without a lock (as in Linux 6.18; Bonwick called it a magazine). The
 * barn is the cache's store of a few full and empty sheaves, through which threads exchange
 * theirs. mempool.h has reserves on top of a cache.
 * What it is not: it chooses no size classes (kmalloc does), and takes frames only through
 * page_alloc.
 *
 * Data structure, of a slab: 2**order frames with the objects back to back from their start; its
 * record is the union in the struct page of the first frame. A bit per object, outside of the
 * objects, says whether it is free in the slab (slab.c), so that no object is touched when it moves
 * between slab and sheaf. A free object, wherever it is, has a key of its own in its second word,
 * secret ^ address, which is cleared when it is allocated: a free that finds it is a double free.
 * Such an object is called marked. Objects of 8 bytes have it in their only word, and their caches
 * have no sheaves. In a cache with a ctor or dtor the words lie behind the object, so that its
 * constructed state survives; the fast paths do not serve such caches.
 * Of a cache: struct cache_desc, which is position independent and lies in the arena's metadata,
 * and struct kmem_cache, which is process-local, with the lock, the barn and pointers. Each thread
 * has, per cache, a struct sheaf_slot with two sheaves, main and spare. All of these, by
 * class byte (page.h), are its sheaf_table, which is its slot of this layer (thread.h). An exchange
 * is an allocation that finds main empty, and what it does to have objects there. A main larger
 * than the cache's other sheaves may be is grown (sheaf_size.c).
 *
 * An allocation looks in main, then the spare (which it swaps with main), the barn, a partial slab,
 * an empty slab, and at last buys a slab from the buddy. A free goes to main, the spare (swap),
 * the barn, and at last to the slabs.
 * A cache with debug flags has no sheaves, and what debug.h says around its objects; one that
 * AddressSanitizer or memcheck watches has no sheaves, and red zones (watch.c). So has none in an
 * arena that zeroes or guards objects (init_on_alloc, init_on_free; guarded.h), or that shows each
 * step (page_alloc_set_uncached).
 * Invariant (cache_inuse_adds_up in slab_check.c): the sum of slab.inuse == desc.nr_inuse ==
 * objects in callers' hands + in sheaves + in the barn + held back by debug.h.
 * Lock: cache->lock guards its desc's lists and counters, its slabs' records, the free objects in
 * slabs, and the barn. A sheaf_table is its thread's alone. slab_alloc.lock guards the table of
 * caches. Frames are taken from page_alloc and given back to it without any of these locks.
 */
#ifndef SLAB_SLAB_H
#define SLAB_SLAB_H

#include "page_alloc/page_alloc.h"
#include "slab/debug.h"
#include "slab/guarded.h"

#define MAX_CACHES 4096u                     /* per arena; ids are 1 .. MAX_CACHES - 1 */
#define CACHE_MAX_OBJECT ((size_t)256 << 10) /* largest object of a cache */
#define SLAB_MIN_SHEAF_STRIDE 16u            /* bytes of two words: the key is in the second */
#define SLAB_MAX_OBJECTS 32767u              /* as in Linux */
#define SHEAF_MAX_OBJECTS 1022u              /* of a sheaf, at most */
#define SHEAF_BATCH                                                                                \
    128u                      /* objects moved between a sheaf and slabs at once, at most: one
                                 caller waits for all of them */
#define SLAB_LARGEST_ORDER 8u /* 1 MiB: slabs of objects beyond two pages */

enum slab_list { SLAB_PARTIAL, SLAB_FULL, SLAB_EMPTY, NR_SLAB_LISTS };

enum cache_supply { /* where an exchange found objects for an empty main sheaf */
                    SUPPLY_BARN,
                    SUPPLY_PARTIAL,
                    SUPPLY_EMPTY,
                    SUPPLY_BUDDY,
                    NR_SUPPLIES,
};

/* The part of a cache that any process can read: it has frame numbers and counts, no pointers. */
struct cache_desc {
    char name[PYSLAB_NAME_MAX];            /* constant, NUL-terminated */
    uint32_t object_size;                  /* bytes the creator asked for; constant */
    uint32_t stride;                       /* bytes between objects; constant */
    uint32_t align;                        /* bytes; constant */
    uint32_t slab_order;                   /* frames of a slab: 1 << slab_order; constant */
    uint32_t objects_per_slab;             /* constant */
    uint32_t flags;                        /* enum pyslab_slab_flags; constant */
    int32_t free_offset;                   /* where a free object's words are, from its start;
                                              constant */
    uint32_t front;                        /* from its place's start to an object; constant */
    struct index_list list[NR_SLAB_LISTS]; /* first frames of slabs, by enum slab_list */
    uint64_t nr_inuse;                     /* objects that are not free in their slabs */
    uint64_t supply[NR_SUPPLIES];          /* exchanges, by enum cache_supply */
};

struct sheaf {
    struct sheaf *next; /* on one of the barn's lists */
    uint32_t nr;        /* objects. Not in a thread's main, whose slot tells by pointers: there it
                           is nothing, or if main is grown, the slot's nr_allocs when it last took
                           objects from the slabs */
    uint32_t capacity;  /* constant */
    void *object[];     /* free objects; the youngest is last */
};

/* What a free needs to tell the start of an object from an address inside one. */
struct slab_geometry {
    uint64_t reciprocal; /* ceil(2**64 / stride): o is a multiple of stride iff
                            o * reciprocal < reciprocal (Lemire et al. 2019) */
    uint64_t slab_mask;  /* bytes of a slab, a power of two, minus 1 */
};

/* A thread's two sheaves of one cache; of main, the pointers that the fast path needs. These are
 * NULL before the first exchange, so that main then looks empty to an allocation and full to a
 * free. The fields are not atomic, so that each step is one instruction; other threads that count
 * objects for statistics read them all the same, and accept a number that is wrong for a moment
 * (sheaf_slot_nr_objects). */
struct sheaf_slot {
    _Alignas(CACHE_LINE_BYTES) void **top; /* one past the youngest object */
    void **bottom;                         /* main->object: top == bottom means empty */
    void **limit;                          /* bottom + capacity: top == limit means full */
    struct slab_geometry geometry;         /* of the cache's slabs; set with the first main */
    uint64_t nr_allocs;                    /* objects handed out to this thread */
    struct sheaf *spare;                   /* full or empty, or NULL */
    uint32_t nr_swaps;                     /* exchanges of main and spare */
    uint32_t nr_exchanges;                 /* allocations that main could not serve */
};

/* A fast path touches one line of the processor's cache here. */
_Static_assert(sizeof(struct sheaf_slot) == CACHE_LINE_BYTES, "a slot is a cache line");

struct sheaf_table {
    struct sheaf_slot slot[NR_CLASSES]; /* by class byte; all zero where that is no cache's */
    struct sheaf_slot *more;            /* of cache ids above CLASS_MAX; NULL until one is used */
    uint32_t drain_epoch;               /* of page_alloc when this thread last drained */
    uint32_t nr_stocking;               /* calls of cache_prealloc that this thread is in */
    _Atomic uint32_t grown_bytes;       /* that its grown sheaves may hold (sheaf_size.c) */
    uint64_t used[NR_CLASSES / 64 + 1]; /* a bit per slot: it has had a main sheaf */
    uint8_t flow[NR_CLASSES / 2];       /* half a byte per class: which way its objects went
                                           last (sheaf_size.c) */
};

/* The core's heap has no blocks above 16 KiB: a larger table would be a mapping of its own. */
_Static_assert(sizeof(struct sheaf_table) <= 16384, "a table is one block of the core's heap");

/* Invariant (barn_adds_up in slab_check.c): each sheaf on full has capacity objects, each on empty
 * has none, none is larger than the cache's sheaf_capacity, and nr_full + nr_empty <=
 * max_full_sheaves: an empty one takes a full one's place. So these have at most
 * max_full_sheaves * sheaf_capacity objects, however large the threads' sheaves have grown. Those
 * that ended threads left have at most max_left_objects more (sheaf_left.c). */
struct barn {
    struct sheaf *full;       /* list of full sheaves */
    struct sheaf *empty;      /* list of empty sheaves */
    uint32_t nr_full;         /* sheaves on the first list */
    uint32_t nr_empty;        /* and on the second */
    struct sheaf *left;       /* list of sheaves that ended threads left, neither full nor empty */
    uint32_t nr_left;         /* sheaves on it */
    uint32_t nr_left_objects; /* and objects in these */
};

struct kmem_cache {
    /* Copies of the owner's, so that the fast paths read one line of the processor's cache. */
    struct thread_domain *domain;   /* constant */
    uint64_t secret;                /* constant */
    const char *base;               /* of frame 0; constant */
    const uint8_t *classes;         /* of the frames; constant */
    size_t bytes;                   /* of the frames that have an address; constant */
    size_t fast_class;              /* its class byte; 0: the fast paths do not serve it */
    struct lock lock;               /* guards desc's lists, slabs, barn */
    struct slab_alloc *owner;       /* constant */
    struct cache_desc *desc;        /* constant */
    uint32_t id;                    /* index of the descriptor; constant */
    uint32_t nr_pins;               /* owner->lock: users of the record; 0 deletes it */
    uint32_t nr_pools;              /* owner->lock: mempools over it */
    bool dying;                     /* owner->lock: cache_destroy was here, pins are left */
    uint32_t index_mul;             /* ceil(2**32 / stride): o * index_mul >> 32 is the number of
                                       the object at offset o; constant */
    uint32_t zone_gfp;              /* zone bits of its slabs: 0, or GFP_DMA; constant */
    pyslab_ctor ctor;               /* or NULL; constant */
    pyslab_dtor dtor;               /* or NULL; constant */
    void *context;                  /* of both; constant */
    void (*release)(void *context); /* or NULL; see cache_set_release */
    enum sanitize_mode watch;       /* the tool that watches its objects;
                                       NONE if it has debug flags; constant */
    uint32_t init;                  /* INIT_ON_ALLOC, INIT_ON_FREE: what is done to its objects;
                                       0 for constructed ones; constant */
    uint32_t sheaf_capacity;        /* of its largest sheaves, but for grown ones; 0: it has no
                                       sheaves; constant */
    uint16_t grown_capacity;        /* of the largest grown sheaf (sheaf_size.c); constant */
    uint16_t first_capacity;        /* of a thread's first sheaves; constant */
    uint32_t max_full_sheaves;      /* the barn's limit; constant */
    uint32_t max_left_objects;      /* and its limit of what ended threads leave; constant */
    uint32_t max_empty_slabs;       /* with so many, the next goes to the buddy; constant */
    struct barn barn;
    struct cache_debug *debug; /* NULL: no flags (debug.h); constant */
    uint32_t min_slabs;        /* so many were preallocated: idle ones stay up to that */
    uint32_t min_empty_slabs;  /* fewest empty slabs since reap_ms */
    uint32_t reap_ms;          /* when the interval of slab_reap_locked began */
    /* As in struct sheaf_slot: of threads that have ended, and past the sheaves. */
    _Atomic uint64_t nr_past_allocs;
    _Atomic uint64_t nr_past_swaps;
    _Atomic uint64_t nr_past_exchanges;
    _Atomic uint64_t nr_guarded;   /* live objects with frames of their own (guarded.h) */
    _Atomic uint64_t nr_prefilled; /* objects in prefilled sheaves and mempools' reserves */
};

struct slab_alloc {
    uint64_t secret;              /* of the free keys; constant */
    struct thread_domain *domain; /* the same as pages has; constant */
    struct frame_map map;         /* a copy of what pages has; constant */
    struct page_alloc *pages;     /* constant */
    struct cache_desc *descs;     /* MAX_CACHES, arena metadata */
    struct kmem_cache **caches;   /* MAX_CACHES, by id; NULL: free id */
    struct lock lock;             /* guards caches[], nr_caches, pools, caches' pins */
    struct mempool *pools;        /* list; see mempool.h */
    /* Called with a free object that was written to, or was freed twice in a way the check at
     * free could not see. It may end the program. If it is NULL or returns, the object is not
     * handed out, or not twice. */
    void (*on_corruption)(const void *p);
    /* Whoever pops from a sheaf looks whether the object was written to (malloc/heap.h). Else that
     * is looked at when the object leaves its slab. */
    bool pops_are_checked;
    uint64_t max_grown_bytes;     /* limit of grown_bytes; constant */
    _Atomic uint64_t grown_bytes; /* the sum of all threads' grown_bytes (sheaf_size.c) */
    uint32_t nr_caches;           /* caches that are not dying */
    _Atomic uint32_t id_limit;    /* no id in use is >= this */
    struct arena_debug debug;     /* flags of caches, and what was found */
    struct guard guard;           /* guard="all": guarded.h */
    struct kfence *kfence;        /* NULL: there is none (fence.h); constant */
};

/* debug: the arena's text of flags. pre: descs is an array of MAX_CACHES zeroed descriptors.
 * ENOMEM; EINVAL for the text. */
int slab_alloc_init(struct slab_alloc *sa, struct page_alloc *pages, struct cache_desc *descs,
                    const char *debug);
/* No thread uses the arena any more, and the threads' tables are freed already. */
void slab_alloc_destroy(struct slab_alloc *sa);

/* --- cache_layout.c ----------------------------------------------------- */

/* The order of a slab's block: by the kernel's rule for strides up to two pages, by one of our own
 * above. It is at most max_order, and always enough for one object. */
unsigned slab_order_for(size_t stride, unsigned nr_cpus, unsigned max_order);

/* --- cache.c ------------------------------------------------------------ */

/* Errors: EINVAL, ENOMEM, ELIMIT. */
int cache_create(struct slab_alloc *sa, const char *name, size_t size,
                 const pyslab_cache_options *options, struct kmem_cache **out);
/* The caller sees to it that no thread uses the cache. EBUSY: it has live objects, or a mempool. */
int cache_destroy(struct kmem_cache *cache);
/* Gives back what this thread's sheaves, the barn and the empty slabs hold; returns frames. */
uint64_t cache_shrink(struct kmem_cache *cache);
void cache_stats(struct kmem_cache *cache, pyslab_cache_stats *out);
/* The same for a caller that holds the registry lock. */
void cache_stats_locked(struct kmem_cache *cache, pyslab_cache_stats *out);
/* Sets what is called, without locks, when the cache's record is deleted. That may be later than
 * cache_destroy, in a thread that has a pin on the cache, and that may still run the destructor;
 * so what the destructor needs can go only then. */
static inline void cache_set_release(struct kmem_cache *cache, void (*release)(void *context))
{
    cache->release = release;
}
/* See pyslab_kmem_cache_live_objects. */
size_t cache_live_objects(struct kmem_cache *cache, void **p, size_t nr);
/* The live cache with the lowest id >= *id, kept from being deleted until cache_unpin;
 * *id becomes the id behind it. NULL past the end. */
struct kmem_cache *cache_pin_next(struct slab_alloc *sa, uint32_t *id);
void cache_unpin(struct kmem_cache *cache);
/* Gives back what this thread's sheaves, the barn and the empty slabs of every cache hold; returns
 * frames. If it is cache_prealloc that is short of memory, preallocated slabs stay. */
uint64_t slab_reclaim(struct slab_alloc *sa);
/* The same because time has passed and not because memory is short: empty slabs of constructed
 * objects stay, and those that were preallocated. */
void slab_trim(struct slab_alloc *sa);
/* The same for who must run no code of users: caches of constructed objects are left alone, and so
 * are the thread's sheaves. Returns frames. */
uint64_t slab_trim_plain(struct slab_alloc *sa);

/* --- sheaf_size.c ------------------------------------------------------- */

/* In a forked child, which has copies of tables whose threads may have been in the middle of a
 * change: counts anew how far all sheaves have grown. */
void sheaves_after_fork(struct slab_alloc *sa);

/* --- renew.c ------------------------------------------------------------ */

/* In a forked child whose frames are its parent's: forgets every free object of the arena. */
void slab_renew(struct slab_alloc *sa);

/* --- sheaf.c ------------------------------------------------------------ */

/* One in so many objects that a sheaf serves where the fast path does not lead looks at the clock:
 * a program may ask for nothing else, and would end no interval of page_alloc/purge.h otherwise. */
#define SHEAF_LOOK_EVERY 256u

/* What cache_alloc does when the main sheaf cannot serve the request. */
void *cache_alloc_slow(struct kmem_cache *cache, uint32_t gfp);
/* The same, but it does not clear the object, and counts no failure: kmalloc does both. */
void *cache_alloc_any(struct kmem_cache *cache, uint32_t gfp);
/* What cache_free does when the main sheaf cannot take the object. EPOINTER, ECACHE, EDOUBLE */
int cache_free_slow(struct kmem_cache *cache, void *p);
/* cache_alloc_any for a caller that needs so many bytes of the object: what lies behind them is
 * red in a cache with the flag Z. pre: asked <= object_size */
void *cache_alloc_sized(struct kmem_cache *cache, uint32_t gfp, size_t asked);
/* pre: p is the start of an object of this cache. EDOUBLE */
int cache_free_object(struct kmem_cache *cache, void *p);
/* nr objects or none; returns nr or 0. */
size_t cache_alloc_bulk(struct kmem_cache *cache, uint32_t gfp, size_t nr, void **p);

/* --- prefill.c ---------------------------------------------------------- */

/* A sheaf set aside, with nr objects; NULL without memory. */
struct sheaf *cache_prefill(struct kmem_cache *cache, uint32_t gfp, size_t nr);
/* One of its objects; NULL when it has no more. */
void *cache_alloc_prefilled(struct kmem_cache *cache, struct sheaf *sheaf);
/* Gives the objects that are left back to the cache, and frees the sheaf. */
void cache_return_prefilled(struct kmem_cache *cache, struct sheaf *sheaf);

/* --- prealloc.c --------------------------------------------------------- */

/* Buys slabs for nr more objects, which wait on the empty list, and stay there even if they are
 * not used for long. ENOMEM: none was bought. */
int cache_prealloc(struct kmem_cache *cache, size_t nr);

/* --- address.c ---------------------------------------------------------- */

/* The cache whose slab p lies in; NULL: it lies in none. */
struct kmem_cache *slab_cache_around(struct slab_alloc *sa, const void *p);
/* The cache whose slab holds p, if p is the start of an object; else NULL. */
struct kmem_cache *slab_cache_of(struct slab_alloc *sa, const void *p);

/* --- slab.c ------------------------------------------------------------- */

/* True while the object is free, in a slab, a sheaf or the barn, and was not written to. */
bool object_is_marked(const struct kmem_cache *cache, void *p);
/* True if it is free in its slab, and so neither in a sheaf nor with a caller. Without the cache's
 * lock this is a moment old. pre: p is an object of the cache (unchecked: its slab may be gone if
 * it was freed twice) */
bool object_is_in_slab(const struct kmem_cache *cache, const void *p);

/* --- slab_map.c --------------------------------------------------------- */

enum object_state {
    OBJECT_FREE,   /* in its slab */
    OBJECT_CACHED, /* free, in a sheaf, the barn or a reserve */
    OBJECT_LIVE,   /* in a caller's hands */
};

/* A slab. Three words: Python reads them as such. */
struct slab_info {
    uint32_t pfn;   /* its first frame */
    uint32_t list;  /* enum slab_list */
    uint32_t inuse; /* objects that are not free in it */
};

/* Tells the first nr slabs, list by list, and for each the state of its objects_per_slab objects,
 * a byte each; returns how many slabs there are. Reads the objects: not for a cache whose frames
 * the process may not read. */
uint32_t cache_slab_map(struct kmem_cache *cache, struct slab_info *info, uint8_t *states,
                        uint32_t nr);

/* --- slab_check.c ------------------------------------------------------- */

/* Recounts every cache, while no other thread uses the arena. */
bool slab_check(struct slab_alloc *sa, struct finding *f);

/* --- fast paths --------------------------------------------------------- */

static always_inline uint64_t *object_key(void *p)
{
    return (uint64_t *)p + 1;
}

static always_inline uint64_t object_key_value(uint64_t secret, const void *p)
{
    return secret ^ (uint64_t)(uintptr_t)p;
}

/* Pops from the main sheaf of a class; NULL if it is empty or absent, or if is_good is not NULL and
 * says no of the object that was freed last, which stays. */
static always_inline void *sheaf_pop_good(struct sheaf_table *table, size_t class,
                                          bool (*is_good)(const void *p))
{
    struct sheaf_slot *slot = &table->slot[class];
    void **top = slot->top;
    void *p;

    if (unlikely(top == slot->bottom))
        return NULL;
    p = top[-1];
    if (is_good != NULL && unlikely(!is_good(p)))
        return NULL;
    slot->top = top - 1;
    slot->nr_allocs++;
    *object_key(p) = 0;
    return p;
}

static always_inline void *sheaf_pop(struct sheaf_table *table, size_t class)
{
    return sheaf_pop_good(table, class, NULL);
}

/* True if an object starts at this distance from the arena's base, where slabs are aligned to their
 * size. It is also true of the rest behind a slab's last object, which is marked free. */
static always_inline bool geometry_is_object(const struct slab_geometry *g, size_t offset)
{
    return (offset & g->slab_mask) * g->reciprocal < g->reciprocal;
}

/* Pushes an object on the main sheaf of the cache with this class byte. False: main is full or not
 * there, p is not the start of an object, or it is free already; the slow path finds out which. */
static always_inline bool sheaf_push(uint64_t secret, struct sheaf_table *table, size_t class,
                                     size_t offset, void *p)
{
    struct sheaf_slot *slot = &table->slot[class];
    void **top = slot->top;
    uint64_t key = object_key_value(secret, p);

    if (unlikely(top == slot->limit) || unlikely(!geometry_is_object(&slot->geometry, offset)) ||
        unlikely(*object_key(p) == key))
        return false;
    *top = p;
    *object_key(p) = key;
    slot->top = top + 1;
    return true;
}

/* This thread's table; made if need be, NULL without memory. */
static inline struct sheaf_table *sheaf_table_own(struct slab_alloc *sa)
{
    return thread_slot(sa->domain, THREAD_SLOT_SLAB);
}

/* This thread's table in the arena that it used last. pre: thread_has_domain of that arena
 * (unchecked: see thread_slot_loaded) */
static always_inline struct sheaf_table *sheaf_table_loaded(void)
{
    return thread_slot_loaded(THREAD_SLOT_SLAB);
}

static always_inline void *cache_alloc(struct kmem_cache *cache, uint32_t gfp)
{
    if (likely((gfp & ~GFP_FAST_BITS) == 0 && thread_has_domain(cache->domain))) {
        void *p = sheaf_pop(sheaf_table_loaded(), cache->fast_class);

        if (likely(p != NULL))
            return p;
    }
    return cache_alloc_slow(cache, gfp);
}

/* Errors: EPOINTER, ECACHE, EDOUBLE. NULL goes the slow path, which does nothing. */
static always_inline int cache_free(struct kmem_cache *cache, void *p)
{
    size_t offset = (uintptr_t)p - (uintptr_t)cache->base;

    if (likely(offset < cache->bytes && thread_has_domain(cache->domain) &&
               frame_class(cache->classes, offset >> PAGE_SHIFT) == cache->fast_class) &&
        likely(sheaf_push(cache->secret, sheaf_table_loaded(), cache->fast_class, offset, p)))
        return PYSLAB_OK;
    return cache_free_slow(cache, p);
}

#endif

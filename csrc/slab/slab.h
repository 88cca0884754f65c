/* slab.h - caches of equal objects on slabs, and the per-thread sheaves before them.
 *
 * What it is: kmem_cache (create, alloc, free, bulk, shrink, destroy), its slabs on
 * partial, full and empty lists, and sheaves: arrays of free objects that a thread
 * pops from and pushes to without a lock (Linux 6.18's sheaves, Bonwick's magazines).
 * mempool.h has the pools over a cache.
 * What it is not: it chooses no size classes (kmalloc does), and takes frames only
 * through page_alloc.
 *
 * Data structure. A slab is a block of 2**order frames that holds objects back to
 * back from its start; its record is the union in struct page of its first frame. A
 * free object in a slab holds the index of the next free one in its first word, hidden
 * by the secret, so that what a program writes there is not taken for one, and in
 * its second word a key, secret ^ address, which is cleared at allocation: finding it
 * at free means a double free. Objects of 8 bytes have no room for both: their cache
 * has no sheaves, and one word holds 48 bits of the key and the index. In a cache with
 * a ctor the two words lie behind the object, so that its constructed state survives;
 * such caches have no class byte of their own and are served by the slow path.
 * A cache has two parts: struct cache_desc, position independent, in the arena's
 * metadata; struct kmem_cache, process-local, with the lock, the barn and pointers.
 * Sheaves: per thread and cache a main and a spare; per cache a barn with a few full
 * and a few empty ones.
 *
 * Way of an allocation: main -> spare (swap) -> barn -> partial slab -> empty slab ->
 * buddy; of a free: main -> spare (swap) -> barn -> slabs.
 * Invariant: sum of slab.inuse == desc.nr_inuse == live + in sheaves + in the barn.
 * Lock: cache->lock guards its desc's lists and counters, its slabs' records, the free
 * objects in slabs and the barn. A sheaf_table is its thread's alone. The table of
 * caches has slab_alloc.lock. Slabs are bought and returned without any of them.
 */
#ifndef SLAB_SLAB_H
#define SLAB_SLAB_H

#include "page_alloc/page_alloc.h"

#define MAX_CACHES 4096u                     /* per arena; ids are 1 .. MAX_CACHES - 1 */
#define CACHE_MAX_OBJECT ((size_t)256 << 10) /* largest object of a cache */
#define SLAB_MIN_SHEAF_STRIDE 16u            /* room for an index and a key */
#define SLAB_INDEX_NONE 0xffffu              /* end of a slab's free list */
#define SLAB_MAX_OBJECTS 32767u              /* as in Linux: the index fits 15 bits */
#define SHEAF_MAX_OBJECTS 1022u              /* of a sheaf, at most */
#define SHEAF_BATCH                                                                                \
    32u                       /* objects moved between sheaf and slabs at once: each may
                                      miss the cache, and one caller waits for all of them */
#define SLAB_LARGEST_ORDER 8u /* 1 MiB: slabs of objects beyond two pages */

enum slab_list { SLAB_PARTIAL, SLAB_FULL, SLAB_EMPTY, NR_SLAB_LISTS };

enum cache_supply { /* where a thread's refill found its objects */
                    SUPPLY_BARN,
                    SUPPLY_PARTIAL,
                    SUPPLY_EMPTY,
                    SUPPLY_BUDDY,
                    NR_SUPPLIES,
};

/* No pointers: pfns and counts only. */
struct cache_desc {
    char name[PYSLAB_NAME_MAX];            /* constant, NUL-terminated */
    uint32_t object_size;                  /* bytes the creator asked for; constant */
    uint32_t stride;                       /* bytes between objects; constant */
    uint32_t align;                        /* bytes; constant */
    uint32_t slab_order;                   /* frames of a slab: 1 << slab_order; constant */
    uint32_t objects_per_slab;             /* constant */
    uint32_t flags;                        /* enum pyslab_slab_flags; constant */
    uint32_t free_offset;                  /* of the free words in an object; constant */
    struct index_list list[NR_SLAB_LISTS]; /* heads of slabs */
    uint64_t nr_inuse;                     /* objects outside slabs' free lists */
    uint64_t supply[NR_SUPPLIES];          /* by enum cache_supply */
};

struct sheaf {
    struct sheaf *next; /* in a barn */
    uint32_t nr;        /* objects, while the sheaf is no thread's main */
    uint32_t capacity;  /* constant */
    void *object[];     /* free objects; the youngest is last */
};

/* What a free needs to tell an object's start from its inside. */
struct slab_geometry {
    uint64_t reciprocal; /* ceil(2**64 / stride): o is a multiple of stride iff
                            o * reciprocal < reciprocal (Lemire et al. 2019) */
    uint64_t slab_mask;  /* bytes of a slab - 1 */
};

/* A thread's main sheaf, opened up into the pointers its fast path needs. All NULL
 * before the first exchange, which reads as empty and as full. The fields are plain, so
 * that each step is one instruction; statistics of other threads read them as they
 * are, and accept a wrong number for a moment (sheaf_slot_nr_objects). */
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

/* All that a fast path touches of a cache is one line. */
_Static_assert(sizeof(struct sheaf_slot) == CACHE_LINE_BYTES, "a slot is a cache line");

struct sheaf_table {
    struct sheaf_slot slot[NR_CLASSES]; /* by class byte; those of no cache stay NULL */
    struct sheaf_slot *more;            /* of ids above CLASS_MAX, or NULL */
    uint32_t drain_epoch;               /* of page_alloc when this thread last drained */
    uint32_t nr_stocking;               /* calls of cache_prealloc that this thread is in */
};

struct barn {
    struct sheaf *full;  /* list of sheaves with capacity objects each */
    struct sheaf *empty; /* list of sheaves without */
    uint32_t nr_full;
    uint32_t nr_empty;
};

struct kmem_cache {
    /* What the fast paths read, in a line of the processor's cache: copies of the owner's. */
    struct thread_domain *domain;   /* constant */
    uint64_t secret;                /* constant */
    const char *base;               /* of frame 0; constant */
    const uint8_t *classes;         /* of the frames; constant */
    size_t bytes;                   /* of those that have an address; constant */
    size_t fast_class;              /* its class byte, 0 if the fast path must not serve it */
    struct lock lock;               /* guards desc's lists, slabs, barn */
    struct slab_alloc *owner;       /* constant */
    struct cache_desc *desc;        /* constant */
    uint32_t id;                    /* index of the descriptor; constant */
    uint32_t nr_pins;               /* owner->lock: who must not see the cache go */
    uint32_t nr_pools;              /* owner->lock: mempools over it */
    bool dying;                     /* owner->lock: destroyed; the last pin deletes it */
    uint32_t zone_gfp;              /* zone bits of its slabs: 0, or GFP_DMA; constant */
    pyslab_ctor ctor;               /* or NULL; constant */
    pyslab_dtor dtor;               /* or NULL; constant */
    void *context;                  /* of both; constant */
    void (*release)(void *context); /* NULL, or: nobody calls them any more */
    uint32_t sheaf_capacity;        /* largest; 0: no sheaves; constant */
    uint32_t first_capacity;        /* of a thread's first sheaves; constant */
    uint32_t max_full_sheaves;      /* in the barn; constant */
    uint32_t max_empty_slabs;       /* more are given back to the buddy; constant */
    struct barn barn;
    uint32_t min_slabs;       /* preallocated: time takes no empty slab below so many */
    uint32_t min_empty_slabs; /* fewest empty slabs since reap_ms */
    uint32_t reap_ms;         /* when the reap interval began */
    /* Of threads that have ended, and of objects that went past the sheaves. */
    _Atomic uint64_t nr_past_allocs;
    _Atomic uint64_t nr_past_swaps;
    _Atomic uint64_t nr_past_exchanges;
    _Atomic uint64_t nr_prefilled; /* objects in prefilled sheaves and mempools' reserves */
};

struct slab_alloc {
    uint64_t secret;              /* of the free keys; constant */
    struct thread_domain *domain; /* that of pages; constant */
    struct frame_map map;         /* a copy of that of pages; constant */
    struct page_alloc *pages;     /* constant */
    struct cache_desc *descs;     /* MAX_CACHES, arena metadata */
    struct kmem_cache **caches;   /* MAX_CACHES, by id; NULL: free id */
    struct lock lock;             /* guards caches[], nr_caches, pins, pools */
    struct mempool *pools;        /* list; see mempool.h */
    /* Told of a free object that was written to, or freed twice past the checks; may not
     * return to go on. NULL: the object, and what is listed behind it, is left out. */
    void (*on_corruption)(const void *p);
    uint32_t nr_caches;        /* caches alive */
    _Atomic uint32_t id_limit; /* no id in use is >= this */
};

/* pre: descs is MAX_CACHES zeroed descriptors. ENOMEM */
int slab_alloc_init(struct slab_alloc *sa, struct page_alloc *pages, struct cache_desc *descs);
/* Quiescence: no thread in the arena; the threads' tables are gone already. */
void slab_alloc_destroy(struct slab_alloc *sa);

/* --- cache.c ------------------------------------------------------------ */

/* The kernel's rule for the frames of a slab; ours above two pages of stride. max_order
 * caps both, but the order is never too small for one object. */
unsigned slab_order_for(size_t stride, unsigned nr_cpus, unsigned max_order);
/* Errors: EINVAL, ENOMEM, ELIMIT. */
int cache_create(struct slab_alloc *sa, const char *name, size_t size,
                 const pyslab_cache_options *options, struct kmem_cache **out);
/* EBUSY: live objects, or a mempool over it. */
int cache_destroy(struct kmem_cache *cache);
uint64_t cache_shrink(struct kmem_cache *cache);
void cache_stats(struct kmem_cache *cache, pyslab_cache_stats *out);
/* What to call, without locks, when the cache is deleted: after its destruction whoever is
 * passing over it may still run the destructor. */
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
/* Empties this thread's sheaves, the barns and the empty slabs of every cache; returns
 * frames given to page_alloc. What a call of cache_prealloc is short of is not taken from
 * other caches' stock. */
uint64_t slab_reclaim(struct slab_alloc *sa);
/* The same at the end of an interval: empty slabs of constructed objects stay, and those
 * that were preallocated. */
void slab_trim(struct slab_alloc *sa);

/* --- sheaf.c ------------------------------------------------------------ */

/* What the fast paths below leave over. */
void *cache_alloc_slow(struct kmem_cache *cache, uint32_t gfp);
/* The same for kmalloc: clears nothing, and counts no failure. */
void *cache_alloc_any(struct kmem_cache *cache, uint32_t gfp);
/* Errors: EPOINTER, ECACHE, EDOUBLE. */
int cache_free_slow(struct kmem_cache *cache, void *p);
/* pre: p is the start of an object of this cache. EDOUBLE */
int cache_free_object(struct kmem_cache *cache, void *p);
/* nr objects or none; returns nr or 0. */
size_t cache_alloc_bulk(struct kmem_cache *cache, uint32_t gfp, size_t nr, void **p);

/* --- prefill.c ---------------------------------------------------------- */

struct sheaf *cache_prefill(struct kmem_cache *cache, uint32_t gfp, size_t nr);
void *cache_alloc_prefilled(struct kmem_cache *cache, struct sheaf *sheaf);
void cache_return_prefilled(struct kmem_cache *cache, struct sheaf *sheaf);

/* --- prealloc.c --------------------------------------------------------- */

/* Buys slabs for nr more objects; they lie on the empty list, and time alone does not take
 * them away. All or nothing: ENOMEM. */
int cache_prealloc(struct kmem_cache *cache, size_t nr);

/* --- slab.c ------------------------------------------------------------- */

/* The cache whose slab holds p, if p is the start of an object; else NULL. */
struct kmem_cache *slab_cache_of(struct slab_alloc *sa, const void *p);

/* The free mark: set while an object is in a slab, a sheaf or the barn. */
bool object_is_marked(const struct kmem_cache *cache, void *p);
/* It is on its slab's list of free ones. Objects of one word cannot tell: false. */
bool object_is_listed(const struct kmem_cache *cache, void *p);

/* --- slab_check.c ------------------------------------------------------- */

/* Recounts every cache. Quiescence: no other thread in the arena. */
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

/* Pops from the main sheaf of a class; NULL if it is empty or absent. */
static always_inline void *sheaf_pop(struct sheaf_table *table, size_t class)
{
    struct sheaf_slot *slot = &table->slot[class];
    void **top = slot->top;
    void *p;

    if (unlikely(top == slot->bottom))
        return NULL;
    p = top[-1];
    slot->top = top - 1;
    slot->nr_allocs++;
    *object_key(p) = 0;
    return p;
}

/* offset is p's distance from the arena's base: slabs are aligned to their size. What
 * would be the next object behind a slab's last one is marked free. */
static always_inline bool geometry_is_object(const struct slab_geometry *g, size_t offset)
{
    return (offset & g->slab_mask) * g->reciprocal < g->reciprocal;
}

/* Pushes an object of the cache with this class byte; false sends the caller to the
 * slow path: main full or absent, not an object, or marked free already. */
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

/* pre: thread_has_domain */
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

/* Errors: EPOINTER, ECACHE, EDOUBLE. NULL, which is in no arena, is the slow path's no-op. */
static always_inline int cache_free(struct kmem_cache *cache, void *p)
{
    size_t offset = (uintptr_t)p - (uintptr_t)cache->base;

    if (likely(offset < cache->bytes && thread_has_domain(cache->domain) &&
               cache->classes[offset >> PAGE_SHIFT] == cache->fast_class) &&
        likely(sheaf_push(cache->secret, sheaf_table_loaded(), cache->fast_class, offset, p)))
        return PYSLAB_OK;
    return cache_free_slow(cache, p);
}

#endif

/* mempool.h - a reserve of objects for what must go on when memory is short.
 *
 * What it is: the kernel's mempool over a kmem_cache. An allocation tries the cache, and
 * takes from the reserve what the cache cannot give; a free fills the reserve up first.
 * Whoever takes at most min_nr objects at a time, and gives each back, is always served.
 * What it is not: a cache, which it leaves the work to while there is memory; and it does
 * not wait by itself (mempool_wait is for callers who can).
 *
 * Data structure: the reserve is a sheaf set aside (prefill.c): a stack of objects that
 * are marked free. Pools are on a list of the slab_alloc, and counted by their cache,
 * which cannot be destroyed meanwhile.
 * Invariant, at quiescence: curr_nr == reserve->nr <= min_nr <= reserve->capacity, and
 * curr_nr + nr_outstanding >= min_nr.
 * Lock: pool->lock guards the reserve and its counts. Its rank is a cache's: no thread
 * holds both, because the allocator is called without any lock. slab_alloc.lock guards
 * the list.
 */
#ifndef SLAB_MEMPOOL_H
#define SLAB_MEMPOOL_H

#include "slab/slab.h"

struct mempool {
    struct lock lock;         /* guards reserve, and changes of the two counts */
    struct condition freed;   /* the reserve got an object, or is another one */
    struct kmem_cache *cache; /* constant */
    struct mempool *next;     /* slab_alloc.pools; its lock */
    struct mempool *prev;
    struct sheaf *reserve;            /* never NULL */
    _Atomic uint32_t min_nr;          /* objects that the reserve is for */
    _Atomic uint32_t curr_nr;         /* reserve->nr, for a look without the lock */
    _Atomic uint64_t nr_outstanding;  /* objects in callers' hands */
    _Atomic uint64_t nr_from_reserve; /* allocations that the reserve served */
};

/* The functions of the public header; it has their contracts. pre: min_nr > 0, p != NULL. */
int mempool_create(struct kmem_cache *cache, size_t min_nr, struct mempool **out);
void *mempool_alloc(struct mempool *pool, uint32_t gfp);
int mempool_free(struct mempool *pool, void *p);
int mempool_resize(struct mempool *pool, size_t min_nr);
int mempool_destroy(struct mempool *pool);
void mempool_stats(struct mempool *pool, pyslab_mempool_stats *out);

/* How many pools the cache has, and the figures of the newest. */
uint32_t mempools_of(struct kmem_cache *cache, pyslab_mempool_stats *newest);
/* Gives the reserve back for good: min_nr is 0, and what comes back goes to the cache. */
void mempool_retire(struct mempool *pool);
/* Waits for at most ms for the reserve to have an object; true if it has. It may be gone
 * again when the caller asks for it. */
bool mempool_wait(struct mempool *pool, uint32_t ms);

/* --- fork ---------------------------------------------------------------- */

/* pre: slab_alloc.lock is held. */
void mempools_each_lock(struct slab_alloc *sa, void (*act)(struct lock *));
/* In the child: threads that waited are not there. */
void mempools_after_fork(struct slab_alloc *sa);

#endif

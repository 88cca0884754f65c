/* mempool.h - a reserve of objects for work that must go on when memory is short.
 *
 * What it is: the kernel's mempool over a kmem_cache. An allocation tries the cache first, and
 * takes from the reserve what the cache cannot give. A free fills the reserve up first, and goes
 * to the cache when the reserve is full. A user that takes at most min_nr objects at a time, and
 * gives each of them back, therefore always gets its objects.
 * What it is not: a cache; while there is memory, the cache below does the work. And an allocation
 * does not wait for a free; callers that can wait call mempool_wait.
 *
 * Data structure: the reserve is a sheaf set aside (prefill.c): a stack of objects that are marked
 * free. All pools are on a list of the slab_alloc. Their cache counts them, and cannot be destroyed
 * while it has one.
 * Invariant (pool_adds_up_locked), while no thread is in a function of the pool:
 * curr_nr == reserve->nr <= min_nr <= reserve->capacity, and curr_nr + nr_outstanding >= min_nr.
 * Lock: pool->lock guards the reserve and its counts. Its rank is a cache's: no thread holds both,
 * because the pool calls the cache without holding its own. slab_alloc.lock guards the list.
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

/* The functions of the public header, include/pyslab.h, which has their contracts. */

/* pre: min_nr > 0 */
int mempool_create(struct kmem_cache *cache, size_t min_nr, struct mempool **out);
void *mempool_alloc(struct mempool *pool, uint32_t gfp);
/* pre: p is not NULL */
int mempool_free(struct mempool *pool, void *p);
/* pre: min_nr > 0 */
int mempool_resize(struct mempool *pool, size_t min_nr);
int mempool_destroy(struct mempool *pool);
void mempool_stats(struct mempool *pool, pyslab_mempool_stats *out);

/* How many pools the cache has, and the figures of the newest. */
uint32_t mempools_of(struct kmem_cache *cache, pyslab_mempool_stats *newest);
/* Gives the reserve back for good: min_nr is 0 then, and what is freed later goes to the cache. */
void mempool_retire(struct mempool *pool);
/* Waits until the reserve has an object, or ms have passed; true if it has one. Another thread may
 * take that before the caller does. */
bool mempool_wait(struct mempool *pool, uint32_t ms);

/* --- fork ---------------------------------------------------------------- */

/* Calls act with the lock of every pool. pre: slab_alloc.lock is held */
void mempools_each_lock(struct slab_alloc *sa, void (*act)(struct lock *));
/* In the child, which does not have the threads that waited in the parent. */
void mempools_after_fork(struct slab_alloc *sa);

#endif

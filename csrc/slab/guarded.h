/* guarded.h - guard="all": each allocation in frames of its own, beside one without access.
 *
 * What it is: what Electric Fence did. An overrun stops the program at the instruction that makes
 * it, with SIGSEGV; so does a read or a write after the free, since a freed block loses its access
 * and waits for a while. Bytes that share the frames with the block are red, and looked at when it
 * is freed and by validation: those before it, and up to its alignment those behind it. A block of
 * whole frames has no such bytes, and a guard on either side.
 * What it is not: for caches with a constructor, mempools, sheaves set aside, regions and blocks of
 * frames; nor a report of the fault: faulthandler tells Python's line.
 * A guard takes mappings of the process, of which the system allows some 65,530. There is a budget;
 * what it has no room for, or finds no memory, is allocated as ever, and counted.
 *
 * Data structure, of a block of frames whose head has PAGE_FLAG_GUARDED, with p what the caller
 * has:
 *
 *     base             p                              the last frame
 *     | red            | the caller's bytes     | red | no access |         ALL
 *     | no access      | the caller's bytes           | red       |         BELOW: p starts a frame
 *
 * The record of its second frame says where in it p is (page.guarded); the head's, whose object it
 * is. Such a cache has no sheaves, and no frame has its class byte, so no fast path finds it.
 * Invariant: nr_waiting_pages == frames of the blocks in the ring; mappings of the process ==
 * 2 * (frames without access of blocks that live, are released, or wait) <= budget.
 * Lock: guard.lock, of a cache's rank, for the ring and the states of blocks.
 */
#ifndef SLAB_GUARDED_H
#define SLAB_GUARDED_H

#include "base/lock.h"
#include "slab/debug.h"

struct kmem_cache;
struct slab_alloc;

/* Of one arena. */
struct guard {
    uint32_t mode;                 /* enum pyslab_guard: ALL, BELOW; 0: none; constant */
    uint32_t min_align;            /* bytes that what kmalloc gives is aligned to; constant */
    struct lock lock;              /* guards the ring and states of blocks */
    struct quarantine waiting;     /* freed blocks */
    uint64_t nr_waiting_pages;     /* of these */
    uint64_t max_pages;            /* that may wait; constant */
    _Atomic uint64_t nr_guarded;   /* allocations so far with a guard */
    _Atomic uint64_t nr_unguarded; /* and without: no mapping was left, or no memory */
};

/* pre: nothing was allocated from the arena */
void guarded_init(struct slab_alloc *sa, uint32_t mode);
void guarded_destroy(struct slab_alloc *sa);

/* For kmalloc: a block for size bytes, of the cache with this id, or 0. As in the kernel it is
 * aligned to the largest power of two that divides its size, at least. NULL: it is to be allocated
 * without a guard. pre: guard_is_on; size is not 0, align is a power of two */
void *guarded_alloc(struct slab_alloc *sa, uint32_t id, size_t size, size_t align, uint32_t gfp);
/* An object of this cache, likewise. */
void *guarded_alloc_object(struct kmem_cache *cache, uint32_t gfp);
/* Some block's caller has this pointer. */
bool guarded_is_live(struct slab_alloc *sa, const void *p);
/* The size that was asked for; 0: it is no live block. */
size_t guarded_usable(struct slab_alloc *sa, const void *p);
/* A number that the caller of a live block keeps with it, at first 0. Of what is no live block:
 * nothing is kept, and it is 0. */
void guarded_set_kind(struct slab_alloc *sa, const void *p, uint8_t kind);
uint8_t guarded_kind(struct slab_alloc *sa, const void *p);
/* The cache whose object the live block is; NULL: it is none, or none's. */
struct kmem_cache *guarded_cache_of(struct slab_alloc *sa, const void *p);
/* Frees p if it lies in such a block. cache: whose object it must be; NULL: any. False: it lies in
 * none. *error: EPOINTER, EDOUBLE, ECACHE, which are reported if the arena has the flag F. */
bool guarded_free(struct slab_alloc *sa, const struct kmem_cache *cache, void *p, int *error);
/* The caller is done with p, but others may know its address: it loses its access now, and is
 * freed by guarded_free later. pre: guarded_is_live */
void guarded_release(struct slab_alloc *sa, void *p);
/* A live block is for fewer bytes from now on; false: it is none. pre: size <= guarded_usable, not
 * 0 */
bool guarded_shrink(struct slab_alloc *sa, void *p, size_t size);
/* Frees all that wait; returns how many frames. */
uint64_t guarded_flush(struct slab_alloc *sa);
/* Adds the blocks that wait. */
void guarded_count_waiting(struct slab_alloc *sa, uint64_t *nr, uint64_t *bytes);
/* Writes the addresses of up to nr live objects of the cache; returns how many there are. No other
 * thread uses the arena meanwhile. */
size_t guarded_objects(struct kmem_cache *cache, void **p, size_t nr);
/* Looks at the red bytes of all live blocks, reports and repairs. False: something was found; f
 * gets the first. If other threads use the arena meanwhile, some blocks are not looked at. f: or
 * NULL */
bool guarded_validate(struct slab_alloc *sa, struct finding *f);

/* True in few arenas; the calls above need not be made in others. */
static inline bool guard_is_on(const struct guard *guard)
{
    return unlikely(guard->mode != 0);
}

#endif

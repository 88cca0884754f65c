/* mempool_object.h - a Mempool as its neighbours see it: its life, and the kind of its Buffers.
 *
 * What it is not: allocation, which may wait (mempool_alloc.c); creation, attributes and the
 * type (mempool_type.c).
 *
 * Lifetime. A Buffer of a pool owns a reference to its Mempool, so that wherever the Buffer dies
 * its object goes back to the pool. close() gives the reserve back at once. The core's pool lives
 * until the Mempool is closed, none of its objects is out, and no call is inside it; a cache
 * that was made for the pool goes with it. A Mempool does not pin its arena: see arena_object.h.
 * Lock: the GIL, or the arena (arena_guard.h); a call that waits lets it go (nr_inside).
 */
#ifndef PYTHON_MEMPOOL_OBJECT_H
#define PYTHON_MEMPOOL_OBJECT_H

#include "python/buffer/buffer.h"
#include "python/cache/cache_object.h"

#include "slab/mempool.h"

typedef struct {
    PyObject_HEAD
    ArenaObject *arena;   /* owned */
    PyObject *weakrefs;   /* list of weak references */
    CacheObject *cache;   /* owned */
    struct mempool *pool; /* NULL once destroyed; gone with arena->core as well */
    Py_ssize_t nr_inside; /* calls into the core, waits included, that have not returned */
    bool own_cache;       /* made for this pool: goes with it */
    bool closed;          /* close() was called */
} MempoolObject;

static inline MempoolObject *mempool_of(PyObject *op)
{
    return (MempoolObject *)op;
}

extern const struct buffer_ops mempool_buffer_ops;

/* The core's figures; zeros once the core's pool is gone. */
pyslab_mempool_stats pool_figures(const MempoolObject *self);
/* Around each call into the core's pool, which may run Python code. */
void pool_enter(MempoolObject *self);
void pool_leave(MempoolObject *self);
/* Ends allocation and gives the reserve back; again: nothing. */
void pool_close(MempoolObject *self);
void mempool_dealloc(PyObject *op);
/* Not closed, and its arena is mapped; open as well if it is to allocate. Else false with
 * ValueError or ArenaClosedError set. */
bool pool_is_usable(const MempoolObject *self, bool allocating);

#endif

/* cache_object.h - a KmemCache as its neighbours see it: its life, and the kind of its Buffers.
 *
 * What it is not: its creation from Python's arguments (cache_create.c), its methods
 * (cache_calls.c), its attributes and type (cache_type.c).
 *
 * Lifetime. A Buffer of a cache owns a reference to the KmemCache (`keep`), so one that dies has
 * no Buffers alive. It does not pin its arena: see arena_object.h.
 * Lock: the GIL, or the arena (arena_guard.h).
 */
#ifndef PYTHON_CACHE_OBJECT_H
#define PYTHON_CACHE_OBJECT_H

#include "python/buffer/buffer.h"
#include "python/cache/cache_hooks.h"

typedef struct {
    PyObject_HEAD
    ArenaObject *arena;        /* owned */
    PyObject *weakrefs;        /* list of weak references */
    struct kmem_cache *cache;  /* NULL once destroyed */
    struct cache_hooks *hooks; /* Python's ctor and dtor, or NULL; the core's cache owns them */
    Py_ssize_t nr_calls;       /* allocations under way: they may run Python's callbacks */
    char name[PYSLAB_NAME_MAX];
    uint32_t object_size; /* bytes, as all of these */
    uint32_t align;
    uint32_t stride; /* from one object to the next */
} CacheObject;

static inline CacheObject *cache_of(PyObject *op)
{
    return (CacheObject *)op;
}

extern const struct buffer_ops cache_buffer_ops;

/* A KmemCache over a core cache; NULL with MemoryError set, and the core cache is still there. */
CacheObject *cache_object_new(ArenaObject *arena, struct kmem_cache *cache,
                              struct cache_hooks *hooks);
void cache_dealloc(PyObject *op);
/* Destroys the core's cache if nothing is live in it, for the mempool that it was made for. */
void cache_retire(CacheObject *self);
/* True in the middle of a constructor or destructor. */
bool cache_hooks_are_running(const CacheObject *self);
/* "N live objects at 0x..., 0x..." for an error or a warning; a new reference. */
PyObject *cache_describe_live(const CacheObject *self);
/* The cache exists and its arena is mapped; open as well if it is to allocate. Else false, with
 * ArenaClosedError or ValueError set. */
bool cache_is_usable(const CacheObject *self, bool allocating);

#endif

/* cache_hooks.h - a KmemCache's constructor and destructor, written in Python. */
#ifndef PYTHON_CACHE_HOOKS_H
#define PYTHON_CACHE_HOOKS_H

#include "python/arena/arena_object.h"

/* The core's cache owns it, because a thread that passes over all caches may call the hooks
 * after the KmemCache object has gone. While a hook runs, the core is in the middle of a call:
 * the arena is pinned, and the cache cannot be destroyed. */
struct cache_hooks {
    PyObject *ctor;            /* callable(bytearray) or NULL */
    PyObject *dtor;            /* callable(bytes) or NULL */
    struct pyslab_arena *core; /* the arena that the cache is in */
    Py_ssize_t size;           /* of an object */
    shared_ssize running;      /* calls of either that have not returned */
};

/* New references to both; NULL with an exception set, also for no callable. */
struct cache_hooks *hooks_new(ArenaObject *arena, PyObject *ctor, PyObject *dtor, Py_ssize_t size);
/* hooks may be NULL. */
void hooks_free(struct cache_hooks *hooks);
/* The same for the core, as the release function of a cache. Takes the GIL. */
void hooks_release(void *context);
/* What the core calls; context is the hooks. They take the GIL. */
int hooks_construct(void *object, void *context);
void hooks_destruct(void *object, void *context);

#endif

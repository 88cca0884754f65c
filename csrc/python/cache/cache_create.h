/* cache_create.h - new KmemCaches. */
#ifndef PYTHON_CACHE_CREATE_H
#define PYTHON_CACHE_CREATE_H

#include "python/cache/cache_object.h"

/* Arena.kmem_cache_create(name, size, /, *, align, hwcache_align, ctor, dtor) */
PyObject *arena_kmem_cache_create(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kwnames);
/* A cache without hooks for another type's use; checks the size. NULL with an exception set. */
CacheObject *cache_new_private(ArenaObject *arena, const char *name, Py_ssize_t size);

#endif

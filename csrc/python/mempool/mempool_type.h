/* mempool_type.h - pyslab.Mempool: the type, and how one is made. */
#ifndef PYTHON_MEMPOOL_TYPE_H
#define PYTHON_MEMPOOL_TYPE_H

#include "python/module/objects.h"

PyTypeObject *mempool_type_new(PyObject *module);
/* Arena.mempool(min_nr, cache_or_size) */
PyObject *arena_mempool(PyObject *op, PyObject *const *args, Py_ssize_t nargs);

#endif

/* mempool_alloc.h - Mempool.alloc(). */
#ifndef PYTHON_MEMPOOL_ALLOC_H
#define PYTHON_MEMPOOL_ALLOC_H

#include "python/module/objects.h"

/* Mempool.alloc(*, gfp, timeout) */
PyObject *mempool_method_alloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);

#endif

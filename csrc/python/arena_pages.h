/* arena_pages.h - the methods of Arena that are in arena_pages.c and arena_vm.c, for its
 * table. */
#ifndef PYTHON_ARENA_PAGES_H
#define PYTHON_ARENA_PAGES_H

#include "python/pytypes.h"

#define LONG_WORK_BYTES ((size_t)1 << 20) /* clearing this much releases the GIL */

#define FAST_METHOD(name_)                                                                         \
    PyObject *method_##name_(PyObject *op, PyObject *const *args, Py_ssize_t nargs,                \
                             PyObject *kwnames)

FAST_METHOD(get_free_pages);
FAST_METHOD(get_free_page);
FAST_METHOD(get_zeroed_page);
FAST_METHOD(alloc_pages);
FAST_METHOD(alloc_page);
FAST_METHOD(alloc_pages_exact);
FAST_METHOD(alloc_pages_bulk);
FAST_METHOD(alloc_contig);
PyObject *method_reserve_range(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *method_split_page(PyObject *op, PyObject *arg);
/* vmalloc's Buffer; NULL with an exception set. pre: open, nbytes > 0. */
PyObject *vmalloc_buffer(ArenaObject *self, size_t nbytes, uint32_t gfp);
FAST_METHOD(vmalloc);
FAST_METHOD(vzalloc);
FAST_METHOD(vmap);
FAST_METHOD(ring);
FAST_METHOD(kvmalloc);
PyObject *method_vfree(PyObject *op, PyObject *arg);
PyObject *method_put_page(PyObject *op, PyObject *arg);
PyObject *method_get_page(PyObject *op, PyObject *arg);

#endif

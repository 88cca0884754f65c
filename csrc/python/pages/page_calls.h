/* page_calls.h - the calls of Arena that hand out page frames, for the table of its methods. */
#ifndef PYTHON_PAGE_CALLS_H
#define PYTHON_PAGE_CALLS_H

#include "python/module/objects.h"

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

#undef FAST_METHOD

PyObject *method_reserve_range(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *method_split_page(PyObject *op, PyObject *arg);
/* Arena.put_page(page), and free_pages(page): each drops one reference, as in the kernel. */
PyObject *method_put_page(PyObject *op, PyObject *arg);
PyObject *method_get_page(PyObject *op, PyObject *arg);

#endif

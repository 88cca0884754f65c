/* vm_calls.h - the calls of Arena over vm/, for the table of its methods: vmalloc and vmap. */
#ifndef PYTHON_VM_CALLS_H
#define PYTHON_VM_CALLS_H

#include "python/module/objects.h"

#define FAST_METHOD(name_)                                                                         \
    PyObject *method_##name_(PyObject *op, PyObject *const *args, Py_ssize_t nargs,                \
                             PyObject *kwnames)

FAST_METHOD(vmalloc);
FAST_METHOD(vzalloc);
FAST_METHOD(vmap);
FAST_METHOD(ring);
FAST_METHOD(kvmalloc);

#undef FAST_METHOD

/* Arena.vfree(buf), and vunmap(buf) */
PyObject *method_vfree(PyObject *op, PyObject *arg);

#endif

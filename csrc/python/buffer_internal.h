/* buffer_internal.h - what buffer.c, buffer_access.c, buffer_copy.c and dlpack.c share. */
#ifndef PYTHON_BUFFER_INTERNAL_H
#define PYTHON_BUFFER_INTERNAL_H

#include "python/pytypes.h"

/* False with ValueError set once kfree was called. */
bool buffer_is_usable(const BufferObject *self);

/* Counts as an export, without the address becoming known: no free, no resize until then. */
void buffer_hold(BufferObject *self);
void buffer_let_go(BufferObject *self);

/* buffer_copy.c. A new Buffer; NULL with ValueError, ArenaClosedError or OutOfMemoryError. */
PyObject *buffer_copy(BufferObject *self);
PyObject *buffer_method_copy(PyObject *op, PyObject *unused);
PyObject *buffer_deepcopy(PyObject *op, PyObject *memo);
PyObject *buffer_reduce_ex(PyObject *op, PyObject *protocol);

/* dlpack.c */
PyObject *buffer_dlpack(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *buffer_dlpack_device(PyObject *op, PyObject *unused);

Py_ssize_t buffer_length(PyObject *op);
PyObject *buffer_subscript(PyObject *op, PyObject *key);
int buffer_ass_subscript(PyObject *op, PyObject *key, PyObject *value);
PyObject *buffer_item(PyObject *op, Py_ssize_t i);
PyObject *buffer_richcompare(PyObject *op, PyObject *other, int compare);
PyObject *buffer_repr(PyObject *op);
extern PyMethodDef buffer_methods[];
extern PyGetSetDef buffer_getset[];
extern PyMemberDef buffer_members[];
extern const char buffer_doc[];

#define BUFFER_ACCESS_SLOTS                                                                        \
    {Py_tp_doc, (void *)(uintptr_t)buffer_doc}, {Py_tp_repr, (void *)buffer_repr},                 \
        {Py_tp_hash, (void *)PyObject_HashNotImplemented},                                         \
        {Py_tp_richcompare, (void *)buffer_richcompare}, {Py_mp_length, (void *)buffer_length},    \
        {Py_sq_length, (void *)buffer_length}, {Py_sq_item, (void *)buffer_item},                  \
        {Py_mp_subscript, (void *)buffer_subscript},                                               \
        {Py_mp_ass_subscript, (void *)buffer_ass_subscript},                                       \
        {Py_tp_methods, (void *)buffer_methods}, {Py_tp_getset, (void *)buffer_getset},            \
    {                                                                                              \
        Py_tp_members, (void *)buffer_members                                                      \
    }

#endif

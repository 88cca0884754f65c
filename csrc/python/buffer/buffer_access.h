/* buffer_access.h - the Buffer as a sequence of bytes: Python's slots for length, items, slices,
 * comparison and text. */
#ifndef PYTHON_BUFFER_ACCESS_H
#define PYTHON_BUFFER_ACCESS_H

#include "python/buffer/buffer.h"

Py_ssize_t buffer_length(PyObject *op);
PyObject *buffer_subscript(PyObject *op, PyObject *key);
int buffer_ass_subscript(PyObject *op, PyObject *key, PyObject *value);
PyObject *buffer_item(PyObject *op, Py_ssize_t i);
PyObject *buffer_richcompare(PyObject *op, PyObject *other, int compare);
PyObject *buffer_repr(PyObject *op);

#endif

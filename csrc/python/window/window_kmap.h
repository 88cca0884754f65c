/* window_kmap.h - kmap() and kunmap(), of an Arena and of a Window. */
#ifndef PYTHON_WINDOW_KMAP_H
#define PYTHON_WINDOW_KMAP_H

#include "python/module/objects.h"

PyObject *arena_kmap(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *arena_kunmap(PyObject *op, PyObject *view);
PyObject *window_kmap(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *window_kunmap(PyObject *op, PyObject *view);

#endif

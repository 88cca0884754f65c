/* kmalloc_calls.h - Arena.kmalloc() and its relatives, for the table of Arena's methods. */
#ifndef PYTHON_KMALLOC_CALLS_H
#define PYTHON_KMALLOC_CALLS_H

#include "python/module/objects.h"

PyObject *method_kmalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *method_kzalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *method_krealloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *method_ksize(PyObject *op, PyObject *arg);
/* Arena.kfree(buf), and kvfree(buf) */
PyObject *method_kfree(PyObject *op, PyObject *arg);

#endif

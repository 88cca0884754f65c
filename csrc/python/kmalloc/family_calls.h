/* family_calls.h - kmalloc's relatives for arrays, copies and secrets, for the table of Arena's
 * methods. */
#ifndef PYTHON_FAMILY_CALLS_H
#define PYTHON_FAMILY_CALLS_H

#include "python/module/objects.h"

PyObject *method_kmalloc_array(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);
PyObject *method_kcalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *method_krealloc_array(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames);
PyObject *method_kmemdup(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *method_kfree_sensitive(PyObject *op, PyObject *arg);

#endif

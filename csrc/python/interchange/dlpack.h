/* dlpack.h - a Buffer as a DLPack tensor: two methods of Buffer. */
#ifndef PYTHON_DLPACK_H
#define PYTHON_DLPACK_H

#include "python/module/objects.h"

/* Buffer.__dlpack__(*, stream=None, max_version=None, dl_device=None, copy=None) */
PyObject *buffer_dlpack(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
/* Buffer.__dlpack_device__() */
PyObject *buffer_dlpack_device(PyObject *op, PyObject *unused);

#endif

/* region_calls.h - the methods of Region, for its type, and Arena.region(). */
#ifndef PYTHON_REGION_CALLS_H
#define PYTHON_REGION_CALLS_H

#include "python/module/objects.h"

extern PyMethodDef region_methods[];
/* Arena.region(hint=0) */
PyObject *arena_region(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

#endif

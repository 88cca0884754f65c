/* numpy_handler.h - NumPy's array data from an arena. */
#ifndef PYTHON_NUMPY_HANDLER_H
#define PYTHON_NUMPY_HANDLER_H

#include "python/module/objects.h"

/* Arena._numpy_handler(fallback=False): the arena's capsule for NumPy. */
PyObject *arena_numpy_handler(PyObject *op, PyObject *args);
/* Adds the functions for NumPy to the module. */
bool numpy_handler_add(PyObject *module);

#endif

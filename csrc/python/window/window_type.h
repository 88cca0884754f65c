/* window_type.h - WindowBase, the C part of pyslab.Window: the type. */
#ifndef PYTHON_WINDOW_TYPE_H
#define PYTHON_WINDOW_TYPE_H

#include "python/module/objects.h"

PyTypeObject *window_type_new(PyObject *module);
/* Arena._set_window(window) */
PyObject *arena_set_window(PyObject *op, PyObject *window);

#endif

/* usage_type.h - usage blocks, the C part of arena.statistics(): the type. */
#ifndef PYTHON_USAGE_TYPE_H
#define PYTHON_USAGE_TYPE_H

#include "python/module/objects.h"

PyTypeObject *usage_type_new(PyObject *module);
/* Arena._reset_peak() */
PyObject *arena_reset_peak(PyObject *op, PyObject *unused);

#endif

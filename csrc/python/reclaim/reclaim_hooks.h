/* reclaim_hooks.h - on_oom and shrinkers written in Python. */
#ifndef PYTHON_RECLAIM_HOOKS_H
#define PYTHON_RECLAIM_HOOKS_H

#include "python/module/objects.h"

PyTypeObject *shrinker_type_new(PyObject *module);
/* Arena._set_on_oom(callable or None) */
PyObject *arena_set_on_oom(PyObject *op, PyObject *callable);
/* Arena._register_shrinker(count, scan, seeks, batch) */
PyObject *arena_register_shrinker(PyObject *op, PyObject *args);

#endif

/* leaks.h - methods of Arena: begin to track allocations, and tell the live ones. */
#ifndef PYTHON_STACK_LEAKS_H
#define PYTHON_STACK_LEAKS_H

#include "python/arena/arena_object.h"

PyObject *arena_track(PyObject *op, PyObject *unused);
PyObject *arena_leaks(PyObject *op, PyObject *unused);

#endif

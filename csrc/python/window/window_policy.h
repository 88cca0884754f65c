/* window_policy.h - the methods of a Window that its policy calls, _map_new() of
 * src/pyslab/_memory/window.py, for the table of its methods. */
#ifndef PYTHON_WINDOW_POLICY_H
#define PYTHON_WINDOW_POLICY_H

#include "python/module/objects.h"

/* _wait(seconds), _map(slot, page, index, nr_ahead), _next_free(start), _shown() */
PyObject *window_wait(PyObject *op, PyObject *arg);
PyObject *window_map(PyObject *op, PyObject *args);
PyObject *window_next_free(PyObject *op, PyObject *arg);
PyObject *window_shown(PyObject *op, PyObject *unused);

#endif

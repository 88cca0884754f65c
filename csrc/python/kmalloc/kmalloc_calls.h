/* kmalloc_calls.h - Arena.kmalloc() and its relatives, for the table of Arena's methods. */
#ifndef PYTHON_KMALLOC_CALLS_H
#define PYTHON_KMALLOC_CALLS_H

#include "python/buffer/buffer.h"
#include "python/call/args.h"

PyObject *method_kmalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *method_kzalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *method_krealloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *method_ksize(PyObject *op, PyObject *arg);
/* Arena.kfree(buf), and kvfree(buf) */
PyObject *method_kfree(PyObject *op, PyObject *arg);

/* What the calls of this family do when they have their arguments; function: its name, for
 * messages. pre: the arena is open (unchecked: that is the arena's own state, and told) */
PyObject *kmalloc_buffer_new(ArenaObject *self, const char *function, Py_ssize_t size,
                             const struct alloc_options *options);
PyObject *kmalloc_buffer_resize(ArenaObject *self, const char *function, BufferObject *buffer,
                                Py_ssize_t size, uint32_t gfp);

#endif

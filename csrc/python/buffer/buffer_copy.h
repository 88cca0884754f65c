/* buffer_copy.h - copies of a Buffer, and how pickle is to make one again. */
#ifndef PYTHON_BUFFER_COPY_H
#define PYTHON_BUFFER_COPY_H

#include "python/buffer/buffer.h"

/* A new Buffer of the same arena with the same bytes; NULL with ValueError, ArenaClosedError or
 * OutOfMemoryError. */
PyObject *buffer_copy(BufferObject *self);
/* Buffer.__copy__(), __deepcopy__(memo), __reduce_ex__(protocol) */
PyObject *buffer_method_copy(PyObject *op, PyObject *unused);
PyObject *buffer_deepcopy(PyObject *op, PyObject *memo);
PyObject *buffer_reduce_ex(PyObject *op, PyObject *protocol);

#endif

/* shared_buffer.h - handles of Buffers and Pages, and the Buffers that handles become again.
 *
 * What it is: Buffer.handle() and Page.handle(), open_handle(), and the kind of Buffer over a block
 * of a shared heap: another process's, or one of this process's own. Such a Buffer holds the block
 * in the table of holders, and lets go of it when its memory goes back.
 * What it is not: where heaps come from (heap_object.h).
 */
#ifndef PYTHON_SHARED_BUFFER_H
#define PYTHON_SHARED_BUFFER_H

#include "python/buffer/buffer.h"

/* A Buffer over the block of a handle, a new reference; NULL with StaleHandleError,
 * NotAttachedError, CorruptionError or another exception set. */
PyObject *shared_buffer_open(const pyslab_handle *handle, bool writable);
/* handle(uses=1, pinned=False), of a Buffer and of a Page */
PyObject *buffer_handle(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *page_handle(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
/* Adds open_handle() and what attaches heaps to the module. */
bool share_functions_add(PyObject *module);

#endif

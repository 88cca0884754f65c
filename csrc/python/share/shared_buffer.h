/* shared_buffer.h - handles of Buffers and Pages, and the Buffers that handles become again.
 *
 * What it is: Buffer.handle() and Page.handle(), open_handle(), and the kind of Buffer over a block
 * of a shared heap: another process's, or one of this process's own. Such a Buffer holds the block
 * in the table of holders, and lets go of it when its memory goes back. An array that travelled
 * has one as its base.
 * What it is not: where heaps come from (heap_object.h); how pickles carry handles (travel.h).
 */
#ifndef PYTHON_SHARED_BUFFER_H
#define PYTHON_SHARED_BUFFER_H

#include "python/buffer/buffer.h"
#include "python/share/heap_object.h"

/* A Buffer over the block of a handle, a new reference; pid: as heap_owner() has it. NULL with
 * StaleHandleError, NotAttachedError, CorruptionError or another exception set. */
BufferObject *shared_buffer_open(const pyslab_handle *handle, int pid, enum shared_access access);
/* A handle for one use of the block that the Buffer is over. False, with no exception set: it has
 * none, or the block is better sent as bytes. */
bool shared_buffer_send(BufferObject *buffer, pyslab_handle *out);
/* handle(uses=1, pinned=False), of a Buffer and of a Page */
PyObject *buffer_handle(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *page_handle(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
/* Adds open_handle() and what attaches heaps to the module. */
bool share_functions_add(PyObject *module);

#endif

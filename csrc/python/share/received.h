/* received.h - the Python object that holds a block which came by a handle.
 *
 * What it is: the base of an array that travelled. It gives the block back when it dies, and shows
 * it by the buffer protocol. What it is not: a Buffer: it has no kfree, because whoever has the
 * array may use its memory as long as the array is there.
 * Lock: none; the block is constant, and the core has its own.
 */
#ifndef PYTHON_RECEIVED_H
#define PYTHON_RECEIVED_H

#include "python/module/objects.h"

#include "pyslab.h"

typedef struct {
    PyObject_HEAD
    pyslab_shared_block block;
    struct pyslab_arena *arena; /* if the block came back to its own process: it stays mapped */
    Py_ssize_t nbytes;          /* of the block, that are shown */
    bool writable;              /* both sides asked for it */
} ReceivedObject;

/* Opens a handle. pid: of a process to whose heap it may belong, if the heap is not attached yet;
 * or 0. NULL with StaleHandleError, NotAttachedError or another PyslabError set. */
ReceivedObject *received_open(const pyslab_handle *handle, int pid, bool writable);
PyTypeObject *received_type_new(PyObject *module);

#endif

/* travel.h - arrays and Buffers become bytes that name their memory, and come back over it.
 *
 * What it is: ArraySender, the reducer of the pickler for local connections
 * (src/pyslab/_sharing/pickler.py), and _array_open and _buffer_open, which a pickle calls. What
 * travels of an array is a struct parcel: a handle, and where in its block the elements lie; of a
 * Buffer a handle, and the process to whose heap it belongs. What arrives is a Buffer, or an array
 * whose base is one (shared_buffer.h).
 * What it is not: when it is used (src/pyslab/_sharing/hooks.py); subclasses with a state of their
 * own (src/pyslab/_sharing/subclasses.py).
 */
#ifndef PYTHON_TRAVEL_H
#define PYTHON_TRAVEL_H

#include "python/module/objects.h"

/* Adds the type and the functions to the module. */
bool travel_add(PyObject *module);

#endif

/* travel.h - arrays become bytes that name their memory, and come back as arrays over it.
 *
 * What it is: ArraySender, the reducer of the pickler for local connections
 * (src/pyslab/_sharing/pickler.py), and _array_open, which a pickle calls. What travels is a
 * struct parcel: a handle, and where in its block the array's elements lie.
 * What it is not: when it is used (src/pyslab/_sharing/hooks.py); subclasses with a state of their
 * own (src/pyslab/_sharing/subclasses.py).
 */
#ifndef PYTHON_TRAVEL_H
#define PYTHON_TRAVEL_H

#include "python/module/objects.h"

/* Adds the type and the functions to the module. */
bool travel_add(PyObject *module);

#endif

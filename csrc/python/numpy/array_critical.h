/* array_critical.h - one thread at a time in the tables of this folder, where there is no GIL.
 *
 * What it is: a critical section on an object that is there as long as the module.
 * What it is not: for an arena's counts, which are atomic (arena/arena_object.h).
 */
#ifndef PYTHON_ARRAY_CRITICAL_H
#define PYTHON_ARRAY_CRITICAL_H

#include "python/call/critical.h"

/* Why the last request of a context was refused, a str: a contextvars.ContextVar. */
extern PyObject *array_refusal;

/* Around what the GIL guards in this folder beside an arena's counts: the table of outside blocks,
 * and who is installed in the process. */
#define array_critical_begin() critical_begin(array_refusal)
#define array_critical_end() critical_end()

#endif

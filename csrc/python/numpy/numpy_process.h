/* numpy_process.h - NumPy's array data of the whole process from an arena.
 *
 * What it is: NumPy's own handler with other functions in it. Every thread and context that has
 * set no handler uses that one, threads that C code made included, and so does every array that
 * was made with it before.
 * What it is not: the handler of one context (numpy_handler.c), which goes before this one.
 *
 * Data structure: struct installed for each arena that is installed, or was and still has blocks
 * of arrays that belong to NumPy's handler. It owns the Arena.
 * Whose a block is follows from its address: it is in the mapping of such an arena, or it has a
 * record (outside_block.h), or it is NumPy's own and goes to NumPy's own functions.
 * Invariant (installed_adds_up): an entry is the current one or has nr_blocks > 0. NumPy's handler
 * has our free and realloc while there are entries, and our malloc and calloc while there is a
 * current one, but for functions that a third party has put there since.
 * Lock: the GIL. realloc may be called without it, and takes it. A thread that read NumPy's
 * handler before a change calls the function that was there: ours hand on what is not ours, and
 * NumPy's realloc without the GIL gets only blocks from before the installation.
 */
#ifndef PYTHON_NUMPY_PROCESS_H
#define PYTHON_NUMPY_PROCESS_H

#include "python/module/objects.h"

/* _numpy_process_install(arena, fallback): new arrays are this arena's from now on. */
PyObject *numpy_process_install(PyObject *module, PyObject *args);
/* _numpy_process_uninstall() -> whether an arena was installed */
PyObject *numpy_process_uninstall(PyObject *module, PyObject *unused);
/* _numpy_process_arena() -> the Arena that is installed, or None */
PyObject *numpy_process_arena(PyObject *module, PyObject *unused);

#endif

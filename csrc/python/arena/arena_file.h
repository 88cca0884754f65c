/* arena_file.h - tells the program that it closed the descriptor of an arena's high memory.
 *
 * What it is: one RuntimeWarning an arena, by the first call that needs the file of high memory
 * (mapping, release_unused(), flush()) and finds the number gone or reused (os/os_file.h).
 * What it is not: the proof itself, or the way around.
 * Lock: none; the GIL.
 */
#ifndef PYTHON_ARENA_FILE_H
#define PYTHON_ARENA_FILE_H

#include "python/arena/arena_object.h"

/* True if the descriptor of the arena's file, or of its side arena's, was found to be gone. */
bool arena_file_is_lost(const ArenaObject *self);
/* Passes on what a call returns. NULL, and the result is dropped, if the warning is an error. */
PyObject *arena_tell_lost_file(ArenaObject *self, PyObject *result);
/* _tell_lost_file() -> None, for Python code that has called the core by cffi. */
PyObject *arena_method_tell_lost_file(PyObject *op, PyObject *unused);

#endif

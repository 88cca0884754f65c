/* arena_file.h - tells the program that it closed the descriptor of an arena's high memory.
 *
 * What it is: one RuntimeWarning an arena, by the first call that maps high memory and finds the
 * number gone or reused (os/os_file.h), and the text for calls that cannot go on.
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

#endif

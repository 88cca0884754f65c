/* corruption.h - what an arena's checks find, as pyslab.CorruptionError. */
#ifndef PYTHON_STACK_CORRUPTION_H
#define PYTHON_STACK_CORRUPTION_H

#include "python/arena/arena_object.h"

/* Has what the arena's checks find raised in Python, and not end the process. */
void corruption_watch(struct pyslab_arena *core);
/* Something was found in this thread's call, and is raised when that comes back. */
bool corruption_waits(void);
/* For calls that raise by themselves: sets what waits as the exception, in the place of one that is
 * set; else it would be raised later, in the code that handles that one. False: nothing waits. */
bool corruption_raise(void);
/* Tells the errors that a garbage collection finds to sys.unraisablehook: the program that makes a
 * call cannot know that one runs in it. False with an exception set. */
bool corruption_watch_collections(void);

#endif

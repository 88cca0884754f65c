/* corruption.h - what an arena's checks find, as pyslab.CorruptionError. */
#ifndef PYTHON_STACK_CORRUPTION_H
#define PYTHON_STACK_CORRUPTION_H

#include "python/arena/arena_object.h"

/* Has what the arena's checks find raised in Python, and not end the process. */
void corruption_watch(struct pyslab_arena *core);
/* For calls that raise by themselves: sets what was found in this thread, and is still to be
 * raised, as the exception. False: there is nothing. */
bool corruption_raise(void);

#endif

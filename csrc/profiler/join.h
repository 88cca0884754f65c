/* join.h - how the profiler comes to know the frames of Python in a program that is one.
 *
 * What it is: the profiler is made without an interpreter, and each interpreter has frames of its
 * own kind, which pyslab's extension module for it can walk (python/stack/stack_hook.h). So a
 * Python program is asked to import pyslab, once it is ready to, and the module calls
 * pyslab_profiler_join. A program whose interpreter has no pyslab of its version goes on without:
 * its stacks have the interpreter's own C functions in the place of Python's.
 * What it is not: a call of Python from malloc. The import is put off until the interpreter's
 * main thread looks for such calls between two instructions (Py_AddPendingCall).
 * Lock: none.
 */
#ifndef PROFILER_JOIN_H
#define PROFILER_JOIN_H

#include "stack/depot.h"

typedef struct stack_packed (*join_pack)(const char *file, const char *function, uint32_t line);
typedef unsigned (*join_collect)(struct stack_packed *out, unsigned max, join_pack pack);

/* Looks whether the process runs Python by now, and asks it. Cheap once it has been asked. */
void join_ask(void);

/* What the module calls. collect: the calling thread's frames, without allocating; interpreter: an
 * address in the interpreter's code. */
void pyslab_profiler_join(join_collect collect, uintptr_t interpreter);

#endif

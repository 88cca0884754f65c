/* stack_hook.h - the frames of Python for the stacks that the core keeps (stack/depot.h). */
#ifndef PYTHON_STACK_STACK_HOOK_H
#define PYTHON_STACK_STACK_HOOK_H

#include "stack/depot.h"

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/* Sets the hook. False: an exception is set. */
bool stack_hook_add(void);
/* Writes the calling thread's frames of Python, the innermost first, each made by pack; how many.
 * Allocates nothing, and takes no lock. */
typedef struct stack_packed (*stack_pack_fn)(const char *file, const char *function, uint32_t line);
unsigned stack_hook_collect(struct stack_packed *out, unsigned max, stack_pack_fn pack);
/* The frames of a stack as a list of (file, line, function), the innermost first. C's have their
 * module for a file, 0 for a line, and "symbol+offset", or the offset in the module, for a
 * function. NULL: an exception is set. */
PyObject *stack_list(uint32_t id);

#endif

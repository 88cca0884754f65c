/* depot.h - where a call came from, kept as a number (the kernel's stack depot).
 *
 * What it is: the stack of the calling thread, Python's frames and C's, saved once for each
 * different one. Debugging keeps two such numbers beside each object; tracking keeps one.
 * What it is not: a debugger. C frames carry an address, and a symbol if their module tells it.
 * Frames of the core itself are left out, and so are those of the interpreter and of all that
 * called it, if Python's frames are known: these say it better.
 *
 * Data structure: a stack is an array of 16-byte frames in the store (store.h), the innermost
 * first: C's, then Python's. File and function names are numbers of texts in the same store, so
 * that a stack outlives the code objects it went through.
 * Lock: none. stack_save is called with no lock of the core held: the Python hook may take the
 * interpreter's locks, and C's backtrace the loader's.
 */
#ifndef STACK_DEPOT_H
#define STACK_DEPOT_H

#include "base/config.h"

#define STACK_MAX_PYTHON 32u /* frames of Python that are kept, the innermost */
#define STACK_MAX_C 24u      /* and of C */
#define STACK_MAX_FRAMES (STACK_MAX_PYTHON + STACK_MAX_C)
#define STACK_LINE_BYTES 512u /* room for a line of stack_line; longer ones are cut */

/* A frame as it is kept. */
struct stack_packed {
    uint64_t place; /* C: the address; Python: number of the file << 32 | of the function */
    uint64_t line;  /* Python: the line, from 1; C: 0 */
};

/* A frame as it is read. */
struct stack_frame {
    const char *file;     /* Python: of the code; C: NULL */
    const char *function; /* Python: its name; C: NULL */
    uint32_t line;        /* Python: in the file; C: 0 */
    uintptr_t address;    /* C: where the call returns to; Python: 0 */
};

/* Writes the calling thread's Python frames, the innermost first, and returns how many; 0 in a
 * thread that does not hold the GIL. Runs no Python code. */
typedef unsigned (*stack_python_hook)(struct stack_packed *out, unsigned max);
typedef void (*stack_write)(const char *line, size_t bytes, void *context);

/* To be called by who begins to save stacks, in a thread that holds no lock of the core: until
 * then there are no C frames. Cheap after the first time. */
void stack_start(void);
/* interpreter: an address in the interpreter's code. Its module's frames, and all further out,
 * are left out of stacks that have Python frames. */
void stack_set_python_hook(stack_python_hook hook, uintptr_t interpreter);
/* A frame of Python for the hook to write: copies of both names, and a line, which is not 0. */
struct stack_packed stack_pack_python(const char *file, const char *function, uint32_t line);

/* The number of the stack of this call; 0 without memory, or if there is no frame to keep.
 * pre: the thread holds no lock of the core */
uint32_t stack_save(void);
/* The frames of a stack, the innermost first; how many were written. 0 for number 0. */
unsigned stack_frames(uint32_t id, struct stack_frame *out, unsigned max);
/* One line without its end: "file:line in function", or "symbol+offset (module+offset)". Returns
 * its length. */
size_t stack_line(const struct stack_frame *frame, char text[STACK_LINE_BYTES]);
/* Gives write a line for each frame, indented by four spaces and ended. */
void stack_print(uint32_t id, stack_write write, void *context);
/* The same with the names of functions that are not exported, too, which takes longer: a report of
 * one error is worth it. */
void stack_print_named(uint32_t id, stack_write write, void *context);
/* The same in a signal handler: by system calls only. One thread at a time. */
void stack_print_plainly(uint32_t id, stack_write write, void *context);

#endif

/* args.h - from Python arguments to sizes, orders, alignments and gfp masks.
 *
 * What it is: conversions, each with its documented exception. Every one may run Python code (an
 * __index__ method), which may free what the caller looks at: convert first, look afterwards.
 */
#ifndef PYTHON_ARGS_H
#define PYTHON_ARGS_H

#include "python/arena/arena_object.h"

/* An int, or a string such as "64MiB". Raises TypeError, ValueError, and OutOfMemoryError for a
 * size that no arena can have: -1 with an exception set. what: the argument's name. */
Py_ssize_t arg_size(ArenaObject *arena, PyObject *arg, const char *what);
/* The same, an int only. */
Py_ssize_t arg_count(ArenaObject *arena, PyObject *arg, const char *what);
/* 0 to the arena's max_order. Raises TypeError, ValueError: -1 with an exception set. */
int arg_order(ArenaObject *arena, PyObject *arg);

/* 0 or a power of two. Raises TypeError, ValueError: false with an exception set. */
bool arg_align(PyObject *arg, size_t *align);

/* A gfp mask. Raises TypeError, ValueError: false with an exception set. */
bool arg_gfp(PyObject *arg, uint32_t *gfp);
/* Allows GFP.NOFAIL for requests that may wait and are small. Else ValueError, and false. */
bool arg_nofail(uint32_t gfp, size_t nbytes);
/* Refuses GFP.NOFAIL, for functions that never wait: false with ValueError set. */
bool arg_no_nofail(const char *function, uint32_t gfp);
/* Drops the zones that a call which returns an address cannot use, with a RuntimeWarning,
 * as the kernel does. False if the program has made that warning an exception. */
bool arg_drop_highmem(const char *function, uint32_t *gfp);

/* The objects of a sequence or iterable as a tuple or list that nobody else changes: a new
 * reference, for the PySequence_Fast_... macros; NULL with TypeError set, of this text. */
PyObject *arg_sequence(PyObject *arg, const char *message);

struct alloc_options {
    size_t align; /* 0: not given */
    uint32_t gfp;
};

/* Reads the keywords align (if allowed) and gfp; checks that exactly nr_positional
 * positional arguments came. False with an exception set. */
bool arg_options(const char *function, Py_ssize_t nargs, Py_ssize_t nr_positional,
                 PyObject *const *args, PyObject *kwnames, bool align_allowed,
                 struct alloc_options *out);

#endif

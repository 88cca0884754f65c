/* buffer_object.h - the struct of all Buffers.
 *
 * What it is: what a Buffer remembers, for who makes and keeps the objects (buffer_freelist.h) and
 * for who works with their memory.
 * What it is not: what can be done with a Buffer, its lifetime and its lock (buffer.h).
 */
#ifndef PYTHON_BUFFER_OBJECT_H
#define PYTHON_BUFFER_OBJECT_H

#include "python/arena/arena_object.h"

enum buffer_mark {
    BUFFER_HIDDEN = 1,    /* memory that krealloc left: in the arena's nr_live, in no other count */
    BUFFER_TRACED = 2,    /* tracemalloc, or the profile, may know of it */
    BUFFER_RELEASED = 4,  /* its object is released (debug_release in slab/debug.h) */
    BUFFER_READ_ONLY = 8, /* its bytes are not to be written to */
};

typedef struct buffer_object {
    PyObject_HEAD
    void *p;                      /* the memory; NULL once it has gone back */
    Py_ssize_t nbytes;            /* as asked for */
    ArenaObject *arena;           /* held: see arena_hold() */
    PyObject *keep;               /* owned: what the kind needs to live as long, or NULL */
    PyObject *weakrefs;           /* list of weak references */
    Py_ssize_t exports;           /* buffer views alive */
    const struct buffer_ops *ops; /* of its kind */
    bool released;                /* kfree was called: no access any more */
    bool ever_exported;           /* somebody may know the address */
    uint8_t marks;                /* of enum buffer_mark; hardly ever any */
    uint32_t place;               /* for the kind: a number that tells where it belongs */
} BufferObject;

#endif

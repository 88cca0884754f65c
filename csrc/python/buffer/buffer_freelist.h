/* buffer_freelist.h - dead Buffer objects, kept to be used again.
 *
 * What it is: making and dropping a Buffer calls Python's allocator only where the list has none,
 * or no room. A dead Buffer keeps its reference to the type.
 * What it is not: the memory of a Buffer, which has gone back before (buffer.c).
 *
 * Data structure: with a GIL an array of pointers. Without one a list for each thread, linked by
 * `p` (struct python_thread in arena/arena_tally.h). A thread that ends leaves its list to another
 * that drops its first Buffer, or finds its own list empty: one list for each, so that there are
 * never more of them than threads at the same time. Until a thread's end is watched there is no
 * room in its list: max_free_buffers is 0.
 * Invariant: while tracemalloc or a profile is on, nothing is taken. Then all Buffers are made by
 * buffer_object_new(), for who tells of them. With a GIL the list is emptied and shut when tracing
 * changes, so that the fast way does not look; a profile takes note of few Buffers, so that
 * buffer_object_new() goes on with the list under another count. Without one a look at trace_on
 * stands for that.
 * Lock: the GIL; without one none, as a thread has its own, but for a mutex of the lists that ended
 * threads have left (`left` in buffer_freelist.c).
 */
#ifndef PYTHON_BUFFER_FREELIST_H
#define PYTHON_BUFFER_FREELIST_H

#include "python/buffer/buffer_object.h"
#include "python/tracing/tracing.h"

#ifndef Py_GIL_DISABLED

#define MAX_FREE_BUFFERS 1024u
/* A count of free Buffers that means: none to take. Read as unsigned it is above the maximum,
 * so it means no room as well. */
#define NO_FREELIST (-1)

struct buffer_freelist {
    int nr;      /* of dead Buffers; NO_FREELIST while anything is traced */
    int nr_kept; /* the same while a profile alone is on; NO_FREELIST otherwise */
    BufferObject *dead[MAX_FREE_BUFFERS];
};
extern __attribute__((visibility("hidden"))) struct buffer_freelist buffer_freelist;

#else

#define MAX_FREE_BUFFERS 256u
/* No room for the dead Buffer: the thread's list is full, or this is the first that it drops. */
void buffer_object_free_slow(BufferObject *self);
/* In a forked child: a thread that is not there may have been about to leave its list. */
void buffer_freelist_fork_child(void);

#endif

/* Lets tracing.h tell whether dead Buffers may be used without a look at what is traced. */
void buffers_watch_tracing(void);

/* A Buffer object for who tells what is traced of it; NULL with MemoryError set. */
BufferObject *buffer_object_new(void);

/* A dead Buffer has one reference again. */
static always_inline BufferObject *buffer_object_revive(BufferObject *self)
{
#if defined(Py_REF_DEBUG)
    _Py_NewReference((PyObject *)self);
#elif defined(Py_GIL_DISABLED)
    self->ob_base.ob_tid = _Py_ThreadId();
    self->ob_base.ob_ref_local = 1;
    self->ob_base.ob_ref_shared = 0;
#else
    Py_SET_REFCNT((PyObject *)self, 1);
#endif
    return self;
}

/* A dead Buffer to use again; NULL: there is none. */
static always_inline BufferObject *buffer_object_take(void)
{
#ifndef Py_GIL_DISABLED
    if (likely(buffer_freelist.nr > 0))
        return buffer_object_revive(buffer_freelist.dead[--buffer_freelist.nr]);
#else
    if (likely(python_thread.free_buffers != NULL && !trace_is_on())) {
        BufferObject *self = python_thread.free_buffers;

        python_thread.free_buffers = self->p;
        python_thread.nr_free_buffers--;
        return buffer_object_revive(self);
    }
#endif
    return NULL;
}

/* Gives the object back to Python. */
static always_inline void buffer_object_end(BufferObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_Free(self);
    Py_DECREF(type);
}

#ifdef Py_GIL_DISABLED
static always_inline void free_buffers_push(BufferObject *self)
{
    self->p = python_thread.free_buffers;
    python_thread.free_buffers = self;
    python_thread.nr_free_buffers++;
}
#endif

/* The object itself is not needed any more; its memory has gone back. */
static always_inline void buffer_object_free(BufferObject *self)
{
#ifndef Py_GIL_DISABLED
    if (likely((unsigned)buffer_freelist.nr < MAX_FREE_BUFFERS)) {
        buffer_freelist.dead[buffer_freelist.nr++] = self;
        return;
    }
    if ((unsigned)buffer_freelist.nr_kept < MAX_FREE_BUFFERS) {
        buffer_freelist.dead[buffer_freelist.nr_kept++] = self;
        return;
    }
    buffer_object_end(self);
#else
    if (likely(python_thread.nr_free_buffers < python_thread.max_free_buffers))
        free_buffers_push(self);
    else
        buffer_object_free_slow(self);
#endif
}

#endif

/* window.h - what window_type.c and window_view.c share.
 *
 * A Window knows its arena, and the arena all its windows. A user's Window owns a
 * reference; those that the arena made for itself do not, and are told when it goes.
 * Local windows (kmap_local) belong to one thread: their views end youngest first.
 * Each function here is one step under the GIL.
 */
#ifndef PYTHON_WINDOW_H
#define PYTHON_WINDOW_H

#include "python/pytypes.h"

#include "vm/pkmap.h"

#include <unistd.h>

#define LOCAL_DEPTH 16u /* views in a local window; KM_MAX_IDX */

/* A thread in _wait(), on its stack. */
struct waiter {
    struct waiter *next;
    PyThread_type_lock lock; /* taken; whoever wakes the thread releases it */
    bool woken;
};

typedef struct window_object {
    PyObject_HEAD
    ArenaObject *arena;         /* NULL once it has gone, or before _open() */
    struct window_object *next; /* list of the arena's windows */
    struct window_object *prev;
    struct waiter *waiters;           /* threads that wait for a slot */
    pid_t waiters_pid;                /* their process: a forked child has only copies of them */
    struct pkmap pkmap;               /* counts NULL: before _open() */
    uint32_t max_mapped;              /* slots with a count of 1 or more at once; 1 .. nr_slots */
    bool owns_arena;                  /* the reference to it */
    bool closed;                      /* takes no kmap any more */
    bool local;                       /* for one thread, last in first out */
    unsigned depth;                   /* views on the stack */
    unsigned long thread;             /* of a local window */
    BufferObject *stack[LOCAL_DEPTH]; /* borrowed; the youngest is last */
} WindowObject;

static inline WindowObject *window_of(PyObject *op)
{
    return (WindowObject *)op;
}

static inline struct page_alloc *pages_of(const WindowObject *self)
{
    return &self->arena->core->pages;
}

/* What a kmap is about. */
struct kmap_args {
    PageObject *page;
    Py_ssize_t index;  /* of the frame in it */
    PyObject *timeout; /* None, or a number of seconds that may be waited; borrowed */
};

/* The part of an aligned run of frames that belongs to the page. */
struct place {
    uint32_t run;
    uint32_t first; /* frame */
    uint32_t nr;    /* frames */
};

/* The page and its frame exist, and the arena takes requests for it. */
bool kmap_is_possible(ArenaObject *arena, const struct kmap_args *args);
/* False with an exception set: closed, or too many local views. */
bool window_takes_more(const WindowObject *self);
/* False with ArenaClosedError set. */
bool window_has_arena(const WindowObject *self);
struct place window_place(const WindowObject *self, const struct kmap_args *args);
/* pre: all of the above, the slot shows the place's run. */
PyObject *window_view(WindowObject *self, const struct kmap_args *args, const struct place *place,
                      uint32_t slot);
/* pre: closed. What nobody uses goes, and the addresses with the last view. A slot that
 * the system will not unmap alone goes with them. */
void window_shrink(WindowObject *self);
/* Every thread that waits looks again. */
void window_wake(WindowObject *self);

PyObject *window_kmap(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *window_kunmap(PyObject *op, PyObject *view);

#endif

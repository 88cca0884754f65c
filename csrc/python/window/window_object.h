/* window_object.h - a Window as its neighbours see it: addresses at which high frames are shown,
 * a slot each, and its life.
 *
 * What it is not: its views (window_view.c), kmap() and kunmap() (window_kmap.c), what the policy
 * in Python calls (window_policy.c), and the type (window_type.c).
 *
 * Lifetime. A Window knows its arena, and the arena all its windows. A user's Window owns a
 * reference to the arena; those that the arena made for itself do not, and are told when it goes.
 * Local windows (kmap_local) belong to one thread: their views end youngest first.
 * Lock: the GIL, or the arena (arena_guard.h). Each function here is one step under it: no Python
 * code runs in between.
 */
#ifndef PYTHON_WINDOW_OBJECT_H
#define PYTHON_WINDOW_OBJECT_H

#include "python/buffer/buffer.h"

#include "vm/pkmap.h"

#include <unistd.h>

#define LOCAL_DEPTH 16u /* views in a local window at once; the kernel's KM_MAX_IDX */

/* A thread in _wait(), on its stack. */
struct waiter {
    struct waiter *next;
    PyThread_type_lock lock; /* taken; whoever wakes the thread releases it */
    bool woken;
};

typedef struct window_object {
    PyObject_HEAD
    ArenaObject *arena;               /* NULL once it has gone, or before _open() */
    struct window_object *next;       /* list of the arena's windows */
    struct window_object *prev;       /* list of the arena's windows */
    struct waiter *waiters;           /* threads that wait for a slot */
    pid_t waiters_pid;                /* their process: a forked child has only copies of them */
    struct pkmap pkmap;               /* the slots; its counts are NULL before _open() */
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

static inline struct page_alloc *window_frames(const WindowObject *self)
{
    return &self->arena->core->pages;
}

/* Its Arena, a new reference, or NULL. For GUARD(). */
ArenaObject *window_owner(PyObject *op);

/* False with an exception set: closed, or too many local views. */
bool window_takes_more_slow(const WindowObject *self);

static always_inline bool window_takes_more(const WindowObject *self)
{
    return likely(!self->closed && (!self->local || self->depth < LOCAL_DEPTH)) ||
           window_takes_more_slow(self);
}

/* False with ArenaClosedError set if its arena is gone, or was never there. */
bool window_has_arena(const WindowObject *self);
/* Wakes every thread that waits for a slot: each looks again. */
void window_wake(WindowObject *self);
/* Makes slots that nobody uses inaccessible, and gives the addresses up if all are such. A slot
 * that the system will not unmap alone goes with them. pre: closed */
void window_shrink(WindowObject *self);
/* Ends kmap; live views stay valid. Again: nothing. */
void window_end(WindowObject *self);
/* The arena and the window forget each other; the window ends. */
void window_detach(WindowObject *self);

/* Where the arena's own window shows the frame to somebody; NULL. */
void *window_address(const ArenaObject *arena, uint32_t pfn);
/* window_end() of all windows, and window_detach() when the arena itself goes. */
void windows_close(ArenaObject *arena);
void windows_orphan(ArenaObject *arena);
/* A list of them; NULL with MemoryError set. */
PyObject *windows_list(const ArenaObject *arena);
/* Recounts the slots of all. */
bool windows_check(const ArenaObject *arena, struct finding *finding);

#endif

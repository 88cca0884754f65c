/* window_object.c - the life of a Window, and the arena's list of its windows. */
#include "python/window/window_object.h"

#include "python/call/gil.h"

/* --- state --------------------------------------------------------------- */

bool window_takes_more_slow(const WindowObject *self)
{
    if (unlikely(self->closed)) {
        PyErr_SetString(PyExc_ValueError, "operation on a closed Window");
        return false;
    }
    if (likely(!self->local || self->depth < LOCAL_DEPTH))
        return true;
    PyErr_Format(objects.window_exhausted,
                 "this thread has %u local views; hint: end some, or use kmap()", LOCAL_DEPTH);
    return false;
}

bool window_has_arena(const WindowObject *self)
{
    if (likely(self->arena != NULL))
        return true;
    PyErr_SetString(objects.closed, self->closed && self->pkmap.counts == NULL
                                        ? "the Window was never initialised"
                                        : "the arena of the Window is gone");
    return false;
}

void window_wake(WindowObject *self)
{
    gil_assert_held();
    /* In a forked child the threads that waited are not there. */
    if (self->waiters != NULL && self->waiters_pid != getpid())
        self->waiters = NULL;
    while (self->waiters != NULL) {
        struct waiter *waiter = self->waiters;

        self->waiters = waiter->next;
        waiter->woken = true;
        PyThread_release_lock(waiter->lock);
    }
}

void *window_address(const ArenaObject *arena, uint32_t pfn)
{
    const WindowObject *self = arena->window;
    uint32_t slot = self == NULL ? PKMAP_NONE : pkmap_find(&self->pkmap, pfn);

    if (slot == PKMAP_NONE || self->pkmap.counts[slot] < 2)
        return NULL;
    return remap_address(&self->pkmap.remap, slot);
}

/* --- the end ------------------------------------------------------------- */

void window_shrink(WindowObject *self)
{
    CHECK(self->closed);
    (void)pkmap_flush(&self->pkmap);
    if (self->pkmap.nr_in_use == 0)
        remap_destroy(&self->pkmap.remap);
}

void window_end(WindowObject *self)
{
    gil_assert_held();
    if (self->closed)
        return;
    self->closed = true;
    window_shrink(self);
    window_wake(self);
}

/* pre: its arena is there; the borrowed pointers are locked (unchecked: a lock without an owner) */
static void window_unlink(WindowObject *self)
{
    ArenaObject *arena = self->arena;

    CHECK(arena != NULL);
    window_end(self);
    if (self->next != NULL)
        self->next->prev = self->prev;
    if (self->prev != NULL)
        self->prev->next = self->next;
    else
        arena->windows = self->next;
    if (arena->window == self)
        arena->window = NULL;
    self->next = self->prev = NULL;
    self->arena = NULL;
}

void window_detach(WindowObject *self)
{
    ArenaObject *arena;

    borrowed_lock();
    arena = self->arena;
    if (arena != NULL)
        window_unlink(self);
    borrowed_unlock();
    if (arena != NULL && self->owns_arena)
        Py_DECREF(arena);
}

/* An arena on its way out has no use for the window any more. */
ArenaObject *window_owner(PyObject *op)
{
    WindowObject *self = window_of(op);
    ArenaObject *arena;

    borrowed_lock();
    arena = self->arena;
    if (arena != NULL && !try_incref((PyObject *)arena)) {
        window_unlink(self);
        arena = NULL;
    }
    borrowed_unlock();
    return arena;
}

/* --- all of an arena's --------------------------------------------------- */

void windows_close(ArenaObject *arena)
{
    for (WindowObject *w = arena->windows; w != NULL; w = w->next)
        window_end(w);
}

/* Another thread may be at the end of one of them: it waits for the lock before it frees it. */
void windows_orphan(ArenaObject *arena)
{
    borrowed_lock();
    while (arena->windows != NULL)
        window_unlink(arena->windows);
    borrowed_unlock();
}

bool windows_check(const ArenaObject *arena, struct finding *finding)
{
    for (const WindowObject *w = arena->windows; w != NULL; w = w->next)
        if (!pkmap_check(&w->pkmap, finding))
            return false;
    return true;
}

PyObject *windows_list(const ArenaObject *arena)
{
    PyObject *list = PyList_New(0);

    for (WindowObject *w = arena->windows; w != NULL && list != NULL; w = w->next) {
        if (!try_incref((PyObject *)w))
            continue;
        if (PyList_Append(list, (PyObject *)w) < 0)
            Py_CLEAR(list);
        Py_DECREF(w);
    }
    return list;
}

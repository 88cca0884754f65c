/* arena_object.c - whether an Arena can still be used, and the end of the core arena under it. */
#include "python/arena/arena_object.h"

#include "python/call/gil.h"

#ifdef Py_GIL_DISABLED
#include <sched.h>
#include <time.h>
#endif

struct arena_counts arena_counts(const ArenaObject *self)
{
#ifdef Py_GIL_DISABLED
    struct tally_change sum = tallies_sum(self->tallies);

    return (struct arena_counts){sum.count, sum.bytes, (uint64_t)sum.total};
#else
    return (struct arena_counts){self->current_count, self->current_bytes, self->total_count};
#endif
}

Py_ssize_t arena_nr_live(const ArenaObject *self)
{
#ifdef Py_GIL_DISABLED
    struct tally_change sum = tallies_sum(self->tallies);

    return sum.count + sum.pins;
#else
    return self->nr_live;
#endif
}

/* --- whether it can be used ---------------------------------------------- */

bool arena_is_open(const ArenaObject *arena)
{
    if (likely(!arena->closed))
        return true;
    PyErr_SetString(objects.closed, "the arena is closed: it takes no more allocations");
    return false;
}

bool arena_is_mapped(const ArenaObject *arena)
{
    if (likely(arena->core != NULL))
        return true;
    PyErr_SetString(objects.closed, "the arena is closed and its memory is unmapped");
    return false;
}

#ifndef Py_GIL_DISABLED
bool arena_counts_are_possible(const ArenaObject *self)
{
    return self->current_count >= 0 && self->current_bytes >= 0 &&
           self->nr_live >= self->current_count;
}
#endif

/* --- the end of the core arena ------------------------------------------- */

struct ending {
    ArenaObject *arena;
    struct pyslab_arena *core; /* what the caller lets go of, or NULL */
    uint32_t nr_refs;          /* so often */
};

/* Takes the core arena from the Arena if nothing lives in it. */
static void core_take(void *argument)
{
    struct ending *ending = argument;
    ArenaObject *arena = ending->arena;

    if (arena->nr_refs == 0 || arena_nr_live(arena) != 0)
        return;
    ending->core = arena->core;
    ending->nr_refs = arena->nr_refs;
    arena->core = NULL;
    arena->nr_refs = 0;
    arena->unmapped = true;
}

void arena_settle(ArenaObject *self)
{
    struct ending ending = {.arena = self};

    gil_assert_held();
    CHECK(self->closed);
    if (self->nr_refs == 0 || arena_nr_live(self) != 0)
        return;
    world_stopped(core_take, &ending);
    if (ending.core == NULL)
        return;
    if (self->on_oom != NULL) /* C code may go on using the arena */
        pyslab_arena_set_oom(ending.core, NULL, NULL);
    borrowed_lock();
    if (ending.core->object == self)
        ending.core->object = NULL;
    borrowed_unlock();
    while (ending.nr_refs-- > 0)
        pyslab_arena_put(ending.core);
}

static void mark_closed(void *arena)
{
    ((ArenaObject *)arena)->closed = true;
}

void arena_mark_closed(ArenaObject *self)
{
    world_stopped(mark_closed, self);
}

/* --- what a Buffer has of its Arena -------------------------------------- */

#ifdef Py_GIL_DISABLED
static bool is_held(const ArenaObject *self)
{
    return tallies_sum(self->tallies).held != 0;
}

static void orphan_if_held(void *argument)
{
    ArenaObject *self = argument;

    if (!is_held(self))
        return;
    self->orphan = true;
    self->keeps_itself = true;
    Py_INCREF(self);
}

void arena_finalize(PyObject *op)
{
    ArenaObject *self = (ArenaObject *)op;

    if (self->orphan || !is_held(self))
        return;
    world_stopped(orphan_if_held, self);
    try_incref_enable(op); /* its counts of references were made anew for this call */
}

slow_path void arena_hold_orphan(ArenaObject *arena)
{
    if (!atomic_exchange(&arena->keeps_itself, true))
        Py_INCREF(arena);
}

/* Takes away keeps_itself if there is nothing to keep it for. */
static void leave_if_free(void *argument)
{
    ArenaObject **arena = argument;

    if (is_held(*arena) || !atomic_exchange(&(*arena)->keeps_itself, false))
        *arena = NULL;
}

slow_path void arena_let_go_orphan(ArenaObject *arena)
{
    ArenaObject *left = arena;

    Py_INCREF(arena); /* it keeps itself still: there is the caller's Buffer */
    (void)tally_add(arena->tallies, 0, 0, 0, 0, -1);
    if (!is_held(arena)) {
        world_stopped(leave_if_free, &left);
        Py_XDECREF((PyObject *)left);
    }
    Py_DECREF(arena);
}

/* On a busy machine the other thread may not run for long: after some tries this one sleeps. The
 * maximum, some five seconds, is for what nobody has thought of. */
#define MAX_YIELDS 100
#define MAX_TRIES 5000

static void wait_a_little(int nr_tries)
{
    Py_BEGIN_ALLOW_THREADS
    if (nr_tries < MAX_YIELDS)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    Py_END_ALLOW_THREADS
}

PyObject *arena_ref(ArenaObject *arena)
{
    for (int i = 0; i < MAX_TRIES; i++) {
        if (load_acquire(&arena->orphan)) /* it keeps itself: there is the caller's Buffer */
            return Py_NewRef((PyObject *)arena);
        if (try_incref((PyObject *)arena))
            return (PyObject *)arena;
        wait_a_little(i); /* another thread is on its way into the finalizer */
    }
    PyErr_SetString(PyExc_ReferenceError, "the Arena of the Buffer is on its way out");
    return NULL;
}
#else
PyObject *arena_ref(ArenaObject *arena)
{
    return Py_NewRef((PyObject *)arena);
}
#endif

/* arena_object.h - the C base of pyslab.Arena as every other type sees it.
 *
 * What it is: the struct, the counts of what Python holds of the arena, and the end of the core
 * arena under it.
 * What it is not: the type and its methods (arena_type.c).
 *
 * Lifetime. A Buffer, Page or KmemCache owns a reference to its Arena. nr_live counts what needs
 * the arena's memory mapped: Buffers, Pages and NumPy arrays that own memory, open Regions and
 * usage blocks, and pins. A pin is taken around each call in which Python code may run while
 * memory is between two owners. The core arena is let go when the Arena is closed (or
 * unreachable) and nr_live is 0. A KmemCache or Mempool does not count: it looks at arena->core
 * before it touches its cache or pool.
 * Invariant: nr_live == Buffers with memory + Pages with references + arrays + open core regions
 * + open usage blocks + pins, and so nr_live >= current_count, which leaves out the last three
 * and the memory that krealloc left to hidden Buffers.
 * Lock: the GIL; without one the counts are kept by thread (arena_tally.h), where nr_live is count
 * + pins, and the rest is guarded (arena_guard.h) or borrowed (call/critical.h). The core arena is
 * taken away only while all other threads are stopped, which happens where a GIL would be let go.
 */
#ifndef PYTHON_ARENA_OBJECT_H
#define PYTHON_ARENA_OBJECT_H

#include "python/arena/arena_tally.h"
#include "python/call/critical.h"

#include "arena/arena.h"
#include "base/atomic.h"

/* Where the data of arrays is that is not in the arena's mapping (numpy/outside_block.h). */
enum outside_source { OUTSIDE_VMALLOC, OUTSIDE_NUMPY, NR_OUTSIDE };

typedef struct {
    PyObject_HEAD
    struct pyslab_arena *core; /* NULL once unmapped */
    uint32_t nr_refs;          /* of this object's own to core: 1; 2 if Python made it */
#ifdef Py_GIL_DISABLED
    struct arena_tally *tallies; /* the counts, by thread */
    shared_bool orphan;          /* no reference from outside: see arena_ref() */
    shared_bool keeps_itself;    /* it owns a reference to itself, for the sake of Buffers */
#else
    Py_ssize_t nr_live;       /* see above */
    Py_ssize_t current_count; /* Buffers, Pages and arrays with memory */
    Py_ssize_t current_bytes; /* their nbytes; of arrays the usable bytes */
    uint64_t total_count;     /* all of them ever made */
#endif
    shared_bool closed;            /* allocation has ended */
    shared_bool told_lost_file;    /* see arena_file.h */
    shared_bool unmapped;          /* core is NULL for ever */
    PyObject *on_oom;              /* callable or NULL; borrowed from the attribute _on_oom */
    struct window_object *windows; /* list of all its remap windows; borrowed */
    struct window_object *window;  /* the one kmap() uses, or NULL; borrowed likewise */
    PyObject *numpy_handler[2];    /* its capsules for NumPy while there are any; borrowed. [1] is
                                      the one with fallback="numpy" */
    shared_u64 nr_outside[NR_OUTSIDE];    /* arrays alive whose data is elsewhere */
    shared_u64 outside_bytes[NR_OUTSIDE]; /* their usable bytes */
    shared_u64 total_fallbacks;           /* blocks ever taken from NumPy's own functions */
} ArenaObject;

/* False with ArenaClosedError set if the arena takes no allocations. */
bool arena_is_open(const ArenaObject *arena);
/* False with ArenaClosedError set if its memory has been unmapped, which is after it was closed
 * and the last Buffer went. */
bool arena_is_mapped(const ArenaObject *arena);
/* Lets go of the core arena if nothing lives in it. pre: closed */
void arena_settle(ArenaObject *self);
/* From now on it takes no allocations, and no thread is in the middle of one that began before. */
void arena_mark_closed(ArenaObject *self);
#ifndef Py_GIL_DISABLED
/* True if the counts can be right: the invariant above, as far as it can be seen from here. */
bool arena_counts_are_possible(const ArenaObject *self);
#endif

/* The Arena over a core arena, a new reference; NULL: there is none, or it is on its way out. */
static inline ArenaObject *arena_object_get(const struct pyslab_arena *core)
{
    ArenaObject *arena;

    borrowed_lock();
    arena = core->object;
    if (arena != NULL && !try_incref((PyObject *)arena))
        arena = NULL;
    borrowed_unlock();
    return arena;
}

/* A pin keeps the core arena while Python code may run in the middle of a call. */
static inline void arena_pin(ArenaObject *arena)
{
#ifdef Py_GIL_DISABLED
    (void)tally_add(arena->tallies, 0, 0, 0, 1, 0);
#else
    arena->nr_live++;
#endif
}

/* Ends a pin in the middle of a call that goes on to use the core arena, and looks at closed
 * itself, or leaves a Buffer there. */
static inline void arena_unpin_keeping(ArenaObject *arena)
{
#ifdef Py_GIL_DISABLED
    (void)tally_add(arena->tallies, 0, 0, 0, -1, 0);
#else
    CHECK(arena->nr_live != 0);
    arena->nr_live--;
#endif
}

/* Ends a pin, and the core arena if it was closed meanwhile and nothing else lives in it. */
static inline void arena_unpin(ArenaObject *arena)
{
#ifdef Py_GIL_DISABLED
    arena_unpin_keeping(arena);
    if (unlikely(arena->closed))
        arena_settle(arena);
#else
    CHECK(arena->nr_live != 0);
    if (--arena->nr_live == 0 && arena->closed)
        arena_settle(arena);
#endif
}

/* The same in calls that have the GIL all the time: there nothing can end the core arena. */
static always_inline void arena_pin_without_gil(ArenaObject *arena)
{
#ifdef Py_GIL_DISABLED
    arena_pin(arena);
#else
    (void)arena;
#endif
}

static always_inline void arena_unpin_without_gil(ArenaObject *arena)
{
#ifdef Py_GIL_DISABLED
    arena_unpin(arena);
#else
    (void)arena;
#endif
}

/* The core gives surplus memory back when one of its slow paths finds that an interval is over. A
 * program may never come to one, if its thread's caches serve all that it asks for. So one in so
 * many new Buffers, Pages and arrays looks at the clock. */
#define ARENA_LOOK_EVERY 64u

/* The three counts as they are now. */
struct arena_counts {
    Py_ssize_t count;
    Py_ssize_t bytes;
    uint64_t total;
};
struct arena_counts arena_counts(const ArenaObject *self);
/* How much needs the core arena mapped; without a GIL as it is seen from here. */
Py_ssize_t arena_nr_live(const ArenaObject *self);

/* A Heap (share/heap_object.h) begins as an Arena does, and has no core arena. */
static inline void arena_look_at_clock(const ArenaObject *arena)
{
    if (arena->core != NULL)
        arena_look(arena->core);
}

/* A Buffer, Page or array of nbytes has been made. A pin of the caller's becomes its count in
 * nr_live. */
static always_inline void arena_count_held(ArenaObject *arena, Py_ssize_t nbytes)
{
#ifdef Py_GIL_DISABLED
    uint64_t total = (uint64_t)tally_add(arena->tallies, 1, nbytes, 1, -1, 0);
#else
    uint64_t total = ++arena->total_count;

    arena->current_count++;
    arena->current_bytes += nbytes;
#endif
    if (unlikely(total % ARENA_LOOK_EVERY == 0))
        arena_look_at_clock(arena);
}

/* A Buffer, Page or array of nbytes has been made. */
static always_inline void arena_count_new(ArenaObject *arena, Py_ssize_t nbytes)
{
#ifdef Py_GIL_DISABLED
    uint64_t total = (uint64_t)tally_add(arena->tallies, 1, nbytes, 1, 0, 0);

    if (unlikely(total % ARENA_LOOK_EVERY == 0))
        arena_look_at_clock(arena);
#else
    arena->nr_live++;
    arena_count_held(arena, nbytes);
#endif
}

/* Its memory has gone back, perhaps as the last in a closed arena. */
static always_inline void arena_count_gone(ArenaObject *arena, Py_ssize_t nbytes)
{
#ifdef Py_GIL_DISABLED
    (void)tally_add(arena->tallies, -1, -nbytes, 0, 0, 0);
    if (unlikely(arena->closed))
        arena_settle(arena);
#else
    arena->current_count--;
    arena->current_bytes -= nbytes;
    CHECK(arena_counts_are_possible(arena));
    arena_unpin(arena);
#endif
}

/* What is counted has so many bytes more. */
static inline void arena_count_bytes(ArenaObject *arena, Py_ssize_t nbytes)
{
#ifdef Py_GIL_DISABLED
    (void)tally_add(arena->tallies, 0, nbytes, 0, 0, 0);
#else
    arena->current_bytes += nbytes;
#endif
}

/* What has been counted as new stays in nr_live, and is in no other count any more (sign -1); or
 * is in current_count again (sign 1). */
static inline void arena_count_hidden(ArenaObject *arena, int sign)
{
    int total = sign < 0 ? -1 : 0;

#ifdef Py_GIL_DISABLED
    (void)tally_add(arena->tallies, sign, 0, total, -sign, 0);
#else
    arena->current_count += sign;
    arena->total_count += (uint64_t)total;
#endif
}

/* --- what a Buffer has of its Arena -------------------------------------- */

/* With a GIL a Buffer owns a reference to its Arena. Without one, only Buffers of a kind that is
 * in_arena do. Others are counted in `held`, by thread, because all threads would write to one
 * count of references. While there are such Buffers, the Arena must not go:
 * - Its finalizer looks for them when its last reference goes. If there are some it stops all
 *   threads, looks again, and takes a reference to itself: keeps_itself. It is an orphan then.
 * - Who lets go of an orphan looks whether any are left, and if not, drops that reference.
 * - A finalizer runs once for an object, so an orphan stays one: who makes a Buffer in it sees to
 *   it that it keeps itself.
 * A thread that makes or drops a Buffer cannot be stopped in the middle of it. */
#ifdef Py_GIL_DISABLED
void arena_hold_orphan(ArenaObject *arena);
void arena_let_go_orphan(ArenaObject *arena);
void arena_finalize(PyObject *op);
#endif

static always_inline void arena_hold(ArenaObject *arena, bool by_reference)
{
#ifdef Py_GIL_DISABLED
    if (!by_reference) {
        (void)tally_add(arena->tallies, 0, 0, 0, 0, 1);
        if (unlikely(load_relaxed(&arena->orphan)))
            arena_hold_orphan(arena);
        return;
    }
#endif
    (void)by_reference;
    Py_INCREF(arena);
}

static always_inline void arena_let_go(ArenaObject *arena, bool by_reference)
{
#ifdef Py_GIL_DISABLED
    if (!by_reference) {
        /* Looked at before: afterwards the Arena may be gone. */
        if (unlikely(load_relaxed(&arena->orphan)))
            arena_let_go_orphan(arena);
        else
            (void)tally_add(arena->tallies, 0, 0, 0, 0, -1);
        return;
    }
#endif
    (void)by_reference;
    Py_DECREF(arena);
}

/* A Buffer of nbytes has been made: arena_hold() and arena_count_new() in one. */
static always_inline void arena_hold_new(ArenaObject *arena, bool by_reference, Py_ssize_t nbytes)
{
#ifdef Py_GIL_DISABLED
    if (!by_reference) {
        uint64_t total = (uint64_t)tally_add(arena->tallies, 1, nbytes, 1, 0, 1);

        if (unlikely(load_relaxed(&arena->orphan)))
            arena_hold_orphan(arena);
        if (unlikely(total % ARENA_LOOK_EVERY == 0))
            arena_look_at_clock(arena);
        return;
    }
#endif
    arena_hold(arena, by_reference);
    arena_count_new(arena, nbytes);
}

/* A new reference, for who has a Buffer of the arena and perhaps no reference. NULL with
 * ReferenceError set: its finalizer did not come to its end. */
PyObject *arena_ref(ArenaObject *arena);

#endif

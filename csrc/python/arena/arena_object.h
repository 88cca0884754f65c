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
 * Lock: the GIL; without one nr_live and the counts are atomic, and the rest is guarded
 * (arena_guard.h) or borrowed (call/critical.h).
 */
#ifndef PYTHON_ARENA_OBJECT_H
#define PYTHON_ARENA_OBJECT_H

#include "python/call/critical.h"

#include "arena/arena.h"
#include "base/atomic.h"

#ifdef Py_GIL_DISABLED
#define NR_TALLIES 64u

/* What one thread has added to the counts of an arena, below zero too: Buffers that others made it
 * may drop. A thread has a number of its own below NR_TALLIES while it lives, and adds here without
 * an atomic exchange; threads beyond that add to the fields of ArenaObject itself. */
struct arena_tally {
    _Alignas(64) _Atomic(Py_ssize_t) count;
    _Atomic(Py_ssize_t) bytes;
    _Atomic(uint64_t) total;
};

/* The thread's number; 0: not yet asked for; TALLY_NONE: there was none left. */
extern _Thread_local unsigned tally_number
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
#define TALLY_NONE NR_TALLIES
/* Asks for one; the same as tally_number then. */
unsigned tally_number_take(void);
#endif

/* Where the data of arrays is that is not in the arena's mapping (numpy/outside_block.h). */
enum outside_source { OUTSIDE_VMALLOC, OUTSIDE_NUMPY, NR_OUTSIDE };

typedef struct {
    PyObject_HEAD
    struct pyslab_arena *core;     /* NULL once unmapped */
    uint32_t nr_refs;              /* of this object's own to core: 1; 2 if Python made it */
    shared_ssize nr_live;          /* see above */
    shared_ssize current_count;    /* Buffers, Pages and arrays with memory */
    shared_ssize current_bytes;    /* their nbytes; of arrays the usable bytes */
    shared_u64 total_count;        /* all of them ever made */
    shared_bool closed;            /* allocation has ended */
    shared_bool told_lost_file;    /* see arena_file.h */
    shared_bool unmapped;          /* core is NULL for ever; without a GIL alone */
    PyObject *on_oom;              /* callable or NULL; borrowed from the attribute _on_oom */
    struct window_object *windows; /* list of all its remap windows; borrowed */
    struct window_object *window;  /* the one kmap() uses, or NULL; borrowed likewise */
    PyObject *numpy_handler[2];    /* its capsules for NumPy while there are any; borrowed. [1] is
                                      the one with fallback="numpy" */
    shared_u64 nr_outside[NR_OUTSIDE];    /* arrays alive whose data is elsewhere */
    shared_u64 outside_bytes[NR_OUTSIDE]; /* their usable bytes */
    shared_u64 total_fallbacks;           /* blocks ever taken from NumPy's own functions */
#ifdef Py_GIL_DISABLED
    struct arena_tally *tallies; /* NR_TALLIES of them: see there */
#endif
} ArenaObject;

/* False with ArenaClosedError set if the arena takes no allocations. */
bool arena_is_open(const ArenaObject *arena);
/* False with ArenaClosedError set if its memory has been unmapped, which is after it was closed
 * and the last Buffer went. */
bool arena_is_mapped(const ArenaObject *arena);
/* Lets go of the core arena if nothing lives in it. pre: closed */
void arena_settle(ArenaObject *self);
#ifdef Py_GIL_DISABLED
/* A negative nr_live says that some thread is letting go of the core arena: waits until core is
 * NULL, which takes a few instructions. */
void arena_wait_unmapped(const ArenaObject *self);
#endif
/* True if the counts can be right: the invariant above, as far as it can be seen from here. */
bool arena_counts_are_possible(const ArenaObject *self);

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
    if (unlikely(arena->nr_live++ < 0))
        arena_wait_unmapped(arena);
#else
    arena->nr_live++;
#endif
}

/* Ends a pin in the middle of a call that goes on to use the core arena, and looks at closed
 * itself, or leaves a Buffer there. */
static inline void arena_unpin_keeping(ArenaObject *arena)
{
    CHECK(arena->nr_live != 0);
    arena->nr_live--;
}

/* Ends a pin, and the core arena if it was closed meanwhile and nothing else lives in it. */
static inline void arena_unpin(ArenaObject *arena)
{
    CHECK(arena->nr_live != 0);
    if (--arena->nr_live == 0 && arena->closed)
        arena_settle(arena);
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

/* The three counts as they are now: what the fields say, and without a GIL the tallies too. */
struct arena_counts {
    Py_ssize_t count;
    Py_ssize_t bytes;
    uint64_t total;
};
struct arena_counts arena_counts(const ArenaObject *self);

/* A Heap begins as an Arena does, and has no core arena. */
static inline void arena_look_at_clock(const ArenaObject *arena)
{
    if (arena->core != NULL)
        arena_look(arena->core);
}

/* The threads' own counts: nothing with a GIL. False with MemoryError set. */
bool arena_tallies_make(ArenaObject *self);
void arena_tallies_free(ArenaObject *self);

/* Counts one more in total_count. */
static inline void arena_count_made(ArenaObject *arena)
{
    if (unlikely(++arena->total_count % ARENA_LOOK_EVERY == 0))
        arena_look_at_clock(arena);
}

#ifdef Py_GIL_DISABLED
/* This thread's tally of the arena, or NULL. */
static always_inline struct arena_tally *arena_tally(const ArenaObject *arena)
{
    unsigned number = tally_number;

    if (unlikely(number == 0))
        number = tally_number_take();
    return likely(number != TALLY_NONE) ? &arena->tallies[number] : NULL;
}
#endif

/* A Buffer, Page or array of nbytes has been made, which nr_live counts already. */
static always_inline void arena_count_held(ArenaObject *arena, Py_ssize_t nbytes)
{
#ifdef Py_GIL_DISABLED
    struct arena_tally *tally = arena_tally(arena);

    if (likely(tally != NULL)) {
        add_owner(&tally->count, 1);
        add_owner(&tally->bytes, nbytes);
        add_owner(&tally->total, 1);
        if (unlikely(load_relaxed(&tally->total) % ARENA_LOOK_EVERY == 0))
            arena_look_at_clock(arena);
        return;
    }
#endif
    arena->current_count++;
    arena->current_bytes += nbytes;
    arena_count_made(arena);
}

/* A Buffer, Page or array of nbytes has been made. */
static inline void arena_count_new(ArenaObject *arena, Py_ssize_t nbytes)
{
    arena->nr_live++;
    arena_count_held(arena, nbytes);
}

/* Its memory has gone back, perhaps as the last in a closed arena. */
static inline void arena_count_gone(ArenaObject *arena, Py_ssize_t nbytes)
{
#ifdef Py_GIL_DISABLED
    struct arena_tally *tally = arena_tally(arena);

    if (likely(tally != NULL)) {
        add_owner(&tally->count, -1);
        add_owner(&tally->bytes, -nbytes);
        arena_unpin(arena);
        return;
    }
#endif
    arena->current_count--;
    arena->current_bytes -= nbytes;
    CHECK(arena_counts_are_possible(arena));
    arena_unpin(arena);
}

#endif

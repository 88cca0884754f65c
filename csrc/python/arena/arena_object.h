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
 * Lock: the GIL.
 */
#ifndef PYTHON_ARENA_OBJECT_H
#define PYTHON_ARENA_OBJECT_H

#include "python/module/objects.h"

#include "arena/arena.h"

/* Where the data of arrays is that is not in the arena's mapping (numpy/outside_block.h). */
enum outside_source { OUTSIDE_VMALLOC, OUTSIDE_NUMPY, NR_OUTSIDE };

typedef struct {
    PyObject_HEAD
    struct pyslab_arena *core;       /* NULL once unmapped */
    uint32_t nr_refs;                /* of this object's own to core: 1; 2 if Python made it */
    Py_ssize_t nr_live;              /* see above */
    Py_ssize_t current_count;        /* Buffers, Pages and arrays with memory */
    Py_ssize_t current_bytes;        /* their nbytes; of arrays the usable bytes */
    uint64_t total_count;            /* all of them ever made */
    bool closed;                     /* allocation has ended */
    bool told_lost_file;             /* see arena_file.h */
    PyObject *on_oom;                /* callable or NULL; borrowed from the attribute _on_oom */
    struct window_object *windows;   /* list of all its remap windows; borrowed */
    struct window_object *window;    /* the one kmap() uses, or NULL; borrowed likewise */
    PyObject *numpy_handler[2];      /* its capsules for NumPy while there are any; borrowed. [1] is
                                      the one with fallback="numpy" */
    uint64_t nr_outside[NR_OUTSIDE]; /* arrays alive whose data is elsewhere */
    uint64_t outside_bytes[NR_OUTSIDE]; /* their usable bytes */
    uint64_t total_fallbacks;           /* blocks ever taken from NumPy's own functions */
} ArenaObject;

/* False with ArenaClosedError set if the arena takes no allocations. */
bool arena_is_open(const ArenaObject *arena);
/* False with ArenaClosedError set if its memory has been unmapped, which is after it was closed
 * and the last Buffer went. */
bool arena_is_mapped(const ArenaObject *arena);
/* Lets go of the core arena if nothing lives in it. pre: closed */
void arena_settle(ArenaObject *self);
/* True if the counts can be right: the invariant above, as far as it can be seen from here. */
bool arena_counts_are_possible(const ArenaObject *self);

/* The Arena over a core arena, a new reference; NULL: there is none, or it is on its way out. */
static inline ArenaObject *arena_object_get(const struct pyslab_arena *core)
{
    ArenaObject *arena = core->object;

    return arena == NULL || Py_REFCNT(arena) == 0 ? NULL
                                                  : (ArenaObject *)Py_NewRef((PyObject *)arena);
}

/* A pin keeps the core arena while Python code may run in the middle of a call. */
static inline void arena_pin(ArenaObject *arena)
{
    arena->nr_live++;
}

/* Ends a pin in the middle of a call that goes on to use the core arena, and looks at closed
 * itself, or leaves a Buffer there. */
static inline void arena_unpin_keeping(ArenaObject *arena)
{
    CHECK(arena->nr_live > 0);
    arena->nr_live--;
}

/* Ends a pin, and the core arena if it was closed meanwhile and nothing else lives in it. */
static inline void arena_unpin(ArenaObject *arena)
{
    arena_unpin_keeping(arena);
    if (arena->nr_live == 0 && arena->closed)
        arena_settle(arena);
}

/* The core gives surplus memory back when one of its slow paths finds that an interval is over. A
 * program may never come to one, if its thread's caches serve all that it asks for. So one in so
 * many new Buffers, Pages and arrays looks at the clock. */
#define ARENA_LOOK_EVERY 64u

/* Counts one more in total_count. */
static inline void arena_count_made(ArenaObject *arena)
{
    if (unlikely(++arena->total_count % ARENA_LOOK_EVERY == 0))
        arena_look(arena->core);
}

/* A Buffer, Page or array of nbytes has been made. */
static inline void arena_count_new(ArenaObject *arena, Py_ssize_t nbytes)
{
    arena->nr_live++;
    arena->current_count++;
    arena->current_bytes += nbytes;
    arena_count_made(arena);
}

/* Its memory has gone back, perhaps as the last in a closed arena. */
static inline void arena_count_gone(ArenaObject *arena, Py_ssize_t nbytes)
{
    arena->current_count--;
    arena->current_bytes -= nbytes;
    arena_unpin_keeping(arena);
    CHECK(arena_counts_are_possible(arena));
    if (arena->nr_live == 0 && arena->closed)
        arena_settle(arena);
}

#endif

/* arena_tally.h - an arena's counts on an interpreter without a GIL: each thread adds to its own.
 *
 * What it is: a line of counts for each thread and arena, which that thread alone changes, so that
 * threads that share an arena share no line. A count is the sum over all lines. One line alone may
 * be below zero: it is of a thread that drops what others have made.
 * What it is not: the rules by which the counts end an arena (arena_object.h).
 *
 * Data structure: NR_TALLIES lines. A thread has a number while it lives; its line has it in each
 * arena. Line 0 is that of the threads which found no number free: they add by atomic exchanges.
 * Invariant: the sum of each count but `total` is >= 0 whenever all threads are stopped.
 * Lock: none. A sum that must not be wrong is made in a stopped world (call/critical.h).
 */
#ifndef PYTHON_ARENA_TALLY_H
#define PYTHON_ARENA_TALLY_H

#include "python/call/critical.h"

#ifdef Py_GIL_DISABLED

#include "base/atomic.h"
#include "base/compiler.h"

#define NR_TALLIES 64u

struct arena_tally {
    _Alignas(64) _Atomic(Py_ssize_t) count; /* Buffers, Pages and arrays with memory */
    _Atomic(Py_ssize_t) bytes;              /* theirs */
    _Atomic(Py_ssize_t) total;              /* all ever made */
    _Atomic(Py_ssize_t) pins;               /* what else needs the core arena */
    _Atomic(Py_ssize_t) held;               /* Buffers that need the Arena, and own no reference */
};

/* What this module keeps for a thread, in one place: one look-up finds all of it. */
struct python_thread {
    unsigned tally;           /* its number; 0: none */
    bool asked;               /* for a number */
    unsigned nr_free_buffers; /* buffer/buffer_freelist.h has these three */
    unsigned max_free_buffers;
    struct buffer_object *free_buffers;
};
extern _Thread_local struct python_thread python_thread
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* What a change adds to each count. */
struct tally_change {
    Py_ssize_t count;
    Py_ssize_t bytes;
    Py_ssize_t total;
    Py_ssize_t pins;
    Py_ssize_t held;
};

/* The lines of one arena, all zero; NULL with MemoryError set. free() ends them. */
struct arena_tally *tallies_new(void);
/* Adds for a thread that has no number, which may get one by it. The new total of the line. */
Py_ssize_t tally_add_slow(struct arena_tally *tallies, const struct tally_change *change);
/* In a forked child: a thread that is not there may have been about to give back its number. */
void tallies_fork_child(void);
/* The sums as they are seen from here. */
struct tally_change tallies_sum(const struct arena_tally *tallies);

/* Adds to one count of a line. Nothing if that is zero for sure. */
#define TALLY_ADD(field, v)                                                                        \
    do {                                                                                           \
        if (!__builtin_constant_p(v) || (v) != 0)                                                  \
            add_owner((field), (v));                                                               \
    } while (0)

/* The new total of the thread's line. `held` comes last, with release: who has seen that a Buffer
 * is gone may free the Arena. */
static always_inline Py_ssize_t tally_add(struct arena_tally *tallies, Py_ssize_t count,
                                          Py_ssize_t bytes, Py_ssize_t total, Py_ssize_t pins,
                                          Py_ssize_t held)
{
    struct arena_tally *own = &tallies[python_thread.tally];

    if (unlikely(own == tallies)) {
        const struct tally_change change = {count, bytes, total, pins, held};

        return tally_add_slow(tallies, &change);
    }
    TALLY_ADD(&own->count, count);
    TALLY_ADD(&own->bytes, bytes);
    TALLY_ADD(&own->total, total);
    TALLY_ADD(&own->pins, pins);
    if (!__builtin_constant_p(held) || held != 0)
        atomic_store_explicit(&own->held, load_relaxed(&own->held) + held, memory_order_release);
    return load_relaxed(&own->total);
}

#endif

#endif

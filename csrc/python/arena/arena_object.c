/* arena_object.c - whether an Arena can still be used, and the end of the core arena under it. */
#include "python/arena/arena_object.h"

#include "python/call/gil.h"

#ifdef Py_GIL_DISABLED
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* --- threads' own counts ------------------------------------------------- */

_Thread_local unsigned tally_number;

static pthread_mutex_t tally_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the two below */
static uint64_t tallies_taken = 1; /* a bit for each number; 0 is nobody's */
static pthread_key_t tally_key;    /* tells that a thread ends; made when bit 0 of it is set */
static bool tally_key_made;

/* The thread that had the number ends: what it counted stays. */
static void tally_number_return(void *number)
{
    pthread_mutex_lock(&tally_mutex);
    tallies_taken &= ~(UINT64_C(1) << (uintptr_t)number);
    tally_number = TALLY_NONE; /* what comes later at the end of the thread counts elsewhere */
    pthread_mutex_unlock(&tally_mutex);
}

slow_path unsigned tally_number_take(void)
{
    unsigned number = TALLY_NONE;

    pthread_mutex_lock(&tally_mutex);
    if (!tally_key_made)
        tally_key_made = pthread_key_create(&tally_key, tally_number_return) == 0;
    if (tally_key_made && ~tallies_taken != 0)
        number = (unsigned)__builtin_ctzll(~tallies_taken);
    if (number != TALLY_NONE && pthread_setspecific(tally_key, (void *)(uintptr_t)number) == 0)
        tallies_taken |= UINT64_C(1) << number;
    else
        number = TALLY_NONE;
    pthread_mutex_unlock(&tally_mutex);
    tally_number = number;
    return number;
}
#endif

bool arena_tallies_make(ArenaObject *self)
{
#ifdef Py_GIL_DISABLED
    size_t nbytes = NR_TALLIES * sizeof *self->tallies;

    self->tallies = aligned_alloc(_Alignof(struct arena_tally), nbytes);
    if (self->tallies == NULL) {
        PyErr_NoMemory();
        return false;
    }
    memset(self->tallies, 0, nbytes);
#endif
    (void)self;
    return true;
}

void arena_tallies_free(ArenaObject *self)
{
#ifdef Py_GIL_DISABLED
    free(self->tallies);
#endif
    (void)self;
}

struct arena_counts arena_counts(const ArenaObject *self)
{
    struct arena_counts counts = {self->current_count, self->current_bytes, self->total_count};

#ifdef Py_GIL_DISABLED
    for (unsigned i = 0; i < NR_TALLIES; i++) {
        const struct arena_tally *tally = &self->tallies[i];

        counts.count += load_relaxed(&tally->count);
        counts.bytes += load_relaxed(&tally->bytes);
        counts.total += load_relaxed(&tally->total);
    }
#endif
    return counts;
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

bool arena_counts_are_possible(const ArenaObject *self)
{
#ifdef Py_GIL_DISABLED
    return self->nr_live != 0; /* the counts change one by one, and other threads look meanwhile */
#else
    return self->current_count >= 0 && self->current_bytes >= 0 &&
           self->nr_live >= self->current_count;
#endif
}

/* --- the end of the core arena ------------------------------------------- */

#ifdef Py_GIL_DISABLED
/* What nr_live is after the arena's end: pins that come later leave it negative. */
#define LIVE_ENDED (PY_SSIZE_T_MIN / 2)

void arena_wait_unmapped(const ArenaObject *self)
{
    while (!self->unmapped)
        sched_yield();
}

/* True for one caller alone: nothing lives in the arena, and later pins are told so. */
static bool live_end(ArenaObject *self)
{
    Py_ssize_t none = 0;

    return atomic_compare_exchange_strong(&self->nr_live, &none, LIVE_ENDED);
}
#else
static bool live_end(const ArenaObject *self)
{
    return self->nr_live == 0;
}
#endif

void arena_settle(ArenaObject *self)
{
    struct pyslab_arena *core;

    gil_assert_held();
    CHECK(self->closed);
    if (self->nr_refs == 0 || !live_end(self))
        return;
    core = self->core;
    self->core = NULL;
    self->unmapped = true;
    if (self->on_oom != NULL) /* C code may go on using the arena */
        pyslab_arena_set_oom(core, NULL, NULL);
    borrowed_lock();
    if (core->object == self)
        core->object = NULL;
    borrowed_unlock();
    while (self->nr_refs > 0) {
        self->nr_refs--;
        pyslab_arena_put(core);
    }
}

/* pace.h - threads of a replay wait for one another: for an operation, or for an epoch.
 *
 * What it is: each thread has a place, where it says which operation it does next, and which epoch
 * (plan.h) it has reached. Who waits for another looks at that one's place for some microseconds.
 * Then it writes there what it waits for, and sleeps until it is called. So a thread that waits
 * takes next to no processor time: that would be counted as the allocator's, and the thread that
 * is waited for would be slower beside it.
 * Who sleeps until an operation is done asks for one that is PACE_AHEAD operations later, so that
 * the two do not call each other at each. The other one calls, too, before it sleeps itself and
 * when it ends: what is asked for beyond what it does is never waited for.
 * What it is not: an order of its own; it is the plan's.
 *
 * Data structure: a place for each thread, on a cache line of its own; for each epoch how many
 * threads are in it; a list of the threads that sleep for an epoch.
 * Invariant: who sleeps has asked first and then looked once more; who goes on says so first and
 * then looks who asks. A look at who waits for an operation may come too early: it is made up for
 * at the next operation, or before the thread sleeps or ends. No thread is in an epoch before
 * all_reached: one enters its next epoch before it leaves the one it is in.
 * Lock: for the list, a mutex. All else are atomic fields, and the kernel's futex.
 */
#ifndef RECORD_PACE_H
#define RECORD_PACE_H

#include "base/atomic.h"
#include "record/plan.h"

#include <pthread.h>

#define PACE_AHEAD 256u

struct place {
    _Atomic(const struct plan_op *) next; /* the operations before it are done */
    _Atomic(uintptr_t) asked;             /* who sleeps wants those before this address to be done;
                                             UINTPTR_MAX: nobody sleeps */
    uint64_t epoch;                       /* of its next operation */
    uint64_t wanted;             /* the epoch that all must have reached before it goes on */
    struct place *next_asleep;   /* in pace.asleep */
    _Atomic uint32_t done_bell;  /* rung for those that wait for an operation of it */
    _Atomic uint32_t epoch_bell; /* rung for the thread itself */
    char rest[16];
};

struct pace {
    struct place *places; /* of each thread, and of the one that starts them */
    uint32_t nr_threads;
    _Atomic uint32_t *nr_in_epoch; /* for each epoch */
    uint64_t nr_epochs;
    _Atomic uint64_t all_reached; /* the epoch that every thread has reached */
    _Atomic uint32_t nr_asleep;   /* for an epoch; those among them that are about to sleep */
    pthread_mutex_t lock;         /* of asleep */
    struct place *asleep;
};

void pace_start(struct pace *pace, const struct plan *plan);
void pace_end(struct pace *pace);

slow_path void pace_call(struct place *place);

/* The thread is about to do op. */
static always_inline void pace_next(struct place *place, const struct plan_op *op)
{
    store_release(&place->next, op);
    if (unlikely(load_relaxed(&place->asked) <= (uintptr_t)op))
        pace_call(place);
}

/* The thread has reached an epoch; returns when all have reached the one before it. */
void pace_epoch(struct pace *pace, uint32_t thread, uint64_t epoch);
/* Returns when every thread has reached the epoch before this; thread: who waits. */
void pace_wait_for_epoch(struct pace *pace, uint32_t thread, uint64_t epoch);
/* Returns when the thread `from` has done op; what it wrote till then is seen. */
void pace_wait_for_op(struct pace *pace, uint32_t thread, uint32_t from, const struct plan_op *op);
/* The thread has no more operations: nobody waits for it from here on. */
void pace_leave(struct pace *pace, uint32_t thread);

#endif

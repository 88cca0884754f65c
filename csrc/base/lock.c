/* lock.c - set-up of the mutex, and the rank check of debug builds. */
#include "base/lock.h"

void lock_init(struct lock *lock, enum lock_rank rank)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
    pthread_mutex_init(&lock->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    lock->rank = rank;
}

void lock_destroy(struct lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

#if PYSLAB_CHECK_LEVEL >= 1

static _Thread_local unsigned held_ranks; /* bit r: this thread holds a lock of rank r */

void lock_rank_enter(const struct lock *lock)
{
    CHECK((held_ranks >> lock->rank) == 0);
    held_ranks |= 1u << lock->rank;
}

void lock_rank_leave(const struct lock *lock)
{
    held_ranks &= ~(1u << lock->rank);
}

#endif

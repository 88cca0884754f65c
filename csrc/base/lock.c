/* lock.c - set-up of the mutex, conditions, and the rank check of debug builds. */
#include "base/lock.h"

#include <time.h>

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

void condition_init(struct condition *condition)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&condition->cond, &attr);
    pthread_condattr_destroy(&attr);
}

void condition_destroy(struct condition *condition)
{
    pthread_cond_destroy(&condition->cond);
}

void condition_wake_one(struct condition *condition)
{
    pthread_cond_signal(&condition->cond);
}

void condition_wake_all(struct condition *condition)
{
    pthread_cond_broadcast(&condition->cond);
}

void condition_wait(struct condition *condition, struct lock *lock, uint32_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&condition->cond, &lock->mutex, &until);
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

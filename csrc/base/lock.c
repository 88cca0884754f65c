/* lock.c - set-up of the mutex, conditions, and what checked builds know of who holds a lock. */
#include "base/lock.h"
#include "base/atomic.h"

#include <time.h>

static const char is_unknown;

const char *lock_single_threaded = &is_unknown;

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
    lock_note_released(lock);
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

    lock_assert_held(lock);
    CHECK(lock_is_held_alone(lock));
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    lock_note_released(lock);
    pthread_cond_timedwait(&condition->cond, &lock->mutex, &until);
    lock_note_acquired(lock);
}

#if PYSLAB_CHECK_LEVEL >= 1

/* For each rank, how many locks of it this thread holds: more than one in the fork handlers
 * alone. Each thread has an array of its own, so that the array's address stands for the thread
 * in lock.holder; the thread that a forked child has, has it at the same address. */
static _Thread_local uint32_t held[LOCK_RANK_HEAP + 1];

bool lock_is_held(const struct lock *lock)
{
    return load_relaxed(&lock->holder) == held;
}

static uint32_t nr_held(void)
{
    uint32_t nr = 0;

    for (unsigned rank = 0; rank <= LOCK_RANK_HEAP; rank++)
        nr += held[rank];
    return nr;
}

bool lock_is_held_alone(const struct lock *lock)
{
    return nr_held() == 1 && lock_is_held(lock);
}

bool lock_none_is_held(void)
{
    return nr_held() == 0;
}

void lock_check_order(const struct lock *lock)
{
    for (unsigned rank = lock->rank; rank <= LOCK_RANK_HEAP; rank++)
        CHECK(held[rank] == 0);
}

void lock_note_acquired(struct lock *lock)
{
    store_relaxed(&lock->holder, held);
    held[lock->rank]++;
}

void lock_note_released(struct lock *lock)
{
    if (lock_is_held(lock))
        held[lock->rank]--;
    store_relaxed(&lock->holder, NULL);
}

#endif

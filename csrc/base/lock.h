/* lock.h - the core's mutex, with a rank.
 *
 * What it is: a pthread mutex (adaptive: it spins a little before it sleeps) and, at
 * check level 1, a per-thread set of held ranks that stops a thread which takes a
 * lock out of order.
 * What it is not: recursive, or fair.
 *
 * Order: fork > thread registry > window > vm > regions > cache table > cache > shrinkers >
 * limit > zone > heap. A thread that holds a lock may take only locks of a greater rank number below.
 * Several zones (several caches) are held at once by the fork handlers alone, in index
 * order.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/check.h"

#include <pthread.h>

enum lock_rank {
    LOCK_RANK_FORK,     /* arena list of the process; held across fork() */
    LOCK_RANK_REGISTRY, /* threads, and their members in each domain */
    LOCK_RANK_WINDOW,   /* highmem remap windows */
    LOCK_RANK_VM,       /* vmalloc areas */
    LOCK_RANK_REGIONS,  /* an arena's list of regions */
    LOCK_RANK_CACHES,   /* an arena's table of caches */
    LOCK_RANK_CACHE,    /* one kmem_cache: its slabs and its barn */
    LOCK_RANK_SHRINKERS, /* an arena's list of shrinkers */
    LOCK_RANK_LIMIT,    /* an arena's use of all zones, while it has a limit */
    LOCK_RANK_ZONE,     /* one zone's free areas */
    LOCK_RANK_HEAP,     /* the process-local heap; innermost */
};

struct lock {
    pthread_mutex_t mutex; /* adaptive where the C library has that kind */
    enum lock_rank rank;   /* its place in the order above */
};

void lock_init(struct lock *lock, enum lock_rank rank);
void lock_destroy(struct lock *lock);

#if PYSLAB_CHECK_LEVEL >= 1
void lock_rank_enter(const struct lock *lock);
void lock_rank_leave(const struct lock *lock);
#else
static inline void lock_rank_enter(const struct lock *lock)
{
    (void)lock;
}
static inline void lock_rank_leave(const struct lock *lock)
{
    (void)lock;
}
#endif

static inline void lock_acquire(struct lock *lock)
{
    lock_rank_enter(lock);
    pthread_mutex_lock(&lock->mutex);
}

static inline void lock_release(struct lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
    lock_rank_leave(lock);
}

/* --- waiting for what a lock guards ---------------------------------------- */

struct condition {
    pthread_cond_t cond; /* timed by the monotonic clock */
};

/* Also in a forked child, whose copy may count threads that only the parent has. */
void condition_init(struct condition *condition);
void condition_destroy(struct condition *condition);
void condition_wake_one(struct condition *condition);
void condition_wake_all(struct condition *condition);
/* pre: the lock is held, and no other. Lets it go, sleeps for at most ms, and takes it
 * again; may return early. */
void condition_wait(struct condition *condition, struct lock *lock, uint32_t ms);

/* --- fork ------------------------------------------------------------------ */

/* For fork handlers: several locks of one rank, taken in index order. */
static inline void lock_acquire_for_fork(struct lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

static inline void lock_release_after_fork(struct lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

#endif

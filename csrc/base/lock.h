/* lock.h - the core's mutex, with a rank, and the proof that it is held.
 *
 * What it is: a pthread mutex (adaptive: it spins a little before it sleeps). In checked builds
 * (level 1 and 2) a lock also knows the thread that holds it, and a thread knows the ranks that
 * it holds; lock_assert_held stops a caller that does not hold the very lock it should, and
 * lock_acquire stops a thread that takes a lock out of order.
 * What it is not: recursive, or fair.
 *
 * Order: fork > thread registry > window > vm > regions > shared heaps > cache table > cache >
 * shrinkers > limit > background > zone > track > profile > fault > fence > heap, from the
 * outermost to the innermost. A thread that holds a lock may take only locks that stand further
 * right, which are
 * those of a greater number in enum lock_rank.
 * Several locks of one rank are held at once by the fork handlers alone, in index order.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/check.h"

#include <pthread.h>

enum lock_rank {
    LOCK_RANK_FORK,       /* arena list of the process; held across fork() */
    LOCK_RANK_REGISTRY,   /* threads, and their members in each domain */
    LOCK_RANK_WINDOW,     /* highmem remap windows */
    LOCK_RANK_VM,         /* vmalloc areas */
    LOCK_RANK_REGIONS,    /* an arena's list of regions */
    LOCK_RANK_SHARE,      /* heaps that other processes see, and theirs that this one does */
    LOCK_RANK_CACHES,     /* an arena's table of caches */
    LOCK_RANK_CACHE,      /* one kmem_cache: its slabs and its barn */
    LOCK_RANK_SHRINKERS,  /* an arena's list of shrinkers */
    LOCK_RANK_LIMIT,      /* an arena's use of all zones, while it has a limit */
    LOCK_RANK_BACKGROUND, /* what an arena's own thread is to do */
    LOCK_RANK_ZONE,       /* one zone's free areas */
    LOCK_RANK_TRACK,      /* a tracked arena's table of live allocations */
    LOCK_RANK_PROFILE,    /* samples of the process's profile, and its file */
    LOCK_RANK_FAULT,      /* which calls of the process are made to fail */
    LOCK_RANK_FENCE,      /* an arena's KFENCE; and the list of all of them */
    LOCK_RANK_HEAP,       /* the process-local heap; innermost */
};

struct lock {
    pthread_mutex_t mutex; /* adaptive where the C library has that kind */
    enum lock_rank rank;   /* its place in the order above */
#if PYSLAB_CHECK_LEVEL >= 1
    _Atomic(const void *) holder; /* stands for the thread that holds it (lock.c); NULL: nobody */
#endif
};

void lock_init(struct lock *lock, enum lock_rank rank);
void lock_destroy(struct lock *lock);

/* True if the calling thread holds this very lock, however it took it. In checked builds. */
bool lock_is_held(const struct lock *lock);
/* True if it holds this lock and no other. In checked builds. */
bool lock_is_held_alone(const struct lock *lock);
/* True if it holds no lock of the core at all. In checked builds. */
bool lock_none_is_held(void);

#if PYSLAB_CHECK_LEVEL >= 1
/* Stops a thread that holds a lock of this rank, or of one further in. */
void lock_check_order(const struct lock *lock);
void lock_note_acquired(struct lock *lock);
void lock_note_released(struct lock *lock);
#else
static inline void lock_check_order(const struct lock *lock)
{
    (void)lock;
}
static inline void lock_note_acquired(struct lock *lock)
{
    (void)lock;
}
static inline void lock_note_released(struct lock *lock)
{
    (void)lock;
}
#endif

/* The first line of every function whose caller must hold the lock. Nothing in release builds. */
#define lock_assert_held(lock) CHECK(lock_is_held(lock))

static inline void lock_acquire(struct lock *lock)
{
    lock_check_order(lock);
    pthread_mutex_lock(&lock->mutex);
    lock_note_acquired(lock);
}

/* False: somebody holds it, perhaps this thread. Never waits, so that it may be taken out of
 * order; what is taken after it is in order. */
static inline bool lock_try_acquire(struct lock *lock)
{
    if (pthread_mutex_trylock(&lock->mutex) != 0)
        return false;
    lock_note_acquired(lock);
    return true;
}

static inline void lock_release(struct lock *lock)
{
    lock_note_released(lock);
    pthread_mutex_unlock(&lock->mutex);
}

/* Where the C library says that the process has no other thread (its __libc_single_threaded); at
 * first a place that never says so. */
extern const char *lock_single_threaded;

/* For stretches that start no thread and wait for none: takes the lock unless there is no other
 * thread, as the C library's own malloc does. Returns what lock_release_if wants. */
static inline bool lock_acquire_if_shared(struct lock *lock)
{
    if (PYSLAB_CHECK_LEVEL == 0 && *(const volatile char *)lock_single_threaded != 0)
        return false;
    lock_acquire(lock);
    return true;
}

static inline void lock_release_if(struct lock *lock, bool taken)
{
    if (taken)
        lock_release(lock);
}

/* --- waiting for what a lock guards ---------------------------------------- */

struct condition {
    pthread_cond_t cond; /* timed by the monotonic clock */
};

/* A forked child calls it again, for conditions that the parent's threads were waiting on:
 * the copy counts those threads, which the child does not have. */
void condition_init(struct condition *condition);
void condition_destroy(struct condition *condition);
void condition_wake_one(struct condition *condition);
void condition_wake_all(struct condition *condition);
/* Lets go of the lock, sleeps until the condition is woken or ms have passed, and takes the
 * lock again. It may return for no reason. pre: the lock is held, and no other. */
void condition_wait(struct condition *condition, struct lock *lock, uint32_t ms);

/* --- fork ------------------------------------------------------------------ */

/* For the fork handlers, which hold several locks of one rank: does not check the order. */
static inline void lock_acquire_for_fork(struct lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    lock_note_acquired(lock);
}

/* For both processes: the child's only thread is a copy of the one that took the locks. */
static inline void lock_release_after_fork(struct lock *lock)
{
    lock_release(lock);
}

#endif

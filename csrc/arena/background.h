/* background.h - a thread that gives an idle arena's memory back.
 *
 * What it is: for an arena made with background_purge: what slow paths do when an interval of
 * page_alloc/purge.h ends, done while no thread of the program comes by. It trims the caches
 * (slab_trim_plain) and ends the interval.
 * What it is not: a replacement for the slow paths, which go on as they do. It does not empty other
 * threads' sheaves and page lists, which are theirs alone, and runs no code of users: no
 * constructor, destructor, shrinker or callback.
 *
 * The thread's life. There is none at first. A tick (page_alloc_tick) that finds at least
 * BACKGROUND_LEAST_PAGES free frames with old content starts it. After two intervals in which
 * nothing could be given back and no tick came it sleeps until a tick finds as much again. It ends
 * with the arena. A forked child has no such thread; its next tick may start one.
 *
 * Where it may start. The C library takes locks of its own for a new thread, and allocates. A tick
 * of a thread that ends comes under the registry lock, and starts nothing. In the malloc library a
 * free may come from the C library while it holds a lock that a new thread needs; there the owner
 * of the arena says where to start (background_start_if_due), which is after an allocation.
 *
 * Invariant (background_adds_up): asleep and working need a thread, and exclude each other.
 * Lock: lock, of rank BACKGROUND, which is held neither while the thread works nor while it is
 * started.
 */
#ifndef ARENA_BACKGROUND_H
#define ARENA_BACKGROUND_H

#include "base/atomic.h"
#include "base/lock.h"

struct pyslab_arena;

#define BACKGROUND_LEAST_PAGES 256u /* 1 MiB: less starts no thread, and wakes none */

enum background_state {
    BACKGROUND_NONE,     /* no thread */
    BACKGROUND_STARTING, /* some thread of the program is about to have one */
    BACKGROUND_RUNNING,  /* `thread` is there */
};

struct background {
    struct pyslab_arena *arena; /* whose this is; NULL: background_purge is off; constant */
    bool by_owner;              /* only background_start_if_due starts it; constant, set before
                                    the arena is made */
    struct lock lock;           /* guards what follows */
    struct condition wake;      /* somebody changed noted, ending or nr_pauses */
    struct condition idle;      /* working has become false */
    _Atomic uint32_t state;     /* enum background_state; written under lock */
    pthread_t thread;           /* while RUNNING */
    uint32_t process;           /* os_process_id of the process in which it may start */
    uint32_t failed_ms;         /* os_time_ms of the last start that the system refused */
    bool failed;                /* there was one, less than RETRY_MS ago */
    bool asleep;                /* the thread waits for a note, however long */
    bool working;               /* the thread is in the arena */
    bool ending;                /* the thread is to end */
    uint32_t nr_pauses;         /* callers between background_pause and background_resume */
    _Atomic bool noted;         /* a tick came since the thread looked last; written under lock */
};

/* Has every tick of the arena noted here, until the arena ends. pre: zero, but for by_owner */
void background_enable(struct background *bg, struct pyslab_arena *arena);
/* The thread, if there is one, has ended. pre: no other thread is in the arena */
void background_end(struct background *bg);
/* What page_alloc_tick calls. The caller may hold the registry lock. */
void background_note(void *context);
/* Starts the thread if the arena has, or had lately, memory that it could give back one day.
 * pre: by_owner; the caller holds no lock of the core, and none of the C library */
void background_start_if_due(struct background *bg);
/* The thread stays out of the arena in between, for recounts. May be nested. */
void background_pause(struct background *bg);
void background_resume(struct background *bg);
/* In a forked child, which has no such thread. */
void background_after_fork(struct background *bg);

#endif

/* arena_publish.h - an arena's figures, written where other processes read them.
 *
 * What it is: the picture of publish/figures.h, written by whichever thread is on a slow path when
 * the one before is PUBLISH_MS old, or older if writing took long: at most one part in
 * PUBLISH_SHARE of the time goes into it. The first one is written when the arena is made.
 * What it is not: a thread or a timer: while no thread comes to a slow path, nothing is written,
 * and the last picture grows old.
 *
 * Data structure: struct arena_publish, in the arena.
 * Invariant: the arena has a place in the file, or `show` of its page_alloc is not set.
 * Lock: `busy` for the picture: one thread writes, others go on. The registry lock is held
 * meanwhile, if it is to be had without waiting; the table's and each cache's and zone's in turn.
 */
#ifndef ARENA_ARENA_PUBLISH_H
#define ARENA_ARENA_PUBLISH_H

#include "base/atomic.h"
#include "base/config.h"

struct pyslab_arena;

#define PUBLISH_MS 100u
#define PUBLISH_SHARE 200u

struct arena_publish {
    uint32_t place;    /* in the file; PUBLISH_NO_PLACE; constant */
    uint64_t number;   /* of the arena in this process, from 1 on; constant */
    uint64_t made_ns;  /* when the arena was made; constant */
    _Atomic bool busy; /* some thread writes */
};

/* For the list of arenas, whose lock the caller holds. */
void arena_publish_start(struct pyslab_arena *arena);
void arena_publish_end(struct pyslab_arena *arena);
/* In a forked child, in which nobody else writes. */
void arena_publish_after_fork(struct pyslab_arena *arena);

#endif

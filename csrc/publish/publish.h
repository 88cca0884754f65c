/* publish.h - the file in which this process publishes its arenas' figures (figures.h).
 *
 * What it is: the file's life, and the places in it. It is made with the first arena that wants a
 * place, and goes with the last; a forked child makes its own in the place of its parent's, at
 * once: later the child may be in a sandbox. Where the system refuses, or PYSLAB_TOP=0 is set,
 * there is none, and nobody is told. The malloc library makes it only with PYSLAB_TOP=1, which
 * `pyslab run` sets: it costs a start 40 us and a fork 70 us.
 * What it is not: the figures (arena/arena_publish.c); a thread or a signal.
 *
 * Invariant: a place in use has a bit in `places`; the file is there only while one is.
 * Lock: the caller's, of the process's arenas (arena/arena_fork.c), for all but publish_begin and
 * publish_end, which the arena whose place it is calls, one at a time.
 */
#ifndef PUBLISH_PUBLISH_H
#define PUBLISH_PUBLISH_H

#include "publish/figures.h"

#define PUBLISH_NO_PLACE UINT32_MAX

/* A place for an arena; PUBLISH_NO_PLACE: there is none. publish_drop ends either.
 * unasked: PYSLAB_TOP need not be set. */
uint32_t publish_take(bool unasked);
void publish_drop(uint32_t place);
/* In a forked child. */
void publish_fork_child(void);
/* The picture to write anew; NULL: there is no file. publish_end shows it. */
struct publish_picture *publish_begin(uint32_t place);
void publish_end(struct publish_picture *picture);

#endif

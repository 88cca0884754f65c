/* quarantine.h - where blocks of whole frames that the program freed wait, in hardened mode, before
 * their memory serves again. Objects of caches wait in their caches (slab/waiting.c).
 *
 * What it is not: it does not find blocks, nor check pointers (hardened.h).
 *
 * Data structure: a ring, first in, first out, bounded by number and by a share of the arena's
 * addresses; at ENOMEM it is emptied.
 * Invariant: frames in it have no content, and no access unless guards.h was refused a mapping for
 * that.
 * Lock: quarantine_lock guards the ring, and the words of blocks of frames. A thread that holds it
 * takes no other lock: what leaves the ring is given back to the core after it was released.
 */
#ifndef MALLOC_QUARANTINE_H
#define MALLOC_QUARANTINE_H

#include "base/lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What waits: freed by the program, not yet given back. */
struct quarantine_figures {
    uint64_t nr_objects;   /* objects of caches */
    uint64_t object_bytes; /* of them, as the size classes have it */
    uint64_t nr_blocks;    /* blocks of whole frames */
    uint64_t block_bytes;  /* of them, with their guards */
};

extern struct lock quarantine_lock;

/* Makes the lock and registers fork handlers: fork() waits until nobody holds it. Before the arena
 * registers its own: fork() calls the last registered first, so that this lock is then taken
 * after the arena's, and after what the arena's handler waits for. Once; later calls do nothing.
 * pre: one thread makes the heap (unchecked: heap.c's own call) */
void quarantine_init_lock(void);
/* pre: quarantine_init_lock ran; the quarantine is empty */
void quarantine_init(void);

/* A block of frames; takes their content and, if it may, their access. had_guards: as
 * guards_place said. */
void quarantine_add_frames_locked(char *base, size_t bytes, bool had_guards);
/* A block of frames that begins at base waits in the quarantine. */
bool quarantine_has_frames_locked(const char *base);
/* Each block of frames without access waits in the quarantine: none is on its way out of it. */
bool quarantine_is_still_locked(void);
/* Gives the oldest blocks of frames back to the core, as far as there are too many.
 * pre: the caller does not hold the lock (unchecked: lock_acquire stops who does) */
void quarantine_trim(void);
/* Gives back all that waits, where memory is short. False: nothing waited. pre: as above
 * (unchecked: likewise) */
bool quarantine_drain(void);
/* All zero unless the process runs in hardened mode. */
void quarantine_figures(struct quarantine_figures *out);

#endif

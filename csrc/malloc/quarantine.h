/* quarantine.h - where blocks that the program freed wait, in hardened mode, before their memory
 * serves again.
 *
 * What it is: two queues, one of objects of caches and one of blocks of whole frames.
 * What it is not: it does not find blocks, nor check pointers (hardened.h).
 *
 * Data structure: two rings, first in, first out. The one is bounded by number and bytes, the
 * other by number and by a share of the arena's addresses; at ENOMEM both are emptied.
 * Invariant: an object in it is zero from the program's pointer to its end; frames in it have no
 * content, and no access unless guards.h was refused a mapping for that.
 * Lock: quarantine_lock guards both rings, and the words of all blocks. A thread that holds it
 * takes no other lock: what leaves a ring is given back to the core after it was released.
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

/* An object of a cache at base, of so many bytes, which the program freed as p. Takes the lock.
 * pre: from p to the object's end it is zero */
void quarantine_add_object(char *base, size_t bytes, const void *p);
/* A block of frames; takes their content and, if it may, their access. had_guards: as
 * guards_place said. */
void quarantine_add_frames_locked(char *base, size_t bytes, bool had_guards);
/* A block of frames that begins at base waits in the quarantine. */
bool quarantine_has_frames_locked(const char *base);
/* Gives the oldest blocks of frames back to the core, as far as there are too many.
 * pre: the caller does not hold the lock (unchecked: lock_acquire stops who does) */
void quarantine_trim(void);
/* Gives back all that waits, where memory is short. False: nothing waited. pre: as above
 * (unchecked: likewise) */
bool quarantine_drain(void);
/* All zero unless the process runs in hardened mode. */
void quarantine_figures(struct quarantine_figures *out);
/* Ends the process, with words, if an object was written to. */
void quarantine_check(void);

#endif

/* quarantine.h - where freed blocks of hardened mode wait before their memory serves again.
 *
 * What it is: two rings, first in, first out: objects, bounded by number and bytes; blocks of
 * whole frames, bounded by number and by a share of the arena's addresses.
 * What it is not: it does not know what a block is (hardened.h).
 *
 * Invariant: an object in it is zero behind its words, frames in it have no access and no
 * memory.
 * Lock: one for both rings and for the words of all blocks; what leaves is given back to the
 * core without it.
 */
#ifndef MALLOC_QUARANTINE_H
#define MALLOC_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>

/* fork() waits until nobody holds the lock. */
void quarantine_init(void);
void quarantine_lock(void);
void quarantine_unlock(void);

/* An object of bytes at base, freed as p, zeroed; takes the lock. */
void quarantine_add_object(char *base, size_t bytes, const void *p);
/* Frames; takes their memory and access. */
void quarantine_add_frames_locked(char *base, size_t bytes);
bool quarantine_has_frames(const char *base);
/* Gives back the oldest, as far as there is too much. No lock held. */
void quarantine_trim(void);
/* Ends the process, with words, if an object was written to. */
void quarantine_check(void);

#endif

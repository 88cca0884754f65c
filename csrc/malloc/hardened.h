/* hardened.h - the allocator behind PYSLAB_MALLOC=hardened: it checks each pointer and what lies
 * around the block at each call, and memory that was freed stays unused for a while.
 *
 * What it is: what every function of the library does instead when the setting is on. Caches have
 * no sheaves then: the fast paths of heap.h find nothing there and leave every call to the slow
 * ones, which call these. Without the setting this costs nothing.
 * What it is not: fast (there is one lock, and each block is cleared), or a finder of bad reads.
 *
 * Data structure. An object of a cache, with p what the caller has:
 *
 *     base          p - 16        p                    p + size        end of the object
 *     | zeros ...   | word, guard | the caller's bytes | guard bytes   |
 *
 * "word, guard" are the two words of block_words.h: the size, and the state, which is live or
 * freed. While the object is in its slab, the cache keeps its own words at base (slab.h).
 * A block of whole frames (larger than HARDENED_MAX_OBJECT) begins with frames without access,
 * then come the caller's from p on, whose last 16 bytes are the two words, then one frame without
 * access. When it is freed, all of it loses its access and its memory (guards.h).
 * What is freed waits in a quarantine first (quarantine.h).
 * Invariant: from free to the next allocation, an object is zero behind its first 16 bytes; if it
 * is not, the program wrote to it after the free. New memory is zero, for malloc too.
 * Lock: quarantine_lock, for the words of blocks; no other lock is taken while it is held.
 */
#ifndef MALLOC_HARDENED_H
#define MALLOC_HARDENED_H

#include <stddef.h>

/* Takes the sheaves from the arena's caches. pre: nothing was allocated from the arena yet */
void hardened_start(void);
/* A block that reads zero. NULL: no memory. pre: align is a power of two, at least 16 */
void *hardened_alloc(size_t size, size_t align);
/* Ends the process, with words, if p is not a live block, if the program wrote beyond its bounds,
 * or if its size or alignment is another (SIZE_UNKNOWN, ALIGN_UNKNOWN: not known). call: for the
 * words. */
void hardened_free(const char *call, void *p, size_t size, size_t align);
/* The size that the program asked for. */
size_t hardened_usable(const char *call, const void *p);
/* Moves the block, whatever the size. pre: p is not NULL */
void *hardened_realloc(void *p, size_t size);
/* Ends the process, with words, if the program wrote to an object that waits in the quarantine.
 * For the end of the process. */
void hardened_check_quarantine(void);

#endif

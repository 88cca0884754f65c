/* hardened.h - the allocator behind PYSLAB_MALLOC=hardened: each misuse that can be seen is
 * seen at the call, and memory that was freed stays unused for a while.
 *
 * What it is: what every function of the library does instead when the setting is on. Caches
 * have no sheaves then, so that the fast paths of heap.h find nothing and leave every call
 * to here; without the setting this file costs nothing.
 * What it is not: fast (one lock, and each block is cleared), nor a checker of reads.
 *
 * Data structure. An object of a cache, with p what the caller has:
 *
 *     base          p - 16        p                    p + size        end of the object
 *     | zeros ...   | word, guard | the caller's bytes | guard bytes   |
 *
 * word and guard hold the size and a state, hidden by the secret and p: LIVE while the caller has
 * it, FREED in the quarantine. In a slab the words at base are the cache's (slab.h).
 * A block of whole frames (above HARDENED_MAX_OBJECT): frames without access, then the
 * caller's from p, whose last 16 bytes are word and guard, then a frame without access. Freed,
 * all of it is without access and without memory.
 * The quarantine: two rings, oldest out first, of objects and of whole frames.
 * Invariant: from free to the next allocation all of an object behind its 16 bytes is zero;
 * what is not was written to after its free. New memory is zero, for malloc too.
 * Lock: one, taken before any of the core's, for the tags and the quarantine.
 */
#ifndef MALLOC_HARDENED_H
#define MALLOC_HARDENED_H

#include <stddef.h>

/* pre: the arena is there, and nothing was allocated from it. */
void hardened_start(void);
/* Zeroed. align: a power of two, at least 16. NULL without memory. */
void *hardened_alloc(size_t size, size_t align);
/* Ends the process, with words, if p is not a live block, was written beyond its bounds, or
 * is not of this size or alignment (0: not known). call: for the words. */
void hardened_free(const char *call, void *p, size_t size, size_t align);
/* The size it was asked for. */
size_t hardened_usable(const char *call, const void *p);
/* Always moves. p is not NULL. */
void *hardened_realloc(void *p, size_t size);
/* What is in quarantine was not written to. At the end of the process. */
void hardened_check_quarantine(void);

#endif

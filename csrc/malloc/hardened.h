/* hardened.h - the allocator behind PYSLAB_MALLOC=hardened: it checks each pointer and what lies
 * around the block at each call, and memory that was freed stays unused for a while.
 *
 * What it is: what every function of the library does instead when the setting is on. The arena's
 * caches have the debug flags Z and P then (slab/debug.h), and so no sheaves: the fast paths of
 * heap.h find nothing there and leave every call to the slow ones, which call these. Without the
 * setting this costs nothing.
 * What it is not: the checks of objects (slab/debug_check.c), or a finder of bad reads.
 *
 * Data structure. Objects are as debug.h has them, in a keyed arena: two words lie before what the
 * caller has, bytes that only who knows the secret can tell lie behind it, and free objects are
 * zero. A block of whole frames (larger than HARDENED_MAX_OBJECT), with p what the caller has:
 *
 *     base         p                    p + size                      end of the block
 *     | no access  | the caller's bytes | guard bytes, two words | no access, one frame |
 *
 * Its words are those of debug_words.h. When it is freed, all of it loses its access and its memory
 * (guards.h), and it waits in a quarantine (quarantine.h).
 * Invariant: from free to the next allocation an object is zero; if it is not, the program wrote to
 * it after the free. New memory is zero, for malloc too.
 * Lock: quarantine_lock for the words of blocks of frames, cache->lock for those of objects; no
 * other lock is taken while one of them is held.
 */
#ifndef MALLOC_HARDENED_H
#define MALLOC_HARDENED_H

#include "malloc/heap.h"

#define HARDENED_MAX_OBJECT ((size_t)192 << 10) /* larger blocks get guard frames */

/* What the core finds ends the process from now on. pre: the arena is keyed, and nothing was
 * allocated from it yet */
void hardened_start(void);
/* A block that reads zero. NULL: no memory. pre: align is a power of two, at least 16 */
void *hardened_alloc(size_t size, size_t align, enum debug_kind kind);
/* Ends the process, with words, if p is not a live block, if the program wrote beyond its bounds,
 * or if the claim is wrong. */
void hardened_free(void *p, const struct claim *claim);
/* The size that the program asked for. */
size_t hardened_usable(const char *call, const void *p);
/* Moves the block, whatever the size, and frees the old one with this claim. pre: p is not NULL */
void *hardened_realloc(void *p, size_t size, const struct claim *claim);
/* Ends the process, with words, if the program wrote around an object, into one that is free, or
 * behind a block of frames. For the end of the process: it says that this was found there. */
void hardened_check_all(void);

#endif

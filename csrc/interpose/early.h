/* early.h - blocks from a buffer of fixed size, for the time before the malloc beneath is found.
 *
 * What it is: what the functions of interpose.h do while one thread looks for the next ones.
 * What it is not: for afterwards, but that its blocks may be given to free and realloc for ever.
 *
 * Data structure: interpose_early[], handed out from the front; the word before each block says
 * how many bytes were asked for.
 * Invariant: nothing comes back, so that no two blocks overlap.
 * Lock: none; the buffer's end is moved by an atomic addition.
 */
#ifndef INTERPOSE_EARLY_H
#define INTERPOSE_EARLY_H

#include <stddef.h>

/* Zeroed. align: a power of two. NULL with ENOMEM: the buffer is used up. */
void *early_alloc(size_t align, size_t size);
/* All blocks are in so many bytes of interpose_early, those too that threads are just being
 * given. */
size_t early_used(void);

#endif

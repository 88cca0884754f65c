/* zero_size.h - the blocks of no bytes that malloc(0) returns.
 *
 * What it is: a range of addresses without access. Each such block is a place in it, so that a
 * read or a write there ends the program instead of changing somebody's memory.
 * What it is not: endless. When ZERO_SIZE_BLOCKS are live, or a short search finds no free place,
 * malloc(0) returns a small object instead.
 *
 * Data structure: a bit for each place. Each search for a free place begins where the last one
 * ended, so that an address is used again as late as possible.
 * Invariant: a bit is set while its place is a live block, and only then.
 * Lock: none; bits are atomic.
 */
#ifndef MALLOC_ZERO_SIZE_H
#define MALLOC_ZERO_SIZE_H

#include <stdbool.h>
#include <stddef.h>

#define ZERO_SIZE_BLOCKS ((size_t)1 << 16)

/* A new block, in bounded time. NULL: no place was found. */
void *zero_size_alloc(void);
/* p lies where such blocks are. */
bool zero_size_is_place(const void *p);
/* p is a live block of no bytes. */
bool zero_size_is_live(const void *p);
/* False: p is no live block. pre: zero_size_is_place(p) */
bool zero_size_free(void *p);

#endif

/* zero_size.h - blocks of no bytes: addresses of their own, and nothing behind them.
 *
 * What it is: what malloc(0) gives. Each is a place in a range of addresses without access, so
 * that a read or a write there ends the program instead of changing somebody's memory.
 * What it is not: endless; beyond ZERO_SIZE_BLOCKS at a time, or where a short search finds no
 * free one, the caller takes an object.
 *
 * Data structure: a bit for each place, set while it is a live block. The search for a free
 * one goes round, so that an address comes back as late as can be.
 * Invariant: a bit is set iff its address was handed out and not freed since.
 * Lock: none; bits are atomic.
 */
#ifndef MALLOC_ZERO_SIZE_H
#define MALLOC_ZERO_SIZE_H

#include <stdbool.h>
#include <stddef.h>

#define ZERO_SIZE_BLOCKS ((size_t)1 << 16)

/* NULL: there are too many, or no addresses. In bounded time. */
void *zero_size_alloc(void);
/* p lies where such blocks are. */
bool zero_size_is_place(const void *p);
/* p is a live one. */
bool zero_size_is_live(const void *p);
/* pre: zero_size_is_place. False: it is not a live block. */
bool zero_size_free(void *p);

#endif

/* block_words.h - the words and guard bytes around a block of hardened mode.
 *
 * What it is: the reading and writing of them, for one block at a time.
 * What it is not: it does not know where blocks are: in objects, or in frames (hardened.c).
 *
 * Data structure: two words. The first is the size, the second a check over the first together
 * with the state. Both are combined with numbers that only who knows the process's secret can
 * compute from the block's address.
 * Invariant: words that block_words_set did not write at this very address have no state.
 * Lock: the caller's.
 */
#ifndef MALLOC_BLOCK_WORDS_H
#define MALLOC_BLOCK_WORDS_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BLOCK_WORD_BYTES ((size_t)16)
#define HARDENED_MAX_OBJECT ((size_t)192 << 10) /* larger blocks get guard frames */

/* BLOCK_NONE: the words were overwritten, or are not a block's. BLOCK_LIVE_BARE: a live block of
 * whole frames without guard frames (guards.h). */
enum block_state { BLOCK_NONE, BLOCK_LIVE, BLOCK_LIVE_BARE, BLOCK_FREED };

/* Constant after block_words_init. */
extern uint64_t block_secret;

static inline void block_words_init(uint64_t secret)
{
    block_secret = secret * 0xd6e8feb86659fd93u | 1;
}

/* A number that only who knows the secret can tell (a finalizer of splitmix64). */
static inline uint64_t block_mix(const void *p, uint64_t salt)
{
    uint64_t x = block_secret ^ (uint64_t)(uintptr_t)p ^ salt;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* p: the block that the words belong to. */
static inline void block_words_set(char *words, const void *p, size_t size, enum block_state state)
{
    uint64_t pair[2];

    pair[0] = (uint64_t)size ^ block_mix(p, BLOCK_NONE);
    pair[1] = block_mix(p, pair[0]) ^ block_mix(p, state);
    memcpy(words, pair, sizeof pair);
}

/* BLOCK_NONE: *size means nothing. */
static inline enum block_state block_words_get(const char *words, const void *p, size_t *size)
{
    uint64_t pair[2], state;

    memcpy(pair, words, sizeof pair);
    *size = (size_t)(pair[0] ^ block_mix(p, BLOCK_NONE));
    state = pair[1] ^ block_mix(p, pair[0]);
    for (enum block_state known = BLOCK_LIVE; known <= BLOCK_FREED; known++)
        if (state == block_mix(p, known))
            return known;
    return BLOCK_NONE;
}

/* --- guard bytes -------------------------------------------------------- */

/* Never 0: a string that is one byte too long is seen. */
static inline unsigned char guard_byte(const void *p, size_t i)
{
    return (unsigned char)((block_mix(p, 0) >> (8 * (i & 7))) | 1);
}

/* From p + size to p + end. */
static inline void guard_fill(char *p, size_t size, size_t end)
{
    for (size_t i = size; i < end; i++)
        p[i] = (char)guard_byte(p, i);
}

static inline bool guard_is_whole(const void *p, size_t size, size_t end)
{
    const unsigned char *bytes = p;

    for (size_t i = size; i < end; i++)
        if (bytes[i] != guard_byte(p, i))
            return false;
    return true;
}

static inline bool bytes_are_zero(const char *p, size_t bytes)
{
    return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

#endif

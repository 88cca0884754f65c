/* debug_words.h - the two words before a live block: what was asked for, and a check over it.
 *
 * What it is: the reading and writing of them, and of red bytes, for one block at a time.
 * What it is not: it does not know where blocks are (debug_layout.c).
 *
 * Data structure: the first word is a value: the size, and in the malloc library who made the block
 * (enum debug_kind). The second is a check over the first. Both are combined with numbers that only
 * who knows the secret can compute from the block's address.
 * Invariant: words that debug_words_set did not write at this very address are not whole.
 * Lock: the caller's.
 */
#ifndef SLAB_DEBUG_WORDS_H
#define SLAB_DEBUG_WORDS_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DEBUG_RED_LIVE 0xccccccccccccccccu /* the kernel's SLUB_RED_ACTIVE, in each byte */
#define DEBUG_RED_FREE 0xbbbbbbbbbbbbbbbbu /* SLUB_RED_INACTIVE */
#define DEBUG_NOT_ZERO 0x0101010101010101u /* so that a string one byte too long is seen */

/* Who made a block of the malloc library; only its like may free it. */
enum debug_kind { DEBUG_KIND_MALLOC, DEBUG_KIND_NEW, DEBUG_KIND_NEW_ARRAY, NR_DEBUG_KINDS };

#define DEBUG_KIND_SHIFT 56 /* in a value: above the size, below what callers put there */
#define DEBUG_KIND_MASK ((uint64_t)3 << DEBUG_KIND_SHIFT)

static inline uint64_t debug_value(size_t size, enum debug_kind kind)
{
    return size | (uint64_t)kind << DEBUG_KIND_SHIFT;
}

static inline uint64_t debug_value_size(uint64_t value)
{
    return value & ~DEBUG_KIND_MASK;
}

static inline enum debug_kind debug_value_kind(uint64_t value)
{
    return (enum debug_kind)((value & DEBUG_KIND_MASK) >> DEBUG_KIND_SHIFT);
}

/* A number that only who knows the secret can tell (a finalizer of splitmix64). */
static inline uint64_t debug_mix(uint64_t secret, const void *p, uint64_t salt)
{
    uint64_t x = (secret * 0xd6e8feb86659fd93u) ^ (uint64_t)(uintptr_t)p ^ salt;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* p: the block that the words belong to. */
static inline void debug_words_set(uint64_t secret, void *words, const void *p, uint64_t value)
{
    uint64_t pair[2];

    pair[0] = value ^ debug_mix(secret, p, 1);
    pair[1] = debug_mix(secret, p, pair[0]);
    memcpy(words, pair, sizeof pair);
}

/* False: they are not whole, and *value means nothing. */
static inline bool debug_words_get(uint64_t secret, const void *words, const void *p,
                                   uint64_t *value)
{
    uint64_t pair[2];

    memcpy(pair, words, sizeof pair);
    *value = pair[0] ^ debug_mix(secret, p, 1);
    return pair[1] == debug_mix(secret, p, pair[0]);
}

/* --- red bytes ---------------------------------------------------------- */

/* The pattern behind a live block in a keyed arena. */
static inline uint64_t debug_red_keyed(uint64_t secret, const void *p)
{
    return debug_mix(secret, p, 2) | DEBUG_NOT_ZERO;
}

/* The byte of a pattern at an address. */
static inline unsigned char debug_red_byte(uint64_t pattern, const char *at)
{
    return (unsigned char)(pattern >> (8 * ((uintptr_t)at & 7)));
}

static inline void debug_red_fill(char *from, const char *to, uint64_t pattern)
{
    for (; from < to && ((uintptr_t)from & 7) != 0; from++)
        *from = (char)debug_red_byte(pattern, from);
    for (; to - from >= 8; from += 8)
        memcpy(from, &pattern, 8);
    for (; from < to; from++)
        *from = (char)debug_red_byte(pattern, from);
}

/* The first byte that differs from the pattern; NULL: none does. */
static inline const char *debug_red_wrong(const char *from, const char *to, uint64_t pattern)
{
    uint64_t word;

    for (; from < to && ((uintptr_t)from & 7) != 0; from++)
        if ((unsigned char)*from != debug_red_byte(pattern, from))
            return from;
    for (; to - from >= 8; from += 8) {
        memcpy(&word, from, 8);
        if (word != pattern)
            break;
    }
    for (; from < to; from++)
        if ((unsigned char)*from != debug_red_byte(pattern, from))
            return from;
    return NULL;
}

#endif

/* debug_plain.h - the short way of an object of a keyed arena: everything in few instructions.
 *
 * What it is: the checks and the writing of debug_check.c and debug_layout.c for objects of plain
 * caches (struct cache_debug), which are all of the malloc library's in hardened mode. There the
 * words lie at the place's start, and a free object is zero behind them up to the place's end: its
 * zones and poison are one.
 * What it is not: an answer to what is wrong. Where one of these says false, the long way tells.
 * Lock: cache->lock.
 */
#ifndef SLAB_DEBUG_PLAIN_H
#define SLAB_DEBUG_PLAIN_H

#include "slab/debug_internal.h"

#define PLAIN_SHORT_BYTES 256u /* up to here a loop is faster than a call */

/* bytes: a multiple of 16 */
static inline bool plain_is_zero(const char *from, size_t bytes)
{
    uint64_t any = 0, pair[2];

    if (bytes > PLAIN_SHORT_BYTES)
        return from[0] == 0 && memcmp(from, from + 1, bytes - 1) == 0;
    for (size_t i = 0; i < bytes; i += sizeof pair) {
        memcpy(pair, from + i, sizeof pair);
        any |= pair[0] | pair[1];
    }
    return any == 0;
}

/* The object holds its key twice, and nothing else. */
static inline bool plain_is_free(const struct kmem_cache *cache, const char *object)
{
    uint64_t key = object_key_value(cache->secret, object), pair[2];

    CHECK(cache->debug->plain);
    memcpy(pair, object - DEBUG_WORD_BYTES, sizeof pair);
    return ((pair[0] ^ key) | (pair[1] ^ key)) == 0 &&
           plain_is_zero(object, cache->debug->right_end);
}

/* Of the word in which the red bytes behind `asked` bytes begin, the bits that are red. */
static inline uint64_t plain_red_mask(size_t asked)
{
    return UINT64_MAX << (8 * (asked & 7));
}

/* The bytes behind `asked` ones are the pattern, up to the place's end. */
static inline bool plain_is_red(const struct kmem_cache *cache, const char *object, size_t asked,
                                uint64_t pattern)
{
    size_t end = cache->debug->right_end, at = asked & ~(sizeof(uint64_t) - 1);
    uint64_t mask = plain_red_mask(asked), any = 0, word;

    for (; at < end; at += sizeof word, mask = UINT64_MAX) {
        memcpy(&word, object + at, sizeof word);
        any |= (word ^ pattern) & mask;
    }
    return any == 0;
}

/* p is the start of this object, which is live with this value, and nothing was written around
 * it. */
static inline bool plain_is_live(const struct kmem_cache *cache, const void *p, const char *object,
                                 uint64_t *value)
{
    CHECK(cache->debug->plain);
    return p == object && debug_words_get(cache->secret, object - DEBUG_WORD_BYTES, p, value) &&
           debug_value_size(*value) <= cache->desc->object_size &&
           plain_is_red(cache, object, debug_value_size(*value), debug_red_keyed(cache->secret, p));
}

/* pre: the object is zero */
static inline void plain_make_live(const struct kmem_cache *cache, char *object, uint64_t value)
{
    size_t asked = debug_value_size(value), end = cache->debug->right_end;
    uint64_t pattern = debug_red_keyed(cache->secret, object);
    uint64_t word = pattern & plain_red_mask(asked);

    CHECK(cache->debug->plain && asked <= cache->desc->object_size);
    debug_words_set(cache->secret, object - DEBUG_WORD_BYTES, object, value);
    for (size_t at = asked & ~(sizeof word - 1); at < end; at += sizeof word, word = pattern)
        memcpy(object + at, &word, sizeof word);
}

static inline void plain_make_free(const struct kmem_cache *cache, char *object)
{
    uint64_t key = object_key_value(cache->secret, object);
    uint64_t pair[2] = {key, key};

    CHECK(cache->debug->plain);
    memset(object, 0, cache->debug->right_end);
    memcpy(object - DEBUG_WORD_BYTES, pair, sizeof pair);
}

#endif

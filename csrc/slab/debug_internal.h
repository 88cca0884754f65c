/* debug_internal.h - what the files behind debug.h share with each other: the bytes that a check
 * expects, and the track of an object. Lock: as debug.h has it. */
#ifndef SLAB_DEBUG_INTERNAL_H
#define SLAB_DEBUG_INTERNAL_H

#include "slab/debug_words.h"
#include "slab/slab_internal.h"

#define DEBUG_POISON_FREE 0x6b6b6b6b6b6b6b6bu /* the kernel's values, in each byte */
#define DEBUG_POISON_END 0xa5a5a5a5a5a5a5a5u
#define DEBUG_PADDING 0x5a5a5a5a5a5a5a5au

/* The words of the object's start say so while p, the caller's, is another address in it. */
#define DEBUG_MOVED ((uint64_t)1 << 62)

static inline char *debug_words_of(const struct kmem_cache *cache, const void *p)
{
    return (char *)(uintptr_t)p - cache->debug->gap - DEBUG_WORD_BYTES;
}

/* What fills the objects of this cache while they are free, but for the last byte. */
static inline uint64_t debug_poison_of(const struct kmem_cache *cache)
{
    return cache->debug->keyed ? 0 : DEBUG_POISON_FREE;
}

static inline uint64_t debug_poison_end_of(const struct kmem_cache *cache)
{
    return cache->debug->keyed ? 0 : DEBUG_POISON_END;
}

/* The red zones of a free object, and the right one of a live one. */
static inline uint64_t debug_red_free_of(const struct kmem_cache *cache)
{
    return cache->debug->keyed ? 0 : DEBUG_RED_FREE;
}

static inline uint64_t debug_red_live_of(const struct kmem_cache *cache, const void *p)
{
    return cache->debug->keyed ? debug_red_keyed(cache->secret, p) : DEBUG_RED_LIVE;
}

static inline bool debug_has_zones(const struct kmem_cache *cache)
{
    return (cache->debug->flags & PYSLAB_DEBUG_REDZONE) != 0;
}

/* Objects of a constructed cache keep their state, and have none. */
static inline bool debug_has_poison(const struct kmem_cache *cache)
{
    return (cache->debug->flags & PYSLAB_DEBUG_POISON) != 0 && !cache_is_constructed(cache);
}

/* What the caller asked for, as debug_asked; if the words were damaged, what they say of it still,
 * or all of the object if that is too little. */
uint64_t debug_asked_or_guess(const struct kmem_cache *cache, const void *p);
/* What the caller has of the object: the object's start, or where it was aligned to. */
void *debug_users_pointer(const struct kmem_cache *cache, void *object);
/* Fills allocated_at and freed_at. */
void debug_read_track(const struct kmem_cache *cache, const void *object, pyslab_corruption *out);

#endif

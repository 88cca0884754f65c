/* mark.c - what a free object remembers: the key in it, and the zeros of init_on_alloc and
 * init_on_free.
 *
 * What it is not: the free bits of a slab (slab.c), which are outside of the objects; or the
 * patterns of the debug flags (debug_bytes.h), which have the key among them.
 * Data structure: the word at object_key_word, secret XOR address. In objects of two words and more
 * the first word holds it too, because the malloc library looks at both (malloc/heap.h).
 * Invariant: an object that is free, wherever it is, holds its key, unless a program wrote to it
 * after its free, or a tool watches the cache. One that a caller has does not.
 * Lock: none; an object is of whoever holds it.
 */
#include "slab/slab_internal.h"

#include <string.h>

bool object_is_marked(const struct kmem_cache *cache, void *p)
{
    if (cache_is_watched(cache))
        return object_is_in_slab(cache, p);
    return object_holds_key(cache, p);
}

/* init_on_alloc and init_on_free. The words of the mark are all that a wiped object has in it. */
static slow_path void object_init(const struct kmem_cache *cache, void *p)
{
    uint64_t *key = object_key_word(cache, p);

    if ((cache->init & INIT_ON_ALLOC) != 0)
        memset(p, 0, cache->desc->object_size);
    else if (cache->debug == NULL && !cache_is_watched(cache) && !cache_is_small(cache))
        key[-1] = 0;
}

static slow_path void object_wipe(const struct kmem_cache *cache, void *p)
{
    sanitize_open(cache->watch, p, cache->desc->object_size, true);
    memset(p, 0, cache->desc->object_size);
}

void object_clear_mark(const struct kmem_cache *cache, void *p)
{
    if (unlikely(cache->debug != NULL))
        debug_make_live(cache, p, cache->desc->object_size, 0);
    else if (!cache_is_watched(cache))
        *object_key_word(cache, p) = 0;
    if (unlikely(cache->init != 0))
        object_init(cache, p);
}

void object_set_mark(const struct kmem_cache *cache, void *p)
{
    uint64_t key = object_key_value(cache->secret, p);
    uint64_t *word = object_key_word(cache, p);

    if (unlikely((cache->init & INIT_ON_FREE) != 0))
        object_wipe(cache, p);
    if (cache_is_watched(cache))
        return;
    if (unlikely(cache->debug != NULL))
        debug_make_free(cache, p, 0);
    *word = key;
    if (!cache_is_small(cache))
        word[-1] = key; /* the malloc library looks at both (malloc/heap.h) */
}

slow_path void object_report(const struct kmem_cache *cache, const void *p)
{
    if (cache->owner->on_corruption != NULL)
        cache->owner->on_corruption(p);
}

bool object_may_leave(const struct kmem_cache *cache, void *p)
{
    const uint64_t *word = object_key_word(cache, p);
    uint64_t key = object_key_value(cache->secret, p);

    if (likely(!cache->owner->pops_are_checked ||
               (word[0] == key && (cache_is_small(cache) || word[-1] == key))))
        return true;
    object_report(cache, p);
    return false;
}

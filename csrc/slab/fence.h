/* fence.h - which objects come from an arena's KFENCE (kfence/kfence.h), and how they go back.
 *
 * What it is: the hooks in the slow paths of allocation and free. When a sample is due
 * (page_alloc_set_sample), the next object that a slow path is asked for comes from the pool, and
 * not from its cache. Fast paths do not ask: an arena's frames and the pool are different ranges of
 * addresses, so a free of such an object misses in the fast path's first compare.
 * Never sampled: objects that are larger than a page, of caches with a constructor, with debug
 * flags, or that a tool watches; and what mempools and prefilled sheaves set aside.
 * Invariant: a cache has as many live objects as its slabs say, and those of kfence_live_objects.
 * Lock: none of its own.
 */
#ifndef SLAB_FENCE_H
#define SLAB_FENCE_H

#include "kfence/kfence.h"
#include "slab/slab.h"

/* Gives the arena a KFENCE, by its options or by PYSLAB_KFENCE. EINVAL: it is shared, or a number
 * is out of range. ENOMEM: the system refused, or the process has too many; an environment variable
 * is not heeded then. A watched arena gets none. */
int fence_start(struct slab_alloc *sa, const pyslab_arena_options *options);

/* The same for the malloc library, once malloc works. ENOMEM */
int fence_begin(struct slab_alloc *sa, uint32_t sample_ms, uint32_t nr);

/* The slow half of fence_alloc. */
void *fence_alloc_slow(struct kmem_cache *cache, size_t asked);

/* An object from the pool for a caller that needs so many bytes of it, counted; NULL: no sample is
 * due. */
static inline void *fence_alloc(struct kmem_cache *cache, size_t asked)
{
    if (likely(!load_relaxed(&cache->owner->pages->sample.due)))
        return NULL;
    return fence_alloc_slow(cache, asked);
}

/* The address is in the arena's pool. */
static inline bool fence_has(const struct slab_alloc *sa, const void *p)
{
    return unlikely(sa->kfence != NULL) && kfence_has(sa->kfence, p);
}

/* Frees p. cache: whose object it must be; NULL: any. Errors, which are reported: EPOINTER,
 * EDOUBLE, ECACHE. pre: fence_has */
int fence_free(struct slab_alloc *sa, const struct kmem_cache *cache, void *p);
/* Bytes of the live object that starts at p; 0: none does. */
size_t fence_usable(struct slab_alloc *sa, const void *p);
/* Its cache; NULL likewise. */
struct kmem_cache *fence_cache_of(struct slab_alloc *sa, const void *p);
/* Live objects of the cache, as kfence_live_objects. */
size_t fence_live_objects(struct kmem_cache *cache, void **p, size_t nr);
void fence_end(struct slab_alloc *sa);

#endif

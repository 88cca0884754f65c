/* api_mempool.c - the functions of pyslab.h for mempools and preallocation: argument checks.
 * What it is not: the work (slab/mempool.h). Lock: none. */
#include "arena/arena.h"
#include "slab/mempool.h"

int pyslab_kmalloc_prealloc(pyslab_arena *arena, size_t size, size_t nr)
{
    return kmalloc_prealloc(&arena->kmalloc, size, nr);
}

int pyslab_kmem_cache_prealloc(pyslab_kmem_cache *cache, size_t nr)
{
    return cache_prealloc(cache, nr);
}

int pyslab_mempool_create(pyslab_kmem_cache *cache, size_t min_nr, pyslab_mempool **out)
{
    return cache == NULL || out == NULL || min_nr == 0 ? PYSLAB_EINVAL
                                                       : mempool_create(cache, min_nr, out);
}

void *pyslab_mempool_alloc(pyslab_mempool *pool, uint32_t gfp)
{
    return mempool_alloc(pool, gfp);
}

int pyslab_mempool_free(pyslab_mempool *pool, void *p)
{
    return p == NULL ? PYSLAB_OK : mempool_free(pool, p);
}

int pyslab_mempool_resize(pyslab_mempool *pool, size_t min_nr)
{
    return min_nr == 0 ? PYSLAB_EINVAL : mempool_resize(pool, min_nr);
}

int pyslab_mempool_destroy(pyslab_mempool *pool)
{
    return pool == NULL ? PYSLAB_OK : mempool_destroy(pool);
}

void pyslab_mempool_stats_read(pyslab_mempool *pool, pyslab_mempool_stats *out)
{
    mempool_stats(pool, out);
}

/* api_kmalloc.c - the relatives of kmalloc in pyslab.h: arrays, copies, and blocks that held a
 * secret. They are the kernel's, under its names.
 *
 * What it is: a product that is checked, or a few bytes written, and then one call of kmalloc's.
 * What it is not: kmalloc, krealloc and kfree themselves (api.c).
 * Lock: none.
 */
#include "arena/arena.h"

#include <string.h>

/* n * size, or SIZE_MAX, which no arena has, if a size_t cannot hold that. */
static size_t array_bytes(size_t n, size_t size)
{
    size_t bytes;

    return __builtin_mul_overflow(n, size, &bytes) ? SIZE_MAX : bytes;
}

void *pyslab_kmalloc_array(pyslab_arena *arena, size_t n, size_t size, uint32_t gfp)
{
    return kmalloc_alloc(&arena->kmalloc, array_bytes(n, size), gfp);
}

void *pyslab_kcalloc(pyslab_arena *arena, size_t n, size_t size, uint32_t gfp)
{
    return kmalloc_zeroed(&arena->kmalloc, array_bytes(n, size), gfp);
}

void *pyslab_krealloc_array(pyslab_arena *arena, void *p, size_t n, size_t size, uint32_t gfp)
{
    return kmalloc_resize(&arena->kmalloc, p, array_bytes(n, size), gfp);
}

void *pyslab_kmemdup(pyslab_arena *arena, const void *src, size_t size, uint32_t gfp)
{
    void *p = kmalloc_alloc(&arena->kmalloc, size, gfp & ~(uint32_t)PYSLAB_GFP_ZERO);

    if (p != NULL && size != 0)
        memcpy(p, src, size);
    return p;
}

int pyslab_kfree_sensitive(pyslab_arena *arena, void *p)
{
    kmalloc_clear(&arena->kmalloc, p);
    return kmalloc_free(&arena->kmalloc, p);
}

/* second.c - the other unit of an extension: it calls pyslab, and imports nothing. */
#ifdef PYSLAB_UNIQUE_SYMBOL
#define PYSLAB_NO_IMPORT
#endif
#include <pyslab.h>

#ifdef __cplusplus
extern "C"
#endif
    void *second_kmalloc(pyslab_arena *arena, size_t size);

void *second_kmalloc(pyslab_arena *arena, size_t size)
{
    return pyslab_kmalloc(arena, size, PYSLAB_GFP_KERNEL);
}

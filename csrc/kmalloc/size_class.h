/* size_class.h - which object size serves which request.
 *
 * What it is: the two geometries as lists of sizes, and the tables that turn a request
 * into a class in one load. Fine: four classes per doubling, 16 B to 256 KiB. Linux:
 * 8 16 32 64 96 128 192 256 512 1k 2k 4k 8k.
 * What it is not: caches. Class c, counted from 1, is served by the cache with id c.
 *
 * Data structure: small[] by 8-byte step up to 8 KiB, large[] by 2 KiB step above.
 * Invariant: size[class_of(n)] is the smallest class >= n; 0 where there is none.
 */
#ifndef KMALLOC_SIZE_CLASS_H
#define KMALLOC_SIZE_CLASS_H

#include "base/bits.h"

#define SIZE_CLASS_SMALL_SHIFT 3u
#define SIZE_CLASS_SMALL_MAX ((size_t)8 << 10)
#define SIZE_CLASS_LARGE_SHIFT 11u
#define SIZE_CLASS_MAX ((size_t)256 << 10)
#define MAX_SIZE_CLASSES 64u

struct size_classes {
    uint8_t small[(SIZE_CLASS_SMALL_MAX >> SIZE_CLASS_SMALL_SHIFT) + 1]; /* class, by bytes/8 */
    uint8_t large[(SIZE_CLASS_MAX >> SIZE_CLASS_LARGE_SHIFT) + 1];       /* class, by bytes/2048 */
    uint32_t size[MAX_SIZE_CLASSES]; /* bytes, by class; size[0] is 0 */
    uint32_t nr;                     /* classes are 1 .. nr */
};

/* Lists the sizes of a geometry (enum pyslab_kmalloc_classes) up to max_bytes. */
void size_classes_init(struct size_classes *sc, uint32_t geometry, size_t max_bytes);

/* The smallest class whose objects are all aligned to a power of two; 0 if there is none. */
unsigned size_class_aligned(const struct size_classes *sc, size_t bytes, size_t align);

/* 0: no class holds this many bytes, or bytes is 0. */
static always_inline unsigned size_class_of(const struct size_classes *sc, size_t bytes)
{
    if (likely(bytes <= SIZE_CLASS_SMALL_MAX))
        return sc->small[(bytes + 7) >> SIZE_CLASS_SMALL_SHIFT];
    if (bytes <= SIZE_CLASS_MAX)
        return sc->large[(bytes + 2047) >> SIZE_CLASS_LARGE_SHIFT];
    return 0;
}

#endif

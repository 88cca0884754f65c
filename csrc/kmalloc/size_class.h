/* size_class.h - which object size serves which request.
 *
 * What it is: the two lists of sizes that an arena can have (its geometry), and the tables that
 * turn a number of bytes into a class with one load. The fine geometry has four classes per
 * doubling, from 16 B to 256 KiB. The Linux one has 8 16 32 64 96 128 192 256 512 1k 2k 4k 8k.
 * What it is not: caches. Class c, counted from 1, is served by the cache with id c.
 *
 * Data structure: small[] has an entry per 8 bytes up to 8 KiB, large[] one per 2 KiB above.
 * Invariant (size_classes_add_up): size[size_class_of(n)] is the smallest size >= n in the list;
 * size_class_of(n) is 0 where there is none, and for 0.
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

/* The smallest class of at least so many bytes whose objects are all aligned to align; 0 if there
 * is none. pre: align is a power of two */
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

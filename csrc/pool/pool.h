/* pool.h - the memory of pyslab.cymem.Pool: zeroed blocks that are known by address and go
 * together.
 *
 * What it is: a client of the C API. A block can be freed alone, has the size that was asked
 * for, and any other address is found out without being read.
 * What it is not: Python; src/pyslab/cymem.pyx is. Nor thread-safe: its owner holds the GIL.
 *
 * Data structure: small blocks lie in chunks of 1 to 64 KiB, aligned to their size, in
 * granules of 16 bytes. A chunk begins with a table of 16 bits a granule:
 *
 *     size + 1            in the first granule of a block in use
 *     POOL_FREE | n       in the first of a free block of n granules
 *     POOL_BACK | n       in its last, if that is another (boundary tags: Knuth 1973, 2.5)
 *     0                   elsewhere
 *
 * The current chunk is bumped; free blocks are joined with their neighbours and are on lists
 * by size. Chunks grow with what the pool holds. The first one is in the pool's own block,
 * so that a pool of a few small blocks is one kmalloc. Larger blocks are kmalloc's (vmalloc's
 * above the largest page block), and in the index with their size; the other chunks too.
 * With a malloc of the caller's every block is its, and in the index.
 * Invariant (pool_adds_up): blocks tile each chunk up to its unused end; no free block lies next
 * to another one or to the unused end of the current chunk; a chunk that is not current has a
 * block in use; free blocks are on the list of their size; size == sum of the sizes of blocks in
 * use.
 * Lock: none. Requests for memory may run callbacks of the arena, and these may use the pool: so
 * its fields are read after a request, not before.
 */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include "pool/index.h"

#include <string.h>

#define POOL_GRANULE ((size_t)16)
#define POOL_SMALL_BYTES ((size_t)2048) /* larger blocks are not in chunks */
#define POOL_NR_BINS 16u
#define POOL_MIN_SHIFT 10u /* chunks of 1 KiB */
#define POOL_MAX_SHIFT 16u /* to 64 KiB */

typedef void *(*pool_malloc)(size_t size);
typedef void (*pool_mfree)(void *p);

enum pool_error {
    POOL_OK = 0,
    POOL_ENOMEM = -1,
    POOL_EUNKNOWN = -2, /* no block of this pool starts there */
    POOL_ESMALLER = -3, /* the new size is not larger than the old one */
};

/* The links of a free block; they lie in the block. */
struct pool_free {
    struct pool_free *next; /* NULL: the last of its bin */
    struct pool_free *prev; /* NULL: the first of its bin */
};

struct pool_chunk {
    struct pool_chunk *next; /* list of the pool's chunks */
    struct pool_chunk *prev; /* NULL: the first */
    char *base;              /* address of granule 0 */
    uint32_t nr_granules;    /* of it */
    uint32_t shift;          /* log2 of its bytes; 0: it is in the pool's block */
    uint16_t table[];        /* nr_granules entries */
};

struct pool {
    char *cur;                 /* next byte of the current chunk */
    char *end;                 /* end of the current chunk */
    uint16_t *cur_table;       /* the table entry of the granule at cur */
    uint32_t free_max;         /* no free block has more granules than this */
    uint32_t bins;             /* bit i: bin i is not empty */
    size_t size;               /* bytes of blocks in use, as asked for */
    struct pool_chunk *chunk;  /* the current one */
    struct pool_chunk *chunks; /* list of all */
    pyslab_arena *arena;       /* where memory comes from; constant */
    pool_malloc malloc;        /* the caller's; NULL: memory is the arena's; constant */
    pool_mfree free;           /* goes with it */
    struct index index;        /* chunks and large blocks */
    uint32_t nr_chunks[POOL_MAX_SHIFT - POOL_MIN_SHIFT + 1]; /* by shift */
    struct pool_free *bin[POOL_NR_BINS]; /* lists of free blocks by size; see bin_least */
    struct pool_chunk first; /* the last field: its table and granules follow it in memory */
};

struct pool_block {
    void *p;
    size_t size;
};

/* Makes a pool. The caller sees to it that the arena outlives it. NULL: no memory.
 * pre: malloc and free are both given, or neither */
struct pool *pool_create(pyslab_arena *arena, pool_malloc malloc, pool_mfree free);
/* Frees every block. */
void pool_destroy(struct pool *pool);
/* pool_alloc where the fast path has no room. */
void *pool_alloc_slow(struct pool *pool, size_t size);
/* Allocates from memory that the pool has already; NULL: it has no room. For a second try, when a
 * request has failed and callbacks may have freed blocks of the pool. */
void *pool_alloc_own(struct pool *pool, size_t size);
/* Frees a block. POOL_EUNKNOWN */
int pool_free(struct pool *pool, void *p);
/* Makes a block larger; *p becomes its new place. The new bytes are zero. An error leaves the
 * block as it was. */
int pool_realloc(struct pool *pool, void **p, size_t size);
/* Writes up to nr blocks in use; returns how many there are. */
size_t pool_blocks(const struct pool *pool, struct pool_block *out, size_t nr);

/* Clears whole granules. */
static inline void pool_zero(char *p, size_t bytes)
{
    if (bytes <= 2 * POOL_GRANULE) {
        memset(p, 0, POOL_GRANULE);
        memset(p + bytes - POOL_GRANULE, 0, POOL_GRANULE);
    } else if (bytes <= 4 * POOL_GRANULE) {
        memset(p, 0, 2 * POOL_GRANULE);
        memset(p + bytes - 2 * POOL_GRANULE, 0, 2 * POOL_GRANULE);
    } else {
        memset(p, 0, bytes);
    }
}

/* A block of any size, 0 included, that reads zero. NULL: no memory. */
static inline void *pool_alloc(struct pool *pool, size_t size)
{
    size_t bytes = (size + POOL_GRANULE - 1) & ~(POOL_GRANULE - 1);
    char *p = pool->cur;

    if (__builtin_expect(size - 1 < POOL_SMALL_BYTES && bytes / POOL_GRANULE > pool->free_max &&
                             bytes <= (size_t)(pool->end - p),
                         1)) {
        *pool->cur_table = (uint16_t)(size + 1);
        pool->cur_table += bytes / POOL_GRANULE;
        pool->cur = p + bytes;
        pool->size += size;
        pool_zero(p, bytes);
        return p;
    }
    return pool_alloc_slow(pool, size);
}

#endif

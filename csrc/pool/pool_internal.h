/* pool_internal.h - what the files of csrc/pool share. */
#ifndef POOL_POOL_INTERNAL_H
#define POOL_POOL_INTERNAL_H

#include "pool/pool.h"

#define POOL_FREE 0x8000u
#define POOL_BACK 0x4000u
#define POOL_COUNT 0x1fffu /* granules, of either */

#define POOL_BLOCK_BYTES ((size_t)640) /* of the pool itself, with its first chunk */
#define INDEX_CHUNK ((size_t)1 << 63)  /* its value of a chunk, with the shift */

/* A block of 0 bytes has one. */
static inline uint32_t granules_of(size_t size)
{
    return size == 0 ? 1 : (uint32_t)((size + POOL_GRANULE - 1) / POOL_GRANULE);
}

/* Into the pool's list; nothing of it is in use. shift 0: in the pool's own block. */
void chunk_init(struct pool *pool, struct pool_chunk *chunk, size_t bytes, uint32_t shift);
/* Its memory goes back to the arena. */
void chunk_give(struct pool *pool, struct pool_chunk *chunk);
/* Bumping goes on in this one; what the last one had left is a free block. */
void chunk_enter(struct pool *pool, struct pool_chunk *chunk);
/* A new current chunk for small blocks of so many bytes, a smaller one if there is none of the
 * size; false: they had better be large. */
bool chunk_add(struct pool *pool, size_t bytes);
/* The chunk that an address is in, if one is. */
struct pool_chunk *chunk_of(struct pool *pool, const void *p);
/* The granule where a block in use starts, or nr_granules: none does. */
uint32_t granule_of(const struct pool_chunk *chunk, const void *p);

/* A free block becomes one in use, of size bytes in nr granules. NULL: there is none. */
void *free_take(struct pool *pool, uint32_t nr, size_t size);
/* Takes granules from the free block at i; false: it has not so many. */
bool free_shorten(struct pool *pool, struct pool_chunk *chunk, uint32_t i, uint32_t nr);
/* Joins granules i to i + nr, of no block, with what is free around them. */
void granules_free(struct pool *pool, struct pool_chunk *chunk, uint32_t i, uint32_t nr);

#endif

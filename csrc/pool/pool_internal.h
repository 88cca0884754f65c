/* pool_internal.h - what the files of csrc/pool share. Not for others. */
#ifndef POOL_POOL_INTERNAL_H
#define POOL_POOL_INTERNAL_H

#include "pool/pool.h"

/* Entries of a chunk's table; pool.h explains them. */
#define POOL_FREE 0x8000u
#define POOL_BACK 0x4000u
#define POOL_COUNT 0x1fffu /* mask of the number of granules in either of these */

#define POOL_BLOCK_BYTES ((size_t)640) /* of struct pool and its first chunk together */
/* The index has INDEX_CHUNK | shift for a chunk, and the size for a large block. */
#define INDEX_CHUNK ((size_t)1 << 63)

/* Granules of a block. One of 0 bytes has one too, so that it has an address of its own. */
static inline uint32_t granules_of(size_t size)
{
    return size == 0 ? 1 : (uint32_t)((size + POOL_GRANULE - 1) / POOL_GRANULE);
}

/* Makes an empty chunk of so many bytes and puts it on the pool's list. shift 0: it is the one in
 * the pool's own block. */
void chunk_init(struct pool *pool, struct pool_chunk *chunk, size_t bytes, uint32_t shift);
/* Gives a chunk's memory back to the arena. */
void chunk_give(struct pool *pool, struct pool_chunk *chunk);
/* Makes a chunk the current one. The unused end of the one before becomes a free block. */
void chunk_enter(struct pool *pool, struct pool_chunk *chunk);
/* Makes a new current chunk for small blocks of so many bytes: of the size that the pool has grown
 * to, or smaller if there is no memory for that. False: there is no chunk in which some of them
 * fit, so the block should be allocated as a large one. */
bool chunk_add(struct pool *pool, size_t bytes);
/* The chunk that an address lies in, or NULL. */
struct pool_chunk *chunk_of(struct pool *pool, const void *p);
/* The granule where a block in use starts, or nr_granules: none does. */
uint32_t granule_of(const struct pool_chunk *chunk, const void *p);

/* Allocates size bytes, in nr granules, from a free block. NULL: none is large enough. */
void *free_take(struct pool *pool, uint32_t nr, size_t size);
/* Takes nr granules from the start of the free block at granule i; false: it has not so many. */
bool free_shorten(struct pool *pool, struct pool_chunk *chunk, uint32_t i, uint32_t nr);
/* Makes granules i to i + nr free, joined with free blocks and the unused end next to them.
 * pre: their table entries are 0 */
void granules_free(struct pool *pool, struct pool_chunk *chunk, uint32_t i, uint32_t nr);

#endif

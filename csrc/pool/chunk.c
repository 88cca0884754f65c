/* chunk.c - the chunks of a pool, and the free blocks in them; pool.h explains both.
 * What it is not: large blocks (pool.c). Lock: none; see pool.h. */
#include "pool/pool_check.h"

#include <stddef.h>

#define POOL_FEWEST 4u       /* blocks of the size that asks for a new chunk in it */
#define POOL_CHUNK_SHARE 64u /* a chunk is at most this part of the arena */

/* How a chunk is asked for: memory is not reclaimed for it, and reserves stay untouched. */
#define GFP_CHUNK ((uint32_t)(PYSLAB_GFP_NOWARN | PYSLAB_GFP_NORETRY | PYSLAB_GFP_NOMEMALLOC))

/* --- free blocks -------------------------------------------------------- */

/* The smallest block of each bin: one a size up to 8 granules, then two a doubling. */
static const uint32_t bin_least[POOL_NR_BINS + 1] = {
    1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 32, 48, 64, 128, POOL_COUNT + 1,
};

static uint32_t bin_of(uint32_t nr)
{
    uint32_t log;

    if (nr <= 9)
        return nr - 1;
    if (nr >= 64)
        return nr >= 128 ? 15 : 14;
    log = 31u - (uint32_t)__builtin_clz(nr); /* 3 to 5 */
    return 8 + (log - 3) * 2 + (nr >> (log - 1)) - 2;
}

/* Sets free_max after a list has become empty, or no longer is. */
static void bins_changed(struct pool *pool)
{
    if (pool->bins == 0)
        pool->free_max = 0;
    else
        pool->free_max = bin_least[32 - __builtin_clz(pool->bins)] - 1;
}

/* Makes granules i to i + nr a free block on its list. The neighbours are in use. */
static void free_link(struct pool *pool, struct pool_chunk *chunk, uint32_t i, uint32_t nr)
{
    struct pool_free *block = (struct pool_free *)(void *)(chunk->base + i * POOL_GRANULE);
    uint32_t bin = bin_of(nr);

    if (nr > 1)
        chunk->table[i + nr - 1] = (uint16_t)(POOL_BACK | nr);
    chunk->table[i] = (uint16_t)(POOL_FREE | nr);
    *block = (struct pool_free){.next = pool->bin[bin]};
    if (block->next != NULL)
        block->next->prev = block;
    pool->bin[bin] = block;
    pool->bins |= 1u << bin;
    bins_changed(pool);
}

/* Takes the free block at granule i off its list; returns the number of its granules. */
static uint32_t free_unlink(struct pool *pool, struct pool_chunk *chunk, uint32_t i)
{
    struct pool_free *block = (struct pool_free *)(void *)(chunk->base + i * POOL_GRANULE);
    uint32_t nr = chunk->table[i] & POOL_COUNT;
    uint32_t bin = bin_of(nr);

    if (block->next != NULL)
        block->next->prev = block->prev;
    if (block->prev != NULL)
        block->prev->next = block->next;
    else
        pool->bin[bin] = block->next;
    if (pool->bin[bin] == NULL) {
        pool->bins &= ~(1u << bin);
        bins_changed(pool);
    }
    chunk->table[i + nr - 1] = 0;
    chunk->table[i] = 0;
    return nr;
}

/* --- chunks ------------------------------------------------------------- */

/* How many granules, each with its entry in the table, fit in so many bytes behind a chunk's
 * header. */
static uint32_t granules_in(size_t bytes)
{
    return (uint32_t)((bytes - (POOL_GRANULE - 1)) / (POOL_GRANULE + sizeof(uint16_t)));
}

void chunk_init(struct pool *pool, struct pool_chunk *chunk, size_t bytes, uint32_t shift)
{
    uint32_t nr = granules_in(bytes - offsetof(struct pool_chunk, table));
    uintptr_t behind = (uintptr_t)&chunk->table[nr];

    *chunk = (struct pool_chunk){
        .next = pool->chunks,
        .base = (char *)chunk +
                (((behind + POOL_GRANULE - 1) & ~(POOL_GRANULE - 1)) - (uintptr_t)chunk),
        .nr_granules = nr,
        .shift = shift,
    };
    memset(chunk->table, 0, nr * sizeof chunk->table[0]);
    if (chunk->next != NULL)
        chunk->next->prev = chunk;
    pool->chunks = chunk;
}

void chunk_give(struct pool *pool, struct pool_chunk *chunk)
{
    if (chunk->shift >= PYSLAB_PAGE_SHIFT)
        pyslab_free_pages_address(pool->arena, chunk, chunk->shift - PYSLAB_PAGE_SHIFT);
    else if (chunk->shift != 0)
        pyslab_kfree(pool->arena, chunk);
}

/* Ends a chunk in which no block is in use or on a list. */
static void chunk_release(struct pool *pool, struct pool_chunk *chunk)
{
    if (chunk->shift == 0)
        return; /* the one in the pool's own block stays, and is not used again */
    if (chunk->next != NULL)
        chunk->next->prev = chunk->prev;
    if (chunk->prev != NULL)
        chunk->prev->next = chunk->next;
    else
        pool->chunks = chunk->next;
    index_remove(&pool->index, index_find(&pool->index, (uintptr_t)chunk));
    pool->nr_chunks[chunk->shift - POOL_MIN_SHIFT]--;
    chunk_give(pool, chunk);
}

void chunk_enter(struct pool *pool, struct pool_chunk *chunk)
{
    struct pool_chunk *old = pool->chunk;

    if (old != NULL) {
        uint32_t used = (uint32_t)((size_t)(pool->cur - old->base) / POOL_GRANULE);

        if (used == 0 && old->shift != 0)
            chunk_release(pool, old);
        else if (used < old->nr_granules)
            free_link(pool, old, used, old->nr_granules - used);
    }
    pool->chunk = chunk;
    pool->cur = chunk->base;
    pool->end = chunk->base + chunk->nr_granules * POOL_GRANULE;
    pool->cur_table = chunk->table;
}

/* log2 of the next chunk's bytes: at most a quarter of what the pool holds, since a chunk may turn
 * out to be unused. */
static uint32_t next_shift(const struct pool *pool)
{
    uint32_t shift = POOL_MIN_SHIFT;
    uint64_t share = pyslab_arena_size(pool->arena) / POOL_CHUNK_SHARE;

    while (shift < POOL_MAX_SHIFT && (size_t)8 << shift <= pool->size &&
           (uint64_t)2 << shift <= share)
        shift++;
    return shift;
}

static struct pool_chunk *chunk_take(struct pool *pool, uint32_t shift)
{
    if (shift >= PYSLAB_PAGE_SHIFT)
        return pyslab_get_free_pages(pool->arena, shift - PYSLAB_PAGE_SHIFT, GFP_CHUNK);
    return pyslab_kmalloc_aligned(pool->arena, (size_t)1 << shift, (size_t)1 << shift, GFP_CHUNK);
}

bool chunk_add(struct pool *pool, size_t bytes)
{
    uint32_t shift = next_shift(pool) + 1;
    struct pool_chunk *chunk = NULL;

    while (chunk == NULL) {
        shift--;
        if (shift < POOL_MIN_SHIFT || bytes * POOL_FEWEST > (size_t)1 << shift)
            return false;
        chunk = chunk_take(pool, shift);
    }
    if (!index_reserve(&pool->index, pool->arena)) {
        chunk->shift = shift;
        chunk_give(pool, chunk);
        return false;
    }
    chunk_init(pool, chunk, (size_t)1 << shift, shift);
    index_insert(&pool->index, (uintptr_t)chunk, INDEX_CHUNK | shift);
    pool->nr_chunks[shift - POOL_MIN_SHIFT]++;
    chunk_enter(pool, chunk);
    return true;
}

struct pool_chunk *chunk_of(struct pool *pool, const void *p)
{
    uintptr_t address = (uintptr_t)p;

    for (uint32_t shift = POOL_MAX_SHIFT; shift >= POOL_MIN_SHIFT; shift--) {
        uintptr_t start = address & ~(((uintptr_t)1 << shift) - 1);
        const struct index_entry *entry;

        if (pool->nr_chunks[shift - POOL_MIN_SHIFT] == 0)
            continue;
        entry = index_find(&pool->index, start);
        if (entry != NULL && entry->value == (INDEX_CHUNK | shift))
            return (struct pool_chunk *)start;
    }
    if (address - (uintptr_t)pool < POOL_BLOCK_BYTES)
        return &pool->first;
    return NULL;
}

uint32_t granule_of(const struct pool_chunk *chunk, const void *p)
{
    size_t offset = (uintptr_t)p - (uintptr_t)chunk->base; /* huge if p is before it */
    uint16_t entry;

    if (offset % POOL_GRANULE != 0 || offset / POOL_GRANULE >= chunk->nr_granules)
        return chunk->nr_granules;
    entry = chunk->table[offset / POOL_GRANULE];
    if (entry == 0 || entry >= POOL_BACK)
        return chunk->nr_granules;
    return (uint32_t)(offset / POOL_GRANULE);
}

/* --- taking and joining ------------------------------------------------- */

static uint32_t free_granule(const struct pool_chunk *chunk, const struct pool_free *block)
{
    return (uint32_t)((size_t)((const char *)block - chunk->base) / POOL_GRANULE);
}

/* A free block of at least nr granules: the first of its own bin if that is large enough, or
 * of the next bin that has any. NULL: there is none. */
static struct pool_free *free_find(struct pool *pool, uint32_t nr)
{
    uint32_t bin = bin_of(nr);
    uint32_t larger = pool->bins & ~(((uint32_t)2 << bin) - 1);
    struct pool_free *own = pool->bin[bin];

    if (own != NULL) {
        const struct pool_chunk *chunk = chunk_of(pool, own);

        if ((chunk->table[free_granule(chunk, own)] & POOL_COUNT) >= nr)
            return own;
    }
    return larger != 0 ? pool->bin[__builtin_ctz(larger)] : NULL;
}

void *free_take(struct pool *pool, uint32_t nr, size_t size)
{
    struct pool_free *block = free_find(pool, nr);
    struct pool_chunk *chunk;
    uint32_t i, had;

    if (block == NULL)
        return NULL;
    chunk = chunk_of(pool, block);
    i = free_granule(chunk, block);
    had = free_unlink(pool, chunk, i);
    if (had > nr)
        free_link(pool, chunk, i + nr, had - nr);
    chunk->table[i] = (uint16_t)(size + 1);
    pool->size += size;
    pool_zero((char *)block, nr * POOL_GRANULE);
    return block;
}

bool free_shorten(struct pool *pool, struct pool_chunk *chunk, uint32_t i, uint32_t nr)
{
    uint32_t had;

    if (i == chunk->nr_granules || chunk->table[i] < POOL_FREE ||
        (chunk->table[i] & POOL_COUNT) < nr)
        return false;
    had = free_unlink(pool, chunk, i);
    if (had > nr)
        free_link(pool, chunk, i + nr, had - nr);
    return true;
}

void granules_free(struct pool *pool, struct pool_chunk *chunk, uint32_t i, uint32_t nr)
{
    uint32_t before = i > 0 ? chunk->table[i - 1] : 0;
    bool current = chunk == pool->chunk;

    CHECK(nr != 0 && chunk->table[i] == 0 && chunk->table[i + nr - 1] == 0);
    if (before >= POOL_BACK) { /* a free block ends there; one of a granule has POOL_FREE */
        i -= before & POOL_COUNT;
        nr += free_unlink(pool, chunk, i);
    }
    if (current && chunk->table + i + nr == pool->cur_table) {
        pool->cur = chunk->base + i * POOL_GRANULE;
        pool->cur_table = chunk->table + i;
        return;
    }
    if (i + nr < chunk->nr_granules && chunk->table[i + nr] >= POOL_FREE)
        nr += free_unlink(pool, chunk, i + nr);
    if (nr == chunk->nr_granules && chunk->shift != 0)
        chunk_release(pool, chunk);
    else
        free_link(pool, chunk, i, nr);
}

/* pool_check.c - recounts a pool from scratch: its chunks, their tables, the lists of free blocks
 * and the index. What it is not: a check of what callers write into blocks. Lock: none; see pool.h.
 */
#include "pool/pool_check.h"

#include <stdlib.h>

_Noreturn void pool_check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "pyslab: %s:%d: check failed: %s\n", file, line, condition);
    abort();
}

/* Sums over the chunks and the lists. */
struct pool_sums {
    size_t size;         /* bytes of the blocks in use */
    uint32_t nr_free;    /* free blocks in the tables */
    uint32_t nr_used;    /* blocks in use of the chunk at hand */
    uint32_t nr_granule; /* where the walk through the chunk at hand is */
    bool was_free;       /* the last block it met was a free one */
};

/* The block that starts where the walk is; NULL: it is as pool.h says. */
static const char *block_adds_up(const struct pool *pool, const struct pool_chunk *chunk,
                                 uint32_t top, struct pool_sums *sums)
{
    uint32_t i = sums->nr_granule, entry = chunk->table[i];
    bool is_free = entry >= POOL_FREE;
    uint32_t nr = is_free ? entry & POOL_COUNT : granules_of(entry - 1u);

    if (entry == 0 || (!is_free && entry >= POOL_BACK) || nr == 0 || nr > top - i)
        return "pool: a granule belongs to no block";
    if (is_free && sums->was_free)
        return "pool: two free blocks lie side by side";
    if (is_free && nr > pool->free_max)
        return "pool: a free block is larger than free_max";
    for (uint32_t k = i + 1; k < i + nr; k++)
        if (chunk->table[k] != (is_free && k == i + nr - 1 ? POOL_BACK | nr : 0))
            return "pool: the table has an entry inside a block";
    sums->nr_free += is_free;
    sums->nr_used += !is_free;
    sums->size += is_free ? 0 : entry - 1u;
    sums->was_free = is_free;
    sums->nr_granule += nr;
    return NULL;
}

static const char *chunk_adds_up(const struct pool *pool, const struct pool_chunk *chunk,
                                 struct pool_sums *sums)
{
    bool is_current = chunk == pool->chunk;
    uint32_t top = is_current ? (uint32_t)(pool->cur_table - chunk->table) : chunk->nr_granules;

    sums->nr_used = sums->nr_granule = 0;
    sums->was_free = false;
    if (top > chunk->nr_granules)
        return "pool: the current chunk is used beyond its end";
    while (sums->nr_granule < top) {
        const char *found = block_adds_up(pool, chunk, top, sums);

        if (found != NULL)
            return found;
    }
    for (uint32_t i = top; i < chunk->nr_granules; i++)
        if (chunk->table[i] != 0)
            return "pool: the unused end of a chunk has an entry";
    if (is_current && sums->was_free)
        return "pool: a free block lies before the unused end of the current chunk";
    if (!is_current && chunk->shift != 0 && sums->nr_used == 0)
        return "pool: a chunk that is not current has no block in use";
    return NULL;
}

static const char *bins_add_up(const struct pool *pool, uint32_t nr_free)
{
    uint32_t nr = 0;

    for (uint32_t bin = 0; bin < POOL_NR_BINS; bin++) {
        if ((pool->bins >> bin & 1) != (pool->bin[bin] != NULL))
            return "pool: bins does not say which lists are empty";
        for (const struct pool_free *at = pool->bin[bin]; at != NULL && nr <= nr_free;
             at = at->next)
            if (++nr > nr_free || (at->next != NULL && at->next->prev != at))
                return "pool: a list of free blocks is broken";
    }
    return nr == nr_free ? NULL : "pool: a free block is on no list";
}

const char *index_adds_up(const struct index *index)
{
    size_t nr = 0;

    for (size_t i = 0; i < index->nr_slots; i++) {
        if (index->slots[i].address == 0)
            continue;
        nr++;
        if (nr == index->nr_slots || index_find(index, index->slots[i].address) != &index->slots[i])
            return "index: an entry is not found under its address";
    }
    if (nr != index->nr_used || nr > index->nr_slots - index->nr_slots / 4)
        return "index: nr_used is not the number of entries";
    return NULL;
}

const char *pool_adds_up(const struct pool *pool)
{
    const char *found = index_adds_up(&pool->index);
    struct pool_sums sums = {0};

    for (const struct pool_chunk *at = pool->chunks; at != NULL && found == NULL; at = at->next)
        found = chunk_adds_up(pool, at, &sums);
    if (found == NULL)
        found = bins_add_up(pool, sums.nr_free);
    for (size_t i = 0; i < pool->index.nr_slots; i++)
        if (pool->index.slots[i].address != 0 && pool->index.slots[i].value < INDEX_CHUNK)
            sums.size += pool->index.slots[i].value;
    if (found == NULL && sums.size != pool->size)
        found = "pool: size is not the sum of the blocks in use";
    return found;
}

#if PYSLAB_CHECK_LEVEL >= 2
void pool_recount(const struct pool *pool)
{
    static uint32_t nr_calls;
    const char *found = nr_calls++ % 64 == 0 ? pool_adds_up(pool) : NULL;

    if (found != NULL)
        pool_check_failed(found, __FILE__, __LINE__);
}
#endif

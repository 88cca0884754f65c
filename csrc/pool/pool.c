/* pool.c - the calls of pool.h. Order of the text: large blocks, allocation, free, realloc, life.
 * What it is not: chunks (chunk.c). Lock: none; see pool.h. */
#include "pool/pool_check.h"

#include <stddef.h>

/* --- large blocks ------------------------------------------------------- */

static void large_give(const struct pool *pool, void *p)
{
    if (pool->malloc != NULL)
        pool->free(p);
    else
        pyslab_kvfree(pool->arena, p);
}

static uint64_t largest_block(const struct pool *pool)
{
    return (uint64_t)1 << (PYSLAB_PAGE_SHIFT + pyslab_arena_max_order(pool->arena));
}

static void *large_take(struct pool *pool, size_t size)
{
    void *p;

    if (pool->malloc != NULL) {
        p = pool->malloc(size);
        if (p != NULL)
            memset(p, 0, size);
        return p;
    }
    if (size == 0)
        size = 1;
    if (size > largest_block(pool))
        return pyslab_vzalloc(pool->arena, size, PYSLAB_GFP_KERNEL);
    return pyslab_kzalloc(pool->arena, size, PYSLAB_GFP_KERNEL);
}

static void *large_alloc(struct pool *pool, size_t size)
{
    void *p;

    if (size >= INDEX_CHUNK)
        return NULL;
    p = large_take(pool, size);
    if (p == NULL)
        return NULL;
    if (!index_reserve(&pool->index, pool->arena)) {
        large_give(pool, p);
        return NULL;
    }
    index_insert(&pool->index, (uintptr_t)p, size);
    pool->size += size;
    return p;
}

/* The index's entry of a large block, or NULL. */
static struct index_entry *large_find(const struct pool *pool, const void *p)
{
    struct index_entry *entry = index_find(&pool->index, (uintptr_t)p);

    return entry != NULL && entry->value < INDEX_CHUNK ? entry : NULL;
}

/* --- allocation --------------------------------------------------------- */

static void *bump(struct pool *pool, uint32_t nr, size_t size)
{
    char *p = pool->cur;

    *pool->cur_table = (uint16_t)(size + 1);
    pool->cur_table += nr;
    pool->cur += nr * POOL_GRANULE;
    pool->size += size;
    pool_zero(p, nr * POOL_GRANULE);
    return p;
}

void *pool_alloc_own(struct pool *pool, size_t size)
{
    uint32_t nr;
    void *p;

    if (size > POOL_SMALL_BYTES || pool->malloc != NULL)
        return NULL;
    nr = granules_of(size);
    p = free_take(pool, nr, size);
    if (p == NULL && (size_t)(pool->end - pool->cur) >= nr * POOL_GRANULE)
        p = bump(pool, nr, size);
    return p;
}

void *pool_alloc_slow(struct pool *pool, size_t size)
{
    void *p = pool_alloc_own(pool, size);

    if (p != NULL)
        return p;
    if (size <= POOL_SMALL_BYTES && pool->malloc == NULL) {
        uint32_t nr = granules_of(size);

        if (chunk_add(pool, nr * POOL_GRANULE)) {
            p = bump(pool, nr, size);
            pool_recount(pool);
            return p;
        }
    }
    p = large_alloc(pool, size);
    pool_recount(pool);
    return p;
}

/* --- free --------------------------------------------------------------- */

/* Where a block in use is. */
struct place {
    struct pool_chunk *chunk;  /* the chunk of a small block; NULL: the block is large */
    struct index_entry *entry; /* the index's entry of a large block */
    uint32_t granule;          /* the first granule of a small block */
    size_t size;               /* bytes, as they were asked for */
};

static bool find(struct pool *pool, const void *p, struct place *out)
{
    *out = (struct place){.chunk = chunk_of(pool, p)};
    if (out->chunk != NULL) {
        out->granule = granule_of(out->chunk, p);
        if (out->granule == out->chunk->nr_granules)
            return false;
        out->size = out->chunk->table[out->granule] - 1u;
        return true;
    }
    out->entry = large_find(pool, p);
    if (out->entry == NULL)
        return false;
    out->size = out->entry->value;
    return true;
}

static void place_free(struct pool *pool, const struct place *at)
{
    pool->size -= at->size;
    if (at->chunk != NULL) {
        at->chunk->table[at->granule] = 0;
        granules_free(pool, at->chunk, at->granule, granules_of(at->size));
    } else {
        void *p = (void *)at->entry->address;

        index_remove(&pool->index, at->entry);
        large_give(pool, p);
    }
}

int pool_free(struct pool *pool, void *p)
{
    struct place at;

    if (!find(pool, p, &at))
        return POOL_EUNKNOWN;
    place_free(pool, &at);
    pool_recount(pool);
    return POOL_OK;
}

/* --- realloc ------------------------------------------------------------ */

/* Makes a small block larger where it is, with the free granules behind it; false: it has to
 * move. */
static bool small_grow(struct pool *pool, struct pool_chunk *chunk, uint32_t i, size_t size)
{
    uint32_t had = granules_of(chunk->table[i] - 1u), nr = granules_of(size);
    uint32_t next = i + had, more = nr - had;

    if (nr == had)
        return true;
    if (chunk == pool->chunk && chunk->table + next == pool->cur_table) {
        if ((size_t)(pool->end - pool->cur) < more * POOL_GRANULE)
            return false;
        pool->cur += more * POOL_GRANULE;
        pool->cur_table += more;
        return true;
    }
    return free_shorten(pool, chunk, next, more);
}

static int realloc_by_move(struct pool *pool, void **p, size_t size)
{
    void *q = pool_alloc(pool, size);
    struct place at;

    if (q == NULL)
        return POOL_ENOMEM;
    if (!find(pool, *p, &at)) { /* a callback has freed it */
        pool_free(pool, q);
        return POOL_EUNKNOWN;
    }
    memcpy(q, *p, at.size);
    place_free(pool, &at);
    *p = q;
    return POOL_OK;
}

/* Makes a large block larger by krealloc, which may extend it in place. */
static int realloc_large(struct pool *pool, void **p, size_t old, size_t size)
{
    size_t usable = pyslab_ksize(pool->arena, *p); /* 0: vmalloc's */
    char *q;

    if (usable == 0 || !index_reserve(&pool->index, pool->arena))
        return realloc_by_move(pool, p, size);
    q = pyslab_krealloc(pool->arena, *p, size, PYSLAB_GFP_KERNEL | PYSLAB_GFP_ZERO);
    if (q == NULL)
        return size > largest_block(pool) ? realloc_by_move(pool, p, size) : POOL_ENOMEM;
    memset(q + old, 0, (usable < size ? usable : size) - old);
    index_remove(&pool->index, large_find(pool, *p));
    index_insert(&pool->index, (uintptr_t)q, size);
    pool->size += size - old;
    *p = q;
    return POOL_OK;
}

int pool_realloc(struct pool *pool, void **p, size_t size)
{
    struct place at;

    if (!find(pool, *p, &at))
        return POOL_EUNKNOWN;
    if (size <= at.size)
        return POOL_ESMALLER;
    if (size >= INDEX_CHUNK)
        return POOL_ENOMEM;
    if (at.chunk == NULL && pool->malloc == NULL)
        return realloc_large(pool, p, at.size, size);
    if (at.chunk != NULL && size <= POOL_SMALL_BYTES &&
        small_grow(pool, at.chunk, at.granule, size)) {
        at.chunk->table[at.granule] = (uint16_t)(size + 1);
        memset((char *)*p + at.size, 0, size - at.size);
        pool->size += size - at.size;
        return POOL_OK;
    }
    return realloc_by_move(pool, p, size);
}

/* --- life --------------------------------------------------------------- */

struct pool *pool_create(pyslab_arena *arena, pool_malloc malloc, pool_mfree free)
{
    struct pool *pool;

    CHECK((malloc == NULL) == (free == NULL));
    pool = pyslab_kmalloc(arena, POOL_BLOCK_BYTES, PYSLAB_GFP_KERNEL);
    if (pool == NULL)
        return NULL;
    memset(pool, 0, sizeof *pool);
    pool->arena = arena;
    pool->malloc = malloc;
    pool->free = free;
    if (malloc == NULL) {
        chunk_init(pool, &pool->first, POOL_BLOCK_BYTES - offsetof(struct pool, first), 0);
        chunk_enter(pool, &pool->first);
    }
    return pool;
}

void pool_destroy(struct pool *pool)
{
    pyslab_arena *arena = pool->arena;
    struct pool_chunk *chunk = pool->chunks, *next;

    for (size_t i = 0; i < pool->index.nr_slots; i++) {
        const struct index_entry *entry = &pool->index.slots[i];

        if (entry->address != 0 && entry->value < INDEX_CHUNK)
            large_give(pool, (void *)entry->address);
    }
    for (; chunk != NULL; chunk = next) {
        next = chunk->next;
        chunk_give(pool, chunk);
    }
    index_destroy(&pool->index, arena);
    pyslab_kfree(arena, pool);
}

size_t pool_blocks(const struct pool *pool, struct pool_block *out, size_t nr)
{
    size_t count = 0;

    for (const struct pool_chunk *chunk = pool->chunks; chunk != NULL; chunk = chunk->next) {
        for (uint32_t i = 0; i < chunk->nr_granules; i++) {
            uint16_t entry = chunk->table[i];

            if (entry == 0 || entry >= POOL_BACK)
                continue;
            if (count < nr)
                out[count] = (struct pool_block){chunk->base + i * POOL_GRANULE, entry - 1u};
            count++;
        }
    }
    for (size_t i = 0; i < pool->index.nr_slots; i++) {
        const struct index_entry *entry = &pool->index.slots[i];

        if (entry->address == 0 || entry->value >= INDEX_CHUNK)
            continue;
        if (count < nr)
            out[count] = (struct pool_block){(void *)entry->address, entry->value};
        count++;
    }
    return count;
}

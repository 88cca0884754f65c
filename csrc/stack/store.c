/* store.c - see store.h. */
#include "stack/store.h"

#include "base/atomic.h"
#include "base/check.h"
#include "os/os_heap.h"

#include <string.h>

#define UNIT_BYTES 16u
#define POOL_UNITS 4096u
#define NR_POOLS 4096u
#define NR_CHAINS 16384u

struct record {
    uint32_t hash;     /* of the bytes */
    uint32_t next;     /* the record after this one in its chain; 0: none */
    uint32_t nr_bytes; /* of the text */
    uint32_t unused;   /* 0 */
    char bytes[];      /* the text */
};

_Static_assert(sizeof(struct record) == UNIT_BYTES, "a record's head is one unit");
_Static_assert(STORE_MAX_BYTES / UNIT_BYTES + 2 < POOL_UNITS, "each text fits into a pool");

static struct {
    _Atomic uint32_t chain[NR_CHAINS]; /* number of the newest record; 0: none */
    _Atomic(char *) pool[NR_POOLS];    /* NULL: not needed yet */
    _Atomic uint32_t used;             /* units that were handed out; 0 is never a record's */
} store;

/* --- records --------------------------------------------------------------- */

static struct record *record_of(uint32_t id)
{
    char *pool = load_acquire(&store.pool[id / POOL_UNITS]);

    return (struct record *)(void *)(pool + (size_t)(id % POOL_UNITS) * UNIT_BYTES);
}

/* The chain's record with these bytes, from `id` on to the one that `end` names; 0: none. */
static uint32_t chain_find(uint32_t id, uint32_t end, uint32_t hash, const void *bytes,
                           uint32_t nr_bytes)
{
    while (id != end) {
        const struct record *record = record_of(id);

        if (record->hash == hash && record->nr_bytes == nr_bytes &&
            memcmp(record->bytes, bytes, nr_bytes) == 0)
            return id;
        id = record->next;
    }
    return 0;
}

static uint32_t hash_of(const char *bytes, uint32_t nr_bytes)
{
    uint64_t hash = nr_bytes, word;

    for (; nr_bytes >= sizeof word; bytes += sizeof word, nr_bytes -= (uint32_t)sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    word = 0;
    memcpy(&word, bytes, nr_bytes);
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32);
}

/* --- room ------------------------------------------------------------------ */

static bool pool_is_there(uint32_t index)
{
    char *none = NULL, *pool;

    if (load_acquire(&store.pool[index]) != NULL)
        return true;
    pool = os_heap_alloc((size_t)POOL_UNITS * UNIT_BYTES);
    if (pool == NULL)
        return load_acquire(&store.pool[index]) != NULL;
    if (!atomic_compare_exchange_strong(&store.pool[index], &none, pool))
        os_heap_free(pool, (size_t)POOL_UNITS * UNIT_BYTES);
    return true;
}

/* The number of the first of so many units that nobody else has; 0 without memory. */
static uint32_t units_take(uint32_t nr)
{
    uint32_t used = load_relaxed(&store.used), at;

    do {
        at = used == 0 ? 1 : used;
        if (at % POOL_UNITS + nr > POOL_UNITS)
            at = (at / POOL_UNITS + 1) * POOL_UNITS;
        if (at / POOL_UNITS >= NR_POOLS || !pool_is_there(at / POOL_UNITS))
            return 0;
    } while (!atomic_compare_exchange_weak(&store.used, &used, at + nr));
    return at;
}

static uint32_t record_new(uint32_t hash, const void *bytes, uint32_t nr_bytes)
{
    uint32_t id = units_take(1 + (nr_bytes + UNIT_BYTES - 1) / UNIT_BYTES);

    if (id != 0) {
        struct record *record = record_of(id);

        *record = (struct record){.hash = hash, .nr_bytes = nr_bytes};
        memcpy(record->bytes, bytes, nr_bytes);
    }
    return id;
}

/* --- the two calls --------------------------------------------------------- */

uint32_t store_put(const void *bytes, uint32_t nr_bytes)
{
    uint32_t hash, head, known, id;
    _Atomic uint32_t *chain;

    CHECK(nr_bytes <= STORE_MAX_BYTES);
    hash = hash_of(bytes, nr_bytes);
    chain = &store.chain[hash % NR_CHAINS];
    known = head = load_acquire(chain);
    id = chain_find(head, 0, hash, bytes, nr_bytes);
    if (id != 0)
        return id;
    id = record_new(hash, bytes, nr_bytes);
    while (id != 0) {
        uint32_t same;

        record_of(id)->next = head;
        if (atomic_compare_exchange_strong(chain, &head, id))
            break;
        same = chain_find(head, known, hash, bytes, nr_bytes);
        if (same != 0)
            return same;
        known = head;
    }
    return id;
}

const void *store_get(uint32_t id, uint32_t *nr_bytes)
{
    const struct record *record;

    *nr_bytes = 0;
    if (id == 0)
        return NULL;
    record = record_of(id);
    *nr_bytes = record->nr_bytes;
    return record->bytes;
}

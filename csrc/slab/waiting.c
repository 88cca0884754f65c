/* waiting.c - where the freed objects of a cache wait before they serve again.
 *
 * What it is: a ring, first in, first out, of a cache with the flag P. While it is more than half
 * full an allocation takes its oldest object; while it is full a free sends the oldest back to its
 * slab. So each object rests for as many frees as half of the ring is long, and a thread that
 * allocates and frees does not come to the slabs.
 * What it is not: it checks nothing (debug_alloc.c), and blocks of whole frames have their own
 * (malloc/quarantine.h).
 * Invariant: 0 <= nr <= capacity.
 * Lock: cache->lock.
 */
#include "slab/slab_internal.h"

#include "os/os_heap.h"

#define WAITING_BYTES ((uint64_t)128 << 10) /* of the objects of a cache, about */
#define WAITING_OBJECTS 1024u               /* at most */
#define WAITING_LEAST 4u                    /* of large objects, in a large arena */
#define FETCH_AHEAD 3u
#define WAITING_ARENA_SHARE 1024u /* they are at most this part of the arena */

void waiting_init(struct quarantine *q, size_t stride, uint64_t arena_bytes)
{
    uint64_t share = arena_bytes / WAITING_ARENA_SHARE;
    uint64_t nr = (share < WAITING_BYTES ? share : WAITING_BYTES) / stride;

    if (share >= WAITING_BYTES && nr < WAITING_LEAST)
        nr = WAITING_LEAST;
    if (nr == 0)
        return;
    q->capacity = 1u << ilog2(nr < WAITING_OBJECTS ? nr : WAITING_OBJECTS);
    q->object = os_heap_alloc(q->capacity * sizeof *q->object);
    if (q->object == NULL)
        q->capacity = 0; /* nothing waits then */
}

void waiting_destroy(struct quarantine *q)
{
    os_heap_free(q->object, q->capacity * sizeof *q->object);
}

void waiting_push(struct quarantine *q, void *object)
{
    CHECK(q->nr < q->capacity);
    q->object[(q->first + q->nr++) & (q->capacity - 1)] = object;
}

/* The object has not been touched for long. It is brought near while those before it are used. */
static void fetch(const char *object)
{
    __builtin_prefetch(object - DEBUG_WORD_BYTES, 1);
    __builtin_prefetch(object - DEBUG_WORD_BYTES + CACHE_LINE_BYTES, 1);
}

void *waiting_pop(struct quarantine *q)
{
    if (q->nr == 0)
        return NULL;
    if (q->nr > FETCH_AHEAD)
        fetch(q->object[(q->first + FETCH_AHEAD) & (q->capacity - 1)]);
    q->nr--;
    return q->object[q->first++ & (q->capacity - 1)];
}

/* os_heap.c - the free lists, chunks and large mappings of os_heap.h, which says what they are.
 * What it is not: arena memory. Lock: heap.lock. */
#include "os/os_heap.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/fault.h"
#include "base/lock.h"
#include "os/os.h"

#include <string.h>

#define HEAP_MIN_SHIFT 6u  /* 64 B */
#define HEAP_MAX_SHIFT 14u /* 16 KiB */
#define HEAP_CHUNK_BYTES ((size_t)64 << 10)

struct heap_block {
    struct heap_block *next; /* next free block of the same size */
};

static struct {
    struct lock lock;                            /* guards every field below */
    struct heap_block *free[HEAP_MAX_SHIFT + 1]; /* free blocks of 2**i bytes */
    char *chunk;                                 /* unused rest of the newest chunk */
    size_t chunk_bytes;                          /* bytes of that rest */
    size_t live_bytes;                           /* of blocks that callers have, rounded */
    size_t mapped_bytes;                         /* of all chunks and large mappings */
} heap;

static pthread_once_t heap_once = PTHREAD_ONCE_INIT;

static void heap_init(void)
{
    lock_init(&heap.lock, LOCK_RANK_HEAP);
}

static unsigned heap_shift(size_t bytes)
{
    return max_uint(HEAP_MIN_SHIFT, ceil_log2(bytes));
}

static size_t heap_large_bytes(size_t bytes)
{
    return (size_t)align_up(bytes, os_page_bytes());
}

/* --- recount ------------------------------------------------------------ */

#if PYSLAB_CHECK_LEVEL >= 2
/* Every byte that was mapped is a caller's, on a free list, or in the newest chunk. */
static bool os_heap_adds_up_locked(struct finding *f)
{
    size_t free_bytes = 0;

    lock_assert_held(&heap.lock);
    for (unsigned shift = HEAP_MIN_SHIFT; shift <= HEAP_MAX_SHIFT; shift++)
        for (const struct heap_block *at = heap.free[shift]; at != NULL; at = at->next) {
            free_bytes += (size_t)1 << shift;
            if (free_bytes > heap.mapped_bytes)
                return finding_report(f, "heap: the free list of %zu bytes has no end",
                                      (size_t)1 << shift);
        }
    if (heap.live_bytes + free_bytes + heap.chunk_bytes == heap.mapped_bytes)
        return true;
    return finding_report(f, "heap: %zu bytes live, %zu free, %zu unused of %zu mapped",
                          heap.live_bytes, free_bytes, heap.chunk_bytes, heap.mapped_bytes);
}
#endif

/* At check level 2, after work that changed the chunks or the lists. */
static void heap_recount_locked(uint32_t one_in)
{
    lock_assert_held(&heap.lock);
#if PYSLAB_CHECK_LEVEL >= 2
    struct finding f = {{0}};

    CHECK_RECOUNT(one_in, os_heap_adds_up_locked(&f), &f);
#else
    (void)one_in;
#endif
}

/* --- chunks ------------------------------------------------------------- */

/* Makes free blocks of what the newest chunk has left: too little for the request at hand. */
static void heap_retire_chunk_locked(void)
{
    lock_assert_held(&heap.lock);
    while (heap.chunk_bytes >= (size_t)1 << HEAP_MIN_SHIFT) {
        unsigned shift = min_uint(ilog2(heap.chunk_bytes), HEAP_MAX_SHIFT);
        struct heap_block *block = (struct heap_block *)(void *)heap.chunk;

        block->next = heap.free[shift];
        heap.free[shift] = block;
        heap.chunk += (size_t)1 << shift;
        heap.chunk_bytes -= (size_t)1 << shift;
    }
    CHECK(heap.chunk_bytes == 0);
}

static void *heap_map(size_t bytes)
{
    void *p;

    if (os_reserve(bytes, os_page_bytes(), &p) != PYSLAB_OK)
        return NULL;
    if (os_commit(p, bytes, false) == PYSLAB_OK)
        return p;
    os_release(p, bytes);
    return NULL;
}

/* A block from the newest chunk, or from a new one. It reads zero: a chunk is new memory, and what
 * is left of it was never handed out. */
static void *heap_carve_locked(unsigned shift)
{
    size_t bytes = (size_t)1 << shift;
    void *p;

    lock_assert_held(&heap.lock);
    if (heap.chunk_bytes < bytes) {
        char *chunk = heap_map(HEAP_CHUNK_BYTES);

        if (chunk == NULL)
            return NULL;
        heap_retire_chunk_locked();
        heap.chunk = chunk;
        heap.chunk_bytes = HEAP_CHUNK_BYTES;
        heap.mapped_bytes += HEAP_CHUNK_BYTES;
    }
    p = heap.chunk;
    heap.chunk += bytes;
    heap.chunk_bytes -= bytes;
    return p;
}

static void *heap_alloc_large(size_t bytes)
{
    void *p = heap_map(heap_large_bytes(bytes));

    if (p != NULL) {
        lock_acquire(&heap.lock);
        heap.live_bytes += heap_large_bytes(bytes);
        heap.mapped_bytes += heap_large_bytes(bytes);
        heap_recount_locked(16);
        lock_release(&heap.lock);
    }
    return p;
}

void *os_heap_alloc(size_t bytes)
{
    unsigned shift;
    struct heap_block *block;
    bool used;

    if (fault_here())
        return NULL;
    pthread_once(&heap_once, heap_init);
    shift = heap_shift(bytes);
    if (shift > HEAP_MAX_SHIFT)
        return heap_alloc_large(bytes);
    lock_acquire(&heap.lock);
    block = heap.free[shift];
    used = block != NULL;
    if (used)
        heap.free[shift] = block->next;
    else
        block = heap_carve_locked(shift);
    if (block != NULL)
        heap.live_bytes += (size_t)1 << shift;
    heap_recount_locked(256);
    lock_release(&heap.lock);
    if (used)
        memset(block, 0, bytes);
    return block;
}

void os_heap_free(void *p, size_t bytes)
{
    struct heap_block *block = p;
    unsigned shift;

    if (p == NULL)
        return;
    CHECK(bytes != 0 && ((uintptr_t)p & 63) == 0);
    shift = heap_shift(bytes);
    lock_acquire(&heap.lock);
    if (shift > HEAP_MAX_SHIFT) {
        CHECK(heap.live_bytes >= heap_large_bytes(bytes));
        heap.live_bytes -= heap_large_bytes(bytes);
        heap.mapped_bytes -= heap_large_bytes(bytes);
        os_release(p, heap_large_bytes(bytes));
    } else {
        CHECK(heap.live_bytes >= (size_t)1 << shift);
        heap.live_bytes -= (size_t)1 << shift;
        block->next = heap.free[shift];
        heap.free[shift] = block;
    }
    heap_recount_locked(256);
    lock_release(&heap.lock);
}

size_t os_heap_live_bytes(void)
{
    size_t bytes;

    pthread_once(&heap_once, heap_init);
    lock_acquire(&heap.lock);
    bytes = heap.live_bytes;
    lock_release(&heap.lock);
    return bytes;
}

void os_heap_fork_prepare(void)
{
    pthread_once(&heap_once, heap_init);
    lock_acquire_for_fork(&heap.lock);
}

void os_heap_fork_done(void)
{
    lock_assert_held(&heap.lock);
    lock_release_after_fork(&heap.lock);
}

/* os_heap.c - see os_heap.h. */
#include "os/os_heap.h"

#include "base/bits.h"
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
    size_t live_bytes;                           /* in callers' hands, rounded */
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

/* The rest of a chunk that is too small for the request becomes free blocks. */
static void heap_retire_chunk_locked(void)
{
    while (heap.chunk_bytes >= (size_t)1 << HEAP_MIN_SHIFT) {
        unsigned shift = min_uint(ilog2(heap.chunk_bytes), HEAP_MAX_SHIFT);
        struct heap_block *block = (struct heap_block *)(void *)heap.chunk;

        block->next = heap.free[shift];
        heap.free[shift] = block;
        heap.chunk += (size_t)1 << shift;
        heap.chunk_bytes -= (size_t)1 << shift;
    }
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

static void *heap_carve_locked(unsigned shift)
{
    size_t bytes = (size_t)1 << shift;
    void *p;

    if (heap.chunk_bytes < bytes) {
        char *chunk = heap_map(HEAP_CHUNK_BYTES);

        if (chunk == NULL)
            return NULL;
        heap_retire_chunk_locked();
        heap.chunk = chunk;
        heap.chunk_bytes = HEAP_CHUNK_BYTES;
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
        lock_release(&heap.lock);
    }
    return p;
}

void *os_heap_alloc(size_t bytes)
{
    unsigned shift;
    struct heap_block *block;

    if (fault_here())
        return NULL;
    pthread_once(&heap_once, heap_init);
    shift = heap_shift(bytes);
    if (shift > HEAP_MAX_SHIFT)
        return heap_alloc_large(bytes);
    lock_acquire(&heap.lock);
    block = heap.free[shift];
    if (block != NULL)
        heap.free[shift] = block->next;
    else
        block = heap_carve_locked(shift);
    if (block != NULL)
        heap.live_bytes += (size_t)1 << shift;
    lock_release(&heap.lock);
    if (block != NULL)
        memset(block, 0, bytes);
    return block;
}

void os_heap_free(void *p, size_t bytes)
{
    struct heap_block *block = p;
    unsigned shift;

    if (p == NULL)
        return;
    shift = heap_shift(bytes);
    lock_acquire(&heap.lock);
    if (shift > HEAP_MAX_SHIFT) {
        heap.live_bytes -= heap_large_bytes(bytes);
        os_release(p, heap_large_bytes(bytes));
    } else {
        heap.live_bytes -= (size_t)1 << shift;
        block->next = heap.free[shift];
        heap.free[shift] = block;
    }
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
    lock_release_after_fork(&heap.lock);
}

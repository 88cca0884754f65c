/* limits.c - the limits that a process sets for itself (RLIMIT_AS, RLIMIT_DATA).
 *
 * The heap's addresses are taken at its start, so that the system never refuses it any: what
 * setrlimit() says later would go unnoticed until the machine is out of memory. Hence the
 * limits are read again each time the frames in use have grown by LIMITS_STEP_PAGES beyond
 * their peak, and before a block of that size; a change becomes the arena's own limit.
 * What it is not: for limits that were there at the start, which the heap's size heeds.
 *
 * Invariant: without a change since the start the arena has no limit, and no cost of one.
 * Lock: none; two threads that read at once come to the same figure.
 */
#include "malloc/heap.h"

#include "os/os.h"

_Atomic uint64_t limits_next_pages;

static _Atomic uint64_t limit_at_start; /* bytes; 0: not read yet */

/* Frames that the process may use under a limit that came after its start. */
static uint64_t allowed_pages(uint64_t limit)
{
    uint64_t heap = malloc_arena.mapped_bytes + malloc_arena.metadata_bytes;
    uint64_t mapped = os_mapped_bytes();
    uint64_t others = mapped > heap ? mapped - heap : 0;

    return limit > others ? (limit - others) >> PAGE_SHIFT : 0;
}

slow_path void limits_read(void)
{
    struct page_alloc *pages = &malloc_arena.pages;
    uint64_t limit = os_address_space_bytes(), start = 0;
    uint64_t peak = load_relaxed(&pages->peak_used_pages);

    store_relaxed(&limits_next_pages, peak + LIMITS_STEP_PAGES);
    if (atomic_compare_exchange_strong(&limit_at_start, &start, limit) || limit >= start) {
        if (load_relaxed(&pages->limit_pages) != LIMIT_NONE)
            store_relaxed(&pages->limit_pages, LIMIT_NONE);
        return;
    }
    store_relaxed(&pages->limit_pages, allowed_pages(limit));
}

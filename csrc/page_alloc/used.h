/* used.h - frames in use: what each zone counts, the arena's peak, and its limit.
 *
 * What it is: the notes that every taking from a buddy and every giving back makes, and the look
 * at the arena's limit before a taking. A frame is in use while it is outside the buddy, so those
 * on page lists are. What it is not: what callers have (usage.h).
 * Lock: the zone's for its counts; limit_lock, which is taken before a zone's, while there is a
 * limit. The peak is atomic.
 */
#ifndef PAGE_ALLOC_USED_H
#define PAGE_ALLOC_USED_H

#include "page_alloc/page_alloc.h"

/* While the arena has a limit, no other thread may take frames between the look at what all zones
 * have in use and the taking. Returns whether there is a limit, and so the lock was taken;
 * limit_leave wants to know. */
static inline bool limit_enter(struct page_alloc *pa)
{
    bool limited = unlikely(load_relaxed(&pa->limit_pages) != LIMIT_NONE);

    if (limited)
        lock_acquire(&pa->limit_lock);
    return limited;
}

static inline void limit_leave(struct page_alloc *pa, bool limited)
{
    if (unlikely(limited))
        lock_release(&pa->limit_lock);
}

/* Frames that the limit still allows. pre: limited is what limit_enter said. */
static inline uint64_t limit_room(const struct page_alloc *pa, bool limited)
{
    uint64_t limit = load_relaxed(&pa->limit_pages);
    uint64_t used = limited ? page_alloc_used(pa) : 0;

    if (limited)
        lock_assert_held(&pa->limit_lock);
    return !limited ? UINT32_MAX : used < limit ? limit - used : 0;
}

/* Counts what the caller took from the zone's buddy. */
static inline void zone_note_alloc_locked(struct page_alloc *pa, struct zone *zone,
                                          uint32_t nr_blocks, uint32_t nr_pages)
{
    uint64_t used, peak = load_relaxed(&pa->peak_used_pages);

    lock_assert_held(&zone->lock);
    add_owner(&zone->used_pages, nr_pages);
    zone->nr_allocs += nr_blocks;
    zone->pages_allocated += nr_pages;
    used = page_alloc_used(pa);
    while (unlikely(used > peak) &&
           !atomic_compare_exchange_weak_explicit(&pa->peak_used_pages, &peak, used,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

/* Counts what the caller gave back to it. */
static inline void zone_note_free_locked(struct zone *zone, uint32_t nr_blocks, uint32_t nr_pages)
{
    lock_assert_held(&zone->lock);
    add_owner(&zone->used_pages, -nr_pages);
    zone->nr_frees += nr_blocks;
    zone->pages_freed += nr_pages;
}

#endif

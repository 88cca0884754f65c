/* request.h - one request for frames on its way through the zones. Not for other layers.
 *
 * What it is: what is wanted (struct request), the walk over the zonelist that every step
 * of the slow path repeats, and the slow path itself, as page_alloc.c sees it.
 */
#ifndef PAGE_ALLOC_REQUEST_H
#define PAGE_ALLOC_REQUEST_H

#include "page_alloc/page_alloc.h"
#include "page_alloc/watermark.h"

struct request {
    uint32_t nr_pages; /* frames to keep of the block */
    unsigned order;    /* of the block; smallest that holds nr_pages if any_run */
    uint32_t gfp;
    unsigned state;   /* enum pyslab_page_state the head gets */
    uint32_t highest; /* index of the highest zone it may use: mostly what gfp says */
    uint32_t lowest;  /* of the lowest one that will do */
    bool any_run;     /* not a block: any run of frames that fits what follows */
    uint32_t align;   /* of the run, frames */
    uint32_t nocross; /* no multiple of it inside the run; 0: anywhere */
    uint32_t first;   /* the run lies between here */
    uint32_t end;     /* and here */
};

/* With a limit set, what is used in all zones must stand still while one is taken from:
 * true if the lock was taken, for limit_leave. */
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

/* Frames that the limit still allows. */
static inline uint64_t limit_room(const struct page_alloc *pa, bool limited)
{
    uint64_t limit = load_relaxed(&pa->limit_pages);
    uint64_t used = limited ? page_alloc_used(pa) : 0;

    return !limited ? UINT32_MAX : used < limit ? limit - used : 0;
}

/* Frames left the buddy, or came back. */
static inline void zone_note_alloc_locked(struct page_alloc *pa, struct zone *zone,
                                          uint32_t nr_blocks, uint32_t nr_pages)
{
    uint64_t used, peak = load_relaxed(&pa->peak_used_pages);

    add_owner(&zone->used_pages, nr_pages);
    zone->nr_allocs += nr_blocks;
    zone->pages_allocated += nr_pages;
    used = page_alloc_used(pa);
    while (unlikely(used > peak) &&
           !atomic_compare_exchange_weak_explicit(&pa->peak_used_pages, &peak, used,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

static inline void zone_note_free_locked(struct zone *zone, uint32_t nr_blocks, uint32_t nr_pages)
{
    add_owner(&zone->used_pages, -nr_pages);
    zone->nr_frees += nr_blocks;
    zone->pages_freed += nr_pages;
}

/* From the highest zone that the access allows, or the next lower one that may give it. */
uint32_t zonelist_take(struct page_alloc *pa, const struct request *request,
                       const struct access *access);
/* The steps between "not above the low mark" and "no". No lock held. */
uint32_t request_take_slow(struct page_alloc *pa, const struct request *request);

/* Asks every shrinker once at this priority (12: lightly, 0: for all it has); objects
 * that went. *give_up is set when one of them ends the request. */
uint64_t shrinkers_run(struct page_alloc *pa, unsigned priority, bool *give_up);
void shrinkers_init(struct page_alloc *pa);
/* Unregisters all. */
void shrinkers_destroy(struct page_alloc *pa);

#endif

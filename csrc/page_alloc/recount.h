/* recount.h - what a zone is held to each time its lock is let go of.
 *
 * What it is: the zone's counts against each other, at check levels 1 and 2, and at level 2 the
 * recount of its buddy, in one of zone_recount_every exchanges. What it is not: the recount of a
 * quiet arena that users call (page_alloc_check in validate.c). Release builds have nothing of it.
 * Lock: the zone's, held by the caller.
 */
#ifndef PAGE_ALLOC_RECOUNT_H
#define PAGE_ALLOC_RECOUNT_H

#include "page_alloc/record.h"

/* A walk over the records of all frames each time would take the tests too long: one in 32 for a
 * small zone, and for a large one so few that each exchange pays for 64 records. */
static inline uint32_t zone_recount_every(const struct zone *zone)
{
    return 32 + (zone->frontier - zone->start_pfn) / 64;
}

/* used_pages == managed - free - isolated. */
static inline bool zone_counts_add_up(const struct zone *zone)
{
    return zone_managed_pages(zone) - zone_free_pages(zone) - zone->isolated_pages ==
           load_relaxed(&zone->used_pages);
}

/* The last thing before the lock of a zone that was changed is let go of. */
static inline void zone_recount_locked(const struct page_alloc *pa, const struct zone *zone)
{
    struct finding found = {{0}};

    lock_assert_held(&zone->lock);
    (void)pa;
    CHECK(zone_counts_add_up(zone));
    CHECK_RECOUNT(zone_recount_every(zone), buddy_check_busy_locked(zone, &pa->map, &found),
                  &found);
}

#endif

/* bulk.c - many single frames at once.
 *
 * What it is: as many as the preferred zone gives under its lock taken once, then the rest one by
 * one. What it is not: for blocks of more than one frame.
 * Lock: the zone's, and limit_lock if there is a limit.
 */
#include "base/fault.h"
#include "page_alloc/access.h"
#include "page_alloc/clear.h"
#include "page_alloc/init_on.h"
#include "page_alloc/recount.h"
#include "page_alloc/shelf.h"
#include "page_alloc/used.h"
#include "page_alloc/watch.h"
#include "page_alloc/zonelist.h"

/* Takes up to nr single frames at once, as far as the zone's low watermark allows. */
static uint32_t zone_take_singles(struct page_alloc *pa, struct zone *zone, uint32_t nr,
                                  uint32_t *pfns)
{
    struct access access;
    uint32_t done = 0;
    uint64_t room;
    bool limited;

    if (fault_here())
        return 0;
    limited = limit_enter(pa);
    room = limit_room(pa, limited);
    access_first(&access, zone->index);
    lock_acquire(&zone->lock);
    shelf_yield_locked(pa, zone, 0);
    nr = min_uint(nr, zone_usable_pages_locked(zone, &access));
    while (done < nr && done < room) {
        uint32_t pfn = buddy_alloc_locked(zone, &pa->map, 0);
        struct page *page = pfn_to_page(&pa->map, pfn);

        if (!frames_open_locked(pa, pfn, 1)) {
            page_alloc_shut_locked(pa, zone, pfn, 1);
            break;
        }
        store_relaxed(&page->refcount, 1);
        page_set(page, PYSLAB_PAGE_ALLOC, 0, zone->index);
        pfns[done++] = pfn;
    }
    zone_note_alloc_locked(pa, zone, done, done);
    zone_recount_locked(pa, zone);
    lock_release(&zone->lock);
    limit_leave(pa, limited);
    return done;
}

uint32_t page_alloc_bulk(struct page_alloc *pa, uint32_t gfp, uint32_t nr, uint32_t *pfns)
{
    uint32_t done;

    if (!gfp_valid(gfp) || !gfp_nofail_valid(gfp, 0) || nr == 0 ||
        zone_is_foreign(pa, gfp_zone(pa, gfp)) ||
        should_fail(pa->faults, NULL, (uint64_t)nr << PAGE_SHIFT, gfp))
        return 0;
    done = zone_take_singles(pa, &pa->zone[gfp_zone(pa, gfp)], nr, pfns);
    for (uint32_t i = 0; i < done && pa->watch != SANITIZE_NONE; i++)
        frames_watch_open(pa, pfns[i], 1, false);
    for (uint32_t i = 0; i < done && must_read_zero(pa, gfp); i++)
        count_cleared(pa, 1, page_clear_block(&pa->map, pfns[i], 0, 1));
    /* The rest one by one, with the fallback and the slow path of any request. */
    while (done < nr && (pfns[done] = page_alloc_uncounted(pa, 0, gfp)) != PFN_NONE)
        done++;
    for (uint32_t i = 0; i < done && usage_is_counted(pa->usage); i++)
        page_count_alloc(pa, pfns[i]);
    return done;
}

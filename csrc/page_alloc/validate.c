/* validate.c - the recount of a quiet arena's zones and page lists, from scratch.
 *
 * What it is: what arena.validate() calls for this layer, at every check level.
 * What it is not: the recount of a busy zone on the way out of a slow path (recount.h).
 * Lock: each zone's in turn, then the thread registry's. No other thread may be in the arena.
 */
#include "page_alloc/pcp.h"
#include "page_alloc/recount.h"

bool page_alloc_each_block(struct page_alloc *pa,
                           bool (*visit)(void *context, uint32_t pfn, const struct page *page),
                           void *context)
{
    for (uint32_t i = 0; i < pa->nr_zones; i++) {
        uint32_t pfn = pa->zone[i].start_pfn;

        while (pfn < pa->zone[i].frontier) {
            const struct page *page = pfn_to_page(&pa->map, pfn);
            uint32_t nr_pages = page_block_pages(page);

            if (nr_pages != 0 && !visit(context, pfn, page))
                return false;
            pfn += max_uint(nr_pages, 1); /* none: zone->torn */
        }
    }
    return true;
}

/* Adds the frames of a block that its record says is on a page list. */
static bool add_listed(void *context, uint32_t pfn, const struct page *page)
{
    uint64_t *nr_pages = context;

    (void)pfn;
    if (page_state(page) == PYSLAB_PAGE_PCP)
        *nr_pages += page_block_pages(page);
    return true;
}

/* Frames on page lists == frames whose records say so. In a forked child they differ for ever: the
 * parent's other threads may have been halfway through an exchange. */
static bool lists_match_records(struct page_alloc *pa, struct finding *f)
{
    uint64_t listed = 0, recorded = 0;

    if (!pcp_check(pa, f, &listed))
        return false;
    (void)page_alloc_each_block(pa, add_listed, &recorded);
    if (listed != recorded && !pa->forked)
        return finding_report(f, "pcp: lists hold %llu frames, records say %llu",
                              (unsigned long long)listed, (unsigned long long)recorded);
    return true;
}

bool page_alloc_check(struct page_alloc *pa, struct finding *f)
{
    bool ok = true;

    for (uint32_t i = 0; ok && i < pa->nr_zones; i++) {
        struct zone *zone = &pa->zone[i];

        lock_acquire(&zone->lock);
        ok = buddy_check_locked(zone, &pa->map, f);
        if (ok && !zone_counts_add_up(zone))
            ok = finding_report(f, "page_alloc: zone %s has %u of %u frames free, %u used",
                                zone->name, zone_free_pages(zone), zone_managed_pages(zone),
                                load_relaxed(&zone->used_pages));
        lock_release(&zone->lock);
    }
    return ok && lists_match_records(pa, f);
}

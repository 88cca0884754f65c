/* zonelist.h - a request's walk over the zones.
 *
 * What it is: one try to serve a request, from the highest zone that it may use down to the lowest,
 * each asked whether it may give so much to such a request (watermark.h) and whether it has it.
 * What it is not: what comes before and after: page lists (pcp.h), more tries (reclaim.h).
 * Lock: each zone's, one at a time; limit_lock around all of it if the arena has a limit.
 */
#ifndef PAGE_ALLOC_ZONELIST_H
#define PAGE_ALLOC_ZONELIST_H

#include "page_alloc/page_alloc.h"
#include "page_alloc/request.h"
#include "page_alloc/watermark.h"

/* Frames for the request from the highest zone that the access allows, or the next lower one that
 * may give them; they have no record yet. PFN_NONE */
uint32_t zonelist_take(struct page_alloc *pa, const struct request *request,
                       const struct access *access);

/* In a forked child the frames of high memory are the parent's, and those of a shared heap in which
 * the child got no memory of its own. */
static inline bool zone_is_foreign(const struct page_alloc *pa, uint32_t zone)
{
    return unlikely(pa->forked) &&
           (pa->zone[zone].type >= PYSLAB_ZONE_HIGHMEM || pa->map.low != NULL);
}

#endif

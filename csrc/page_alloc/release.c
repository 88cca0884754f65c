/* release.c - giving back to the operating system all that is free, at once.
 *
 * What it is: this thread's page lists go to the buddy, the other threads are asked for theirs, and
 * all resident free frames go. What it is not: the working set, by which memory goes unasked
 * (purge.c). Lock: none held by the caller.
 */
#include "page_alloc/purge.h"

uint64_t page_alloc_release(struct page_alloc *pa)
{
    uint64_t released = 0;

    pcp_drain(pa);
    page_alloc_request_drain(pa);
    for (uint32_t i = 0; i < pa->nr_zones; i++)
        released += zone_purge(pa, &pa->zone[i], UINT64_MAX);
    return released;
}

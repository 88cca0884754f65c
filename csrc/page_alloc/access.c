/* access.c - see access.h. */
#include "page_alloc/access.h"

#include "os/os.h"
#include "os/os_limits.h"

#define LEAST_STEP 32u     /* 128 KiB */
#define LARGEST_STEP 8192u /* 32 MiB */

int page_alloc_close(struct page_alloc *pa)
{
    int error;

    CHECK(pa->nr_zones == 1 && load_relaxed(&pa->zone[0].used_pages) == 0);
    error = os_deny(pa->map.base, pa->map.bytes);

    if (error != PYSLAB_OK)
        return error;
    pa->open_end = 0;
    pa->map.dump_follows = false; /* frames come into core dumps with their access instead */
    os_dump(pa->map.base, pa->map.bytes, false);
    return PYSLAB_OK;
}

slow_path int page_alloc_open_locked(struct page_alloc *pa, uint32_t end)
{
    uint32_t step = min_uint(max_uint(pa->open_end / 8, LEAST_STEP), LARGEST_STEP);
    uint32_t host = (uint32_t)(os_page_bytes() >> PAGE_SHIFT);
    uint32_t least = (uint32_t)align_up(end, host); /* the arena's end is one of a host page */
    uint32_t wanted = (uint32_t)align_up(min_uint(pa->open_end + step, pa->map.nr_mapped), host);
    char *start = pfn_to_virt(&pa->map, pa->open_end);

    lock_assert_held(&pa->zone[0].lock); /* such an arena has one zone */
    wanted = max_uint(wanted, least);
    if (os_open_fresh(start, (size_t)(wanted - pa->open_end) << PAGE_SHIFT) != PYSLAB_OK) {
        wanted = least;
        if (os_open_fresh(start, (size_t)(wanted - pa->open_end) << PAGE_SHIFT) != PYSLAB_OK)
            return PYSLAB_EOS;
    }
    pa->open_end = wanted;
    return PYSLAB_OK;
}

void page_alloc_shut_locked(struct page_alloc *pa, struct zone *zone, uint32_t pfn,
                            uint32_t nr_pages)
{
    uint32_t open = pfn < pa->open_end ? min_uint(pa->open_end - pfn, nr_pages) : 0;

    lock_assert_held(&zone->lock);
    if (open != 0)
        buddy_free_range_locked(zone, &pa->map, pfn, open, RESIDENCY_DIRTY);
    if (open != nr_pages)
        buddy_free_range_locked(zone, &pa->map, pfn + open, nr_pages - open, RESIDENCY_UNTOUCHED);
}

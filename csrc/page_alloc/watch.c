/* watch.c - see watch.h. */
#include "page_alloc/watch.h"

#define FIRST_ROOT_PAGES 8192u /* 32 MiB */

/* How far the roots reach after the next one: twice as far, at most to the last frame. */
static uint32_t next_end(const struct page_alloc *pa, uint32_t end)
{
    uint32_t room = pa->map.nr_mapped - end;

    return end + min_uint(room, max_uint(end, FIRST_ROOT_PAGES));
}

static size_t span_bytes(uint32_t from, uint32_t to)
{
    return (size_t)(to - from) << PAGE_SHIFT;
}

/* Makes roots of the frames below end. */
static void roots_extend(struct page_alloc *pa, uint32_t end)
{
    uint32_t from = load_relaxed(&pa->watched_end);

    while (from < end) {
        uint32_t to = next_end(pa, from);

        if (atomic_compare_exchange_strong(&pa->watched_end, &from, to)) {
            sanitize_root(pa->watch, pfn_to_virt(&pa->map, from), span_bytes(from, to));
            from = to;
        }
    }
}

/* Frames of high memory have no address that a tool could watch. */
static bool has_address(const struct page_alloc *pa, uint32_t pfn)
{
    return pfn < pa->map.nr_mapped;
}

void frames_watch_open_slow(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages, bool zeroed)
{
    if (!has_address(pa, pfn))
        return;
    roots_extend(pa, pfn + nr_pages);
    sanitize_open(pa->watch, pfn_to_virt(&pa->map, pfn), span_bytes(0, nr_pages), zeroed);
}

void frames_watch_close_slow(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    if (has_address(pa, pfn))
        sanitize_close(pa->watch, pfn_to_virt(&pa->map, pfn), span_bytes(0, nr_pages));
}

void frames_watch_end(struct page_alloc *pa)
{
    uint32_t end = load_relaxed(&pa->watched_end);

    for (uint32_t from = 0, to; from < end; from = to) {
        to = next_end(pa, from);
        sanitize_unroot(pa->watch, pfn_to_virt(&pa->map, from), span_bytes(from, to));
    }
    if (end != 0)
        sanitize_open(pa->watch, pa->map.base, span_bytes(0, end), true);
}

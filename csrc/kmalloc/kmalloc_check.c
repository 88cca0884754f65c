/* kmalloc_check.c - the recount of kmalloc's invariant, and what debugging finds on the way.
 * Lock: none; no other thread uses the arena meanwhile. */
#include "kmalloc/kmalloc.h"

struct large_recount {
    const struct frame_map *map;
    struct finding *finding;
    uint64_t nr;
    uint64_t nr_pages;
};

static bool recount_large(void *context, uint32_t pfn, const struct page *page)
{
    struct large_recount *count = context;
    bool large = page_state(page) == PYSLAB_PAGE_LARGE;

    if (large != (frame_class(count->map->classes, pfn) == CLASS_LARGE))
        return finding_report(count->finding, "kmalloc: frame %u has state %u, class %u", pfn,
                              page_state(page), frame_class(count->map->classes, pfn));
    count->nr += large;
    count->nr_pages += large ? page_block_pages(page) : 0;
    return true;
}

static bool check_large(struct kmalloc *km, struct finding *f)
{
    struct large_recount count = {.map = &km->slabs.pages->map, .finding = f};
    struct large_count counted = shelf_count_large(km->slabs.pages);

    if (!page_alloc_each_block(km->slabs.pages, recount_large, &count))
        return false;
    if (count.nr != counted.nr || count.nr_pages != counted.nr_pages)
        return finding_report(f, "kmalloc: %llu large blocks of %llu frames, counters differ",
                              (unsigned long long)count.nr, (unsigned long long)count.nr_pages);
    return true;
}

bool kmalloc_check(struct kmalloc *km, struct finding *f)
{
    for (unsigned class = 1; class <= km->classes.nr; class++) {
        const struct kmem_cache *cache = km->slabs.caches[class];

        if (cache == NULL || cache->desc->object_size != km->classes.size[class])
            return finding_report(f, "kmalloc: class %u has no cache of %u bytes", class,
                                  km->classes.size[class]);
    }
    return check_large(km, f) && large_debug_validate(km, f) && guarded_validate(&km->slabs, f);
}

/* region_check.c - the recount of an arena's regions, and the look at bytes that nobody has:
 * in checked builds they hold REGION_POISON, so that a stray write to them is noticed.
 * What it is not: arena-wide checks (arena/arena_stats.c). Lock: the list's, for region_check. */
#include "region/region_debug.h"
#include "region/region_internal.h"

/* The first byte that does not hold REGION_POISON, or size: all do. */
static size_t first_written(const char *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)p[i] != REGION_POISON)
            return i;
    return size;
}

#if PYSLAB_CHECK_LEVEL >= 1
void region_check_unused(const char *p, size_t size)
{
    bool written_after_reset = first_written(p, size) != size;

    CHECK(!written_after_reset);
}
#endif

/* Bytes that are not handed out still hold REGION_POISON. */
static bool check_unused(const struct region *region, const char *p, size_t size, struct finding *f)
{
    bool poisoned = PYSLAB_CHECK_LEVEL >= 1 && !region_is_slow(region);
    size_t at = poisoned ? first_written(p, size) : size;

    if (at == size)
        return true;
    return finding_report(f, "region %p: %p was written to while it was not handed out",
                          (const void *)region, (const void *)(p + at));
}

/* The frame heads a page block with one reference, which is the region's. */
static bool check_block(const struct region *region, uint32_t pfn, struct finding *f)
{
    const struct page_alloc *pages = region->set->pages;

    if (pfn >= pages->map.nr_mapped || page_state(region_page(pages, pfn)) != PYSLAB_PAGE_ALLOC ||
        load_relaxed(&region_page(pages, pfn)->refcount) != 1)
        return finding_report(f, "region %p: frame %u is no block of one owner",
                              (const void *)region, pfn);
    return true;
}

/* What a walk over the chain of blocks has seen. */
struct recount {
    uint64_t nr;       /* blocks */
    uint64_t nr_pages; /* their frames */
    uint64_t passed;   /* bytes of the blocks before the current one */
    bool current;      /* the current block was among them */
};

static bool recount_block(const struct region *region, uint32_t pfn, struct recount *count,
                          struct finding *f)
{
    const struct page_alloc *pages = region->set->pages;
    size_t bytes = region_block_bytes(pages, pfn);
    bool ok = true;

    if (pfn == region->block) {
        count->current = true;
        ok = region->start == pfn_to_virt(&pages->map, pfn) &&
             region->end == (region_is_slow(region) ? region->cur : region->start + bytes) &&
             region->cur >= region->start && region->cur <= region->end &&
             ((uintptr_t)region->cur & (REGION_ALIGN - 1)) == 0;
        if (!ok)
            return finding_report(f, "region %p: its pointers are not in block %u",
                                  (const void *)region, pfn);
        ok = check_unused(region, region->cur, (size_t)(region->end - region->cur), f);
    } else if (count->current) {
        ok = check_unused(region, pfn_to_virt(&pages->map, pfn), bytes, f);
    } else {
        count->passed += bytes;
    }
    count->nr++;
    count->nr_pages += bytes >> PAGE_SHIFT;
    return ok;
}

static bool region_chain_adds_up(const struct region *region, struct finding *f)
{
    const struct page_alloc *pages = region->set->pages;
    struct recount count = {0};

    for (uint32_t pfn = region->first; pfn != PFN_NONE; pfn = region_page(pages, pfn)->link.next)
        if (count.nr > region->nr_blocks || !check_block(region, pfn, f) ||
            !recount_block(region, pfn, &count, f))
            return finding_report(f, "region %p: its chain of blocks has no end",
                                  (const void *)region);
    if (count.nr != region->nr_blocks || count.nr_pages != region->block_pages ||
        count.current != (region->first != PFN_NONE) || region->passed_bytes > count.passed)
        return finding_report(f, "region %p: %llu blocks of %llu frames, counters differ",
                              (const void *)region, (unsigned long long)count.nr,
                              (unsigned long long)count.nr_pages);
    return true;
}

static bool region_large_adds_up(const struct region *region, struct finding *f)
{
    const struct page_alloc *pages = region->set->pages;
    uint64_t nr = 0, nr_pages = 0;

    for (uint32_t pfn = region->large; pfn != PFN_NONE && nr <= region->nr_large;
         pfn = region_page(pages, pfn)->link.next) {
        if (!check_block(region, pfn, f))
            return false;
        nr++;
        nr_pages += page_block_pages(region_page(pages, pfn));
    }
    if (nr != region->nr_large || nr_pages != region->large_pages)
        return finding_report(f, "region %p: %llu large objects of %llu frames, counters differ",
                              (const void *)region, (unsigned long long)nr,
                              (unsigned long long)nr_pages);
    return true;
}

static bool region_stacks_are_ordered(const struct region *region, struct finding *f)
{
    uint64_t last = region->serial + 1;

    for (uint32_t i = 0; i < region->nr_marks; i++)
        if (region->marks[i].serial > region->serial ||
            (i != 0 && region->marks[i].serial <= region->marks[i - 1].serial))
            return finding_report(f, "region %p: mark %u is out of order", (const void *)region, i);
    for (const struct region_end *end = region->ends; end != NULL; end = end->below) {
        if (end->serial >= last)
            return finding_report(f, "region %p: an exit is out of order", (const void *)region);
        if (end->child != NULL && (end->child->parent != region || end->child->in_parent != end))
            return finding_report(f, "region %p: a child has another parent", (const void *)region);
        last = end->serial;
    }
    return true;
}

bool region_adds_up(const struct region *region, struct finding *f)
{
    return region_chain_adds_up(region, f) && region_large_adds_up(region, f) &&
           region_stacks_are_ordered(region, f);
}

#if PYSLAB_CHECK_LEVEL >= 2
void region_recount(const struct region *region)
{
    struct finding f = {{0}};

    CHECK_RECOUNT(16, region_adds_up(region, &f), &f);
}
#endif

bool region_check(struct region_set *set, struct finding *f)
{
    bool ok = true;

    lock_acquire(&set->lock);
    for (const struct region *region = set->regions; region != NULL && ok; region = region->next)
        ok = region_adds_up(region, f);
    lock_release(&set->lock);
    return ok && region_debug_validate(set, f);
}

/* region_internal.h - what the files of csrc/region share. Not for other layers. */
#ifndef REGION_REGION_INTERNAL_H
#define REGION_REGION_INTERNAL_H

#include "region/region.h"

#include <string.h>

static inline struct page *region_page(const struct page_alloc *pages, uint32_t pfn)
{
    return pfn_to_page(&pages->map, pfn);
}

/* Bytes of the page block that a frame heads. */
static inline size_t region_block_bytes(const struct page_alloc *pages, uint32_t pfn)
{
    return (size_t)page_block_pages(region_page(pages, pfn)) << PAGE_SHIFT;
}

/* A tool watches the region (sanitize/sanitize.h); not one with debug flags, whose red zones and
 * poison are looked at. */
static inline bool region_is_watched(const struct region *of)
{
    return unlikely(of->set->pages->watch != SANITIZE_NONE) && of->debug == NULL;
}

/* The current block seems to be full, so that every allocation comes to region_alloc_slow: end ==
 * cur, wherever the block ends. */
static inline bool region_is_slow(const struct region *of)
{
    return unlikely(blocks_are_looked_at(of->set->pages)) || unlikely(of->debug != NULL);
}

/* With the flag P, fills bytes with the poison of region_debug.h. */
void region_debug_poison(const struct region *of, void *p, size_t bytes);
/* Marks bytes as not handed out; nothing at check level 0 without a tool or debug flags. */
static inline void region_poison(const struct region *of, void *p, size_t bytes)
{
    if (region_is_watched(of))
        sanitize_close(of->set->pages->watch, p, bytes);
    else if (of->debug != NULL)
        region_debug_poison(of, p, bytes);
    else if (PYSLAB_CHECK_LEVEL >= 1)
        memset(p, REGION_POISON, bytes);
}

/* Calls every end that is younger than serial, youngest first, and removes it; a child ends with
 * all that it has. pre: the region is busy, so that no callback can empty it */
void region_run_ends(struct region *root, uint64_t serial);
/* Takes the first block, of whole frames for so many bytes. ENOMEM */
int region_reserve(struct region *region, size_t bytes);
/* Gives back the frames and the marks. */
void region_free_memory(struct region *region);
/* Takes a region off the lists it is on, gives its memory back and deletes its record.
 * pre: it has no ends */
void region_delete(struct region *region);
/* At check level 2, on the way out of slow paths: region_adds_up, one time in 16, because it
 * looks at each unused byte. */
#if PYSLAB_CHECK_LEVEL >= 2
void region_recount(const struct region *region);
#else
static inline void region_recount(const struct region *of)
{
    (void)of;
}
#endif

#endif

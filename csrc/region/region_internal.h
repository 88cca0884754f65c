/* region_internal.h - what the files of csrc/region share. */
#ifndef REGION_REGION_INTERNAL_H
#define REGION_REGION_INTERNAL_H

#include "region/region.h"

#include <string.h>

static inline struct page *region_page(const struct page_alloc *pages, uint32_t pfn)
{
    return pfn_to_page(&pages->map, pfn);
}

static inline size_t region_block_bytes(const struct page_alloc *pages, uint32_t pfn)
{
    return (size_t)page_block_pages(region_page(pages, pfn)) << PAGE_SHIFT;
}

/* Of bytes that are not handed out; nothing at check level 0. */
static inline void region_poison(void *p, size_t bytes)
{
    if (PYSLAB_CHECK_LEVEL >= 1)
        memset(p, REGION_POISON, bytes);
}

/* Calls, and takes off, every end that is younger than serial, youngest first; children go
 * with all they have. pre: the region is busy. */
void region_run_ends(struct region *root, uint64_t serial);
/* The first block. ENOMEM */
int region_reserve(struct region *region, size_t bytes);
void region_free_memory(struct region *region);
/* Off every list. pre: it has no ends. */
void region_delete(struct region *region);

#endif

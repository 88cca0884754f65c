/* vm_blocks.h - the frames behind a vmalloc area: blocks of page_alloc, and runs of them.
 *
 * What it is: taking and returning the blocks, and the walk over an area's runs, which are its
 * mappings: blocks whose frames are adjacent are mapped by one call.
 * What it is not: addresses, or the table of areas (vmalloc.c).
 * Lock: none; the area is in the caller's hands.
 */
#ifndef VM_VM_BLOCKS_H
#define VM_VM_BLOCKS_H

#include "vm/vmalloc.h"

/* Takes blocks for nr_pages frames, the largest first, and returns how many it got; they hold
 * fewer frames than asked for if memory gave out. Only for single frames is memory reclaimed. */
uint32_t blocks_buy(struct page_alloc *pa, uint32_t nr_pages, uint32_t gfp, struct vm_block *block);
void blocks_return(struct page_alloc *pa, const struct vm_block *block, uint32_t nr);
/* Frames of all blocks. In 64 bits, because vmap's caller may list a block many times. */
uint64_t blocks_pages(const struct vm_block *block, uint32_t nr);
/* In the order of their frames. */
void blocks_sort(struct vm_block *block, uint32_t nr);
uint32_t area_count_runs(const struct vm_area *area);

/* The run of adjacent blocks that begins with block *i: writes its first frame, returns the
 * number of its frames, and makes *i the block behind it. */
static inline uint32_t area_next_run(const struct vm_area *area, uint32_t *i, uint32_t *pfn)
{
    uint32_t end;

    *pfn = area->block[*i].pfn;
    end = *pfn;
    while (*i < area->nr_blocks && area->block[*i].pfn == end)
        end += area->block[(*i)++].nr_pages;
    return end - *pfn;
}

#endif

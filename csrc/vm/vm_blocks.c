/* vm_blocks.c - see vm_blocks.h. */
#include "vm/vm_blocks.h"

#include <stdlib.h>

/* What is left out of the mask of a request for a large block: if there is none, smaller ones
 * will do, so no memory is reclaimed for it. */
#define TROUBLE_BITS                                                                               \
    ((uint32_t)(PYSLAB_GFP_DIRECT_RECLAIM | PYSLAB_GFP_KSWAPD_RECLAIM | PYSLAB_GFP_RETRY_MAYFAIL | \
                PYSLAB_GFP_NOFAIL))

uint32_t blocks_buy(struct page_alloc *pa, uint32_t nr_pages, uint32_t gfp, struct vm_block *block)
{
    unsigned order = min_uint(ilog2(nr_pages), pa->max_order);
    uint32_t nr = 0;

    while (nr_pages > 0) {
        uint32_t pfn;

        order = min_uint(order, ilog2(nr_pages));
        pfn = page_alloc_high(pa, order, order == 0 ? gfp : gfp & ~TROUBLE_BITS);
        if (pfn == PFN_NONE && order == 0)
            return nr;
        if (pfn == PFN_NONE) {
            order--;
            continue;
        }
        block[nr++] = (struct vm_block){pfn, 1u << order, order};
        nr_pages -= 1u << order;
    }
    return nr;
}

void blocks_return(struct page_alloc *pa, const struct vm_block *block, uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++)
        (void)page_put(pa, block[i].pfn, block[i].order);
}

uint64_t blocks_pages(const struct vm_block *block, uint32_t nr)
{
    uint64_t nr_pages = 0;

    for (uint32_t i = 0; i < nr; i++)
        nr_pages += block[i].nr_pages;
    return nr_pages;
}

static int block_compare(const void *a, const void *b)
{
    uint32_t left = ((const struct vm_block *)a)->pfn, right = ((const struct vm_block *)b)->pfn;

    return (left > right) - (left < right);
}

void blocks_sort(struct vm_block *block, uint32_t nr)
{
    qsort(block, nr, sizeof *block, block_compare);
}

uint32_t area_count_runs(const struct vm_area *area)
{
    uint32_t nr = 0, pfn;

    for (uint32_t i = 0; i < area->nr_blocks; nr++)
        area_next_run(area, &i, &pfn);
    return nr;
}

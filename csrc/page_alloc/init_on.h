/* init_on.h - init_on_alloc and init_on_free: frames are zeroed when they are allocated, or freed.
 *
 * What it is: the kernel's two boot options, for an arena. Zeroing at allocation is GFP_ZERO in
 * every request, so that what is known to read zero is not written to. Such an arena has no page
 * lists and no shelf: each block comes by hand_out and free_to_buddy, and other arenas pay nothing.
 * What it is not: objects of caches, which slab/ zeroes by the same bits.
 * Lock: none; the frames are in the hands of who takes or frees them.
 */
#ifndef PAGE_ALLOC_INIT_ON_H
#define PAGE_ALLOC_INIT_ON_H

#include "page_alloc/page_alloc.h"

/* What these requests get must read zero. */
static inline bool must_read_zero(const struct page_alloc *pa, uint32_t gfp)
{
    return (gfp & PYSLAB_GFP_ZERO) != 0 || unlikely((pa->init & INIT_ON_ALLOC) != 0);
}

void frames_wipe_slow(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages);

/* For frames that are about to go to the buddy. */
static inline void frames_wipe(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    if (unlikely((pa->init & INIT_ON_FREE) != 0))
        frames_wipe_slow(pa, pfn, nr_pages);
}

#endif

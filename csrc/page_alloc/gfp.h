/* gfp.h - what the bits of a gfp mask ask for.
 *
 * What it is: the test every entry point makes, and the split of a mask into what a
 * fast path may ignore and what needs the slow path.
 * What it is not: the zonelist (page_alloc.c walks it). All functions are pure.
 */
#ifndef PAGE_ALLOC_GFP_H
#define PAGE_ALLOC_GFP_H

#include "base/config.h"

/* Bits that change nothing while memory is at hand: a fast path serves them. */
#define GFP_FAST_BITS                                                                              \
    ((uint32_t)(PYSLAB_GFP_IO | PYSLAB_GFP_FS | PYSLAB_GFP_DIRECT_RECLAIM |                        \
                PYSLAB_GFP_KSWAPD_RECLAIM | PYSLAB_GFP_WRITE | PYSLAB_GFP_NOWARN |                 \
                PYSLAB_GFP_NORETRY | PYSLAB_GFP_HIGH | PYSLAB_GFP_RECLAIMABLE |                    \
                PYSLAB_GFP_RETRY_MAYFAIL | PYSLAB_GFP_COMP | PYSLAB_GFP_MOVABLE))

#define GFP_ALL_BITS                                                                               \
    (GFP_FAST_BITS | (uint32_t)(PYSLAB_GFP_DMA | PYSLAB_GFP_HIGHMEM | PYSLAB_GFP_DMA32 |           \
                                PYSLAB_GFP_ZERO | PYSLAB_GFP_NOFAIL | PYSLAB_GFP_MEMALLOC |        \
                                PYSLAB_GFP_NOMEMALLOC))

#define GFP_ZONE_BITS ((uint32_t)(PYSLAB_GFP_DMA | PYSLAB_GFP_HIGHMEM | PYSLAB_GFP_DMA32))

/* Every bit is known, and at most one zone is named (the kernel's BAD rows). */
static inline bool gfp_valid(uint32_t gfp)
{
    uint32_t zones = gfp & GFP_ZONE_BITS;

    return (gfp & ~GFP_ALL_BITS) == 0 && (zones & (zones - 1)) == 0;
}

#endif

/* gfp.h - what the bits of a gfp mask ask for.
 *
 * What it is: the test every entry point makes, the split of a mask into what a fast
 * path may ignore and what needs the slow path, and the kernel's table from a mask's low
 * four bits to a kind of zone.
 * What it is not: the zonelist or the watermarks (watermark.h). All functions are pure.
 */
#ifndef PAGE_ALLOC_GFP_H
#define PAGE_ALLOC_GFP_H

#include "base/config.h"

/* Bits that change nothing while memory is at hand: a fast path serves them. */
#define GFP_FAST_BITS                                                                              \
    ((uint32_t)(PYSLAB_GFP_IO | PYSLAB_GFP_FS | PYSLAB_GFP_DIRECT_RECLAIM |                        \
                PYSLAB_GFP_KSWAPD_RECLAIM | PYSLAB_GFP_WRITE | PYSLAB_GFP_NOWARN |                 \
                PYSLAB_GFP_NORETRY | PYSLAB_GFP_HIGH | PYSLAB_GFP_RECLAIMABLE |                    \
                PYSLAB_GFP_RETRY_MAYFAIL | PYSLAB_GFP_MOVABLE))

#define GFP_ALL_BITS                                                                               \
    (GFP_FAST_BITS | (uint32_t)(PYSLAB_GFP_DMA | PYSLAB_GFP_HIGHMEM | PYSLAB_GFP_DMA32 |           \
                                PYSLAB_GFP_ZERO | PYSLAB_GFP_NOFAIL | PYSLAB_GFP_MEMALLOC |        \
                                PYSLAB_GFP_COMP | PYSLAB_GFP_NOMEMALLOC))

#define GFP_ZONE_BITS ((uint32_t)(PYSLAB_GFP_DMA | PYSLAB_GFP_HIGHMEM | PYSLAB_GFP_DMA32))
#define GFP_ZONE_TABLE_BITS 0xfu /* GFP_ZONE_BITS and MOVABLE: they choose the zone */
/* What a caller who needs an address must not ask for. */
#define GFP_HIGH_BITS ((uint32_t)(PYSLAB_GFP_HIGHMEM | PYSLAB_GFP_MOVABLE))
/* What slabs must not be asked for (the kernel's GFP_SLAB_BUG_MASK). */
#define GFP_SLAB_BUG_BITS ((uint32_t)(PYSLAB_GFP_HIGHMEM | PYSLAB_GFP_DMA32))
#define GFP_NOFAIL_MAX_ORDER 1u

/* Every bit is known, and at most one zone is named (the kernel's BAD rows). */
static inline bool gfp_valid(uint32_t gfp)
{
    uint32_t zones = gfp & GFP_ZONE_BITS;

    return (gfp & ~GFP_ALL_BITS) == 0 && (zones & (zones - 1)) == 0;
}

/* A request with NOFAIL waits until it gets its memory: so it must be one that may wait, and must
 * ask for little. */
static inline bool gfp_nofail_valid(uint32_t gfp, unsigned order)
{
    return (gfp & PYSLAB_GFP_NOFAIL) == 0 ||
           ((gfp & PYSLAB_GFP_DIRECT_RECLAIM) != 0 && order <= GFP_NOFAIL_MAX_ORDER);
}

/* The kind of zone that a valid mask asks for; whether the arena has it is another matter. Of a
 * mask that names several, the first. */
static inline enum pyslab_zone_type gfp_zone_type(uint32_t gfp)
{
    if (gfp & PYSLAB_GFP_DMA)
        return PYSLAB_ZONE_DMA;
    if (gfp & PYSLAB_GFP_DMA32)
        return PYSLAB_ZONE_DMA32;
    if (gfp & PYSLAB_GFP_HIGHMEM)
        return gfp & PYSLAB_GFP_MOVABLE ? PYSLAB_ZONE_MOVABLE : PYSLAB_ZONE_HIGHMEM;
    return PYSLAB_ZONE_NORMAL;
}

#endif

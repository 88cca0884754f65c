/* rig_region.h - one region in an arena, for the tests of regions.
 *
 * Not here: anything a single test file needs alone. */
#ifndef TESTS_RIG_REGION_H
#define TESTS_RIG_REGION_H

#include "rig.h"

#include "region/region.h"

static pyslab_arena *arena;
static pyslab_region *region;

static inline void begin_sized(size_t bytes, size_t hint)
{
    arena = rig_arena(bytes, 12);
    EXPECT_EQ(pyslab_region_create(arena, hint, &region), PYSLAB_OK);
}

static inline void begin(void)
{
    begin_sized(16 * MIB, 0);
}

static inline pyslab_region_stats stats_of(const pyslab_region *of)
{
    pyslab_region_stats stats;

    pyslab_region_stats_read(of, &stats);
    return stats;
}

static inline void expect_stats(uint64_t used, uint64_t reserved, uint32_t nr_blocks,
                                uint32_t nr_large)
{
    pyslab_region_stats stats = stats_of(region);

    EXPECT_EQ(stats.used_bytes, used);
    EXPECT_EQ(stats.reserved_bytes, reserved);
    EXPECT_EQ(stats.nr_blocks, nr_blocks);
    EXPECT_EQ(stats.nr_large, nr_large);
    rig_validate(arena);
    EXPECT_GE(rig_stats(arena).block_pages << PAGE_SHIFT, reserved);
}

static inline void end(void)
{
    rig_validate(arena);
    EXPECT_EQ(pyslab_region_destroy(region), PYSLAB_OK);
    EXPECT_EQ(rig_stats(arena).block_pages, 0);
    EXPECT_EQ(rig_stats(arena).large_pages, 0);
    rig_end(arena);
}

#endif

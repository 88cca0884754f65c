/* rig_zones.h - small arenas of several zones, for the tests of zones, marks and reclaim.
 *
 * Zones of fewer than 256 frames have no page lists, so that each frame is counted at
 * once. Surplus memory never goes back by itself here. Not here: anything a single test
 * file needs alone. */
#ifndef TESTS_RIG_ZONES_H
#define TESTS_RIG_ZONES_H

#include "rig.h"

#define ATOMIC ((uint32_t)PYSLAB_GFP_ATOMIC)
#define NOWAIT ((uint32_t)PYSLAB_GFP_NOWAIT)
#define HIGHUSER ((uint32_t)PYSLAB_GFP_HIGHUSER)
#define DMA ((uint32_t)(PYSLAB_GFP_DMA | PYSLAB_GFP_KERNEL))
#define NOTHING 0u /* waits for nobody, wakes nobody */

/* Marks m, m + m/4, m + m/2 (and promo), as the kernel's distances are. */
static inline pyslab_zone_options rig_zone(enum pyslab_zone_type type, uint32_t nr_pages,
                                           uint32_t min)
{
    return (pyslab_zone_options){.type = type,
                                 .nr_pages = nr_pages,
                                 .watermark = {min, min + min / 4, min + min / 2, min + min / 2},
                                 .batch = 1,
                                 .high_min = 4,
                                 .high_max = 4};
}

static inline pyslab_arena_options rig_zones_options(const pyslab_zone_options *zones, uint32_t nr,
                                                     unsigned max_order)
{
    pyslab_arena_options options = rig_options(0, max_order);

    options.purge_delay_ms = PYSLAB_PURGE_NEVER;
    options.zones = zones;
    options.nr_zones = nr;
    for (uint32_t i = 0; i < nr; i++)
        options.size_bytes += (uint64_t)zones[i].nr_pages << PAGE_SHIFT;
    return options;
}

static inline pyslab_arena *rig_zones_arena(const pyslab_zone_options *zones, uint32_t nr,
                                            unsigned max_order)
{
    pyslab_arena_options options = rig_zones_options(zones, nr, max_order);

    return rig_arena_of(&options);
}

static inline pyslab_zone_stats rig_zone_stats(pyslab_arena *arena, uint32_t zone)
{
    pyslab_zone_stats stats = {0};

    EXPECT_EQ(pyslab_arena_zone_stats(arena, zone, &stats), PYSLAB_OK);
    return stats;
}

static inline uint64_t rig_event(pyslab_arena *arena, enum pyslab_vm_event event)
{
    uint64_t counts[PYSLAB_NR_VM_EVENTS];

    EXPECT_EQ(pyslab_arena_vm_events(arena, counts, PYSLAB_NR_VM_EVENTS), PYSLAB_NR_VM_EVENTS);
    return counts[event];
}

static inline uint64_t rig_used_pages(pyslab_arena *arena)
{
    return pyslab_arena_used(arena) >> PAGE_SHIFT;
}

/* Takes blocks until one is refused; how many. They are written to pfn, of room places. */
static inline uint32_t rig_take_all(pyslab_arena *arena, uint32_t order, uint32_t gfp,
                                    uint32_t *pfn, uint32_t room)
{
    uint32_t nr = 0;

    while (nr < room && (pfn[nr] = pyslab_alloc_pages(arena, order, gfp)) != PFN_NONE)
        nr++;
    EXPECT(nr < room);
    return nr;
}

static inline void rig_give_all(pyslab_arena *arena, uint32_t order, const uint32_t *pfn,
                                uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++)
        EXPECT_EQ(pyslab_free_pages(arena, pfn[i], order), PYSLAB_OK);
}

/* Nothing may be in use any more. */
static inline void rig_zones_end(pyslab_arena *arena)
{
    (void)pyslab_arena_release_unused(arena);
    EXPECT_EQ(rig_stats(arena).free_pages, rig_stats(arena).managed_pages);
    EXPECT_EQ(pyslab_arena_used(arena), 0);
    rig_end(arena);
}

#endif

/* rig_debug.h - an arena with debug flags whose reports are noted, for the tests of debugging.
 *
 * Not here: anything a single test file needs alone. */
#ifndef TESTS_RIG_DEBUG_H
#define TESTS_RIG_DEBUG_H

#include "rig.h"

#define FZPU "FZPU"

static pyslab_arena *arena;
static pyslab_corruption seen; /* what the handler was given last */
static char seen_text[4096];
static uint64_t nr_seen;

static inline void note(const pyslab_corruption *found, void *context)
{
    EXPECT_PTR(context, &seen);
    EXPECT(lock_none_is_held());
    EXPECT_EQ(found->struct_size, sizeof *found);
    seen = *found;
    nr_seen++;
    EXPECT_LE(pyslab_corruption_text(found, seen_text, sizeof seen_text), sizeof seen_text - 1);
}

static inline pyslab_arena *debug_arena(const char *debug)
{
    pyslab_arena_options options = rig_options(64 * MIB, 10);

    options.debug = debug;
    options.overcommit = 1;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_OK);
    pyslab_set_corruption_handler(arena, note, &seen);
    nr_seen = 0;
    memset(&seen, 0, sizeof seen);
    return arena;
}

static inline pyslab_kmem_cache *cache_with(size_t size, uint32_t flags)
{
    pyslab_cache_options options = {.struct_size = sizeof options, .debug_flags = flags};
    pyslab_kmem_cache *cache = NULL;

    EXPECT_EQ(pyslab_kmem_cache_create(arena, "TestSlub", size, &options, &cache), PYSLAB_OK);
    return cache;
}

/* As the kernel counts: reports and repairs. */
static inline uint64_t errors(void)
{
    pyslab_debug_stats stats;

    pyslab_arena_debug_stats(arena, &stats);
    return stats.nr_found + stats.nr_repaired;
}

static inline uint64_t errors_of_validate(pyslab_kmem_cache *cache)
{
    uint64_t before = errors();

    EXPECT_EQ(pyslab_kmem_cache_validate(cache) * 2, errors() - before);
    return errors() - before;
}

static inline void end(void)
{
    rig_validate(arena);
    EXPECT_EQ(pyslab_arena_destroy(arena), PYSLAB_OK);
}

#endif

/* rig_kfence.h - an arena with a KFENCE, and samples of it at will.
 *
 * Not here: anything a single test file needs alone. */
#ifndef TESTS_RIG_KFENCE_H
#define TESTS_RIG_KFENCE_H

#include "rig_debug.h"

#include "kfence/kfence.h"
#include "slab/fence.h"

static inline pyslab_arena *fenced_arena(uint32_t sample_ms, uint32_t objects)
{
    pyslab_arena_options options = rig_options(64 * MIB, 10);

    options.debug = "";
    options.overcommit = 1;
    options.kfence_sample_ms = sample_ms;
    options.kfence_objects = objects;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_OK);
    pyslab_set_corruption_handler(arena, note, &seen);
    nr_seen = 0;
    memset(&seen, 0, sizeof seen);
    return arena;
}

/* The next allocation of a slow path is a sample. */
static inline void make_due(void)
{
    atomic_store(&arena->pages.sample.wanted, UINT32_MAX);
    atomic_store(&arena->pages.sample.due, true);
}

/* A sample of this size: drains what fast paths would serve from first. */
static inline char *sample(size_t size)
{
    char *p;

    make_due();
    (void)pyslab_arena_release_unused(arena);
    p = pyslab_kmalloc(arena, size, KERNEL);
    EXPECT(p != NULL && kfence_has(arena->kmalloc.slabs.kfence, p));
    return p;
}

/* A sample that lies at the start of its page, or at its end. */
static inline char *sample_at(size_t size, bool at_end)
{
    for (;;) {
        char *p = sample(size);

        if (((uintptr_t)p % PAGE_SIZE == 0) != at_end)
            return p;
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    }
}

static inline pyslab_kfence_stats stats(void)
{
    pyslab_kfence_stats out;

    pyslab_arena_kfence_stats(arena, &out);
    return out;
}

#endif

/* counted_arena.h - the arena of the programs that are counted. */
#ifndef TESTS_COUNTED_ARENA_H
#define TESTS_COUNTED_ARENA_H

#include <pyslab.h>
#include <stddef.h>

/* An arena in which nothing depends on the machine or the time: small pages, and nothing goes back
 * to the system. shared: enum pyslab_share. NULL if there is no memory. */
static inline pyslab_arena *counted_arena(uint64_t size_bytes, uint32_t shared)
{
    pyslab_arena_options options = {
        .struct_size = sizeof options,
        .max_order = PYSLAB_DEFAULT_ORDER,
        .size_bytes = size_bytes,
        .overcommit = 1,
        .hugepages = PYSLAB_HUGEPAGES_NO,
        .kmalloc_classes = PYSLAB_CLASSES_FINE,
        .purge_delay_ms = PYSLAB_PURGE_NEVER,
        .shared = shared,
    };
    pyslab_arena *arena = NULL;

    return pyslab_arena_create(&options, &arena) == PYSLAB_OK ? arena : NULL;
}

#endif

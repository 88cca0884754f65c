/* rig_threads.h - what tests of a whole arena under many threads share: threads that are started
 * together, and an end at which nothing may be left. */
#ifndef TESTS_RIG_THREADS_H
#define TESTS_RIG_THREADS_H

#include "rig.h"

#include <pthread.h>

#define RIG_THREADS_MAX 32u

/* Runs nr threads, which get the numbers from 1 on as their argument, and waits for their end.
 * pre: nr <= RIG_THREADS_MAX */
static inline void rig_run_threads(void *(*run)(void *), unsigned nr)
{
    pthread_t thread[RIG_THREADS_MAX];

    for (unsigned i = 0; i < nr; i++)
        if (pthread_create(&thread[i], NULL, run, (void *)(uintptr_t)(i + 1)) != 0)
            abort();
    for (unsigned i = 0; i < nr; i++)
        pthread_join(thread[i], NULL);
}

/* Ends an arena: nothing is live, nothing is lost, everything can go back. */
static inline void rig_end_clean(pyslab_arena *arena)
{
    pyslab_arena_stats stats = rig_stats(arena);

    EXPECT_EQ(stats.live_objects, 0);
    EXPECT_EQ(stats.large_count, 0);
    EXPECT_EQ(stats.block_pages, 0);
    rig_validate(arena);
    pyslab_arena_release_unused(arena);
    EXPECT_EQ(rig_stats(arena).free_pages, stats.managed_pages);
    rig_end(arena);
}

#endif

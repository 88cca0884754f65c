/* in_malloc.c - libpyslab_malloc_profiled.so: the malloc library, and a profile of what it serves.
 *
 * What it is: what the build of the library for `pyslab profile` (malloc/sampled.h) has besides:
 * its start and its end, and the door for an interpreter that has pyslab. The files are those of
 * parts.h.
 * What it is not: for another malloc, or for a profile that looks at a good part of all
 * allocations, each of which would take a page: profiler.c is.
 *
 * Fork: the core's handlers (arena/arena_fork.c) hold the profile's lock. The child begins a file
 * of its own, with nothing in it.
 * Lock: that of the profile.
 */
#ifndef PYSLAB_MALLOC_PROFILED /* as for who only reads this file */
#define PYSLAB_MALLOC_PROFILED 1
#endif

#include "malloc/sampled.h"
#include "profiler/join.h"
#include "profiler/parts.h"

#include <pthread.h>

/* What is allocated meanwhile is not the program's. */
void sampled_after(void)
{
    profile_thread.busy = true;
    join_ask();
    profile_thread.busy = false;
}

static void in_child(void)
{
    profile_stop();
    part_begin();
}

/* The heap is made first, so that its fork handlers are before this one. */
__attribute__((constructor)) static void profiled_load(void)
{
    if (heap_ready() && parts_wanted() && pthread_atfork(NULL, NULL, in_child) == 0)
        part_begin();
}

__attribute__((destructor)) static void profiled_end(void)
{
    profile_stop();
}

/* rig_share.h - shared arenas for tests, and child processes that attach them.
 *
 * A client is a fresh process in all that counts: it is forked before the arena is made, or
 * attaches by descriptors that were given to it. */
#ifndef RIG_SHARE_H
#define RIG_SHARE_H

#include "rig.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#if UNDER_TSAN
const char *__tsan_default_options(void) __attribute__((visibility("default")));

/* Its deadlock detector gives up at 64 locks held at once; the fork handlers hold more. */
const char *__tsan_default_options(void)
{
    return "detect_deadlocks=0";
}
#endif

static inline pyslab_arena *share_rig_arena(uint32_t shared)
{
    pyslab_arena_options options = rig_options(32 * MIB, 12);

    options.shared = shared;
    return rig_arena_of(&options);
}

/* What reap() gives back, which is to be so many bytes. Who has looked at a dead process through
 * /proc keeps its memory, and with it the sign of its life, for a moment longer. */
static inline size_t rig_reap(pyslab_arena *arena, size_t expected_bytes)
{
    size_t bytes = pyslab_share_reap(arena);

    for (unsigned i = 0; bytes < expected_bytes && i < 3000; i++) {
        usleep(10000);
        bytes += pyslab_share_reap(arena);
    }
    return bytes;
}

static inline bool rig_keep_file(void *context, int fd)
{
    int *kept = context;

    *kept = dup(fd);
    return false;
}

/* A descriptor of a process's file in memory, to read and write; -1. */
static inline int rig_memory_file_of(pid_t pid, const char *name)
{
    int found = -1, fd = -1;

    (void)os_share_each_of(pid, name, rig_keep_file, &found);
    if (found >= 0)
        (void)os_share_reopen(found, true, &fd);
    close(found);
    return fd;
}

#endif

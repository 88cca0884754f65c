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

static inline pyslab_arena *share_rig_arena(uint32_t shared)
{
    pyslab_arena_options options = rig_options(32 * MIB, 12);

    options.shared = shared;
    return rig_arena_of(&options);
}

#endif

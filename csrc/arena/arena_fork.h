/* arena_fork.h - the process's list of arenas, which fork() needs. */
#ifndef ARENA_ARENA_FORK_H
#define ARENA_ARENA_FORK_H

#include "arena/arena.h"

void arena_list_add(struct pyslab_arena *arena);
void arena_list_remove(struct pyslab_arena *arena);

#endif

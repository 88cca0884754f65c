/* arena_fork.h - the process's list of arenas: the fork handlers take the locks of each.
 * What it is not: for other layers. */
#ifndef ARENA_ARENA_FORK_H
#define ARENA_ARENA_FORK_H

#include "arena/arena.h"

/* The first call registers the fork handlers. */
void arena_list_add(struct pyslab_arena *arena);
void arena_list_remove(struct pyslab_arena *arena);
uint32_t arena_list_count(void);
/* arena_divert_failing of each arena there is and of each that is made from now on. */
void arena_list_divert_failing(void);
/* Ends what one call of the above began. */
void arena_list_restore_failing(void);

#endif

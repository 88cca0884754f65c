/* arena_fork.h - the process's list of arenas: the fork handlers take the locks of each.
 * What it is not: for layers that do not fork, or look at all arenas. */
#ifndef ARENA_ARENA_FORK_H
#define ARENA_ARENA_FORK_H

#include "arena/arena.h"

/* The first call registers the fork handlers. */
void arena_list_add(struct pyslab_arena *arena);
void arena_list_remove(struct pyslab_arena *arena);
uint32_t arena_list_count(void);
/* Calls act for each arena. pre: this is a handler of pthread_atfork for the child (unchecked: that
 * there is one thread is what makes the list stay as it is) */
void arena_list_each_in_child(void (*act)(struct pyslab_arena *arena));
/* arena_divert_failing of each arena there is and of each that is made from now on. */
void arena_list_divert_failing(void);
/* Ends what one call of the above began. */
void arena_list_restore_failing(void);

#endif

/* arena_failing.h - calls of a program that are made to fail, in one arena or in all.
 *
 * What it is: the life of an attribute of page_alloc/fault_attr.h, which has the rules: while it
 * lasts, the threads of the arenas that it is about are diverted from their fast paths.
 * Data structure: that of fault_attr.h; a program knows an attribute as a pyslab_failing.
 * Lock: the registry's for the diversion; arena_list.lock for all arenas.
 */
#ifndef ARENA_ARENA_FAILING_H
#define ARENA_ARENA_FAILING_H

#include "arena/arena.h"

/* arena: NULL is all of them, also those that are made later, and the making of them.
 * Errors: EINVAL, ENOMEM. */
int arena_failing_begin(struct pyslab_arena *arena, const pyslab_failing_options *options,
                        struct pyslab_failing **out);
void arena_failing_end(struct pyslab_failing *attr);
/* True if a new arena is to fail. */
bool arena_creation_fails(void);

/* For arena_fork.c: has the arena's slow paths ask, or ask no more. */
void arena_divert_failing(struct pyslab_arena *arena);
void arena_restore_failing(struct pyslab_arena *arena);

#endif

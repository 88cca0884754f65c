/* arena_default.h - makes the arena that the process has without asking for one. */
#ifndef ARENA_ARENA_DEFAULT_H
#define ARENA_ARENA_DEFAULT_H

#include "arena/arena.h"

/* Makes an arena as large as the machine and the limits of the process allow: another one at
 * each call. *out is written on success only. Errors: EOS, ENOMEM. */
int arena_default_make(struct pyslab_arena **out);

#endif

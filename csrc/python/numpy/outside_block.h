/* outside_block.h - array data that is not in the mapping of the arena it was asked of.
 *
 * What it is: a table by address of the blocks that an arena without room took elsewhere: from
 * vmalloc, over high frames of its own; or, where the program allowed it, from NumPy's own
 * functions. At free the address alone tells which of the three a block is.
 * What it is not: the decision where a block comes from (array_block.c).
 *
 * Data structure: a hash of lists, twice as long whenever it has as many records as lists.
 * Invariant (outside_adds_up): nr == sum over the lists of their records == sum over all arenas
 * of nr_outside[0] + nr_outside[1].
 * A vmalloc block counts in nr_live, so the arena stays mapped while it lives. A block of NumPy's
 * does not: it may be the last thing of an arena whose memory is gone, so arena->core may be NULL.
 * The record does not own the Arena: the handler that the array came from does.
 * Lock: the GIL, or array_critical_begin().
 */
#ifndef PYTHON_OUTSIDE_BLOCK_H
#define PYTHON_OUTSIDE_BLOCK_H

#include "python/arena/arena_object.h"

struct outside_block {
    struct outside_block *next; /* in its list */
    ArenaObject *arena;         /* that it was asked of; borrowed */
    void *p;
    size_t nbytes; /* usable: whole frames of vmalloc; of NumPy's what was asked for */
    enum outside_source source;
};

/* The record of the block at p, or NULL. */
struct outside_block *outside_find(const void *p);
/* Records a block, and counts it in the Arena. False: no memory for the record. */
bool outside_add(ArenaObject *arena, void *p, size_t nbytes, enum outside_source source);
/* Forgets a block that is freed, or about to be. */
void outside_remove(struct outside_block *block);
/* NumPy's own realloc has moved the block, or made it another size. pre: of OUTSIDE_NUMPY */
void outside_move(struct outside_block *block, void *p, size_t nbytes);
/* The invariant above, within the table. */
bool outside_adds_up(void);

#endif

/* index.h - what addresses a pool has, each with a value.
 *
 * What it is: a set of blocks by address: a pool's chunks and its large blocks.
 * What it is not: for small blocks; those are in their chunk's own table.
 *
 * Data structure: an open-addressing table with linear probing; a deletion moves later
 * entries of its run back, so that there are no tombstones. Address 0 marks a free slot.
 * Invariant: at most three quarters of the slots are in use; between index_reserve and
 * index_insert nothing runs that could take the room.
 * Lock: none: its pool's owner.
 */
#ifndef POOL_INDEX_H
#define POOL_INDEX_H

#include <pyslab.h>

#include <stdbool.h>

struct index_entry {
    uintptr_t address; /* 0: the slot is free */
    size_t value;
};

struct index {
    struct index_entry *slots; /* NULL: no room yet */
    uint32_t shift;            /* 64 - log2 of the number of slots */
    uint32_t pad;
    size_t nr_slots; /* a power of two, or 0 */
    size_t nr_used;
};

/* Room for one more; false: no memory, nothing has changed. May run callbacks of the arena. */
bool index_reserve(struct index *index, pyslab_arena *arena);
/* pre: index_reserve; the address is not there. */
void index_insert(struct index *index, uintptr_t address, size_t value);
/* NULL: it is not there. */
struct index_entry *index_find(const struct index *index, uintptr_t address);
void index_remove(struct index *index, struct index_entry *entry);
void index_destroy(struct index *index, pyslab_arena *arena);

#endif

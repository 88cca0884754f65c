/* index.h - the addresses of a pool's chunks and large blocks, each with a value.
 *
 * What it is: a hash table from address to value.
 * What it is not: for small blocks; those are in their chunk's own table.
 *
 * Data structure: an open-addressing table with linear probing; a deletion moves later
 * entries of its run back, so that there are no tombstones. Address 0 marks a free slot.
 * Invariant (index_adds_up): nr_used entries, at most three quarters of the slots, and each is
 * found under its address.
 * Lock: none; the owner of the pool makes one call at a time.
 */
#ifndef POOL_INDEX_H
#define POOL_INDEX_H

#include <pyslab.h>

#include <stdbool.h>

struct index_entry {
    uintptr_t address; /* 0: the slot is free */
    size_t value;      /* the owner's */
};

struct index {
    struct index_entry *slots; /* NULL: no room yet */
    uint32_t shift;            /* 64 - log2 of the number of slots */
    uint32_t pad;              /* unused */
    size_t nr_slots;           /* a power of two, or 0 */
    size_t nr_used;            /* entries */
};

/* Makes room for one more entry; false: no memory, nothing has changed. May run callbacks of the
 * arena, so index_insert has to come right behind it. */
bool index_reserve(struct index *index, pyslab_arena *arena);
/* Adds an entry. pre: there is room (index_reserve); the address is not there */
void index_insert(struct index *index, uintptr_t address, size_t value);
/* The entry of an address; NULL: it is not there. */
struct index_entry *index_find(const struct index *index, uintptr_t address);
/* Removes an entry that index_find returned. Other entries may move. */
void index_remove(struct index *index, struct index_entry *entry);
/* Gives the table's memory back. */
void index_destroy(struct index *index, pyslab_arena *arena);

#endif

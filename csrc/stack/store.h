/* store.h - texts that are kept once: for each text a number, for each number the text.
 *
 * What it is: an append-only, deduplicating store of byte strings for the whole process. The
 * same bytes get the same number again; nothing is ever changed or freed, so a reader needs no
 * lock. The stacks of depot.h lie here, and the names of files and functions in them.
 * What it is not: a cache. It grows with each new text, to 256 MiB at most.
 *
 * Data structure: pools of 64 KiB, in which records follow one another in units of 16 bytes; a
 * hash table whose chains are linked by record numbers. A number is pool * 4096 + unit.
 * Invariant: a record that a chain reaches is complete and constant; two records that chains
 * reach have different bytes.
 * Lock: none. A thread gets room by an exchange of `used`, fills its record there, and links it
 * at the head of its chain by another exchange. If a thread came first with the same bytes, its
 * record is the one, and the room of ours is wasted.
 */
#ifndef STACK_STORE_H
#define STACK_STORE_H

#include "base/config.h"

#define STORE_MAX_BYTES 4096u /* of one text */

/* The number of these bytes; 0 without memory. pre: nr_bytes <= STORE_MAX_BYTES */
uint32_t store_put(const void *bytes, uint32_t nr_bytes);
/* The bytes of a number that store_put gave, and how many; NULL for 0. */
const void *store_get(uint32_t id, uint32_t *nr_bytes);

#endif

/* heir.h - what becomes of a heap whose owner is dead.
 *
 * What it is: one of the clients, the heir, retires the blocks that nobody holds, and gives the
 * memory that no live block covers back to the system. What it is not: an allocator; the heap stays
 * dead, and goes with the last mapping of it.
 * Lock: the heir byte of the table, which no two processes have at once.
 */
#ifndef SHARE_HEIR_H
#define SHARE_HEIR_H

#include "share/heap.h"

/* EBUSY: another process is at it; EOS (errno EACCES): the heap is not mapped for writing, so that
 * its memory goes with its last mapping. */
int share_inherit_locked(struct pyslab_heap *heap, uint64_t *punched);

#endif

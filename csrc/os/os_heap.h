/* os_heap.h - memory for the core's own process-local records.
 *
 * What it is: where arenas, per-thread members and sheaves live. Blocks are zeroed.
 * What it is not: for users' data, and not for arena metadata that another process
 * may map (that lies in the arena's own metadata mapping). The C library's malloc is
 * not used, because in the malloc library the core itself is the C library's malloc.
 *
 * Data structure: one free list per power of two from 64 B to 16 KiB, fed from
 * 64 KiB chunks; larger blocks are mappings of their own. The caller gives the size
 * at free, so blocks have no header.
 * Invariant (os_heap_adds_up_locked): live bytes + bytes on the free lists + the unused rest
 * of the newest chunk == bytes of the chunks and large mappings.
 * Lock: one, of rank HEAP, for all of it.
 */
#ifndef OS_OS_HEAP_H
#define OS_OS_HEAP_H

#include "base/config.h"

/* A block that reads zero, aligned to 64 bytes; NULL if there is no memory. */
void *os_heap_alloc(size_t bytes);
/* Takes a block back. p may be NULL.
 * pre: p is a block of so many bytes (unchecked: blocks have no header to compare with; what is
 * checked is that callers have so many bytes at all) */
void os_heap_free(void *p, size_t bytes);
/* Bytes of the blocks that callers have, each rounded up to its power of two or whole pages. */
size_t os_heap_live_bytes(void);

/* The fork handlers call the first before the process is copied, and the second after it in
 * parent and child: in between the heap's lock is held, so that the child's copy is whole. */
void os_heap_fork_prepare(void);
void os_heap_fork_done(void);

#endif

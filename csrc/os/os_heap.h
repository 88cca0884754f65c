/* os_heap.h - memory for the core's own process-local records.
 *
 * What it is: where arenas, per-thread members and sheaves live. Blocks are zeroed.
 * What it is not: for users' data, and not for arena metadata that another process
 * may map (that lies in the arena's own metadata mapping). The C library's malloc is
 * not used, because the core may one day stand underneath it.
 *
 * Data structure: one free list per power of two from 64 B to 16 KiB, fed from
 * 64 KiB chunks; larger blocks are mappings of their own. The caller gives the size
 * at free, so blocks have no header.
 * Invariant: live bytes == sum of the rounded sizes of blocks handed out.
 * Lock: one, of rank HEAP, for all of it.
 */
#ifndef OS_OS_HEAP_H
#define OS_OS_HEAP_H

#include "base/config.h"

/* Zeroed, aligned to 64; NULL without memory. */
void *os_heap_alloc(size_t bytes);
/* bytes as at the allocation; p may be NULL. */
void os_heap_free(void *p, size_t bytes);
/* Bytes in callers' hands, rounded. */
size_t os_heap_live_bytes(void);

/* The fork handlers hold the heap still while the process is copied. */
void os_heap_fork_prepare(void);
void os_heap_fork_done(void);

#endif

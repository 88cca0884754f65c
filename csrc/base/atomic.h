/* atomic.h - loads and stores of fields that one thread writes and others read.
 *
 * What it is: for counters and pointers that one thread writes, while other threads read
 * them without a lock and accept a value that is a moment old. On x86-64 and arm64 each
 * is a plain move; the atomic type tells the thread sanitizer, and whoever reads the
 * code, that the race is meant.
 * What it is not: synchronisation. Where a thread must not see one field's new value
 * before another's, both fields are under a lock, or the reader takes load_acquire.
 *
 * Why relaxed is enough on a machine that reorders stores, as arm64 does. Whoever frees a block,
 * or uses a cache, has its pointer from the thread that got it, and has it by a lock, a join or
 * the like of the program's own: all that was written before the pointer was handed over is seen.
 * - Class bytes, and a slab's or large block's struct page: written before its first object is
 *   handed out, and again only when none is in use. Between threads of the core, cache->lock or
 *   the zone's lock hands them over.
 * - page->word, read for a neighbour: PYSLAB_PAGE_BUDDY is written, and taken away, under the
 *   zone's lock only, and so is it read. No other value is acted on.
 * - caches[], id_limit: written under the table's lock before the cache's pointer is returned.
 *   Who reads them without that lock looks for caches that it has used, and so knows the pointer.
 * - thread_tls.domain and .diverted: the thread's own, but for NULL, stored by who destroys or
 *   diverts a domain. A new domain at the same address is known only from after that.
 * - drain_epoch, kswapd_*, huge.state, limits, background.noted: a request or a figure of its own,
 *   by which nothing else is found; an old value makes the thread heed it one slow path later.
 * - Statistics: each is a number of its own; they need not agree with one another.
 * Acquire and release stand where a pointer or a count hands memory over inside the core: the
 * default arena, arena->side, the next dlopen, heap_state, refcounts of blocks and arenas.
 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

#include <stdatomic.h>

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)

/* Sees all that the thread wrote before it stored the value with release, or took off its
 * reference. */
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)

/* Adds v; for the one thread that writes the field. A load and a store, no locked instruction. */
#define add_owner(p, v) store_relaxed((p), load_relaxed(p) + (v))

/* Adds v, or takes it off; for statistics that any thread may change. */
#define add_relaxed(p, v) ((void)atomic_fetch_add_explicit((p), (v), memory_order_relaxed))
#define sub_relaxed(p, v) ((void)atomic_fetch_sub_explicit((p), (v), memory_order_relaxed))

#endif

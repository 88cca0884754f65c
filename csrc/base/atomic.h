/* atomic.h - relaxed loads and stores for fields that one thread writes and others read.
 *
 * What it is: for counters and pointers that one thread writes, while other threads read
 * them without a lock and accept a value that is a moment old. On x86-64 and arm64 each
 * is a plain move; the atomic type tells the thread sanitizer, and whoever reads the
 * code, that the race is meant.
 * What it is not: synchronisation. Where a thread must not see one field's new value
 * before another's, both fields are under a lock.
 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

#include <stdatomic.h>

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)

/* Adds v; for the one thread that writes the field. A load and a store, no locked instruction. */
#define add_owner(p, v) store_relaxed((p), load_relaxed(p) + (v))

/* Adds v, or takes it off; for statistics that any thread may change. */
#define add_relaxed(p, v) ((void)atomic_fetch_add_explicit((p), (v), memory_order_relaxed))
#define sub_relaxed(p, v) ((void)atomic_fetch_sub_explicit((p), (v), memory_order_relaxed))

#endif

/* atomic.h - relaxed loads and stores for fields that one thread owns and others read.
 *
 * What it is: owner-only counters and pointers whose readers accept a value that is
 * a moment old. On the targets these are plain moves; the type tells the sanitizer
 * and the reader that the race is meant.
 * What it is not: synchronisation. Fields that order other fields are under a lock.
 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

#include <stdatomic.h>

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)

/* The owner's increment: a load and a store, no locked instruction. */
#define add_owner(p, v) store_relaxed((p), load_relaxed(p) + (v))

/* Anybody's increment of a statistic. */
#define add_relaxed(p, v) ((void)atomic_fetch_add_explicit((p), (v), memory_order_relaxed))
#define sub_relaxed(p, v) ((void)atomic_fetch_sub_explicit((p), (v), memory_order_relaxed))

#endif

/* usage.h - what callers have in hand, counted exactly while somebody asks.
 *
 * What it is: bytes and number of allocations, their peaks and totals, of one arena, and
 * the blocks of time that measure them. Bytes are usable ones: an object's size in its
 * cache, whole frames else. Free memory counts for nobody, wherever it is kept: in slabs, in
 * sheaves (a thread's private arrays of free objects), in reserves, on page lists.
 * A tracker (track.h) is told of each allocation and free, too. It counts as an open block that
 * lasts as long as the arena.
 * What it is not: a statistic that is always on. While no block is open nothing is counted,
 * and the fast paths do not even ask: an open block diverts them (makes them miss, see thread.h),
 * so that each allocation and free takes one of the slow paths, which count.
 *
 * Data structure: counters of the arena that go on from block to block, and a list of open
 * blocks, each with the counters' values at its start and the peaks since.
 * Invariant, of what began after the block was opened: current == allocated - freed;
 * peak == the largest value that current has had.
 * Lock: the thread registry's guards the list. The counters are atomic; a peak is raised
 * after the sum it is of, so that no value is missed.
 */
#ifndef PAGE_ALLOC_USAGE_H
#define PAGE_ALLOC_USAGE_H

#include "page_alloc/track.h"
#include "thread/thread.h"

struct usage_figures {
    int64_t current_bytes; /* allocated less freed; negative: older ones were freed */
    int64_t current_count;
    int64_t peak_bytes; /* most of them at once */
    int64_t peak_count;
    uint64_t total_bytes; /* ever allocated */
    uint64_t total_count;
};

struct usage_block {
    struct usage_block *next;   /* usage.blocks; registry lock */
    struct usage_figures start; /* the counters when it was opened; peaks: since then */
};

struct usage {
    _Atomic uint32_t nr_blocks;        /* open ones */
    struct usage_block *blocks;        /* list; registry lock */
    _Atomic(struct tracker *) tracker; /* what each allocation is told to; NULL: not tracked */
    _Atomic int64_t current_bytes;
    _Atomic int64_t current_count;
    _Atomic int64_t peak_bytes; /* since the blocks' own were last brought up to date */
    _Atomic int64_t peak_count;
    _Atomic uint64_t total_bytes;
    _Atomic uint64_t total_count;
};

void usage_open(struct usage *usage, struct thread_domain *domain, struct usage_block *block);
/* The block's figures so far. */
void usage_read(struct usage *usage, struct usage_block *block, struct usage_figures *out);
/* Reads the block's figures for the last time and ends it. */
void usage_close(struct usage *usage, struct thread_domain *domain, struct usage_block *block,
                 struct usage_figures *out);

/* Has the arena tracked from now on, if it is not; returns its tracker. NULL: no memory. */
struct tracker *usage_track(struct usage *usage, struct thread_domain *domain);
/* For the end of the arena: forgets the tracker. */
void usage_untrack(struct usage *usage, struct thread_domain *domain);

/* The slow halves of what follows. key: of the allocation, for the tracker. */
void usage_count_alloc(struct usage *usage, uintptr_t key, uint64_t bytes);
void usage_count_free(struct usage *usage, uintptr_t key, uint64_t bytes);
void usage_count_grown(struct usage *usage, uintptr_t key, int64_t by);
void usage_count_split(struct usage *usage, uintptr_t key, uint32_t nr, uint64_t step);

static inline bool usage_is_counted(const struct usage *usage)
{
    return unlikely(load_relaxed(&usage->nr_blocks) != 0);
}

/* Counts an allocation that has come into a caller's hands. */
static inline void usage_add(struct usage *usage, uintptr_t key, uint64_t bytes)
{
    if (usage_is_counted(usage))
        usage_count_alloc(usage, key, bytes);
}

/* Counts one that is about to leave a caller's hands; called before anybody else can get it. */
static inline void usage_sub(struct usage *usage, uintptr_t key, uint64_t bytes)
{
    if (usage_is_counted(usage))
        usage_count_free(usage, key, bytes);
}

/* Counts one that has become `by` bytes larger where it is; or smaller, before anybody else can
 * get those. */
static inline void usage_grow(struct usage *usage, uintptr_t key, int64_t by)
{
    if (usage_is_counted(usage))
        usage_count_grown(usage, key, by);
}

/* Counts one that has become nr allocations of step bytes, one behind the other. */
static inline void usage_split(struct usage *usage, uintptr_t key, uint32_t nr, uint64_t step)
{
    if (usage_is_counted(usage))
        usage_count_split(usage, key, nr, step);
}

#endif

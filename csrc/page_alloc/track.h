/* track.h - which memory callers have in hand, and where each piece was allocated.
 *
 * What it is: a table of an arena's live allocations while it is tracked: objects of caches, large
 * blocks, blocks of frames, and with these the chunks of regions and the areas of vmalloc. Each
 * entry has the size and the stack (stack/depot.h). Sums by stack are a report of leaks, and the
 * call sites that pyslab top shows.
 * What it is not: always on. usage.h calls it, from the slow paths to which a tracked arena's
 * calls are diverted; others pay nothing.
 *
 * Data structure: two hash tables with open addresses, at most three quarters full, whose lengths
 * are powers of two: entries by key, which is an address, or the number of a frame that has none
 * (page_key); and groups by stack, of which none ever goes.
 * Invariant (track_check_locked): each entry is found from its hash on without a gap; nr_entries
 * is their number. A group's bytes and count are the sums of the entries with its stack. An
 * allocation for which there was no memory is in nr_lost, and in no entry.
 * Lock: tracker.lock, of rank TRACK. Stacks are saved before it is taken.
 */
#ifndef PAGE_ALLOC_TRACK_H
#define PAGE_ALLOC_TRACK_H

#include "base/atomic.h"
#include "base/lock.h"

struct track_entry {
    uintptr_t key;  /* of the allocation; 0: nobody's place */
    uint64_t bytes; /* usable ones */
    uint32_t stack; /* where it was allocated; 0: not known */
    uint32_t unused;
};

/* Memory that was allocated at one place. */
struct track_group {
    uint64_t bytes;     /* of all that is live */
    uint64_t count;     /* live allocations */
    uint64_t nr_allocs; /* allocations ever; 0: nobody's place in the table */
    uint32_t stack;     /* the place; 0: not known */
    uint32_t unused;
};

struct tracker {
    struct lock lock;          /* guards all of it */
    struct track_entry *table; /* nr_slots of them; NULL: none yet */
    struct track_group *group; /* nr_group_slots of them; NULL: none yet */
    uint32_t nr_slots;         /* a power of two, or 0 */
    uint32_t nr_entries;       /* slots in use */
    uint32_t nr_group_slots;   /* a power of two, or 0 */
    uint32_t nr_groups;        /* of these in use */
    uint64_t nr_lost;          /* allocations that found no memory for their entry */
};

/* NULL: no memory. */
struct tracker *tracker_new(void);
void tracker_delete(struct tracker *tracker);
void tracker_add(struct tracker *tracker, uintptr_t key, uint64_t bytes, uint32_t stack);
/* Forgets an allocation, also one that is not in the table. */
void tracker_remove(struct tracker *tracker, uintptr_t key);
/* An allocation has become `by` bytes larger, or smaller, where it is. */
void tracker_resize(struct tracker *tracker, uintptr_t key, int64_t by);
/* An allocation has become nr of step bytes each, the first at its own key. */
void tracker_split(struct tracker *tracker, uintptr_t key, uint32_t nr, uint64_t step);
/* The live allocations by stack, the most bytes first: an array of *nr from os_heap, which the
 * caller frees; NULL if there are none, or no memory: then *nr is UINT32_MAX. *lost: nr_lost. */
struct track_group *tracker_groups(struct tracker *tracker, uint32_t *nr, uint64_t *lost);
/* Those with the most live bytes, in this order; returns how many were written to top. *nr_live:
 * how many groups have live memory. */
uint32_t tracker_top(struct tracker *tracker, struct track_group *top, uint32_t max,
                     uint32_t *nr_live);

/* --- track_report.c --------------------------------------------------------- */

/* See pyslab_arena_leaks. */
size_t tracker_report(struct tracker *tracker, char *text, size_t bytes);

#endif

/* read.h - a record file, read and verified: which of its blocks can be believed, and their events
 * in the order of time.
 *
 * What it is: for any bytes at all. A block whose sums are wrong, that is of another recording, or
 * of which there are two, is left out and counted; what is left is whole events. Open blocks have
 * no sum of their events: those are counted too, so that a report can say how many it rests on.
 * What it is not: a judgement of what is missing; whoever reports tells struct read_faults.
 *
 * Data structure: the blocks that count, sorted by thread and number; a cursor for each thread, and
 * a heap of cursors by the time of their next event. A thread that is held is not in the heap.
 * Lock: none.
 */
#ifndef RECORD_READ_H
#define RECORD_READ_H

#include "record/format.h"

#include <stdbool.h>

struct read_faults {
    uint64_t nr_damaged; /* blocks whose sums or numbers are wrong, or that are cut */
    uint64_t nr_foreign; /* blocks of another recording */
    uint64_t nr_doubled; /* blocks that are there already */
    uint64_t nr_missing; /* blocks that a thread must have filled, by its later ones' numbers */
    uint64_t nr_open;    /* blocks with events and without a sum of them; none is counted above */
    uint64_t nr_unsure;  /* events of those */
    bool has_end;        /* the process ended by exit() */
};

struct read_event {
    uint64_t ticks; /* when it happened; not timed: then or later, and no later than the next event
                       of its thread that is */
    uint64_t address;
    uint64_t size;   /* as the program asked; 0 for RECORD_FREE and RECORD_RESIZE */
    uint32_t event;  /* enum record_event */
    uint32_t align;  /* log2; of RECORD_MEMALIGN, 0 otherwise */
    uint32_t thread; /* from 0, without gaps, in the order of the file's numbers */
    bool timed;      /* the recorder read the clock for it */
    bool of_arena;   /* the block is one of an arena, and not of malloc */
};

struct read_cursor {
    const struct record_block *const *block; /* the current one */
    const struct record_block *const *end;   /* of the thread's */
    size_t at;                               /* offset of the next event in block */
    uint64_t address;                        /* of the long event before */
    uint64_t ticks;                          /* of the event before */
    uint64_t regions[RECORD_REGIONS];        /* of the block's long events: as in struct writer */
    uint32_t version;                        /* of the file */
    struct read_event next;
};

struct recording {
    const struct record_head *head;
    struct record_end end; /* if faults.has_end */
    struct read_faults faults;
    uint32_t nr_threads;
    uint64_t nr_events;
    uint64_t begin_ticks, end_ticks; /* of the first block and of the last */
    uint64_t begin_ns, end_ns;
    const struct record_block **blocks;
    struct read_cursor *cursors; /* one for each thread */
    struct read_cursor **heap;   /* those that have events and are not held; the one with the
                                    earliest event first */
    uint32_t nr_heap;
    size_t nr_blocks; /* in blocks[] */
    size_t room;      /* of blocks[], before any was left out */
};

/* data stays the caller's, aligned to 8 bytes, and as it is, until recording_close. Returns NULL,
 * or what is wrong; there is nothing to close then. */
const char *recording_open(struct recording *r, const void *data, size_t bytes);
/* The earliest event of the threads that are not held; NULL: none of them has one. It stays until
 * the next call that is not this one. */
const struct read_event *recording_head(const struct recording *r);
/* Goes on behind it.
 * pre: there is one (unchecked: callers have looked at it) */
void recording_take(struct recording *r);
/* Sets the head's thread aside: its events do not come until it is released.
 * pre: there is one (unchecked: callers have looked at it) */
void recording_hold(struct recording *r);
/* pre: the thread is held (unchecked: the caller did it) */
void recording_release(struct recording *r, uint32_t thread);
/* The time that a held thread's next event is not later than; UINT64_MAX: the file does not say. */
uint64_t recording_latest(const struct recording *r, uint32_t thread);
void recording_close(struct recording *r);

#endif

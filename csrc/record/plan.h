/* plan.h - what each thread of a replay does: the events of a recording, with addresses replaced by
 * slots.
 *
 * What it is: made before anything is measured. A block is known by a slot, an index into the table
 * of live blocks. A thread reuses the slots that it emptied itself, so that a slot is never filled
 * by one thread while another has yet to empty it. Before it empties one that another thread has
 * filled, it waits until that thread has done so: till then another block may be in the slot.
 * Threads of a replay do not stop to compute, so that one could run far ahead of another, and hold
 * far more memory than it ever did. So the row of all operations is divided into epochs of
 * PLAN_EPOCH_OPS, and no thread begins one before all have reached the one before it.
 *
 * Data structure: a row of operations for each thread, and what was counted on the way.
 * Invariant: each slot is filled and emptied in turn, and nothing waits for an operation that comes
 * after it in the row of all.
 * Lock: none.
 */
#ifndef RECORD_PLAN_H
#define RECORD_PLAN_H

#include "record/read.h"

#define PLAN_EPOCH_OPS 4096u

enum plan_kind {
    PLAN_END, /* of the thread */
    PLAN_MALLOC,
    PLAN_CALLOC,
    PLAN_MEMALIGN,
    PLAN_REALLOC,
    PLAN_FREE,
    PLAN_EPOCH, /* size is its number: wait until all threads have reached the one before it */
    PLAN_WAIT,  /* until the thread `from` has done its operation with the index `size` */
};

struct plan_op {
    uint64_t size : 48; /* more counts as the most there is: no allocator has it. Of PLAN_FREE: of
                           the block */
    uint64_t align : 6; /* log2, of PLAN_MEMALIGN */
    uint64_t kind : 4;  /* enum plan_kind */
    uint32_t slot;      /* that it fills; of PLAN_FREE, that it empties */
    uint32_t from;      /* that PLAN_REALLOC empties */
};

struct plan_thread {
    struct plan_op *ops;
    size_t nr, room;      /* operations; bytes of ops */
    uint64_t first_epoch; /* in which the thread begins */
    uint64_t epoch;       /* of the newest operation */
    uint32_t *empty;      /* slots that it has emptied */
    size_t nr_empty, empty_room;
};

struct plan_counts {
    uint64_t nr_allocs; /* of every kind, reallocs of a live block not among them */
    uint64_t nr_frees;
    uint64_t nr_reallocs; /* of a live block */
    uint64_t nr_between;  /* frees and reallocs of a block that another thread allocated */
    uint64_t nr_unknown;  /* frees of blocks whose allocation is not in the recording; left out */
    uint64_t nr_implied;  /* blocks whose free is not in it, but whose address came again; blocks
                             of arenas, which may go as a whole, are not counted */
    uint64_t total_bytes; /* asked for */
    uint64_t live_bytes;  /* at the end */
    uint64_t peak_bytes;  /* the most that were live at once */
    uint64_t peak_blocks; /* live at that time */
    uint64_t nr_live;     /* at the end */
    /* Of arenas; also counted above if they are replayed. */
    uint64_t nr_arena_allocs; /* reallocs among them */
    uint64_t nr_arena_frees;
    uint64_t arena_bytes; /* asked for */
};

struct plan {
    struct plan_thread *threads;
    uint32_t nr_threads;
    uint64_t nr_slots;
    struct plan_counts counts;
};

/* Takes all events of the recording; those of arenas are only counted unless they are wanted. */
void plan_make(struct plan *plan, struct recording *r, bool with_arenas);
void plan_drop(struct plan *plan);

#endif

/* play.h - does what a plan says, on the malloc that the process has, and measures.
 *
 * What it is: the recording's first thread is the process's, so that a program of one thread is
 * replayed by a process of one; the others are started and end when they did, and one that has
 * ended is joined soon, so that its stack takes no memory. With PLAY_NOTHING in place of malloc the
 * same is done without any allocator: what that takes is the replayer's own work, to be taken off.
 * Of each block is written, as programs do before they read: the first 64 bytes, one byte of each
 * page of 4096 bytes after that, and the last byte. After realloc the same without the first 64
 * bytes, which the allocator has kept. Before a block is freed, its first byte is read, as most
 * programs look once more at what they free: else the wait for memory that has left the caches
 * would be the allocator's, and only where the free itself reads the block.
 * What it is not: an imitation of what the program computes, or of when it waits.
 *
 * Data structure: the table of slots, a pointer for each live block.
 * Lock: none. A slot is handed from thread to thread by the place of the one that filled it
 * (pace.h).
 */
#ifndef RECORD_PLAY_H
#define RECORD_PLAY_H

#include "record/plan.h"

enum play_on {
    PLAY_MALLOC,
    PLAY_NOTHING,
};

enum play_touch {
    PLAY_TOUCH_NONE,
    PLAY_TOUCH_PAGES, /* as above */
    PLAY_TOUCH_ALL,   /* every byte */
};

struct play_result {
    uint64_t wall_ns;
    uint64_t cpu_ns;         /* of all threads */
    uint64_t nr_refused;     /* allocations that the allocator did not serve */
    uint64_t nr_faults;      /* page faults without a disk */
    uint64_t baseline_bytes; /* resident before: the plan, the table */
    uint64_t peak_bytes;     /* the most that was resident on top of that */
    uint64_t end_bytes;      /* resident on top of that at the end */
};

void play(const struct plan *plan, enum play_on on, enum play_touch how,
          struct play_result *result);

#endif

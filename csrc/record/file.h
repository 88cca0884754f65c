/* file.h - the file that a process records into: its head, its blocks, its end.
 *
 * What it is: opens the file that PYSLAB_RECORD names when the first event comes, hands out blocks
 * of it, mapped, and seals them. The disk's room for a block is taken before it is handed out, so
 * that a store into it cannot fail. When there is no more room, or the file cannot be reached, it
 * says so in one line on the standard error, and nothing is recorded from then on.
 * The first process makes the file itself; a process that finds it there, a forked child or a
 * program that was started in its turn, adds its process id to the name, and .2, .3 and so on if
 * that is there too, for a second program in one process.
 *
 * A program may close descriptors that it does not know: each use proves that the number still
 * names the file, and opens it again if not.
 *
 * Data structure: regions of 64 blocks, each mapped at once and filled by one thread. When a
 * thread ends, what is left of its region goes on the spare list for the next one.
 * Invariant: a block is on the spare list, or of one writer, or was handed out and sealed or
 * abandoned: never of two writers.
 * Lock: file_lock, for taking regions and ending. A writer is its thread's.
 */
#ifndef RECORD_FILE_H
#define RECORD_FILE_H

#include "base/atomic.h"
#include "record/format.h"

#include <stdbool.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* Of each thread. All zero: it has written nothing yet. */
struct writer {
    unsigned char *at;          /* where the next event goes */
    unsigned char *last;        /* an event may begin below this */
    uint64_t ticks;             /* of the last event */
    uint64_t address;           /* of the last event */
    struct record_block *block; /* the current one; NULL: none */
    struct record_block *first; /* of the region that block is in */
    struct record_block *end;   /* of that region */
    uint32_t generation;        /* of the file that block is in; 0: none */
    uint32_t nr_events;         /* in block */
    uint32_t thread;            /* this thread's number in the file */
    uint32_t number;            /* of the next block */
};

/* On a page that a forked child finds all zero. */
struct file_shared {
    _Atomic uint32_t generation; /* of the process's file; 0: none is open */
    _Atomic bool many;           /* more than one thread has written to it */
};

extern struct file_shared file_shared __attribute__((visibility("hidden")));

/* The writer's block, if it has one, is of the file that is open. */
static always_inline bool file_is_current(const struct writer *w)
{
    return w->generation == load_relaxed(&file_shared.generation);
}

/* A clock of all processors, in units of its own: each block has its time in nanoseconds too. */
static always_inline uint64_t file_ticks(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

/* Seals the writer's block and gives it the next one, in which an event has room; opens the file
 * if there is none. False: nothing is recorded.
 * pre: the guard of interpose.h is entered (unchecked: it is the caller's) */
bool file_next_block(struct writer *w, uint64_t ticks);
/* Seals the writer's block and writes the end block. Other threads' blocks stay open. */
void file_end(struct writer *w);

#endif

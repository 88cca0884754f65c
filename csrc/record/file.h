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
    unsigned char *at;                /* where the next event goes */
    unsigned char *last;              /* an event may begin below this */
    uint64_t ticks;                   /* of the last event */
    uint64_t address;                 /* of the last long event */
    uint64_t regions[RECORD_REGIONS]; /* of the block's long events, by record_region_index: their
                                         numbers, and 1 */
    struct record_block *block;       /* the current one; NULL: none */
    struct record_block *first;       /* of the region that block is in */
    struct record_block *end;         /* of that region */
    uint32_t generation;              /* of the file that block is in; 0: none */
    uint32_t nr_events;               /* in block */
    uint32_t thread;                  /* this thread's number in the file */
    uint32_t number;                  /* of the next block */
    uint16_t owner;                   /* this thread's in file_owners, or FILE_NO_OWNER */
};

/* To read the clock takes longer than to write an event, so that it is read for one event in so
 * many, and those after it have the same time. Powers of two. */
#define FILE_TIMED_ONE 32u /* as long as one thread has events */
#define FILE_TIMED_MANY 16u

/* Where the order between threads matters, an event has a time of its own all the same: file_owners
 * has, for each page of memory, the thread that had the last event there, and the next event of
 * another thread is timed. So of two threads' events at one address the later one has a later time,
 * or comes after one of its thread that has. Pages that share an entry only cost time. The number
 * of a thread that has ended is given to another one: all its events are later. */
#define FILE_OWNER_LINES 1024u /* each of 64 pages side by side; powers of two */
#define FILE_OWNER_LINE_PAGES 64u
#define FILE_MOST_OWNERS 255u /* at once, from 1; each event of further threads is timed */
#define FILE_NO_OWNER 256u    /* is found in no entry: it is stored as 0, as nobody's */

/* On a page that a forked child finds all zero. */
struct file_shared {
    _Atomic uint32_t generation; /* of the process's file; 0: none is open */
    _Atomic uint32_t untimed; /* by this mask of a writer's nr_events, all but zero has no time */
};

extern struct file_shared file_shared __attribute__((visibility("hidden")));
extern _Atomic uint8_t file_owners[FILE_OWNER_LINES][FILE_OWNER_LINE_PAGES]
    __attribute__((visibility("hidden")));

static always_inline _Atomic uint8_t *file_owner(const void *p)
{
    uint64_t page = (uintptr_t)p >> 12, line = page / FILE_OWNER_LINE_PAGES;

    return &file_owners[(line * 0x9e3779b97f4a7c15u >> 32) % FILE_OWNER_LINES]
                       [page % FILE_OWNER_LINE_PAGES];
}

/* The writer's block, if it has one, is of the file that is open. */
static always_inline bool file_is_current(const struct writer *w)
{
    return w->generation == load_relaxed(&file_shared.generation);
}

/* The clock that is read next is not read ahead of what the thread has seen before: a processor
 * that foresees that its turn has come would read it before the other thread has gone on. */
static always_inline void file_settle(void)
{
#if defined(__x86_64__)
    __builtin_ia32_lfence();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
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

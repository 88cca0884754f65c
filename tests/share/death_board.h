/* death_board.h - what the processes of test_random_death.c have in common beside shared heaps.
 *
 * The board is one shared mapping: a place for each worker, and messages on the way between them.
 * A message's word is changed by compare-and-swap: nobody's (0), being written or read by a worker,
 * or full (FULL). Who finds a worker dead empties what it was writing, and leaves what it was
 * reading to another: the ticket in it ends by age only if its maker is dead. */
#ifndef TESTS_SHARE_DEATH_BOARD_H
#define TESTS_SHARE_DEATH_BOARD_H

#include "pyslab.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { WORKERS = 4, MESSAGES = 64, FULL = 0xff };
#define WRITING(number) ((uint32_t)(number) + 1)
#define READING(number) ((uint32_t)(number) + 0x80)
enum phase { RUN, DROP, FREE, END };

struct message {
    _Atomic uint32_t word;
    pyslab_handle handle;
    uint64_t seed;  /* of the pattern in the block */
    uint64_t bytes; /* of it */
    int pid;        /* of the block's owner */
};

struct board {
    _Atomic int phase;          /* what all do now: enum phase */
    _Atomic int leave[WORKERS]; /* this one ends, as a program ends */
    _Atomic int ready[WORKERS]; /* the phase that the worker has done */
    _Atomic uint64_t acts;      /* of all workers, with or without success */
    _Atomic uint64_t opened;    /* blocks, by all */
    _Atomic uint64_t passed_on;
    _Atomic uint64_t stale; /* messages whose block was gone, or whose owner was */
    struct message messages[MESSAGES];
};

/* What a worker does until it is told to end, or is killed. Returns its exit status. */
int worker_run(struct board *board, int number, uint64_t seed);

#endif

/* weak_machine.h - what the two halves of the machine of weak.h share: its memory (weak_memory.c),
 * and its threads and the search (weak_search.c). Invariant: each view's at[] is below the number
 * of the word's writes. */
#ifndef TESTS_SHARE_WEAK_MACHINE_H
#define TESTS_SHARE_WEAK_MACHINE_H

#undef _FORTIFY_SOURCE /* jumps between stacks are no attack here */
#include "weak.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_WORDS = 40,  /* that are written */
    MAX_WRITES = 40, /* of a word in a run */
    MAX_DEPTH = 400, /* accesses in a run */
    SEEN_BITS = 22,  /* of the table of states */
    STACK_BYTES = 1 << 16,
    MAIN = WEAK_THREADS, /* the search itself, which knows all */
    NO_WORD = 0xff
};

struct view {
    uint8_t at[MAX_WORDS];           /* oldest write that may be read */
    uint8_t clock[WEAK_THREADS + 1]; /* last access to the heap that is known, by thread */
};

struct write {
    uint64_t value;
    struct view view; /* that a load with acquire takes over */
};

struct word {
    void *address;
    struct write writes[MAX_WRITES];
    unsigned nr;
    uint64_t hash; /* of its history */
};

enum { WAIT_OP = WEAK_FENCE + 1 };

struct thread {
    jmp_buf begin; /* of its work, once it has a stack */
    jmp_buf at;    /* where it has stopped */
    char *stack;
    uint64_t hash;    /* of all that it has read in this run: with that, of all that it does next */
    struct view now;  /* what it knows */
    struct view read; /* what a fence would tell it: of writes that it has read */
    struct view released; /* what its relaxed stores carry: what it knew at its last fence */
    int op;               /* that it is about to make, */
    uint8_t word;         /* of this word */
    uint8_t waits_for;    /* thread, for WAIT_OP */
    bool ended;
    enum weak_place last; /* of the word that it has written last */
};

/* A choice in the run: which thread made an access, and which of the possible values it took. */
struct node {
    uint8_t thread, value, nr_values;
    uint8_t can; /* bits of threads that can go on here */
};

struct run {
    const struct weak_scene *scene;
    const struct weak_change *change;
    char *base;
    uint64_t bytes;
    enum weak_place (*place)(const void *);
    jmp_buf back;     /* to the search */
    unsigned running; /* thread */
    unsigned depth;
    struct view fences; /* of all full fences so far */
    bool again;         /* a word is written that was not known to be: all runs begin anew */
    bool waiting;       /* nobody can go on, and not all have ended */
    unsigned nr_states; /* that were seen */
    bool exploring;     /* else accesses are plain */
    const char *broken;
};

struct block {
    uint8_t value;
    uint8_t writer, writer_clock;
    uint8_t read_clock[WEAK_THREADS + 1];
};

extern struct word words[MAX_WORDS];
extern unsigned nr_words;
extern uint8_t *word_number; /* by 4 bytes of the table: number of the word + 1 */
extern struct thread threads[WEAK_THREADS + 1];
extern struct block blocks[WEAK_BLOCKS];
extern struct run run;

void view_join(struct view *view, const struct view *other);
uint64_t mix(uint64_t hash, uint64_t value);
uint64_t mix_bytes(uint64_t hash, const void *p, size_t nr);
/* Its history begins with what is in memory. */
void word_begin(struct word *word);
/* The thread is about to make an access: the search says when. */
void pause_before(int op, unsigned word);
/* The number of the choice among so many; a thread that may die has one more, which is its end. */
unsigned choose(unsigned nr);
void thread_end(void);

#endif

/* weak.h - the code of csrc/share/protocol.c under a memory that is weaker than any machine's.
 *
 * What it is: a search through what a few threads may do that run the real code, compiled with
 * -fsanitize=thread, so that each atomic access is a call with its order. Every interleaving of the
 * accesses is tried, and at each load every value that C11 lets it see: a write that is old, if
 * nothing tells the thread of a later one. Words of the heap itself are not atomic: two accesses of
 * which none is known to be before the other are a race, which is a broken promise.
 * What it is not: the values of stores that are still to come, which C11 allows to relaxed loads
 * (load buffering). test_litmus.c looks for those by aarch64's rules.
 *
 * Data structure: a word that is written in some run has a history of writes; a thread has a view,
 * the oldest write of each word that it may still read, and for each thread the last of its
 * accesses to the heap that it knows of. A write with release carries its writer's view, a load
 * with acquire takes it over; two full fences hand it from the first to the second.
 * New writes are the last of their word's history: each word has one writer, or is written by
 * exchanges, which read the last.
 * Sequentially consistent loads and stores are taken for acquire and release, which is less.
 *
 * A thread's own state is what it has read; so a state of all of it can be known again, and is
 * gone on from once. */
#ifndef TESTS_SHARE_WEAK_H
#define TESTS_SHARE_WEAK_H

#include <stdbool.h>
#include <stdint.h>

enum { WEAK_THREADS = 4, WEAK_BLOCKS = 2 };

enum weak_op { WEAK_NONE, WEAK_LOAD, WEAK_STORE, WEAK_SWAP, WEAK_FENCE };

/* What a word of the table is. */
enum weak_place {
    PLACE_FIELD,  /* a field of a slot or ticket beside its word */
    PLACE_SLOT,   /* a slot's word */
    PLACE_TICKET, /* a ticket's word */
    PLACE_ROW,    /* a field of a row; 32 bits, as are the next two */
    PLACE_MARK,   /* that a row is in use */
    PLACE_COUNT
};

/* Accesses that are made relaxed, or left out: those of this kind to words of this place. A fence
 * has the place of the word that its thread has written last. */
struct weak_change {
    enum weak_op op;
    enum weak_place place;
};

struct weak_scene {
    const char *name;
    void (*thread[WEAK_THREADS])(void); /* what each does; NULL: there is none */
    unsigned mortal;                    /* bits of threads that may be killed before any access */
    void (*start)(void);                /* before each run */
    void (*end)(void);                  /* after it, by one who knows all of it */
};

struct weak_result {
    unsigned states;    /* different ones that were reached */
    const char *broken; /* NULL: no promise was broken */
};

/* The table at base is as the scene finds it; it is left so. */
struct weak_result weak_search(const struct weak_scene *scene, const struct weak_change *change,
                               void *base, uint64_t bytes, enum weak_place (*place)(const void *));

/* For the threads of a scene. */

/* Waits until a thread has ended, or was killed; knows then what it has done. */
void weak_wait(unsigned thread);
/* Reads and writes a block of the heap. */
uint8_t weak_read(unsigned block);
void weak_write(unsigned block, uint8_t value);
/* A promise is broken: the search ends. */
void weak_broken(const char *promise);

#endif

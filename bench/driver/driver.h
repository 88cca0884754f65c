/* driver.h - what the files of the benchmark driver share.
 *
 * What it is: the shape of a workload, the state of one run, and small helpers.
 * What it is not: part of pyslab. The driver is a client of pyslab.h like any
 * other, and measures malloc and pyslab from the outside.
 *
 * A workload has contenders; a contender has a method (prepare, run, finish) and
 * an argument. prepare and finish are not timed. run does nr_ops operations,
 * each an allocation and a free, and returns the nanoseconds they took.
 */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "pyslab.h"

enum bench_limits {
    BENCH_CONTENDERS_MAX = 4,    /* of one workload */
    BENCH_RANDOM_MIN = 16,       /* bytes of the smallest block of random size */
    BENCH_RANDOM_MAX = 8192,     /* ... and of the largest */
    BENCH_QUEUE_BLOCK = 64,      /* bytes of a block in the LIFO and FIFO workloads */
    BENCH_HANDOFF_SLOTS = 1024,  /* ring between producer and consumer, a power of two */
};

enum bench_allocator {
    BENCH_LIBC,    /* malloc and free, whichever library provides them */
    BENCH_PYSLAB,  /* an arena of pyslab */
    BENCH_MMAP,    /* mmap and munmap */
    BENCH_ANY,     /* no filter */
};

struct bench_state {
    pyslab_arena *arena;  /* NULL when only malloc is measured */
    uint64_t argument;    /* block size, number of live blocks or order */
    void **slots;         /* live set or ring; NULL if the method has none */
    uint64_t nr_slots;    /* length of slots */
    uint64_t random;      /* state of xorshift, never 0 */
};

struct bench_method {
    void (*prepare)(struct bench_state *state);                   /* may be NULL */
    uint64_t (*run)(struct bench_state *state, uint64_t nr_ops);  /* nanoseconds */
    void (*finish)(struct bench_state *state);                    /* may be NULL */
};

/* What malloc_template.h instantiates once per allocator. */
struct bench_methods {
    struct bench_method churn;    /* one block at a time; argument: its bytes */
    struct bench_method random;   /* replaces random blocks; argument: live blocks */
    struct bench_method lifo;     /* freed in reverse order; argument: depth */
    struct bench_method fifo;     /* freed in the same order; argument: depth */
    struct bench_method handoff;  /* freed by another thread; argument: bytes */
};

struct bench_contender {
    const char *name;                   /* unique within its workload */
    const struct bench_method *method;  /* NULL ends the list */
    uint64_t argument;                  /* of the method */
    uint64_t nr_ops;                    /* operations per round at scale 1 */
    enum bench_allocator allocator;     /* what --only looks at */
};

struct bench_workload {
    const char *group;  /* heading under which the report shows it */
    const char *name;   /* unique */
    struct bench_contender contenders[BENCH_CONTENDERS_MAX];
};

struct bench_options {
    uint64_t rounds;
    double scale;               /* multiplies operations and live sets */
    enum bench_allocator only;  /* BENCH_ANY: all of them */
};

extern const struct bench_methods bench_libc_methods;
extern const struct bench_methods bench_pyslab_methods;
extern const struct bench_method bench_pages_pyslab;        /* argument: order */
extern const struct bench_method bench_pages_mmap;          /* argument: order */
extern const struct bench_method bench_pages_touch_pyslab;  /* argument: order */
extern const struct bench_method bench_pages_touch_mmap;    /* argument: order */
extern const struct bench_workload bench_catalogue[];
extern const size_t bench_catalogue_length;

/* The two modes; each prints one JSON document on stdout. */
void bench_run_times(const struct bench_options *options);
void bench_run_memory(const struct bench_options *options);

/* Ends the process with status 1. */
_Noreturn void bench_die(const char *message, ...) __attribute__((format(printf, 1, 2)));
/* An arena of this many bytes with default options, or bench_die. */
pyslab_arena *bench_arena_create(uint64_t size_bytes);
/* Resident, zeroed memory that no contender provides, or bench_die. */
void *bench_map(size_t bytes);
void bench_unmap(void *p, size_t bytes);
uint64_t bench_now_ns(void);
/* count * scale, at least 1. */
uint64_t bench_scale(uint64_t count, double scale);
/* `progress step/total` on stderr, for whoever draws the bar. */
void bench_progress(uint64_t step, uint64_t total);

/* Lets p escape, so that the compiler cannot drop the allocation. */
static inline void bench_keep(void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Writes one byte, which the compiler cannot drop either. */
static inline void bench_use(void *p)
{
    *(volatile unsigned char *)p = 1;
    bench_keep(p);
}

/* Marsaglia's xorshift64. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

/* A number in 0..limit-1 (limit below 2**32) by multiplication: no division. */
static inline uint64_t bench_random_below(uint64_t *state, uint64_t limit)
{
    return ((bench_random(state) >> 32) * limit) >> 32;
}

static inline size_t bench_random_size(uint64_t *state)
{
    uint64_t span = BENCH_RANDOM_MAX - BENCH_RANDOM_MIN + 1;

    return (size_t)(BENCH_RANDOM_MIN + bench_random_below(state, span));
}

#endif

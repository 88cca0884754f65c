/* driver.h - what the files of the benchmark driver share.
 *
 * What it is: the shape of a workload, the state of one run, and small helpers.
 * What it is not: part of pyslab. The driver is a client of pyslab.h like any
 * other, and measures malloc and pyslab from the outside.
 *
 * A workload has contenders; a contender has a method (prepare, run, finish) and
 * an argument. prepare and finish are not timed. run does nr_ops operations,
 * each an allocation and a free, and returns the nanoseconds they took.
 * Clocks and random numbers, which run inside timed loops, are in inline.h.
 */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
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
    BENCH_OBJECT_MIN = 16,       /* bytes of the smallest object of the live sets */
    BENCH_OBJECT_MAX = 128,      /* ... and of the largest */
    BENCH_PURGE_DELAY_MS = 1000, /* of every arena: the default of Python's Arena */
    BENCH_HISTOGRAM_BITS = 5,    /* buckets per power of two, as a power of two: 3 % wide */
    BENCH_HISTOGRAM_BUCKETS = (64 - BENCH_HISTOGRAM_BITS + 1) << BENCH_HISTOGRAM_BITS,
};

enum bench_allocator {
    BENCH_LIBC,   /* malloc and free, whichever library provides them */
    BENCH_PYSLAB, /* an arena of pyslab */
    BENCH_MMAP,   /* mmap and munmap */
    BENCH_ANY,    /* no filter */
};

struct bench_state {
    pyslab_arena *arena; /* NULL when only malloc is measured */
    uint64_t argument;   /* block size, number of live blocks or order */
    void **slots;        /* live set or ring; NULL if the method has none */
    uint64_t nr_slots;   /* length of slots */
    uint64_t random;     /* state of xorshift, never 0 */
};

struct bench_method {
    void (*prepare)(struct bench_state *state);                  /* may be NULL */
    uint64_t (*run)(struct bench_state *state, uint64_t nr_ops); /* nanoseconds */
    void (*finish)(struct bench_state *state);                   /* may be NULL */
};

/* How often a call took how many ticks. */
struct bench_histogram {
    uint64_t count[BENCH_HISTOGRAM_BUCKETS]; /* bucket: bench_histogram_bucket(ticks) */
};

struct bench_latencies {
    struct bench_histogram alloc;
    struct bench_histogram release;
};

/* What malloc_template.h instantiates once per allocator. */
struct bench_methods {
    struct bench_method churn;   /* one block at a time; argument: its bytes */
    struct bench_method random;  /* replaces random blocks; argument: live blocks */
    struct bench_method lifo;    /* freed in reverse order; argument: depth */
    struct bench_method fifo;    /* freed in the same order; argument: depth */
    struct bench_method handoff; /* freed by another thread; argument: bytes */
    struct bench_method objects; /* as random, with small objects; argument: live ones */
    /* Replaces objects of a live set that objects.prepare made, and times every call. */
    void (*objects_sample)(struct bench_state *state, uint64_t nr_ops,
                           struct bench_latencies *latencies);
};

/* An allocator behind function pointers: for memory and for single large blocks. Loops that time
 * small blocks call their allocator directly (malloc_template.h). */
struct bench_heap {
    const char *name;
    enum bench_allocator allocator;
    const struct bench_methods *methods;
    void *(*alloc)(pyslab_arena *arena, size_t bytes);  /* or bench_die */
    void *(*zalloc)(pyslab_arena *arena, size_t bytes); /* or bench_die */
    void (*release)(pyslab_arena *arena, void *p);
    size_t (*usable)(pyslab_arena *arena, void *p);
};

/* A measurement in a forked child, which no other contender's heap disturbs. */
struct bench_child {
    int pid;
    void *shared; /* result, in memory of both processes */
    size_t bytes; /* of the result */
};

struct bench_contender {
    const char *name;                  /* unique within its workload */
    const struct bench_method *method; /* NULL ends the list */
    uint64_t argument;                 /* of the method */
    uint64_t nr_ops;                   /* operations per round at scale 1 */
    enum bench_allocator allocator;    /* what --only looks at */
};

struct bench_workload {
    const char *group; /* heading under which the report shows it */
    const char *name;  /* unique */
    struct bench_contender contenders[BENCH_CONTENDERS_MAX];
};

/* A contender of a contest: all contenders of one do the same task (contest.c). */
struct bench_entry {
    const char *name;
    enum bench_allocator allocator; /* what --only looks at */
    void (*run)(void *task);        /* all operations of a round */
    uint64_t nr_objects; /* that are given back together, for the output; 0: not printed */
};

struct bench_options {
    uint64_t rounds;
    double scale;              /* multiplies operations and live sets */
    enum bench_allocator only; /* BENCH_ANY: all of them */
};

extern const struct bench_methods bench_libc_methods;
extern const struct bench_methods bench_pyslab_methods;
extern const struct bench_method bench_pages_pyslab;       /* argument: order */
extern const struct bench_method bench_pages_mmap;         /* argument: order */
extern const struct bench_method bench_pages_touch_pyslab; /* argument: order */
extern const struct bench_method bench_pages_touch_mmap;   /* argument: order */
extern const struct bench_workload bench_catalogue[];
extern const size_t bench_catalogue_length;
extern const struct bench_heap bench_heaps[];
extern const size_t bench_heaps_length;

/* The modes; each prints one JSON document on stdout. */
void bench_run_times(const struct bench_options *options);
void bench_run_memory(const struct bench_options *options);
void bench_run_threads(const struct bench_options *options);
void bench_run_latency(const struct bench_options *options);
void bench_run_residency(const struct bench_options *options);
void bench_run_small(const struct bench_options *options);
void bench_run_zeroed(const struct bench_options *options);
void bench_run_fragmentation(const struct bench_options *options);
void bench_run_supply(const struct bench_options *options);
void bench_run_aligned(const struct bench_options *options);
void bench_run_region(const struct bench_options *options);
void bench_run_capi(const struct bench_options *options);
void bench_run_shared(const struct bench_options *options);
void bench_run_fork(const struct bench_options *options);

/* Runs each contender's share of nr_ops operations in turn, in rounds, and prints their figures
 * as a JSON list called name (contest.c). */
void bench_run_contest(const struct bench_options *options, const char *name,
                       const struct bench_entry *entries, size_t nr, void *task, uint64_t nr_ops);

/* The address of the C API's table, as an extension gets it. */
const void *bench_api_table(void);
/* Ends the process with status 1. */
_Noreturn void bench_die(const char *message, ...) __attribute__((format(printf, 1, 2)));
/* An arena of this many bytes with default options, or bench_die. */
pyslab_arena *bench_arena_create(uint64_t size_bytes);
/* Resident, zeroed memory that no contender provides, or bench_die. */
void *bench_map(size_t bytes);
void bench_unmap(void *p, size_t bytes);
uint64_t bench_now_ns(void);
void bench_sleep_ms(uint64_t ms);
/* Resident set of this process, exact; allocates nothing. */
uint64_t bench_resident_bytes(void);
/* The anonymous part of the resident set, without code and files: a forked child takes page
 * faults on code that was resident in its parent, which would count as growth. */
uint64_t bench_anonymous_bytes(void);
/* Whether --only lets this allocator take part. */
bool bench_takes_part(const struct bench_options *options, enum bench_allocator allocator);
/* Runs work in a child; `finish` waits for it and copies its result, or bench_die. */
struct bench_child bench_child_start(void (*work)(const void *context, void *result),
                                     const void *context, size_t result_bytes);
void bench_child_finish(struct bench_child *child, void *result);
/* count * scale, at least 1. */
uint64_t bench_scale(uint64_t count, double scale);
/* `progress step/total` on stderr, for whoever draws the bar. */
void bench_progress(uint64_t step, uint64_t total);

#include "inline.h"

#endif

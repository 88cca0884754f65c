/* workload.h - what the workloads share: arguments, a generator, marked objects, a queue.
 *
 * What it is: helpers of whole programs that use malloc, free, calloc and realloc as any
 * program does. What it is not: part of an allocator; nothing here knows which one serves it.
 * Data structure: an object carries its tag in the first 8 bytes and the tag's low byte in the
 * others, so that whoever frees it, in whichever thread, can tell whether it is still whole.
 * Invariant: the same arguments do the same work and print the same checksum, under every
 * allocator; sums of several threads are added up, so that their order does not matter.
 * Lock: struct queue guards its batches; everything else belongs to the caller.
 */
#ifndef PYSLAB_WORKLOAD_H
#define PYSLAB_WORKLOAD_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OBJECT_BYTES_MIN = 16,   /* room for the tag, and something to fill */
    OBJECT_FILL_MAX = 1024,  /* smaller objects are written in full, others at both ends */
    OBJECT_END_BYTES = 64,   /* so much of either end of the others */
    OBJECT_VERIFY_EVERY = 64 /* one check in so many reads every byte that was written */
};

_Noreturn static inline void workload_die(const char *message)
{
    fflush(stdout);
    fprintf(stderr, "workload: %s\n", message);
    exit(EXIT_FAILURE);
}

/* --- arguments: "--name value" ---------------------------------------------- */

struct argument {
    const char *name; /* without the dashes */
    uint64_t *value;  /* holds the default; must not become 0 */
    const char *help; /* one line, with the unit */
};

_Noreturn static inline void workload_usage(const char *program, const struct argument *table,
                                            size_t nr, FILE *file, int status)
{
    fprintf(file, "usage: %s [--NAME N]...\n", program);
    for (size_t i = 0; i < nr; i++)
        fprintf(file, "  --%-12s %s (%llu)\n", table[i].name, table[i].help,
                (unsigned long long)*table[i].value);
    exit(status);
}

/* Sets the values named on the command line; ends the process if one is wrong. */
static inline void workload_arguments(int argc, char **argv, const struct argument *table,
                                      size_t nr)
{
    for (int at = 1; at < argc; at += 2) {
        const char *text = at + 1 < argc ? argv[at + 1] : "";
        char *end = NULL;
        size_t i = 0;

        if (strcmp(argv[at], "--help") == 0)
            workload_usage(argv[0], table, nr, stdout, EXIT_SUCCESS);
        while (i < nr && (strncmp(argv[at], "--", 2) != 0 || strcmp(argv[at] + 2, table[i].name)))
            i++;
        if (i == nr || *text < '1' || *text > '9')
            workload_usage(argv[0], table, nr, stderr, 2);
        *table[i].value = strtoull(text, &end, 10);
        if (*end != '\0' || *table[i].value > UINT32_MAX)
            workload_usage(argv[0], table, nr, stderr, 2);
    }
}

#define WORKLOAD_ARGUMENTS(argc, argv, table)                                                      \
    workload_arguments(argc, argv, table, sizeof(table) / sizeof((table)[0]))

/* --- a generator of numbers -------------------------------------------------- */

struct rng {
    uint64_t state; /* any value; a step adds an odd constant (Steele's SplitMix64) */
};

static inline struct rng rng_make(uint64_t seed, uint64_t stream)
{
    return (struct rng){(seed + 1) * UINT64_C(0xd1342543de82ef95) + stream * UINT64_C(0x9e3779b1)};
}

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t x = rng->state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Uniform in 0..limit-1; limit below 2^32. */
static inline size_t rng_below(struct rng *rng, uint64_t limit)
{
    return (size_t)(((rng_next(rng) >> 32) * limit) >> 32);
}

static inline size_t rng_between(struct rng *rng, size_t low, size_t high)
{
    return low + rng_below(rng, high - low + 1);
}

/* As programs ask: every doubling between low and low << doublings is equally likely. */
static inline size_t rng_log_size(struct rng *rng, size_t low, unsigned doublings)
{
    size_t base = low << rng_below(rng, doublings);

    return base + rng_below(rng, base + 1);
}

/* --- marked objects ---------------------------------------------------------- */

static inline void *must(void *p)
{
    if (p == NULL)
        workload_die("out of memory");
    return p;
}

static inline void object_fill(void *p, size_t bytes, uint64_t tag)
{
    if (bytes <= OBJECT_FILL_MAX) {
        memset(p, (int)(tag & 0xff), bytes);
    } else {
        memset(p, (int)(tag & 0xff), OBJECT_END_BYTES);
        memset((char *)p + bytes - OBJECT_END_BYTES, (int)(tag & 0xff), OBJECT_END_BYTES);
    }
    memcpy(p, &tag, sizeof(tag));
}

static inline void *object_new(size_t bytes, uint64_t tag)
{
    void *p = must(malloc(bytes));

    object_fill(p, bytes, tag);
    return p;
}

static inline void object_verify(const unsigned char *p, size_t begin, size_t end, uint64_t tag)
{
    for (size_t i = begin; i < end; i++)
        if (p[i] != (unsigned char)tag)
            workload_die("an object lost its content");
}

/* Ends the process if the object is not as it was written; returns its share of the checksum. */
static inline uint64_t object_check(const void *p, size_t bytes, uint64_t tag)
{
    const unsigned char *at = p;
    uint64_t found;

    memcpy(&found, p, sizeof(found));
    if (found != tag || at[bytes - 1] != (unsigned char)tag)
        workload_die("an object lost its content");
    if (tag % OBJECT_VERIFY_EVERY == 0) {
        size_t front = bytes <= OBJECT_FILL_MAX ? bytes : OBJECT_END_BYTES;
        size_t back = bytes <= OBJECT_FILL_MAX ? bytes : bytes - OBJECT_END_BYTES;

        object_verify(at, sizeof(tag), front, tag);
        object_verify(at, back, bytes, tag);
    }
    return tag * bytes;
}

static inline void workload_report(const char *name, uint64_t checksum)
{
    printf("%s %016llx\n", name, (unsigned long long)checksum);
}

/* --- threads ----------------------------------------------------------------- */

static inline pthread_t thread_start(void *(*run)(void *), void *argument)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, argument) != 0)
        workload_die("cannot start a thread");
    return thread;
}

enum { QUEUE_BATCHES = 32, BATCH_ITEMS = 64 };

struct batch {
    size_t nr;                /* items in use; 0 tells the reader that there are no more */
    void *items[BATCH_ITEMS]; /* belong to whoever holds the batch */
};

/* Batches by value, oldest first: the queue itself allocates nothing. */
struct queue {
    pthread_mutex_t lock;   /* guards all of it */
    pthread_cond_t changed; /* a batch came or went */
    size_t first, nr;       /* oldest batch, number of batches */
    struct batch batches[QUEUE_BATCHES];
};

static inline void queue_init(struct queue *queue)
{
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
    queue->first = queue->nr = 0;
}

static inline void queue_put(struct queue *queue, const struct batch *batch)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->nr == QUEUE_BATCHES)
        pthread_cond_wait(&queue->changed, &queue->lock);
    queue->batches[(queue->first + queue->nr) % QUEUE_BATCHES] = *batch;
    queue->nr++;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

static inline void queue_take(struct queue *queue, struct batch *batch)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->nr == 0)
        pthread_cond_wait(&queue->changed, &queue->lock);
    *batch = queue->batches[queue->first];
    queue->first = (queue->first + 1) % QUEUE_BATCHES;
    queue->nr--;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

#endif

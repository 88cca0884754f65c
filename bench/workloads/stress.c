/* stress.c - rounds of short-lived threads that each take much memory and swap objects.
 *
 * What it is: every round starts a few threads anew. A thread makes many objects, most of them
 * small and a few large, keeps about half, and now and then swaps one of its own against what
 * lies in a table that all threads share: so a part of the objects is freed by a thread that did
 * not make them, in a later round than the one in which they were made.
 * What it stresses: memory that ended threads leave behind and how the next ones find it,
 * growth and reuse of tens of MiB, frees by another thread than the owner.
 * Data structure: a shared table of pointers, a list of kept ones per thread. Invariant: an
 * object starts with its size and a tag; every object is freed once, and adds its share to the
 * checksum then, so the order of swaps does not matter. Lock: none; swaps are atomic.
 */
#include "workload.h"

#include <stdatomic.h>

enum { THREADS_MAX = 64, SHARED = 1000, SWAP_EVERY = 8, LARGE_EVERY = 1024 };
enum { SMALL_MIN = 24, SMALL_DOUBLINGS = 7, LARGE_MIN = 16384, LARGE_DOUBLINGS = 4 };

static uint64_t rounds = 50, threads = 4, objects = 20000, seed = 1;

static const struct argument arguments[] = {
    {"rounds", &rounds, "each with new threads"},
    {"threads", &threads, "of a round, at most 64"},
    {"objects", &objects, "that each thread makes"},
    {"seed", &seed, "of the generator"},
};

struct object {
    size_t bytes;
    uint64_t tag;
    unsigned char content[]; /* its last byte is the tag's low one */
};

struct worker {
    uint64_t number, sum;
    struct object **kept; /* room for all that it makes */
    size_t nr_kept;
};

static _Atomic(struct object *) shared[SHARED];

static struct object *make(struct rng *rng, uint64_t tag)
{
    size_t bytes = tag % LARGE_EVERY == 0 ? rng_log_size(rng, LARGE_MIN, LARGE_DOUBLINGS)
                                          : rng_log_size(rng, SMALL_MIN, SMALL_DOUBLINGS);
    struct object *object = must(malloc(bytes));

    memset(object, (int)(tag & 0xff), bytes);
    object->bytes = bytes;
    object->tag = tag;
    return object;
}

/* Frees an object; returns its share of the checksum. */
static uint64_t drop(struct object *object)
{
    uint64_t share;

    if (object == NULL)
        return 0;
    if (((unsigned char *)object)[object->bytes - 1] != (unsigned char)object->tag)
        workload_die("an object lost its content");
    share = object->tag * object->bytes;
    free(object);
    return share;
}

/* The thread keeps every second object until its end and drops the others soon. */
static void *work(void *argument)
{
    struct worker *worker = argument;
    struct rng rng = rng_make(seed, worker->number);

    worker->kept = must(malloc(objects * sizeof(struct object *)));
    for (uint64_t n = 0; n < objects; n++) {
        struct object *object = make(&rng, worker->number * objects + n);

        if (n % SWAP_EVERY == 0)
            object = atomic_exchange(&shared[rng_below(&rng, SHARED)], object);
        if (n % 2 == 0)
            worker->kept[worker->nr_kept++] = object;
        else
            worker->sum += drop(object);
    }
    while (worker->nr_kept > 0)
        worker->sum += drop(worker->kept[--worker->nr_kept]);
    free(worker->kept);
    return NULL;
}

static uint64_t run_round(uint64_t round)
{
    struct worker workers[THREADS_MAX];
    pthread_t started[THREADS_MAX];
    uint64_t sum = 0;

    for (uint64_t i = 0; i < threads; i++) {
        workers[i] = (struct worker){.number = round * threads + i};
        started[i] = thread_start(work, &workers[i]);
    }
    for (uint64_t i = 0; i < threads; i++) {
        pthread_join(started[i], NULL);
        sum += workers[i].sum;
    }
    return sum;
}

int main(int argc, char **argv)
{
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    if (threads > THREADS_MAX)
        workload_die("--threads above 64");
    for (uint64_t round = 0; round < rounds; round++)
        sum += run_round(round);
    for (size_t i = 0; i < SHARED; i++)
        sum += drop(atomic_load(&shared[i]));
    workload_report("stress", sum);
    return 0;
}

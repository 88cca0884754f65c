/* random_sizes.c - threads that replace objects of random sizes, few of them alive at a time.
 *
 * What it is: one thread or several, each with a small table of its own. An operation checks and
 * frees the object in one slot, chosen at random, and puts one of another size there. Only the
 * first 8 bytes and the last one of an object are written, so that the calls make up the time.
 * What it stresses: the per-thread caches of many size classes at once, large objects among
 * them; whether threads that share nothing slow each other down.
 * Data structure: an array of {pointer, size} per thread. Invariant: an object starts with its
 * tag and ends with the tag's low byte. Lock: none.
 */
#include "workload.h"

enum { THREADS_MAX = 64, LIVE_MAX = 4096 };

static uint64_t threads = 2, live = 64, operations = 10000000, smallest = 16, largest = 8192;
static uint64_t seed = 1;

static const struct argument arguments[] = {
    {"threads", &threads, "each with objects of its own, at most 64"},
    {"live", &live, "objects of a thread that live at any time, at most 4096"},
    {"ops", &operations, "objects that each thread replaces"},
    {"min", &smallest, "bytes of the smallest object, at least 16"},
    {"max", &largest, "bytes of the largest object"},
    {"seed", &seed, "of the generator"},
};

struct slot {
    char *p; /* NULL: the slot is empty */
    size_t bytes;
    uint64_t tag;
};

struct worker {
    uint64_t number, sum;
    struct slot slots[LIVE_MAX];
};

static void slot_fill(struct slot *slot, uint64_t tag, size_t bytes)
{
    *slot = (struct slot){.p = must(malloc(bytes)), .bytes = bytes, .tag = tag};
    slot->p[bytes - 1] = (char)tag;
    memcpy(slot->p, &tag, sizeof(tag));
}

/* Frees the slot's object; returns its share of the checksum. */
static uint64_t slot_empty(struct slot *slot)
{
    uint64_t found;

    if (slot->p == NULL)
        return 0;
    memcpy(&found, slot->p, sizeof(found));
    if (found != slot->tag || slot->p[slot->bytes - 1] != (char)slot->tag)
        workload_die("an object lost its content");
    free(slot->p);
    slot->p = NULL;
    return slot->tag * slot->bytes;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct rng rng = rng_make(seed, worker->number);

    for (uint64_t done = 0; done < operations; done++) {
        struct slot *slot = &worker->slots[rng_below(&rng, live)];

        worker->sum += slot_empty(slot);
        slot_fill(slot, done, rng_between(&rng, smallest, largest));
    }
    for (uint64_t i = 0; i < live; i++)
        worker->sum += slot_empty(&worker->slots[i]);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS_MAX];
    pthread_t started[THREADS_MAX];
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    if (threads > THREADS_MAX || live > LIVE_MAX)
        workload_die("--threads above 64, or --live above 4096");
    if (smallest < OBJECT_BYTES_MIN || smallest > largest)
        workload_die("--min must be 16..--max");
    for (uint64_t i = 0; i < threads; i++) {
        workers[i].number = i;
        started[i] = thread_start(work, &workers[i]);
    }
    for (uint64_t i = 0; i < threads; i++) {
        pthread_join(started[i], NULL);
        sum += workers[i].sum;
    }
    workload_report("random_sizes", sum);
    return 0;
}

/* churn_live.c - many sizes, replaced at random within a live set.
 *
 * What it is: a table of live objects; each operation checks and frees one chosen at random
 * and puts an object of another size in its place; one in sixteen comes from calloc. With
 * --large N, one in 256 is larger, up to N bytes. At the end all are freed.
 * What it stresses: size classes, the cost of a free whose object and metadata are cold
 * (1e5 and 1e7 live objects), packing and bookkeeping per object, page faults, reuse.
 * Data structure: an array of {pointer, size}. Invariant: slot i's object carries the tag i.
 * Lock: none; one thread.
 */
#include "workload.h"

enum { CALLOC_EVERY = 16, LARGE_EVERY = 256, LARGE_FROM = 2048 };

static uint64_t live = 1000, operations = 10000000, smallest = 16, largest = 1024;
static uint64_t large = 1, seed = 1;

static const struct argument arguments[] = {
    {"live", &live, "objects that live at any time"},
    {"ops", &operations, "objects replaced, after the table was filled"},
    {"min", &smallest, "bytes of the smallest object, at least 16"},
    {"max", &largest, "bytes of the largest small object"},
    {"large", &large, "bytes of the largest of the few large ones; below 2048: none"},
    {"seed", &seed, "of the generator"},
};

struct slot {
    void *p;
    size_t bytes;
};

static void slot_fill(struct slot *slot, uint64_t tag, struct rng *rng)
{
    uint64_t choice = rng_below(rng, LARGE_EVERY);

    slot->bytes = rng_between(rng, smallest, largest);
    if (large >= LARGE_FROM && choice == 0)
        slot->bytes = rng_between(rng, LARGE_FROM, large);
    if (choice % CALLOC_EVERY == 1) {
        const char *zeroed = slot->p = must(calloc(1, slot->bytes));

        if (zeroed[0] != 0 || zeroed[slot->bytes - 1] != 0 || zeroed[slot->bytes / 2] != 0)
            workload_die("calloc gave memory that is not zero");
        object_fill(slot->p, slot->bytes, tag);
    } else {
        slot->p = object_new(slot->bytes, tag);
    }
}

int main(int argc, char **argv)
{
    struct slot *slots;
    struct rng rng;
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    if (smallest < OBJECT_BYTES_MIN || smallest > largest)
        workload_die("--min must be 16..--max");
    rng = rng_make(seed, live);
    slots = must(malloc(live * sizeof(*slots)));
    for (uint64_t i = 0; i < live; i++)
        slot_fill(&slots[i], i, &rng);
    for (uint64_t done = 0; done < operations; done++) {
        size_t i = rng_below(&rng, live);

        sum += object_check(slots[i].p, slots[i].bytes, i);
        free(slots[i].p);
        slot_fill(&slots[i], i, &rng);
    }
    for (uint64_t i = 0; i < live; i++) {
        sum += object_check(slots[i].p, slots[i].bytes, i);
        free(slots[i].p);
    }
    free(slots);
    workload_report("churn_live", sum);
    return 0;
}

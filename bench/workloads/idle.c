/* idle.c - a long-running program: bursts of work, with quiet between them.
 *
 * What it is: phases. In each, the program fills the same amount of memory with objects of one
 * kind (small ones, then middle-sized, then large), frees all but one in a thousand, sleeps,
 * and then does a little work on small objects, as a server does while nobody asks much.
 * What it stresses: whether memory that one kind of object has left is there for the next kind,
 * or is given back meanwhile: a program that keeps it has three times the peak. The sleep is
 * part of the time, and the same for every allocator.
 * Data structure: a list of the phase's objects, and one of those that survived. Invariant: an
 * object's last byte is the low one of its tag, its number in the phase. Lock: none; one thread.
 */
#include "workload.h"

#include <time.h>

enum { SURVIVOR_EVERY = 1000, SMALL_BYTES = 48, SMALL_LIVE = 32, NR_KINDS = 3 };

static const size_t kinds[NR_KINDS] = {64, 3000, 700000}; /* bytes of the smallest object */

static uint64_t megabytes = 128, phases = 9, idle_ms = 150, small = 200000, seed = 1;

static const struct argument arguments[] = {
    {"megabytes", &megabytes, "that each phase fills"},
    {"phases", &phases, "in all; they take turns in what they allocate"},
    {"idle", &idle_ms, "milliseconds of sleep after each phase"},
    {"small", &small, "small objects made and freed after each sleep"},
    {"seed", &seed, "of the generator"},
};

/* An object of a burst; its list is linked through it, so that no table adds to the peak. */
struct item {
    struct item *next;
    size_t bytes; /* of all of it */
    uint64_t tag;
    unsigned char content[]; /* the tag's low byte in each */
};

static struct item *item_new(size_t bytes, uint64_t tag)
{
    struct item *item = must(malloc(bytes));

    memset(item, (int)(tag & 0xff), bytes);
    item->bytes = bytes;
    item->tag = tag;
    return item;
}

/* Checks and frees an item; returns its share of the checksum. */
static uint64_t item_drop(struct item *item)
{
    uint64_t share = item->tag * item->bytes;

    if (((unsigned char *)item)[item->bytes - 1] != (unsigned char)item->tag)
        workload_die("an object lost its content");
    free(item);
    return share;
}

static void item_push(struct item **list, struct item *item)
{
    item->next = *list;
    *list = item;
}

static struct item *item_pop(struct item **list)
{
    struct item *item = *list;

    *list = item->next;
    return item;
}

/* Fills the memory and writes all of it; all but few of the objects go again. */
static uint64_t burst(size_t kind_bytes, struct item **survivors, struct rng *rng)
{
    struct item *list = NULL;
    size_t filled = 0;
    uint64_t sum = 0, nr = 0;

    while (filled < megabytes << 20) {
        size_t bytes = rng_between(rng, kind_bytes, 2 * kind_bytes);

        item_push(&list, item_new(bytes, nr++));
        filled += bytes;
    }
    while (list != NULL) {
        struct item *item = item_pop(&list);

        if (item->tag % SURVIVOR_EVERY == 0)
            item_push(survivors, item);
        else
            sum += item_drop(item);
    }
    return sum;
}

static uint64_t small_work(struct rng *rng)
{
    void *objects[SMALL_LIVE] = {NULL};
    uint64_t sum = 0;

    for (uint64_t n = 0; n < small; n++) {
        size_t i = rng_below(rng, SMALL_LIVE);

        if (objects[i] != NULL)
            sum += object_check(objects[i], SMALL_BYTES, i);
        free(objects[i]);
        objects[i] = object_new(SMALL_BYTES, i);
    }
    for (size_t i = 0; i < SMALL_LIVE; i++)
        free(objects[i]);
    return sum;
}

static void idle(void)
{
    struct timespec left = {(time_t)(idle_ms / 1000), (long)(idle_ms % 1000) * 1000000};

    while (nanosleep(&left, &left) != 0)
        continue;
}

int main(int argc, char **argv)
{
    struct item *survivors = NULL;
    struct rng rng;
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    rng = rng_make(seed, phases);
    for (uint64_t phase = 0; phase < phases; phase++) {
        sum += burst(kinds[phase % NR_KINDS], &survivors, &rng);
        idle();
        sum += small_work(&rng);
    }
    while (survivors != NULL)
        sum += item_drop(item_pop(&survivors));
    workload_report("idle", sum);
    return 0;
}

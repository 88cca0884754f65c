/* idle.c - a long-running program: bursts of work, with quiet between them.
 *
 * What it is: phases. In each, the program fills the same amount of memory with objects of one
 * kind (small ones, then middle-sized, then large), frees all but one in a thousand, sleeps,
 * and then does a little work on small objects, as a server does while nobody asks much.
 * What it stresses: whether memory that one kind of object has left is there for the next kind,
 * or is given back meanwhile: a program that keeps it has three times the peak. The sleep is
 * part of the time, and the same for every allocator.
 * Data structure: an array of pointers, and a list of survivors. Invariant: the object at i of a
 * phase carries the tag i. Lock: none; one thread.
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

struct item {
    void *p;
    size_t bytes;
    uint64_t tag;
};

struct list {
    struct item *items;
    size_t nr, capacity;
};

static void list_add(struct list *list, struct item item)
{
    if (list->nr == list->capacity) {
        list->capacity = list->capacity > 0 ? 2 * list->capacity : 1024;
        list->items = must(realloc(list->items, list->capacity * sizeof(*list->items)));
    }
    list->items[list->nr++] = item;
}

static uint64_t item_drop(struct item *item)
{
    uint64_t share = object_check(item->p, item->bytes, item->tag);

    free(item->p);
    return share;
}

static uint64_t list_drop(struct list *list)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < list->nr; i++)
        sum += item_drop(&list->items[i]);
    free(list->items);
    *list = (struct list){0};
    return sum;
}

/* Fills the memory, writing every page; all but few of the objects go again. */
static uint64_t burst(size_t kind_bytes, struct list *survivors, struct rng *rng)
{
    struct list list = {0};
    size_t filled = 0;
    uint64_t sum = 0;

    while (filled < megabytes << 20) {
        size_t bytes = rng_between(rng, kind_bytes, 2 * kind_bytes);
        struct item item = {must(malloc(bytes)), bytes, list.nr};

        memset(item.p, (int)(item.tag & 0xff), bytes);
        object_fill(item.p, bytes, item.tag);
        list_add(&list, item);
        filled += bytes;
    }
    for (size_t i = 0; i < list.nr; i++) {
        if (i % SURVIVOR_EVERY == 0)
            list_add(survivors, list.items[i]);
        else
            sum += item_drop(&list.items[i]);
    }
    free(list.items);
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
    struct list survivors = {0};
    struct rng rng;
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    rng = rng_make(seed, phases);
    for (uint64_t phase = 0; phase < phases; phase++) {
        sum += burst(kinds[phase % NR_KINDS], &survivors, &rng);
        idle();
        sum += small_work(&rng);
    }
    sum += list_drop(&survivors);
    workload_report("idle", sum);
    return 0;
}

/* larson.c - server threads that hand their live objects to a successor.
 *
 * What it is: after Larson and Krishnan, "Memory Allocation for Long-Running Server
 * Applications" (1998): each thread replaces random objects of its table, then starts a
 * successor that takes the table over, and exits. So most objects are freed by a thread other
 * than the one that allocated them, which may be gone.
 * What it stresses: frees from another thread, memory of threads that ended, thread start.
 * Data structure: a table of {pointer, size} per line of threads. Invariant: slot i's object
 * carries the tag i. Lock: `lock` guards the number of lines that are not finished.
 */
#include "workload.h"

static uint64_t threads = 4, live = 2000, operations = 60000, generations = 40;
static uint64_t largest = 1000, seed = 1;

static const struct argument arguments[] = {
    {"threads", &threads, "that run at any time"},
    {"live", &live, "objects of each thread's table"},
    {"ops", &operations, "objects that a thread replaces before it hands over"},
    {"generations", &generations, "threads that follow each other"},
    {"max", &largest, "bytes of the largest object, at least 16"},
    {"seed", &seed, "of the generator"},
};

struct slot {
    void *p;
    size_t bytes;
};

struct line {
    uint64_t number, generation, sum;
    struct slot *slots;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static uint64_t nr_running;

static void slot_fill(struct slot *slot, uint64_t tag, struct rng *rng)
{
    slot->bytes = rng_between(rng, OBJECT_BYTES_MIN, largest);
    slot->p = object_new(slot->bytes, tag);
}

static void line_end(void)
{
    pthread_mutex_lock(&lock);
    nr_running--;
    pthread_cond_signal(&finished);
    pthread_mutex_unlock(&lock);
}

static void *serve(void *argument)
{
    struct line *line = argument;
    struct rng rng = rng_make(seed, line->number * 1000003 + line->generation);

    for (uint64_t done = 0; done < operations; done++) {
        size_t i = rng_below(&rng, live);

        line->sum += object_check(line->slots[i].p, line->slots[i].bytes, i);
        free(line->slots[i].p);
        slot_fill(&line->slots[i], i, &rng);
    }
    if (++line->generation < generations)
        pthread_detach(thread_start(serve, line));
    else
        line_end();
    return NULL;
}

int main(int argc, char **argv)
{
    struct line *lines;
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    if (largest < OBJECT_BYTES_MIN)
        workload_die("--max is below 16");
    nr_running = threads;
    lines = must(calloc(threads, sizeof(*lines)));
    for (uint64_t n = 0; n < threads; n++) {
        struct rng rng = rng_make(seed, n);

        lines[n].number = n;
        lines[n].slots = must(malloc(live * sizeof(struct slot)));
        for (uint64_t i = 0; i < live; i++)
            slot_fill(&lines[n].slots[i], i, &rng);
    }
    for (uint64_t n = 0; n < threads; n++)
        pthread_detach(thread_start(serve, &lines[n]));
    pthread_mutex_lock(&lock);
    while (nr_running > 0)
        pthread_cond_wait(&finished, &lock);
    pthread_mutex_unlock(&lock);
    for (uint64_t n = 0; n < threads; n++) {
        sum += lines[n].sum;
        for (uint64_t i = 0; i < live; i++)
            free(lines[n].slots[i].p);
        free(lines[n].slots);
    }
    free(lines);
    workload_report("larson", sum);
    return 0;
}

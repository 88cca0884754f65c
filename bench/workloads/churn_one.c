/* churn_one.c - one size, allocated and freed in bursts.
 *
 * What it is: two threads, each with a stack of objects of one size that grows and shrinks by
 * random bursts, as a parser's or an event loop's nodes do.
 * What it stresses: the fast paths of malloc and free, and how often a per-thread cache of one
 * size overflows into what lies behind it.
 * Data structure: a stack of pointers per thread. Invariant: entry i carries tag base + i.
 * Lock: none.
 */
#include "workload.h"

enum { THREADS = 2, DEPTH = 4096 };

static uint64_t operations = 8000000, size = 64, burst = 512, seed = 1;

static const struct argument arguments[] = {
    {"ops", &operations, "allocations of each of two threads"},
    {"size", &size, "bytes of an object, at least 16"},
    {"burst", &burst, "longest run of allocations or of frees"},
    {"seed", &seed, "of the generator"},
};

struct worker {
    uint64_t number, sum;
    void *stack[DEPTH];
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct rng rng = rng_make(seed, worker->number);
    uint64_t done = 0;
    size_t depth = 0;

    while (done < operations) {
        size_t up = rng_between(&rng, 1, burst), down = rng_between(&rng, 1, burst);

        for (; up > 0 && depth < DEPTH && done < operations; up--, done++, depth++)
            worker->stack[depth] = object_new(size, depth);
        for (; down > 0 && depth > 0; down--) {
            depth--;
            worker->sum += object_check(worker->stack[depth], size, depth);
            free(worker->stack[depth]);
        }
    }
    while (depth-- > 0)
        free(worker->stack[depth]);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS];
    pthread_t threads[THREADS];
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    if (size < OBJECT_BYTES_MIN)
        workload_die("--size is below 16");
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
        threads[i] = thread_start(work, &workers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += workers[i].sum;
    }
    workload_report("churn_one", sum);
    return 0;
}

/* thread_churn.c - short-lived threads, a few at a time.
 *
 * What it is: a program that starts a thread per request. Each thread makes objects of many
 * sizes, frees most, leaves its result behind for the main thread to check and free, and ends.
 * What it stresses: the set-up and the tear-down of an allocator's per-thread state, memory
 * that ended threads leave behind, thread stacks and thread-local storage.
 * Data structure: a table of requests. Invariant: the object at i of a request carries the tag
 * i. Lock: none; a request belongs to its thread until that has been joined.
 */
#include "workload.h"

enum { THREADS_MAX = 64, OBJECTS = 600, LEFT = 8, SIZE_MIN = 16, SIZE_DOUBLINGS = 9 };

static uint64_t threads = 8, requests = 8000, seed = 1;

static const struct argument arguments[] = {
    {"threads", &threads, "that run at any time, at most 64"},
    {"requests", &requests, "threads in all"},
    {"seed", &seed, "of the generator"},
};

struct request {
    pthread_t thread;
    uint64_t number, sum;
    int running;
    void *left[LEFT]; /* what the thread leaves behind */
    size_t left_bytes[LEFT];
};

static void *answer(void *argument)
{
    struct request *request = argument;
    struct rng rng = rng_make(seed, request->number);
    void *objects[OBJECTS];
    size_t bytes[OBJECTS];

    for (size_t i = 0; i < OBJECTS; i++) {
        bytes[i] = rng_log_size(&rng, SIZE_MIN, SIZE_DOUBLINGS);
        objects[i] = object_new(bytes[i], i);
        if (i % 4 == 3) { /* scratch memory, gone at once */
            request->sum += object_check(objects[i - 1], bytes[i - 1], i - 1);
            free(objects[i - 1]);
            objects[i - 1] = NULL;
        }
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        if (i < LEFT && objects[i] != NULL) {
            request->left[i] = objects[i];
            request->left_bytes[i] = bytes[i];
        } else {
            free(objects[i]);
        }
    }
    return NULL;
}

static uint64_t finish(struct request *request)
{
    uint64_t sum;

    pthread_join(request->thread, NULL);
    sum = request->sum;
    for (size_t i = 0; i < LEFT; i++) {
        if (request->left[i] != NULL)
            sum += object_check(request->left[i], request->left_bytes[i], i);
        free(request->left[i]);
    }
    request->running = 0;
    return sum;
}

int main(int argc, char **argv)
{
    static struct request table[THREADS_MAX];
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    if (threads > THREADS_MAX)
        workload_die("--threads above 64");
    for (uint64_t n = 0; n < requests; n++) {
        struct request *request = &table[n % threads];

        if (request->running)
            sum += finish(request);
        *request = (struct request){.number = n, .running = 1};
        request->thread = thread_start(answer, request);
    }
    for (uint64_t n = 0; n < threads; n++)
        if (table[n].running)
            sum += finish(&table[n]);
    workload_report("thread_churn", sum);
    return 0;
}

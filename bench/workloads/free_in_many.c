/* free_in_many.c - one thread allocates, many free.
 *
 * What it is: a reader that makes records of a few sizes in runs, as one that parses input
 * does, and deals them out to workers, each of which keeps some for a while and frees them.
 * What it stresses: one thread's allocation rate when all its memory comes back from others,
 * and frees of neighbouring objects by several threads at once.
 * Data structure: a queue of batches per worker, and the records a worker keeps. Invariant: a
 * record carries its size as tag. Lock: the queues'.
 */
#include "workload.h"

enum { KEPT = 1024, RECORD_BYTES = 48, RECORD_KINDS = 8, RUN_MAX = 16 };

static uint64_t workers = 4, records = 3000000, seed = 1;

static const struct argument arguments[] = {
    {"workers", &workers, "threads that free"},
    {"records", &records, "that the one thread makes, of 48..384 bytes"},
    {"seed", &seed, "of the generator"},
};

struct worker {
    uint64_t number, sum;
    struct queue queue;
    struct batch filling; /* the reader's */
    void *kept[KEPT];
};

static void drop(struct worker *worker, void *record)
{
    uint64_t bytes;

    if (record == NULL)
        return;
    memcpy(&bytes, record, sizeof(bytes));
    worker->sum += object_check(record, bytes, bytes);
    free(record);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct rng rng = rng_make(seed, worker->number + 1);
    struct batch batch;

    for (queue_take(&worker->queue, &batch); batch.nr > 0; queue_take(&worker->queue, &batch)) {
        for (size_t i = 0; i < batch.nr; i++) {
            void **place = &worker->kept[rng_below(&rng, KEPT)];

            drop(worker, *place);
            *place = batch.items[i];
        }
    }
    for (size_t i = 0; i < KEPT; i++)
        drop(worker, worker->kept[i]);
    return NULL;
}

static void deal(struct worker *worker, void *record)
{
    struct batch *batch = &worker->filling;

    batch->items[batch->nr++] = record;
    if (batch->nr == BATCH_ITEMS) {
        queue_put(&worker->queue, batch);
        batch->nr = 0;
    }
}

static void read_all(struct worker *all)
{
    struct rng rng = rng_make(seed, 0);
    struct batch end = {.nr = 0};

    for (uint64_t made = 0; made < records;) {
        size_t bytes = RECORD_BYTES * rng_between(&rng, 1, RECORD_KINDS);
        size_t run = rng_between(&rng, 1, RUN_MAX);

        for (; run > 0 && made < records; run--, made++)
            deal(&all[rng_below(&rng, workers)], object_new(bytes, bytes));
    }
    for (uint64_t n = 0; n < workers; n++) {
        if (all[n].filling.nr > 0)
            queue_put(&all[n].queue, &all[n].filling);
        queue_put(&all[n].queue, &end);
    }
}

int main(int argc, char **argv)
{
    struct worker *all;
    pthread_t *threads;
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    all = must(calloc(workers, sizeof(*all)));
    threads = must(calloc(workers, sizeof(*threads)));
    for (uint64_t n = 0; n < workers; n++) {
        all[n].number = n;
        queue_init(&all[n].queue);
        threads[n] = thread_start(work, &all[n]);
    }
    read_all(all);
    for (uint64_t n = 0; n < workers; n++) {
        pthread_join(threads[n], NULL);
        sum += all[n].sum;
    }
    free(threads);
    free(all);
    workload_report("free_in_many", sum);
    return 0;
}

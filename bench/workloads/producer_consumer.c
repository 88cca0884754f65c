/* producer_consumer.c - messages made by one thread and freed by another.
 *
 * What it is: pairs of threads with a bounded queue between them. A producer makes messages
 * of many sizes and sends them in batches; its consumer checks and frees each one.
 * What it stresses: memory that flows one way only: the consumer's cache fills, the
 * producer's runs dry, and what is freed must find its way back.
 * Data structure: a queue of batches per pair. Invariant: a message carries its number, and
 * its second word its size. Lock: the queue's.
 */
#include "workload.h"

enum { SIZE_WORD = 1, MESSAGE_BYTES_MIN = 32, MESSAGE_DOUBLINGS = 6 };

static uint64_t pairs = 2, messages = 1500000, seed = 1;

static const struct argument arguments[] = {
    {"pairs", &pairs, "of a producer and a consumer"},
    {"messages", &messages, "of each producer, of 32..2048 bytes"},
    {"seed", &seed, "of the generator"},
};

struct pair {
    uint64_t number, sum;
    struct queue queue;
};

static void *produce(void *argument)
{
    struct pair *pair = argument;
    struct rng rng = rng_make(seed, pair->number);
    struct batch batch = {.nr = 0};

    for (uint64_t i = 0; i < messages; i++) {
        size_t bytes = rng_log_size(&rng, MESSAGE_BYTES_MIN, MESSAGE_DOUBLINGS);
        uint64_t *message = object_new(bytes, i);

        message[SIZE_WORD] = bytes;
        batch.items[batch.nr++] = message;
        if (batch.nr == BATCH_ITEMS) {
            queue_put(&pair->queue, &batch);
            batch.nr = 0;
        }
    }
    if (batch.nr > 0)
        queue_put(&pair->queue, &batch);
    batch.nr = 0;
    queue_put(&pair->queue, &batch);
    return NULL;
}

static void *consume(void *argument)
{
    struct pair *pair = argument;
    struct batch batch;
    uint64_t i = 0;

    for (queue_take(&pair->queue, &batch); batch.nr > 0; queue_take(&pair->queue, &batch)) {
        for (size_t at = 0; at < batch.nr; at++, i++) {
            uint64_t *message = batch.items[at];
            size_t bytes = message[SIZE_WORD];

            memset(&message[SIZE_WORD], (int)(i & 0xff), sizeof(*message));
            pair->sum += object_check(message, bytes, i);
            free(message);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct pair *all;
    pthread_t *threads;
    uint64_t sum = 0;

    WORKLOAD_ARGUMENTS(argc, argv, arguments);
    all = must(calloc(pairs, sizeof(*all)));
    threads = must(calloc(2 * pairs, sizeof(*threads)));
    for (uint64_t n = 0; n < pairs; n++) {
        all[n].number = n;
        queue_init(&all[n].queue);
        threads[2 * n] = thread_start(produce, &all[n]);
        threads[2 * n + 1] = thread_start(consume, &all[n]);
    }
    for (uint64_t n = 0; n < 2 * pairs; n++)
        pthread_join(threads[n], NULL);
    for (uint64_t n = 0; n < pairs; n++)
        sum += all[n].sum;
    free(threads);
    free(all);
    workload_report("producer_consumer", sum);
    return 0;
}

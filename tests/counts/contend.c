/* contend.c - what reference workloads make the core do: locks taken, exchanges, frames in use.
 *
 * What it is: `contend WORKLOAD THREADS OPERATIONS` runs a workload on threads that take turns, a
 * few operations each, and prints as JSON what the operations cost. Because of the turns the order
 * of all operations is the same in each run, and so are the counts: they depend on the code and its
 * constants, not on the machine and on what else that does.
 * It also prints how long, on average, the locks were held, which does depend on the machine.
 * What it is not: a measurement of threads that wait for each other's locks.
 *
 * Data structure: the linker leads each call of pthread_mutex_lock to __wrap_pthread_mutex_lock
 * (--wrap), which counts by the rank of the lock that the mutex is the first field of; each of
 * pthread_mutex_unlock to a function that adds up how long the lock was held; and each of sysconf
 * to __wrap_sysconf, because the size of a slab depends on the number of processors.
 * Invariant: one thread at a time has the turn.
 * Lock: none; semaphores pass the turn, because a mutex would be counted.
 */
#include "counted_arena.h"

#include "base/lock.h"

#include <inttypes.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS_MAX = 32,
    TURN = 32,       /* operations of a thread before the next has its turn */
    LIVE_MAX = 4096, /* blocks of a thread */
    FEW = 64,        /* live blocks of a thread in most workloads */
    BURST = 512,     /* blocks made, and then freed, in "bursts" */
    DEEP = 1000,     /* the same in "deep_bursts" */
    SHARED = 1024,   /* slots that all threads share */
    WARM_UP = 4,     /* one n-th of the operations comes first and is not counted */
};

_Static_assert(offsetof(struct lock, mutex) == 0, "a lock starts with its mutex");

struct worker {
    uint64_t random;      /* state of its generator */
    uint64_t nr_done;     /* operations */
    uint32_t number;      /* from 0 */
    void *slot[LIVE_MAX]; /* blocks, or NULL */
    uint8_t order[FEW];   /* "pages": of the block in the slot */
    sem_t turn;           /* posted when it is this thread's */
    pthread_t thread;
};

struct workload {
    const char *name;
    void (*step)(struct worker *worker); /* one operation: a block freed and one made */
};

/* What the statistics and the system counted. */
struct counts {
    uint64_t exchanges; /* allocations that the sheaf at hand could not serve */
    uint64_t slabs;     /* bought */
    uint64_t faults;    /* of pages */
};

/* By rank; since the warm-up. One thread at a time has the turn, and holds one lock of a rank. */
static uint64_t nr_locked[LOCK_RANK_HEAP + 1];
static uint64_t held_ns[LOCK_RANK_HEAP + 1];    /* in all; reading the clock is part of it */
static uint64_t held_since[LOCK_RANK_HEAP + 1]; /* ns; of the lock held now */
static pyslab_arena *arena;
static const struct workload *workload;
static struct worker workers[THREADS_MAX];
static uint32_t nr_threads;
static uint64_t nr_operations; /* of each thread; the warm-up's included */
static struct counts before;   /* at the end of the warm-up */

static void *shared[SHARED];
static uint64_t nr_made, nr_taken; /* "handover": places in the ring that shared is */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t mean(uint64_t sum, uint64_t nr)
{
    return nr == 0 ? 0 : sum / nr;
}

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

static enum lock_rank rank_of(const pthread_mutex_t *mutex)
{
    return ((const struct lock *)(const void *)mutex)->rank;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    int error = __real_pthread_mutex_lock(mutex);

    nr_locked[rank_of(mutex)]++;
    held_since[rank_of(mutex)] = now_ns();
    return error;
}

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    held_ns[rank_of(mutex)] += now_ns() - held_since[rank_of(mutex)];
    return __real_pthread_mutex_unlock(mutex);
}

long __real_sysconf(int name);
long __wrap_sysconf(int name);

long __wrap_sysconf(int name)
{
    return name == _SC_NPROCESSORS_ONLN ? 2 : __real_sysconf(name);
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "contend: %s\n", what);
    exit(2);
}

/* --- workloads ------------------------------------------------------------ */

static uint64_t random_below(struct worker *worker, uint64_t n)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return (worker->random >> 11) % n;
}

static void *make(size_t bytes)
{
    void *p = pyslab_kmalloc(arena, bytes, PYSLAB_GFP_KERNEL);

    if (p == NULL)
        die("no memory");
    memset(p, 1, bytes < 16 ? bytes : 16);
    return p;
}

static void drop(void *p)
{
    if (pyslab_kfree(arena, p) != PYSLAB_OK)
        die("a free was refused");
}

static void replace(void **slot, size_t bytes)
{
    drop(*slot);
    *slot = make(bytes);
}

static void replace_with_nothing(void **slot)
{
    drop(*slot);
    *slot = NULL;
}

static void step_same_size(struct worker *worker)
{
    replace(&worker->slot[worker->nr_done % FEW], 64);
}

static void step_random_sizes(struct worker *worker)
{
    void **slot = &worker->slot[random_below(worker, FEW)];

    replace(slot, 16 + random_below(worker, 8192 - 16 + 1));
}

static void step_many_live(struct worker *worker)
{
    void **slot = &worker->slot[random_below(worker, LIVE_MAX)];

    replace(slot, 16 + random_below(worker, 1000));
}

/* BURST blocks are made, half an operation each, and then freed. */
static void step_bursts(struct worker *worker)
{
    for (unsigned half = 0; half < 2; half++) {
        uint64_t i = (2 * worker->nr_done + half) % (2 * BURST);

        if (i < BURST) {
            worker->slot[i] = make(64);
        } else {
            replace_with_nothing(&worker->slot[2 * BURST - 1 - i]);
        }
    }
}

/* The same with fewer blocks of random sizes, as a program that builds something and drops it. */
static void step_deep_bursts(struct worker *worker)
{
    for (unsigned half = 0; half < 2; half++) {
        uint64_t i = (2 * worker->nr_done + half) % (2 * DEEP);

        if (i < DEEP)
            worker->slot[i] = make(200 + random_below(worker, 3000));
        else
            replace_with_nothing(&worker->slot[2 * DEEP - 1 - i]);
    }
}

/* One thread makes what the other drops, which is half a ring behind. A thread alone does both. */
static void step_handover(struct worker *worker)
{
    if (nr_threads == 1 || worker->number % 2 == 0)
        if (nr_made - nr_taken < SHARED)
            shared[nr_made++ % SHARED] = make(32 + random_below(worker, 2017));
    if (nr_threads == 1 || worker->number % 2 == 1)
        if (nr_made - nr_taken > SHARED / 2) {
            replace_with_nothing(&shared[nr_taken++ % SHARED]);
        }
}

static void step_shared_table(struct worker *worker)
{
    replace(&shared[random_below(worker, SHARED)], 8 + random_below(worker, 8000));
}

static void step_pages(struct worker *worker)
{
    uint64_t i = random_below(worker, FEW);
    uint32_t order = (uint32_t)random_below(worker, 4);

    if (worker->slot[i] != NULL &&
        pyslab_free_pages_address(arena, worker->slot[i], worker->order[i]) != 0)
        die("a free was refused");
    worker->slot[i] = pyslab_get_free_pages(arena, order, PYSLAB_GFP_KERNEL);
    if (worker->slot[i] == NULL)
        die("no memory");
    worker->order[i] = (uint8_t)order;
}

/* Page blocks of the orders above those that slabs use. */
static void step_page_blocks(struct worker *worker)
{
    uint32_t order = 4 + (uint32_t)random_below(worker, 5);
    void *block = pyslab_get_free_pages(arena, order, PYSLAB_GFP_KERNEL);

    if (block == NULL || pyslab_free_pages_address(arena, block, order) != 0)
        die("no block, or its free was refused");
}

/* Frees one of two blocks above the classes, and makes one of so many bytes. */
static void large_again(struct worker *worker, uint64_t i, size_t bytes)
{

    if (worker->slot[i] != NULL && pyslab_kfree(arena, worker->slot[i]) != 0)
        die("a free was refused");
    worker->slot[i] = pyslab_kmalloc(arena, bytes, PYSLAB_GFP_KERNEL);
    if (worker->slot[i] == NULL)
        die("no memory");
}

/* Of two lengths in turns. */
static void step_large(struct worker *worker)
{
    uint64_t i = worker->nr_done % 2;

    large_again(worker, i, (size_t)(640 - 160 * i) << 10);
}

/* Of four lengths, at random. */
static void step_large_mixed(struct worker *worker)
{
    large_again(worker, worker->nr_done % 2, (size_t)(320 + 160 * random_below(worker, 4)) << 10);
}

static const struct workload workloads[] = {
    {"same_size", step_same_size},
    {"random_sizes", step_random_sizes},
    {"many_live", step_many_live},
    {"bursts", step_bursts},
    {"handover", step_handover},
    {"shared_table", step_shared_table},
    {"pages", step_pages},
    {"deep_bursts", step_deep_bursts},
    {"large", step_large},
    {"page_blocks", step_page_blocks},
    {"large_mixed", step_large_mixed},
};

/* --- counting ------------------------------------------------------------- */

static struct counts counts_now(void)
{
    struct counts counts = {0};
    pyslab_cache_stats stats;
    struct rusage usage;

    for (uint32_t i = 0; pyslab_arena_cache_stats(arena, i, &stats) == PYSLAB_OK; i++) {
        counts.exchanges += stats.total_allocs - stats.supply_sheaf;
        counts.slabs += stats.supply_buddy;
    }
    getrusage(RUSAGE_SELF, &usage);
    counts.faults = (uint64_t)usage.ru_minflt;
    return counts;
}

/* The locks come first: to read the statistics takes some. */
static void counts_print(void)
{
    uint64_t cache_locks = nr_locked[LOCK_RANK_CACHE], zone_locks = nr_locked[LOCK_RANK_ZONE];
    uint64_t heap_locks = nr_locked[LOCK_RANK_HEAP], other_locks = 0;
    uint64_t cache_ns = mean(held_ns[LOCK_RANK_CACHE], cache_locks);
    uint64_t zone_ns = mean(held_ns[LOCK_RANK_ZONE], zone_locks);
    struct counts now;
    pyslab_arena_stats stats;

    for (unsigned rank = 0; rank <= LOCK_RANK_HEAP; rank++)
        other_locks += nr_locked[rank];
    other_locks -= cache_locks + zone_locks + heap_locks;
    now = counts_now();
    pyslab_arena_stats_read(arena, &stats);
    printf("{\"operations\": %" PRIu64 ", \"cache_locks\": %" PRIu64 ", \"zone_locks\": %" PRIu64
           ", \"heap_locks\": %" PRIu64 ", \"other_locks\": %" PRIu64 ", \"exchanges\": %" PRIu64
           ", \"slabs\": %" PRIu64 ", \"faults\": %" PRIu64 ", \"peak_pages\": %" PRIu64
           ", \"heap_bytes\": %" PRIu64 ", \"cache_held_ns\": %" PRIu64
           ", \"zone_held_ns\": %" PRIu64 "}\n",
           nr_threads * (nr_operations - nr_operations / WARM_UP), cache_locks, zone_locks,
           heap_locks, other_locks, now.exchanges - before.exchanges, now.slabs - before.slabs,
           now.faults - before.faults, stats.peak_used_pages, stats.heap_bytes, cache_ns, zone_ns);
}

/* --- turns ---------------------------------------------------------------- */

static void turn_pass(const struct worker *worker)
{
    sem_post(&workers[(worker->number + 1) % nr_threads].turn);
}

static void turn_wait(struct worker *worker)
{
    while (sem_wait(&worker->turn) != 0)
        ;
}

/* The last thread's turn is the last of its round. */
static bool is_last(const struct worker *worker)
{
    return worker->number == nr_threads - 1;
}

static void worker_run(struct worker *worker, uint64_t until)
{
    while (worker->nr_done < until) {
        turn_wait(worker);
        for (unsigned i = 0; i < TURN; i++, worker->nr_done++)
            workload->step(worker);
        if (worker->nr_done >= until && is_last(worker)) {
            if (until == nr_operations)
                counts_print();
            before = counts_now();
            memset(nr_locked, 0, sizeof nr_locked);
            memset(held_ns, 0, sizeof held_ns);
        }
        turn_pass(worker);
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;

    worker_run(worker, nr_operations / WARM_UP);
    worker_run(worker, nr_operations);
    turn_wait(worker); /* nobody ends while others work: that would empty its sheaves */
    turn_pass(worker);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        die("usage: contend WORKLOAD THREADS OPERATIONS");
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++)
        if (strcmp(argv[1], workloads[i].name) == 0)
            workload = &workloads[i];
    nr_threads = (uint32_t)strtoul(argv[2], NULL, 10);
    nr_operations = strtoull(argv[3], NULL, 10) / (TURN * WARM_UP) * (TURN * WARM_UP);
    if (workload == NULL || nr_threads - 1 >= THREADS_MAX || nr_operations == 0)
        die("no such workload, or no such number");
    arena = counted_arena((uint64_t)1 << 30, PYSLAB_SHARE_NO);
    if (arena == NULL)
        die("no arena");
    for (uint32_t i = 0; i < nr_threads; i++) {
        workers[i].number = i;
        workers[i].random = 0x9e3779b97f4a7c15u * (i + 1);
        sem_init(&workers[i].turn, 0, i == 0);
    }
    for (uint32_t i = 0; i < nr_threads; i++)
        if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
            die("no thread");
    for (uint32_t i = 0; i < nr_threads; i++)
        pthread_join(workers[i].thread, NULL);
    return 0;
}

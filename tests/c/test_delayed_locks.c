/* test_delayed_locks.c - holds down an arena whose lock holders are slow.
 *
 * On a machine with many processors, and on one with few that runs many threads, the holder of a
 * lock is often not running, and everybody who needs the lock waits. Two processors rarely show
 * what happens then, so that here the holders are made slow on purpose.
 * Data structure: the linker leads each call of pthread_mutex_lock to __wrap_pthread_mutex_lock
 * (--wrap). Of a thread that asks for it, one acquisition in DELAY_EVERY sleeps with the lock
 * held; or the first acquisition of one lock waits until the test opens the gate.
 */
#include "page_alloc/shelf.h"
#include "rig_threads.h"
#include "slab/slab_internal.h"

#include <sched.h>
#include <time.h>

#define NR_THREADS 32u
#define ROUNDS (UNDER_TSAN ? 300u : 1500u)
#define DELAY_EVERY 61u /* a prime, so that every kind of lock has its turn */

static pyslab_arena *arena;

/* --- slow holders ------------------------------------------------------- */

static _Thread_local bool is_slow;         /* this thread's acquisitions may sleep */
static _Thread_local uint32_t nr_acquired; /* by it */
static _Atomic uint32_t nr_delays;
static _Atomic(pthread_mutex_t *) gated; /* whoever takes this one next waits with it */
static atomic_bool at_gate, gate_open;

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);

static void sleep_us(long us)
{
    struct timespec t = {.tv_nsec = us * 1000};

    nanosleep(&t, NULL);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    pthread_mutex_t *gate = mutex;
    int error = __real_pthread_mutex_lock(mutex);

    if (is_slow && ++nr_acquired % DELAY_EVERY == 0) {
        nr_delays++;
        sleep_us(100);
    }
    if (atomic_compare_exchange_strong(&gated, &gate, NULL)) {
        at_gate = true;
        while (!gate_open)
            sleep_us(100);
    }
    return error;
}

/* --- many threads ------------------------------------------------------- */

/* A block says how large it is, so that whoever frees it can look at both its ends. */
static void *pack(struct rng *rng)
{
    size_t words = 4 + rng_below(rng, rng_below(rng, 20) == 0 ? 50000 : 500);
    uint64_t *p = pyslab_kmalloc(arena, words * sizeof *p, KERNEL);

    if (p != NULL)
        p[0] = p[words - 1] = words;
    return p;
}

static void unpack(uint64_t *p)
{
    if (p == NULL)
        return;
    EXPECT_EQ(p[p[0] - 1], p[0]);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
}

#define NR_BOXES 256u

static void *_Atomic boxes[NR_BOXES];

/* Blocks of this thread's own, and blocks that go through boxes to other threads. */
static void *work(void *seed)
{
    struct rng rng = {(uintptr_t)seed};
    void *own[50] = {NULL};

    is_slow = true;
    for (unsigned step = 0; step < ROUNDS; step++) {
        uint32_t i = rng_below(&rng, ARRAY_SIZE(own));

        if (rng_below(&rng, 3) == 0) {
            unpack(atomic_exchange(&boxes[rng_below(&rng, NR_BOXES)], pack(&rng)));
            continue;
        }
        unpack(own[i]);
        own[i] = rng_below(&rng, 2) == 0 ? pack(&rng) : NULL;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        unpack(own[i]);
    return NULL;
}

static void empty_boxes(void)
{
    for (unsigned i = 0; i < NR_BOXES; i++)
        unpack(atomic_exchange(&boxes[i], NULL));
}

/* 32 threads, whose holders sleep: nothing is lost, and the library refuses nobody. */
static void slow_holders(void)
{
    arena = rig_arena(512 * MIB, 18);
    rig_run_threads(work, NR_THREADS);
    empty_boxes();
    EXPECT_GE(nr_delays, 32);
    EXPECT_EQ(rig_stats(arena).alloc_failures, 0);
    rig_end_clean(arena);
}

/* The same in an arena that is too small: requests fail and memory is taken back from all
 * threads meanwhile, but nothing is damaged. */
static void slow_holders_under_pressure(void)
{
    arena = rig_arena(8 * MIB, 8);
    rig_run_threads(work, NR_THREADS);
    empty_boxes();
    EXPECT_GE(nr_delays, 32);
    rig_end_clean(arena);
}

static void *short_life(void *seed)
{
    struct rng rng = {(uintptr_t)seed};

    is_slow = true;
    for (int i = 0; i < 20; i++)
        unpack(atomic_exchange(&boxes[rng_below(&rng, NR_BOXES)], pack(&rng)));
    return NULL;
}

/* Threads begin and end while holders of the registry's lock and others sleep. */
static void short_threads(void)
{
    arena = rig_arena(512 * MIB, 18);
    for (int round = 0; round < 10; round++)
        rig_run_threads(short_life, NR_THREADS);
    EXPECT_GE(nr_delays, 10);
    EXPECT_EQ(rig_stats(arena).pcp_pages, shelf_pages(&arena->pages)); /* which is no thread's */
    empty_boxes();
    rig_end_clean(arena);
}

/* --- who needs no lock waits for nobody ----------------------------------- */

#define OBJECT 64u

static atomic_uint nr_warm, nr_done;
static atomic_bool start;

/* Works on objects that its sheaf has, while another thread has the cache's lock. */
static void *stay_in_sheaf(void *unused)
{
    void *p[8];

    (void)unused;
    for (unsigned round = 0; round < 1001; round++) {
        for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
            p[i] = pyslab_kmalloc(arena, OBJECT, KERNEL);
        for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
            EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
        if (round == 0) {
            nr_warm++;
            while (!start)
                sched_yield();
        }
    }
    nr_done++;
    while (!gate_open) /* a thread that ends empties its sheaves, for which it needs the lock */
        sleep_us(100);
    return NULL;
}

/* Takes more than a sheaf has, so that it goes to the slabs under the lock. */
static void *exhaust_sheaf(void *unused)
{
    static void *p[4000];

    (void)unused;
    for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
        p[i] = pyslab_kmalloc(arena, OBJECT, KERNEL);
    for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
        EXPECT_EQ(pyslab_kfree(arena, p[i]), PYSLAB_OK);
    return NULL;
}

static struct kmem_cache *cache_of_size(size_t size)
{
    struct pyslab_arena *a = arena;
    void *p = pyslab_kmalloc(arena, size, KERNEL);
    struct kmem_cache *cache = slab_cache_of(&a->kmalloc.slabs, p);

    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    return cache;
}

/* A thread stands still with the cache's lock held: all others finish 1000 rounds of work. If
 * a fast path took that lock, they would wait until the alarm ends the test. */
static void fast_paths_wait_for_nobody(void)
{
    pthread_t holder, others[NR_THREADS - 1];

    arena = rig_arena(64 * MIB, 18);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        REQUIRE(pthread_create(&others[i], NULL, stay_in_sheaf, NULL) == 0);
    while (nr_warm != ARRAY_SIZE(others))
        sleep_us(100);
    gated = &cache_of_size(OBJECT)->lock.mutex;
    REQUIRE(pthread_create(&holder, NULL, exhaust_sheaf, NULL) == 0);
    while (!at_gate)
        sleep_us(100);
    start = true;
    while (nr_done != ARRAY_SIZE(others))
        sleep_us(100);
    gate_open = true;
    pthread_join(holder, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        pthread_join(others[i], NULL);
    rig_end_clean(arena);
}

static const struct test tests[] = {
    TEST(slow_holders),
    TEST(slow_holders_under_pressure),
    TEST(short_threads),
    TEST(fast_paths_wait_for_nobody),
};

TEST_MAIN(tests)

/* test_pace.c - threads of a replay wait for one another (record/pace.h): what one waits for has
 * happened when it goes on, nobody waits for ever, and who waits takes no processor time.
 */
#include "check.h"

#include "record/pace.h"
#include "record/room.h"

#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

#define MOST_THREADS 300u

static struct plan plan;
static struct pace pace;
static _Atomic uint64_t done[MOST_THREADS]; /* operations of each thread */
static _Atomic uint64_t nr_ended;

/* A plan of so many threads with so many operations each. */
static void plan_of(uint32_t nr_threads, size_t nr_ops)
{
    plan = (struct plan){.nr_threads = nr_threads};
    plan.threads = room_take(nr_threads * sizeof *plan.threads);
    for (uint32_t i = 0; i < nr_threads; i++)
        plan.threads[i].ops = room_take((nr_ops + 1) * sizeof *plan.threads[i].ops);
}

static void run_all(void *(*run)(void *number))
{
    pthread_t threads[MOST_THREADS];

    pace_start(&pace, &plan);
    for (uint32_t i = 0; i < plan.nr_threads; i++)
        REQUIRE(pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i) == 0);
    for (uint32_t i = 0; i < plan.nr_threads; i++)
        pthread_join(threads[i], NULL);
    EXPECT_EQ(atomic_load(&nr_ended), plan.nr_threads);
    EXPECT_EQ(atomic_load(&pace.nr_asleep), 0);
    EXPECT(pace.asleep == NULL);
    pace_end(&pace);
}

static void do_op(uint32_t thread, size_t index)
{
    pace_next(&pace.places[thread], &plan.threads[thread].ops[index]);
    atomic_store_explicit(&done[thread], index + 1, memory_order_relaxed);
}

static void end(uint32_t thread, size_t nr_ops)
{
    pace_next(&pace.places[thread], &plan.threads[thread].ops[nr_ops]);
    pace_leave(&pace, thread);
    atomic_fetch_add(&nr_ended, 1);
}

/* The thread goes on when the other one has done the operation. */
static void expect_done(uint32_t thread, uint32_t from, size_t index)
{
    pace_wait_for_op(&pace, thread, from, &plan.threads[from].ops[index]);
    EXPECT(atomic_load_explicit(&done[from], memory_order_relaxed) > index);
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* --- operations ------------------------------------------------------------------------ */

enum { CHAIN_OPS = 20000 };

/* Each operation of a thread waits for the same one of the thread before it. */
static void *run_chain(void *number)
{
    uint32_t thread = (uint32_t)(uintptr_t)number;

    for (size_t i = 0; i < CHAIN_OPS; i++) {
        if (thread > 0)
            expect_done(thread, thread - 1, i);
        do_op(thread, i);
        if (thread == 0 && i % 5000 == 77)
            usleep(2000); /* the others are asleep by then */
    }
    end(thread, CHAIN_OPS);
    return NULL;
}

static void chain_of_threads(void)
{
    plan_of(5, CHAIN_OPS);
    run_all(run_chain);
}

/* Two threads wait for each other in turns, so that none ever does PACE_AHEAD operations more. To
 * wait is an operation, too: the ones before it are done then. */
static void *run_turns(void *number)
{
    uint32_t thread = (uint32_t)(uintptr_t)number;

    for (size_t i = 0; i < CHAIN_OPS; i += 2) {
        do_op(thread, i);
        if (thread == 1)
            expect_done(1, 0, i + 1);
        else if (i > 0)
            expect_done(0, 1, i - 1);
        do_op(thread, i + 1);
    }
    end(thread, CHAIN_OPS);
    return NULL;
}

static void turn_by_turn(void)
{
    plan_of(2, CHAIN_OPS);
    run_all(run_turns);
}

/* --- epochs ------------------------------------------------------------------------------ */

enum { NR_EPOCHS = 40 };

static _Atomic uint64_t in_epoch[MOST_THREADS];

/* Threads with later numbers begin later, and every third ends early. */
static uint64_t last_epoch(uint32_t thread)
{
    return thread % 3 == 2 ? plan.threads[thread].first_epoch : NR_EPOCHS - 1;
}

static void *run_epochs(void *number)
{
    uint32_t thread = (uint32_t)(uintptr_t)number;
    uint64_t first = plan.threads[thread].first_epoch;

    pace_wait_for_epoch(&pace, thread, first);
    for (uint64_t epoch = first; epoch <= last_epoch(thread); epoch++) {
        if (epoch != first) {
            atomic_store(&in_epoch[thread], epoch);
            pace_epoch(&pace, thread, epoch);
        }
        for (uint32_t i = 0; i < plan.nr_threads; i++)
            EXPECT(atomic_load(&in_epoch[i]) + 1 >= epoch);
    }
    atomic_store(&in_epoch[thread], NR_EPOCHS);
    end(thread, 1);
    return NULL;
}

static void no_thread_is_two_epochs_ahead(void)
{
    plan_of(MOST_THREADS, 1);
    for (uint32_t i = 0; i < MOST_THREADS; i++) {
        plan.threads[i].first_epoch = i * NR_EPOCHS / MOST_THREADS;
        plan.threads[i].epoch = last_epoch(i);
        atomic_store(&in_epoch[i], plan.threads[i].first_epoch);
    }
    run_all(run_epochs);
}

/* --- who waits sleeps ----------------------------------------------------------------------- */

enum { PAUSE_MS = 400 };

static void *run_pause(void *number)
{
    uint32_t thread = (uint32_t)(uintptr_t)number;

    if (thread == 0) {
        usleep(PAUSE_MS * 1000);
        do_op(0, 0);
        usleep(PAUSE_MS * 1000);
        pace_epoch(&pace, 0, 1);
    } else {
        if (thread == 1)
            expect_done(1, 0, 0);
        pace_epoch(&pace, thread, 1);
        pace_epoch(&pace, thread, 2); /* when the first has reached 1 */
        EXPECT(cpu_seconds() < 0.25 * PAUSE_MS / 1000);
    }
    end(thread, 1);
    return NULL;
}

static void who_waits_takes_no_time(void)
{
    plan_of(3, 1);
    for (uint32_t i = 0; i < 3; i++)
        plan.threads[i].epoch = 2;
    run_all(run_pause);
}

static const struct test tests[] = {
    TEST(chain_of_threads),
    TEST(turn_by_turn),
    TEST(no_thread_is_two_epochs_ahead),
    TEST(who_waits_takes_no_time),
};

TEST_MAIN(tests)

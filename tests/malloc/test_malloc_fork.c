/* test_malloc_fork.c - processes copied while other threads allocate, and signals that come
 * in the middle of a call. */
#include "renamed.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>

#define NR_THREADS 3u

static _Atomic bool stop;
static _Atomic unsigned nr_running;

static void *busy(void *argument)
{
    struct rng rng = {.state = (uintptr_t)argument};
    char *p[64] = {NULL};

    nr_running++;
    while (!stop) {
        unsigned i = rng_below(&rng, 64);

        test_free(p[i]);
        p[i] = test_malloc(rng_below(&rng, rng_below(&rng, 10) != 0 ? 1000 : 600000));
    }
    for (unsigned i = 0; i < 64; i++)
        test_free(p[i]);
    return NULL;
}

/* What a child does: a little of everything; its status is its number of failures. */
static unsigned use_the_heap(void)
{
    char *p[100];

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 100; i++) {
            p[i] = test_calloc(1, i * i * 3);
            EXPECT(is_zero(p[i], i * i * 3));
            fill(p[i], i * i * 3, i);
        }
        for (unsigned i = 0; i < 100; i++) {
            EXPECT(is_filled(p[i], i * i * 3, i));
            p[i] = test_realloc(p[i], 20000);
        }
        for (unsigned i = 0; i < 100; i++)
            test_free(p[i]);
    }
    return check_nr_failures;
}

static void *use_in_thread(void *unused)
{
    (void)use_the_heap();
    return unused;
}

static int status_of(pid_t pid)
{
    int status = -1;

    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static void child_uses_everything(void)
{
    pthread_t thread;
    pid_t pid;

    alarm(check_timeout_seconds());
    (void)use_the_heap();
    if (!UNDER_TSAN) { /* which allows no threads in a child of threads */
        EXPECT(pthread_create(&thread, NULL, use_in_thread, NULL) == 0);
        pthread_join(thread, NULL);
    }
    pid = fork();
    if (pid == 0)
        _exit(use_the_heap() != 0);
    EXPECT_EQ(status_of(pid), 0);
    _exit(check_nr_failures != 0);
}

static void fork_with_busy_threads(void)
{
    pthread_t thread[NR_THREADS];
    char *mine = test_malloc(5000);

    fill(mine, 5000, 1);
    for (uintptr_t i = 0; i < NR_THREADS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, busy, (void *)(i + 1)) == 0);
    while (nr_running < NR_THREADS) /* ASan's malloc, which a new thread uses, cannot be forked */
        sched_yield();
    for (unsigned round = 0; round < 25; round++) {
        pid_t pid = fork();

        if (pid == 0) {
            EXPECT(is_filled(mine, 5000, 1));
            test_free(mine);
            child_uses_everything();
        }
        EXPECT_EQ(status_of(pid), 0);
    }
    stop = true;
    for (unsigned i = 0; i < NR_THREADS; i++)
        pthread_join(thread[i], NULL);
    EXPECT(is_filled(mine, 5000, 1));
    test_free(mine);
}

/* --- signals --------------------------------------------------------------- */

static volatile sig_atomic_t nr_signals;

static void count(int signal)
{
    (void)signal;
    nr_signals++;
}

static void signals_in_the_middle(void)
{
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    struct itimerval fast = {.it_interval = {.tv_usec = 200}, .it_value = {.tv_usec = 200}};

    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    setitimer(ITIMER_REAL, &fast, NULL);
    for (unsigned round = 0; round < 2000 && nr_signals < 300; round++)
        (void)use_the_heap();
    EXPECT_GE(nr_signals, 100);
}

/* The heap is made by whichever thread comes first, and the others wait. */
static pthread_barrier_t barrier;

static void *first_call(void *unused)
{
    void *p;

    pthread_barrier_wait(&barrier);
    p = test_malloc(100);
    EXPECT(p != NULL);
    test_free(p);
    return unused;
}

static void threads_make_the_heap(void)
{
    pthread_t thread[8];

    pthread_barrier_init(&barrier, NULL, 8);
    for (unsigned i = 0; i < 8; i++)
        REQUIRE(pthread_create(&thread[i], NULL, first_call, NULL) == 0);
    for (unsigned i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
}

static const struct test tests[] = {
    TEST(fork_with_busy_threads),
    TEST(signals_in_the_middle),
    TEST(threads_make_the_heap),
};

TEST_MAIN(tests)

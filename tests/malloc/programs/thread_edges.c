/* thread_edges.c - what the C library does to threads inside an allocation: it allocates for
 * thread keys beyond its first 32, has no key left, runs fork handlers that allocate, cancels.
 * Prints ok. Argument: how many keys are taken before anything is allocated. */
#include "require.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_KEYS 2000
#define VALUE ((void *)0x1234)
#define BIG ((size_t)17 << 20) /* the limits are looked at for it */
#define NR_BIG 20

static pthread_key_t keys[MOST_KEYS];
static int nr_keys;

/* Before the constructors of any library. */
static void take_keys(int argc, char **argv, char **environment)
{
    int wanted = argc > 1 ? atoi(argv[1]) : 0;

    (void)environment;
    while (nr_keys < wanted && pthread_key_create(&keys[nr_keys], NULL) == 0)
        pthread_setspecific(keys[nr_keys++ & 31], VALUE);
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(int, char **,
                                                                            char **) = take_keys;

static void allocate(void)
{
    for (size_t i = 0; i < 50; i++)
        free(malloc(i * 1000));
}

__attribute__((constructor(101))) static void before_main(void)
{
    REQUIRE(pthread_atfork(allocate, allocate, allocate) == 0);
}

static void require_keys_kept(void *value)
{
    for (int i = 0; i < nr_keys && i < 32; i++)
        REQUIRE(pthread_getspecific(keys[i]) == value);
}

static void *thread_with_keys(void *unused)
{
    allocate();
    require_keys_kept(NULL);
    return unused;
}

static void forks(void)
{
    for (int round = 0; round < 10; round++) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            allocate();
            _exit(0);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

static pthread_barrier_t barrier;

/* Is asked to end before it allocates, which is not where it may. */
static void *thread_to_cancel(void *unused)
{
    char *p[NR_BIG];
    int state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    pthread_setcancelstate(state, NULL);
    for (int i = 0; i < NR_BIG; i++)
        p[i] = malloc(BIG);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    for (int i = 0; i < NR_BIG; i++)
        free(p[i]);
    return unused;
}

/* Under a limit that came after the start, which has the process's size read from a file. */
static void cancel(void)
{
    struct rlimit limit;
    pthread_t thread;
    void *result;

    free(malloc(BIG));
    REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = (rlim_t)1 << 46;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    REQUIRE(pthread_barrier_init(&barrier, NULL, 2) == 0);
    REQUIRE(pthread_create(&thread, NULL, thread_to_cancel, VALUE) == 0);
    pthread_barrier_wait(&barrier);
    REQUIRE(pthread_cancel(thread) == 0);
    pthread_barrier_wait(&barrier);
    REQUIRE(pthread_join(thread, &result) == 0 && result == VALUE);
}

int main(void)
{
    pthread_t thread;
    void *result;

    allocate();
    require_keys_kept(VALUE);
    for (int round = 0; round < 20; round++) {
        REQUIRE(pthread_create(&thread, NULL, thread_with_keys, NULL) == 0);
        REQUIRE(pthread_join(thread, &result) == 0);
    }
    forks();
    cancel();
    puts("ok");
    return 0;
}

/* every_call.c - makes the malloc library do each thing that takes a system call: grow, give
 * back, blocks of no bytes, large blocks, threads that want one lock, lowered limits, a fork. */
#include "require.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void *work(void *unused)
{
    void *p[200];

    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < 200; i++)
            REQUIRE((p[i] = malloc(16 + i * 37 * round % 20000)) != NULL);
        for (size_t i = 0; i < 200; i++)
            free(p[i]);
    }
    return unused;
}

static void large_blocks(void)
{
    char *p = malloc((size_t)30 << 20), *zero = calloc(1, (size_t)64 << 20);

    REQUIRE(p != NULL && zero != NULL && malloc(0) != NULL);
    memset(p, 1, (size_t)30 << 20);
    free(p);
    free(realloc(zero, (size_t)80 << 20));
    (void)malloc_trim(0);
}

int main(void)
{
    struct rlimit limit;
    pthread_t threads[4];
    pid_t child;

    large_blocks();
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0 && setrlimit(RLIMIT_AS, &limit) == 0);
    child = fork();
    if (child == 0) {
        work(NULL);
        _exit(0);
    }
    REQUIRE(waitpid(child, NULL, 0) == child);
    REQUIRE(write(STDOUT_FILENO, "ok\n", 3) == 3);
    return 0;
}

/* own_limits.c - lowers its own limit of address space, in each way that there is, and takes what
 * the limit leaves, twice. Prints ok. Argument: setrlimit, setrlimit64, prlimit, prlimit64, or
 * vfork (a child limits itself). */
#define _GNU_SOURCE
#include "require.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MIB ((size_t)1 << 20)
#define LIMIT (1024 * MIB)
#define MOST 1100

static char *p[MOST];

static int lower(const char *way)
{
    struct rlimit limit;
    struct rlimit64 limit64;

    REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0 && getrlimit64(RLIMIT_AS, &limit64) == 0);
    limit.rlim_cur = LIMIT;
    limit64.rlim_cur = LIMIT;
    if (strcmp(way, "setrlimit") == 0)
        return setrlimit(RLIMIT_AS, &limit);
    if (strcmp(way, "setrlimit64") == 0)
        return setrlimit64(RLIMIT_AS, &limit64);
    if (strcmp(way, "prlimit") == 0)
        return prlimit(0, RLIMIT_AS, &limit, NULL);
    return prlimit64(getpid(), RLIMIT_AS, &limit64, NULL);
}

static int take_all(void)
{
    int nr = 0;

    errno = 0;
    while (nr < MOST && (p[nr] = malloc(MIB)) != NULL) {
        p[nr][0] = 1;
        nr++;
    }
    REQUIRE(nr == MOST || errno == ENOMEM);
    for (int i = 0; i < nr; i++)
        free(p[i]);
    return nr;
}

static void by_vfork(void)
{
    int status;
    pid_t pid = vfork();

    if (pid == 0)
        _exit(lower("setrlimit") != 0);
    REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
    REQUIRE(take_all() == MOST); /* the child's limit is not the parent's */
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    int first;

    REQUIRE(argc == 2);
    free(malloc(MIB));
    if (strcmp(argv[1], "vfork") == 0) {
        by_vfork();
    } else {
        REQUIRE(lower(argv[1]) == 0);
        first = take_all();
        REQUIRE(first >= 900 && first < 1024);
        REQUIRE(take_all() >= first - 1); /* what was freed is there again */
        REQUIRE(prlimit(0, RLIMIT_AS, NULL, &limit) == 0 && limit.rlim_cur == LIMIT);
        limit.rlim_cur = limit.rlim_max;
        REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
        REQUIRE(limit.rlim_max != RLIM_INFINITY || take_all() == MOST);
    }
    errno = 0;
    REQUIRE(setrlimit(12345, &limit) == -1 && errno == EINVAL);
    puts("ok");
    return 0;
}

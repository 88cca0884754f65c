/* calls.c - each function of malloc's family as often as the argument says, and calls that are
 * refused. A round allocates 12 blocks, resizes 4 and frees 12. Prints ok. */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void __libc_free(void *p);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%d: %s\n", __LINE__, #condition);                                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static volatile size_t huge = PTRDIFF_MAX;

static void *used(void *p, size_t size)
{
    REQUIRE(p != NULL && malloc_usable_size(p) >= size);
    return memset(p, 1, size);
}

/* Nothing of this counts. */
static void refused(void *live)
{
    void *p = live;

    free(NULL);
    REQUIRE(malloc(huge) == NULL && errno == ENOMEM);
    REQUIRE(calloc(huge, 16) == NULL && errno == ENOMEM);
    REQUIRE(reallocarray(NULL, huge, 16) == NULL && errno == ENOMEM);
    REQUIRE(posix_memalign(&p, 24, 10) == EINVAL && p == live);
    REQUIRE(malloc_usable_size(NULL) == 0);
}

static void round_of_calls(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *p[12], *q;

    p[0] = used(malloc(100), 100);
    p[1] = used(malloc(200000), 200000);
    p[2] = used(__libc_malloc(30), 30);
    p[3] = used(calloc(10, 30), 300);
    p[4] = used(calloc(1, 300000), 300000);
    p[5] = used(realloc(NULL, 50), 50);
    p[6] = used(reallocarray(NULL, 5, 50), 250);
    REQUIRE(posix_memalign(&p[7], 64, 100) == 0);
    p[8] = used(aligned_alloc(128, 256), 256);
    p[9] = used(memalign(256, 70), 70);
    p[10] = used(valloc(70), 70);
    p[11] = used(pvalloc(70), page);
    REQUIRE((uintptr_t)p[10] % page == 0 && (uintptr_t)p[11] % page == 0);
    p[0] = used(realloc(p[0], 1000), 1000);
    p[1] = used(realloc(p[1], 10), 10);
    p[8] = used(reallocarray(p[8], 10, 100), 1000);
    REQUIRE((q = realloc(p[9], huge)) == NULL);
    refused(p[0]);
    for (int i = 0; i < 11; i++)
        free(p[i]);
    __libc_free(p[11]);
}

int main(int argc, char **argv)
{
    for (int i = argc > 1 ? atoi(argv[1]) : 0; i > 0; i--)
        round_of_calls();
    puts("ok");
    return 0;
}

/* sampled.c - what test_in_malloc.py profiles: `sampled NAME`. Blocks that are samples must be as
 * good as others: the program looks at each, and ends with the status 1 if one is not. */
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LARGE 3000000u /* some of its bytes are chosen: it is a sample for sure */

__attribute__((noinline)) static void *grab(size_t size)
{
    void *volatile p = malloc(size);

    return p;
}

static int demand(int holds)
{
    if (!holds)
        exit(1);
    return holds;
}

__attribute__((noinline)) static void large(void)
{
    char *volatile p = grab(LARGE);
    void *aligned = NULL;

    p = realloc(p, 2 * LARGE);
    p = realloc(p, LARGE);
    demand(realloc(p, SIZE_MAX / 4) == NULL); /* leaves the block as it is */
    p = realloc(p, 10);                       /* and this makes another of it, perhaps no sample */
    free(p);
    p = calloc(LARGE / 8, 8);
    demand(p[0] == 0 && p[LARGE - 1] == 0);
    demand(posix_memalign(&aligned, 1 << 16, LARGE) == 0 && (uintptr_t)aligned % (1 << 16) == 0);
    free(aligned);
    p = realloc(NULL, LARGE);
    p = realloc(p, 0);
}

#define NR_SMALL 3000000u
#define NR_KEPT 1000000u

/* 100 bytes each, of which a third stays. */
__attribute__((noinline)) static void small(void)
{
    static void *kept[NR_KEPT];

    for (unsigned i = 0; i < NR_SMALL; i++) {
        void *p = grab(100);

        if (i % 3 == 0)
            kept[i / 3] = p;
        else
            free(p);
    }
    demand(kept[NR_KEPT - 1] != NULL);
}

static int is_filled(const char *p, char with, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != with)
            return 0;
    return 1;
}

/* Blocks of all sizes come, are written, change their sizes, and go. */
__attribute__((noinline)) static void ordinary(void)
{
    enum { LIVE = 500 };
    static struct {
        char *p;
        size_t size;
    } live[LIVE];
    uint64_t random = 1;

    for (unsigned i = 0; i < 300000; i++) {
        unsigned at, what;
        size_t size, before;

        random = random * 6364136223846793005u + 1442695040888963407u;
        at = (unsigned)(random >> 33) % LIVE;
        what = (unsigned)(random >> 50) % 5;
        size = 1 + (size_t)(random >> 20) % (i % 20 == 0 ? 20000 : 500);
        before = live[at].size;
        demand(is_filled(live[at].p, (char)at, before));
        if (what == 0) {
            live[at].p = realloc(live[at].p, size);
            demand(is_filled(live[at].p, (char)at, before < size ? before : size));
        } else {
            free(live[at].p);
            if (what == 1)
                live[at].p = calloc(1, size);
            else if (what == 2)
                live[at].p = memalign(64, size);
            else
                live[at].p = grab(size);
            demand(what != 1 || is_filled(live[at].p, 0, size));
            demand((uintptr_t)live[at].p % (what == 2 ? 64 : 16) == 0);
        }
        demand(malloc_usable_size(live[at].p) >= size);
        memset(live[at].p, (char)at, size);
        live[at].size = size;
    }
}

#define NR_REFUSED 100000u

/* Calls that fail, between those of 100 bytes that do not. */
__attribute__((noinline)) static void refused(void)
{
    for (unsigned i = 0; i < NR_REFUSED; i++) {
        void *p = grab(100), *volatile none = malloc(SIZE_MAX / 4);

        demand(none == NULL && realloc(p, SIZE_MAX / 4) == NULL);
        free(p);
    }
}

/* The second free of a sample ends the program, as that of any block. */
__attribute__((noinline)) static void twice(void)
{
    char *volatile p = grab(LARGE);

    free(p);
    free(p);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";

    if (strcmp(what, "large") == 0)
        large();
    else if (strcmp(what, "small") == 0)
        small();
    else if (strcmp(what, "ordinary") == 0)
        ordinary();
    else if (strcmp(what, "refused") == 0)
        refused();
    else if (strcmp(what, "twice") == 0)
        twice();
    return 0;
}

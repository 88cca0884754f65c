/* misuse_blocks.h - the blocks of one run of misuse_cases.c: all of the same size. */
#ifndef TESTS_MISUSE_BLOCKS_H
#define TESTS_MISUSE_BLOCKS_H

#include <stdlib.h>
#include <string.h>

static size_t size; /* of the blocks of this case */

static char *block(void)
{
    char *p = malloc(size);

    if (p == NULL)
        exit(3);
    memset(p, 'x', size);
    return p;
}

/* Frees k other blocks of the size. */
static void free_others(unsigned k)
{
    static char *other[128];

    for (unsigned i = 0; i < k; i++)
        other[i] = block();
    for (unsigned i = 0; i < k; i++)
        free(other[i]);
}

/* Goes through what is free, and back. */
static void churn(void)
{
    static char *some[2048];
    unsigned nr = size >= 1 << 18 ? 64 : 2048;

    for (unsigned i = 0; i < nr; i++)
        some[i] = malloc(size);
    for (unsigned i = 0; i < nr; i++)
        free(some[i]);
}

#endif

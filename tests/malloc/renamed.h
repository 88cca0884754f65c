/* renamed.h - the malloc library under the names test_malloc, test_free and so on, and what
 * its tests share. Not here: the library as programs get it (programs/, run by pytest).
 */
#ifndef TESTS_RENAMED_H
#define TESTS_RENAMED_H

#include "check.h"
#include "malloc/exported.h"
#include "malloc/glibc_names.h"

#include <errno.h>
#include <stdint.h>

/* Compilers would warn of sizes that no block can have; that is what is tested. */
static volatile size_t size_max = SIZE_MAX;
static volatile size_t ptrdiff_max = PTRDIFF_MAX;

static inline void fill(void *p, size_t bytes, uint64_t seed)
{
    unsigned char *c = p;

    for (size_t i = 0; i < bytes; i++)
        c[i] = (unsigned char)(seed + i * 7 + (i >> 8));
}

static inline bool is_filled(const void *p, size_t bytes, uint64_t seed)
{
    const unsigned char *c = p;

    for (size_t i = 0; i < bytes; i++)
        if (c[i] != (unsigned char)(seed + i * 7 + (i >> 8)))
            return false;
    return true;
}

static inline bool is_zero(const void *p, size_t bytes)
{
    const unsigned char *c = p;

    for (size_t i = 0; i < bytes; i++)
        if (c[i] != 0)
            return false;
    return true;
}

#endif

/* canary.h - the bytes that fill an object's page beside the object.
 *
 * What it is: a byte that follows from its own address alone, so that a copy that was moved by a
 * few bytes is seen as well.
 * Lock: the caller's.
 */
#ifndef KFENCE_CANARY_H
#define KFENCE_CANARY_H

#include <stddef.h>
#include <stdint.h>

static inline unsigned char canary_byte(const char *at)
{
    return (unsigned char)(0xe8 | ((uintptr_t)at & 7));
}

static inline void canary_fill(char *from, const char *to)
{
    for (; from < to; from++)
        *from = (char)canary_byte(from);
}

/* The first byte that is another one; NULL: none is. */
static inline const char *canary_wrong(const char *from, const char *to)
{
    for (; from < to; from++)
        if ((unsigned char)*from != canary_byte(from))
            return from;
    return NULL;
}

/* The last one. pre: there is one (unchecked: canary_wrong has just found it) */
static inline const char *canary_last_wrong(const char *from, const char *to)
{
    while (to > from && (unsigned char)to[-1] == canary_byte(to - 1))
        to--;
    return to - 1;
}

#endif

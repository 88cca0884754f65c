/* canary.h - the bytes that fill an object's page beside the object.
 *
 * What it is: a byte that follows from its own address alone, so that a copy that was moved by a
 * few bytes is seen as well.
 * Lock: the caller's.
 */
#ifndef KFENCE_CANARY_H
#define KFENCE_CANARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline unsigned char canary_byte(const char *at)
{
    return (unsigned char)(0xe8 | ((uintptr_t)at & 7));
}

/* The bytes of eight addresses, from a multiple of eight on, are the same everywhere. */
static const unsigned char canary_row[8] = {0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef};

static inline bool canary_row_begins(const char *at, const char *to)
{
    return ((uintptr_t)at & 7) == 0 && to - at >= (ptrdiff_t)sizeof canary_row;
}

static inline void canary_fill(char *from, const char *to)
{
    while (from < to)
        if (canary_row_begins(from, to)) {
            memcpy(from, canary_row, sizeof canary_row);
            from += sizeof canary_row;
        } else {
            *from = (char)canary_byte(from);
            from++;
        }
}

/* The first byte that is another one; NULL: none is. */
static inline const char *canary_wrong(const char *from, const char *to)
{
    while (from < to)
        if (canary_row_begins(from, to) && memcmp(from, canary_row, sizeof canary_row) == 0)
            from += sizeof canary_row;
        else if ((unsigned char)*from == canary_byte(from))
            from++;
        else
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

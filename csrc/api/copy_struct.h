/* copy_struct.h - structs that callers of another version hand in and get back.
 *
 * As the kernel's copy_struct_from_user(): a shorter one is taken as if zeros followed, a
 * longer one if what follows is zero.
 */
#ifndef API_COPY_STRUCT_H
#define API_COPY_STRUCT_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Copies a struct of `given` bytes from the caller into one of `size` bytes. False: it has fewer
 * than `least` bytes, which is what the first version had, or something other than zero where this
 * version knows no field. */
static inline bool copy_struct_in(void *dst, size_t size, const void *src, size_t given,
                                  size_t least)
{
    const char *bytes = src;

    if (given < least)
        return false;
    for (size_t i = size; i < given; i++)
        if (bytes[i] != 0)
            return false;
    memset(dst, 0, size);
    memcpy(dst, src, given < size ? given : size);
    return true;
}

/* Copies a struct of `size` bytes into one of `wanted` bytes of the caller's; what is left of that
 * one is zero. */
static inline void copy_struct_out(void *dst, size_t wanted, const void *src, size_t size)
{
    memcpy(dst, src, wanted < size ? wanted : size);
    if (wanted > size)
        memset((char *)dst + size, 0, wanted - size);
}

/* Bytes of a struct up to the end of a field. */
#define UP_TO(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))

#endif

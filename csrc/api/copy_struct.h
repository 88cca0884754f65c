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

/* least: what the first version had. */
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

static inline void copy_struct_out(void *dst, size_t wanted, const void *src, size_t size)
{
    memcpy(dst, src, wanted < size ? wanted : size);
    if (wanted > size)
        memset((char *)dst + size, 0, wanted - size);
}

/* Bytes of a struct up to a field, that one included. */
#define UP_TO(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))

#endif

/* early.c - see early.h. */
#include "interpose/early.h"

#include "interpose/interpose.h"

#include <errno.h>

#define LEAST_ALIGN 16u
#define BEING_GIVEN 1024u /* bytes, to threads that came before the functions were found */

char interpose_early[INTERPOSE_EARLY_BYTES] __attribute__((aligned(4096)));
static _Atomic size_t used;

size_t early_used(void)
{
    size_t bytes = atomic_load(&used) + BEING_GIVEN;

    return bytes < INTERPOSE_EARLY_BYTES ? bytes : INTERPOSE_EARLY_BYTES;
}

void *early_alloc(size_t align, size_t size)
{
    size_t room = align < LEAST_ALIGN ? LEAST_ALIGN : align, start;
    char *p;

    if (size > INTERPOSE_EARLY_BYTES || room > INTERPOSE_EARLY_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    start = atomic_fetch_add(&used, sizeof(size_t) + room + size);
    if (start > INTERPOSE_EARLY_BYTES - (sizeof(size_t) + room) ||
        size > INTERPOSE_EARLY_BYTES - (sizeof(size_t) + room) - start) {
        atomic_store(&used, INTERPOSE_EARLY_BYTES); /* so that additions never wrap around */
        errno = ENOMEM;
        return NULL;
    }
    p = interpose_early + start + sizeof(size_t);
    p += -(uintptr_t)p & (room - 1);
    ((size_t *)(void *)p)[-1] = size;
    return p;
}

/* room.c - see room.h. */
#include "record/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static size_t whole_pages(size_t bytes)
{
    return bytes == 0 ? 4096 : (bytes + 4095) & ~(size_t)4095;
}

static void *checked(void *p)
{
    if (p == MAP_FAILED) {
        perror("pyslab replay: no memory for the operations");
        _Exit(3);
    }
    return p;
}

void *room_take(size_t bytes)
{
    return checked(mmap(NULL, whole_pages(bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}

void *room_grow(void *p, size_t old, size_t bytes)
{
    return checked(mremap(p, whole_pages(old), whole_pages(bytes), MREMAP_MAYMOVE));
}

void room_drop(void *p, size_t bytes)
{
    if (p != NULL)
        munmap(p, whole_pages(bytes));
}

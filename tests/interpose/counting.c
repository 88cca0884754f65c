/* counting.c - an interposer that counts. It allocates in each hook, as an interposer may, and
 * writes what it has counted to the file that COUNTING_FILE names, when the process ends. */
#include "interpose/interpose.h"

#include <stdio.h>
#include <stdlib.h>

static _Atomic uint64_t nr_calls[INTERPOSE_NEW + 1], nr_freed, nr_resized, nr_nested;
static __thread bool in_hook;

static always_inline bool hook_wanted(void)
{
    return true;
}

/* What the hook allocates must not come back to it. */
static void allocate_inside(void)
{
    void *p;

    if (in_hook)
        nr_nested++;
    in_hook = true;
    interpose_enter();
    p = malloc(10);
    free(realloc(p, 20));
    interpose_leave();
    in_hook = false;
}

static always_inline void *hook_allocated(enum interpose_call call, void *p, size_t size,
                                          size_t align)
{
    (void)size;
    if (align != 0 && (uintptr_t)p % align != 0)
        abort();
    nr_calls[call]++;
    allocate_inside();
    return p;
}

static always_inline void hook_freeing(void *p)
{
    (void)p;
    nr_freed++;
    allocate_inside();
}

static always_inline uint64_t hook_resizing(void *p)
{
    return (uintptr_t)p;
}

static always_inline void hook_resized(uint64_t begun, void *old, void *p, size_t size)
{
    (void)size;
    if (begun != (uintptr_t)old)
        abort();
    nr_resized++;
    (void)p;
    allocate_inside();
}

#include "interpose/calls.h"

__attribute__((destructor)) static void at_exit(void)
{
    const char *path = getenv("COUNTING_FILE");
    FILE *file;

    interpose_enter();
    file = path != NULL ? fopen(path, "w") : NULL;
    if (file != NULL) {
        fprintf(file, "malloc %lu\ncalloc %lu\nrealloc %lu\nmemalign %lu\nnew %lu\n", nr_calls[0],
                nr_calls[1], nr_calls[2], nr_calls[3], nr_calls[4]);
        fprintf(file, "free %lu\nresized %lu\nnested %lu\n", nr_freed, nr_resized, nr_nested);
        fclose(file);
    }
    interpose_leave();
}

/* misuse.c - the end of a process that misuses malloc: one line on the standard error that says
 * what was called with what and what that is, without allocating; then abort().
 * What it is not: detection (heap.h, hardened.h). Lock: none; other threads go on meanwhile, and
 * the words tell what they found.
 */
#include "malloc/heap.h"

#include "malloc/settings.h"
#include "malloc/zero_size.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What p is, in words. */
static void describe(char *text, size_t bytes, const void *p)
{
    struct kmalloc *km = &malloc_arena.kmalloc;
    const struct frame_map *map = &km->slabs.map;
    uint32_t pfn = virt_to_pfn(map, p);
    struct kmem_cache *cache;

    if (zero_size_is_place(p)) {
        snprintf(text, bytes, "a block of no bytes");
        return;
    }
    if (pfn == PFN_NONE) {
        snprintf(text, bytes, "not memory of malloc");
        return;
    }
    cache = slab_cache_around(&km->slabs, p);
    if (cache != NULL && malloc_settings.hardened) /* whose blocks begin inside */
        snprintf(text, bytes, "in an object of %u bytes", cache->desc->object_size);
    else if (cache != NULL && slab_cache_of(&km->slabs, p) == cache)
        snprintf(text, bytes, "an object of %u bytes", cache->desc->object_size);
    else if (cache != NULL)
        snprintf(text, bytes, "an address inside an object of %u bytes", cache->desc->object_size);
    else if (map->classes[pfn] == CLASS_LARGE)
        snprintf(text, bytes, "an address inside a large block");
    else if (page_is_free(&malloc_arena.pages, pfn))
        snprintf(text, bytes, "memory that is free");
    else
        snprintf(text, bytes, "not the start of a block");
}

_Noreturn void misuse_abort_words(const char *call, const void *p, const char *what)
{
    char is[64] = "", line[160];
    int length;

    /* To write is a cancellation point; the process is to end, not its thread alone. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    if (heap_ready())
        describe(is, sizeof is, p);
    length = snprintf(line, sizeof line, "pyslab: %s(%p): %s; it is %s\n", call, p, what, is);
    settings_report(line, length > 0 ? min_uint((unsigned)length, sizeof line - 1) : 0, false);
    abort();
}

_Noreturn void misuse_abort(const char *call, const void *p, int error)
{
    misuse_abort_words(call, p, error == PYSLAB_EDOUBLE ? "freed already" : "invalid pointer");
}

_Noreturn void misuse_abort_written(const void *p)
{
    misuse_abort_words("malloc", p, "freed twice, or written to after its free");
}

void misuse_abort_free_object(const void *p)
{
    misuse_abort_words("free", p, "freed twice, or written to after its free");
}

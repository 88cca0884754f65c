/* errors.c - from core error codes to pyslab's exceptions, with the numbers in the text.
 *
 * The exception classes are Python (pyslab/errors.py); module init looks them up.
 */
#include "python/pytypes.h"

#include <stdio.h>

static bool import_one(PyObject *errors, const char *name, PyObject **slot)
{
    *slot = PyObject_GetAttrString(errors, name);
    return *slot != NULL;
}

bool errors_import(void)
{
    PyObject *errors = PyImport_ImportModule("pyslab.errors");
    bool ok;

    if (errors == NULL)
        return false;
    ok = import_one(errors, "PyslabError", &objects.error) &&
         import_one(errors, "OutOfMemoryError", &objects.out_of_memory) &&
         import_one(errors, "InvalidPointerError", &objects.invalid_pointer) &&
         import_one(errors, "DoubleFreeError", &objects.double_free) &&
         import_one(errors, "CorruptionError", &objects.corruption) &&
         import_one(errors, "ArenaClosedError", &objects.closed) &&
         import_one(errors, "CacheBusyError", &objects.cache_busy);
    Py_DECREF(errors);
    return ok;
}

bool arena_is_open(ArenaObject *arena)
{
    if (likely(!arena->closed))
        return true;
    PyErr_SetString(objects.closed, "the arena is closed: it takes no more allocations");
    return false;
}

/* The one thing most likely to help, of those not in force already. */
static const char *memory_hint(ArenaObject *arena, size_t nbytes, size_t align,
                               size_t free_bytes)
{
    unsigned max_order = arena->core->pages.zone[0].max_order;
    size_t wanted = nbytes > align ? nbytes : align;

    if (wanted > arena->core->bytes)
        return "make a larger arena";
    if (wanted > PAGE_SIZE << max_order && max_order < MAX_ORDER)
        return "a larger max_order allows larger blocks";
    if (nbytes <= free_bytes)
        return "the free memory is fragmented; drop long-lived buffers or make a larger arena";
    return "drop buffers, or make a larger arena";
}

void *raise_out_of_memory(ArenaObject *arena, size_t nbytes, size_t align)
{
    char aligned[48] = "";
    struct zone *zone = &arena->core->pages.zone[0];
    size_t free_bytes, largest;
    int order;

    lock_acquire(&zone->lock);
    free_bytes = (size_t)zone_free_pages(zone) << PAGE_SHIFT;
    order = buddy_largest_order_locked(zone);
    lock_release(&zone->lock);
    largest = order < 0 ? 0 : PAGE_SIZE << order;
    if (align != 0)
        snprintf(aligned, sizeof aligned, " aligned to %zu", align);
    PyErr_Format(objects.out_of_memory,
                 "cannot allocate %zu bytes%s: zone %s has %zu of %zu bytes free, the largest free "
                 "block is %zu bytes; hint: %s",
                 nbytes, aligned, zone->name, free_bytes, arena->core->bytes, largest,
                 memory_hint(arena, nbytes, align, free_bytes));
    return NULL;
}

void *raise_code(int code, const char *what, const void *p)
{
    PyObject *type = code == PYSLAB_EDOUBLE    ? objects.double_free
                     : code == PYSLAB_EPOINTER || code == PYSLAB_ECACHE
                         ? objects.invalid_pointer
                     : code == PYSLAB_EBUSY    ? objects.cache_busy
                     : code == PYSLAB_EINVAL   ? PyExc_ValueError
                     : code == PYSLAB_ENOMEM   ? objects.out_of_memory
                                               : objects.error;

    PyErr_Format(type, "%s at %p: %s", what, p, pyslab_strerror(code));
    return NULL;
}

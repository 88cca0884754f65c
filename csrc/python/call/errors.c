/* errors.c - from core error codes to pyslab's exceptions, with the numbers in the text.
 *
 * What it is not: where the exception classes are written (pyslab/errors.py) or looked up
 * (module/objects.c).
 */
#include "python/call/errors.h"

#include "python/call/critical.h"

#include "buddy/buddy_range.h"
#include "os/os.h"
#include "page_alloc/watermark.h"
#include "python/stack/corruption.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a request that failed found in one zone. */
struct zone_state {
    size_t managed; /* bytes, as all of these */
    size_t free;
    size_t kept;    /* free, but not for this request */
    size_t largest; /* free block */
    size_t run;     /* the longest run of free frames, which may be several blocks */
};

/* The zone as it is now, in the eyes of a request with this access to reserves. */
static struct zone_state zone_state(struct zone *zone, const struct frame_map *map,
                                    const struct access *access)
{
    struct zone_state state;
    int order;

    lock_acquire(&zone->lock);
    order = buddy_largest_order_locked(zone);
    state = (struct zone_state){.managed = (size_t)zone_managed_pages(zone) << PAGE_SHIFT,
                                .free = (size_t)zone_free_pages(zone) << PAGE_SHIFT,
                                .kept = (size_t)zone_kept_pages(zone, access) << PAGE_SHIFT,
                                .largest = order < 0 ? 0 : PAGE_SIZE << order,
                                .run = (size_t)buddy_largest_run_locked(zone, map) << PAGE_SHIFT};
    lock_release(&zone->lock);
    return state;
}

/* The zones that a request could use: those from lowest up to what gfp says, in one arena, which
 * may be the side arena that vmalloc takes from. */
struct zones_met {
    struct pyslab_arena *core;
    uint32_t lowest; /* index of the lowest zone it may use */
    uint32_t gfp;
};

/* The advice that is most likely to help this request. total: the sums over the zones that it
 * may use. */
static const char *memory_hint(const struct zones_met *met, size_t wanted,
                               const struct zone_state *total)
{
    const struct page_alloc *pages = &met->core->pages;
    uint64_t limit = load_relaxed(&pages->limit_pages);

    if (wanted > met->core->bytes)
        return "make a larger arena";
    if (wanted > total->managed)
        return "the zones that this request may use are smaller";
    if (wanted > PAGE_SIZE << pages->max_order && pages->max_order < MAX_ORDER && met->lowest == 0)
        return "a larger max_order allows larger blocks";
    if (limit != LIMIT_NONE && page_alloc_used(pages) + bytes_to_pages(wanted) > limit)
        return "raise arena.limit, or drop buffers";
    if (wanted <= total->free && wanted + total->kept > total->free)
        return "what is free is a reserve; drop buffers, or lower the watermarks of the zones";
    if (wanted <= total->free)
        return "the free memory is fragmented; drop long-lived buffers or make a larger arena";
    return "drop buffers, or make a larger arena";
}

/* The second half of the message: ": zone NORMAL has ...; hint: ...", with every zone that the
 * request may use. A new reference; NULL with an exception set. */
static PyObject *memory_report(const struct zones_met *met, size_t wanted)
{
    struct page_alloc *pages = &met->core->pages;
    PyObject *report = PyUnicode_FromString("");
    struct zone_state total = {0};
    struct access access;

    access_min(&access, gfp_zone(pages, met->gfp), met->gfp, false);
    for (uint32_t left = access.zone + 1; left > met->lowest && report != NULL; left--) {
        struct zone *zone = &pages->zone[left - 1];
        struct zone_state state = zone_state(zone, &pages->map, &access);
        PyObject *more = PyUnicode_FromFormat(
            "%U%s zone %s has %zu of %zu bytes free, the largest free block is %zu bytes", report,
            left == access.zone + 1 ? ":" : ",", zone->name, state.free, state.managed,
            state.largest);

        if (more != NULL && state.run > state.largest)
            PyUnicode_AppendAndDel(
                &more, PyUnicode_FromFormat(" and the largest run of free frames %zu", state.run));
        if (more != NULL && state.kept != 0)
            PyUnicode_AppendAndDel(
                &more, PyUnicode_FromFormat(", %zu of them kept for others", state.kept));
        Py_DECREF(report);
        report = more;
        total.managed += state.managed;
        total.free += state.free;
        total.kept += state.kept;
    }
    if (report != NULL)
        PyUnicode_AppendAndDel(
            &report, PyUnicode_FromFormat("; hint: %s", memory_hint(met, wanted, &total)));
    return report;
}

/* A forked child asked for frames that belong to its parent. */
static bool asks_for_parents_frames(const struct zones_met *met)
{
    const struct page_alloc *pages = &met->core->pages;

    return pages->forked && pages->zone[gfp_zone(pages, met->gfp)].type >= PYSLAB_ZONE_HIGHMEM;
}

/* The common part of the two functions that raise OutOfMemoryError; NULL. */
static void *raise_for_zones(const struct zones_met *met, size_t nbytes, size_t align)
{
    PyObject *report = NULL;
    char aligned[48] = "";

    if (corruption_raise() || PyErr_Occurred())
        return NULL;
    if (asks_for_parents_frames(met)) {
        PyErr_SetString(objects.forked, "high memory belongs to the parent process: a forked "
                                        "child takes none of it");
        return NULL;
    }
    if (align != 0)
        snprintf(aligned, sizeof aligned, " aligned to %zu", align);
    if (fault_failed_last(met->core->pages.faults)) {
        PyErr_Format(objects.out_of_memory,
                     "cannot allocate %zu bytes%s: the call was made to fail (Arena.failing)",
                     nbytes, aligned);
        return NULL;
    }
    if ((met->gfp & PYSLAB_GFP_NOWARN) == 0) {
        report = memory_report(met, nbytes > align ? nbytes : align);
        if (report == NULL)
            return NULL;
    }
    PyErr_Format(objects.out_of_memory, "cannot allocate %zu bytes%s%V", nbytes, aligned, report,
                 "");
    Py_XDECREF(report);
    return NULL;
}

void *raise_out_of_memory(ArenaObject *arena, size_t nbytes, size_t align, uint32_t gfp)
{
    const struct zones_met met = {.core = arena->core, .gfp = gfp};

    raise_for_zones(&met, nbytes, align);
    /* A callback may have closed the arena in the middle of the call. */
    if (arena->closed)
        arena_settle(arena);
    return NULL;
}

/* The frames of vmalloc, where an arena has no high zones, are those of a side arena, which could
 * not be made: asks the system for its file once more, to learn why. Always NULL. */
static void *raise_no_side_arena(ArenaObject *arena, size_t nbytes)
{
    const char *hint = "raise the limits of the process (ulimit -v, ulimit -d)";
    struct os_file file;
    int error = ENOMEM;

    if (os_file_open_memory(&file, "pyslab-highmem", arena->core->bytes) == PYSLAB_OK)
        os_file_close(&file);
    else
        error = errno;
    if (error == EFBIG)
        hint = "raise the limit of the size of files (ulimit -f)";
    else if (error == EMFILE)
        hint = "raise the limit of open files (ulimit -n)";
    PyErr_Format(
        objects.out_of_memory,
        "cannot allocate %zu bytes: vmalloc and rings take their frames from a file in "
        "memory, and the system refuses one of %zu bytes with its addresses (%s); hint: %s",
        nbytes, arena->core->bytes, strerror(error), hint);
    return NULL;
}

void *raise_out_of_high_memory(ArenaObject *arena, size_t nbytes, uint32_t gfp)
{
    struct pyslab_arena *side = load_acquire(&arena->core->side);
    struct zones_met met = {.core = side != NULL ? side : arena->core,
                            .gfp = (gfp & ~GFP_ZONE_TABLE_BITS) | GFP_HIGH_BITS};
    const struct page_alloc *pages = &met.core->pages;

    if (side == NULL && arena->core->mapped_bytes == arena->core->bytes && !PyErr_Occurred() &&
        nbytes <= arena->core->bytes)
        return raise_no_side_arena(arena, nbytes);
    while (met.lowest + 1 < pages->nr_zones && pages->zone[met.lowest].type < PYSLAB_ZONE_HIGHMEM)
        met.lowest++;
    raise_for_zones(&met, nbytes, 0);
    if (arena->closed)
        arena_settle(arena);
    return NULL;
}

bool nofail_again(ArenaObject *arena, uint32_t gfp)
{
    if ((gfp & PYSLAB_GFP_NOFAIL) == 0 || PyErr_Occurred())
        return false;
    fault_pardon(arena->core->pages.faults);
    arena_pin(arena);
    Py_BEGIN_ALLOW_THREADS
    os_sleep_ms(1);
    Py_END_ALLOW_THREADS
    arena_unpin_keeping(arena);
    return pending_run() && arena_is_open(arena);
}

PyObject *exception_of_code(int code)
{
    switch (code) {
    case PYSLAB_EDOUBLE:
        return objects.double_free;
    case PYSLAB_EPOINTER:
    case PYSLAB_ECACHE:
        return objects.invalid_pointer;
    case PYSLAB_EBUSY:
        return objects.cache_busy;
    case PYSLAB_EINVAL:
        return PyExc_ValueError;
    case PYSLAB_ENOMEM:
        return objects.out_of_memory;
    case PYSLAB_ECORRUPT:
        return objects.corruption;
    case PYSLAB_ESTALE:
        return objects.stale_handle;
    case PYSLAB_EFORKED:
        return objects.forked;
    default:
        return objects.error;
    }
}

void *raise_code(int code, const char *what, const void *p)
{
    if (!corruption_raise())
        PyErr_Format(exception_of_code(code), "%s at %p: %s", what, p, pyslab_strerror(code));
    return NULL;
}

/* window_policy.c - what the policy of a Window calls when kmap finds no slot that shows the run.
 *
 * The policy, _map_new() of src/pyslab/_memory/window.py, chooses a slot and calls _map(), which
 * looks at everything again, maps and counts in one step: nothing that runs between two
 * calls can flush a slot that somebody has.
 */
#include "python/window/window_policy.h"

#include "python/arena/arena_file.h"
#include "python/window/window_view.h"

#include <errno.h>
#include <string.h>

#define MAX_RESIDENT_ORDER 9u /* memory for larger slots is never taken before it is touched */
#define MAX_WAIT_US (3600 * 1000000ll) /* in one _wait() */

/* --- waiting ------------------------------------------------------------- */

/* A thread does not wait any more, and nobody woke it. */
static void waiter_unlink(WindowObject *self, const struct waiter *waiter)
{
    struct waiter **link = &self->waiters;

    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
}

/* _wait(seconds): True as soon as there may be a free slot, False when the time is over. The GIL
 * is released meanwhile. */
PyObject *window_wait(PyObject *op, PyObject *arg)
{
    WindowObject *self = window_of(op);
    struct waiter waiter = {.woken = false};
    double seconds = PyFloat_AsDouble(arg);
    PY_TIMEOUT_T us = MAX_WAIT_US;
    PyLockStatus status;

    if (seconds == -1.0 && PyErr_Occurred())
        return NULL;
    if (self->closed || self->pkmap.nr_in_use < self->max_mapped)
        Py_RETURN_TRUE;
    if (seconds * 1e6 < (double)MAX_WAIT_US)
        us = (PY_TIMEOUT_T)(seconds * 1e6) + 1;
    waiter.lock = PyThread_allocate_lock();
    if (waiter.lock == NULL)
        return PyErr_NoMemory();
    PyThread_acquire_lock(waiter.lock, NOWAIT_LOCK);
    waiter.next = self->waiters;
    self->waiters = &waiter;
    self->waiters_pid = getpid();
    Py_BEGIN_ALLOW_THREADS
    status = PyThread_acquire_lock_timed(waiter.lock, us, 1);
    Py_END_ALLOW_THREADS
    if (!waiter.woken)
        waiter_unlink(self, &waiter);
    if (status == PY_LOCK_ACQUIRED || !waiter.woken)
        PyThread_release_lock(waiter.lock);
    PyThread_free_lock(waiter.lock);
    if (status == PY_LOCK_INTR && PyErr_CheckSignals() < 0)
        return NULL;
    return PyBool_FromLong(waiter.woken);
}

/* --- mapping ------------------------------------------------------------- */

/* True if the frames of the run are in use, so that giving them memory before they are touched
 * wastes none: they are the page's, or lie in one block of at least the run's size. */
static bool run_is_owned(const WindowObject *self, const PageObject *page, uint32_t run)
{
    const struct frame_map *map = &window_frames(self)->map;
    unsigned order = self->pkmap.remap.order;
    uint64_t first = (uint64_t)run << order, end = first + (1u << order);
    const struct page *head;

    if (first >= page->pfn && end <= (uint64_t)page->pfn + (1u << page->order))
        return true;
    if (first < map->nr_mapped || end > map->nr_pages)
        return false;
    head = pfn_to_page(map, (uint32_t)first);
    return page_state(head) == PYSLAB_PAGE_ALLOC && page_order(head) >= order;
}

/* How many of the next runs, at most `wanted`, can be mapped into the next slots, which takes no
 * further call to the system: in use, not shown already, and the slot is free. */
static uint32_t runs_ahead(const WindowObject *self, const PageObject *page, uint32_t slot,
                           uint32_t run, uint32_t wanted)
{
    const struct pkmap *pk = &self->pkmap;
    uint32_t nr = 0;

    while (nr < wanted && slot + nr + 1 < pk->nr_slots && pk->counts[slot + nr + 1] == 0 &&
           run_is_owned(self, page, run + nr + 1) && pkmap_find(pk, run + nr + 1) == PKMAP_NONE)
        nr++;
    return nr;
}

/* Maps the run of the part into the free slot, and up to nr_ahead of the next runs into the next
 * slots by the same call to the system, where that is possible. False with PyslabError set. */
static bool map_into_slot(WindowObject *self, const struct kmap_args *request,
                          const struct run_part *part, uint32_t slot, uint32_t nr_ahead)
{
    const struct frame_map *map = &window_frames(self)->map;
    unsigned order = self->pkmap.remap.order;
    bool owned = run_is_owned(self, request->page, part->run);
    uint32_t nr = 1;
    /* Memory is taken now rather than at the first touch where it will surely be touched: in
     * slots of one frame, and of more if runs ahead are wanted (a scan). What comes from a disk is
     * left to page faults, which do not hold the GIL. */
    bool resident = owned && (order == 0 || nr_ahead != 0) && order <= MAX_RESIDENT_ORDER &&
                    !frame_map_is_on_disk(map);

    if (owned)
        nr += runs_ahead(self, request->page, slot, part->run, nr_ahead);
    if (pkmap_map(&self->pkmap, map, slot, part->run, nr, resident) != PYSLAB_OK) {
        PyErr_Format(objects.error,
                     "cannot map frame %u: %s; hint: vm.max_map_count limits the "
                     "mappings of a process, flush_unused() ends some",
                     part->run << order, strerror(errno));
        return false;
    }
    self->pkmap.nr_misses++;
    self->pkmap.nr_ahead += nr - 1;
    return true;
}

/* _map(slot, page, index, nr_ahead) maps the run of the page's frame into the slot and makes the
 * view, in one step; None if the slot is not free any more. */
PyObject *window_map(PyObject *op, PyObject *args)
{
    WindowObject *self = window_of(op);
    struct kmap_args request;
    struct run_part part;
    PyObject *page;
    unsigned int slot, nr_ahead;
    uint32_t found;

    if (!PyArg_ParseTuple(args, "IOnI:_map", &slot, &page, &request.index, &nr_ahead) ||
        !window_has_arena(self))
        return NULL;
    request.page = arg_page(self->arena, page);
    if (request.page == NULL || !kmap_is_possible(self->arena, &request) ||
        !window_takes_more(self))
        return NULL;
    part = run_part_of(&request, self->pkmap.remap.order);
    found = pkmap_find(&self->pkmap, part.run);
    if (found != PKMAP_NONE) { /* another thread has mapped the run meanwhile */
        self->pkmap.nr_hits++;
        return view_of_slot(self, &request, &part, found);
    }
    if (slot >= self->pkmap.nr_slots || self->pkmap.counts[slot] != 0)
        Py_RETURN_NONE;
    if (!map_into_slot(self, &request, &part, slot, nr_ahead))
        return NULL;
    return arena_tell_lost_file(self->arena, view_of_slot(self, &request, &part, slot));
}

/* _next_free(start): the first free slot from start on; -1 if none is free, or if as many are
 * mapped as may be. */
PyObject *window_next_free(PyObject *op, PyObject *arg)
{
    unsigned long start = PyLong_AsUnsignedLong(arg);
    uint32_t slot = PKMAP_NONE;

    if (start == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    if (start < window_of(op)->pkmap.nr_slots &&
        window_of(op)->pkmap.nr_mapped < window_of(op)->max_mapped)
        slot = pkmap_next_free(&window_of(op)->pkmap, (uint32_t)start);
    return PyLong_FromLong(slot == PKMAP_NONE ? -1 : (long)slot);
}

/* _shown(): [(first frame, frames, somebody uses the slot)] of the slots that are mapped. */
PyObject *window_shown(PyObject *op, PyObject *unused)
{
    const struct pkmap *pk = &window_of(op)->pkmap;
    unsigned order = pk->remap.order;
    PyObject *result = PyList_New(0);

    (void)unused;
    for (uint32_t slot = 0; result != NULL && pk->counts != NULL && slot < pk->nr_slots; slot++) {
        PyObject *row;

        if (pk->counts[slot] == 0)
            continue;
        row = Py_BuildValue("(IIi)", pk->runs[slot] << order, 1u << order, pk->counts[slot] > 1);
        if (row == NULL || PyList_Append(result, row) != 0)
            Py_CLEAR(result);
        Py_XDECREF(row);
    }
    return result;
}

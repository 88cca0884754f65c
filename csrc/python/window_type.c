/* window_type.c - WindowBase, the C part of pyslab.Window: what the policy calls, and
 * the life of a Window. kmap itself is in window_view.c.
 *
 * The policy, _map_new() of src/pyslab/_memory/window.py, chooses a slot and calls _map(), which
 * looks at everything again, maps and counts in one step: nothing that runs between two
 * calls can flush a slot that somebody has.
 */
#include "python/window.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define MAX_RESIDENT_ORDER 9u          /* larger slots are never made resident ahead */
#define MAX_WAIT_US (3600 * 1000000ll) /* in one _wait() */

/* --- waiting ------------------------------------------------------------ */

static void waiter_unlink(WindowObject *self, const struct waiter *waiter)
{
    struct waiter **link = &self->waiters;

    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
}

/* True once a slot may be had, False after the time. Releases the GIL. */
static PyObject *window_wait(PyObject *op, PyObject *arg)
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

/* --- what the policy calls ---------------------------------------------- */

/* Every frame of the run is the page's, or heads one of the same size in use: it may be
 * given memory. */
static bool run_is_owned(const WindowObject *self, const PageObject *page, uint32_t run)
{
    const struct frame_map *map = &pages_of(self)->map;
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

/* How many of the runs behind this one can be mapped into the slots behind this one. */
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

static PyObject *map_failed(const WindowObject *self, uint32_t run)
{
    PyErr_Format(objects.error,
                 "cannot map frame %u: %s; hint: vm.max_map_count limits the "
                 "mappings of a process, flush_unused() ends some",
                 run << self->pkmap.remap.order, strerror(errno));
    return NULL;
}

/* Maps the run into the slot, gives it a count of 1 and takes it, all in one step: the
 * view, or None if the slot is not free any more. Up to nr_ahead runs behind it come along
 * in the same call to the system, where they can. */
static PyObject *window_map(PyObject *op, PyObject *args)
{
    WindowObject *self = window_of(op);
    struct kmap_args request;
    struct place place;
    PyObject *page;
    unsigned int slot, nr_ahead;
    const struct frame_map *map;
    uint32_t found, nr = 1;
    bool owned, resident;

    if (!PyArg_ParseTuple(args, "IOnI:_map", &slot, &page, &request.index, &nr_ahead) ||
        !window_has_arena(self))
        return NULL;
    request.page = arg_page(self->arena, page);
    if (request.page == NULL || !kmap_is_possible(self->arena, &request) ||
        !window_takes_more(self))
        return NULL;
    map = &pages_of(self)->map;
    place = window_place(self, &request);
    found = pkmap_find(&self->pkmap, place.run);
    if (found != PKMAP_NONE) { /* another thread's miss was faster */
        self->pkmap.nr_hits++;
        return window_view(self, &request, &place, found);
    }
    if (slot >= self->pkmap.nr_slots || self->pkmap.counts[slot] != 0)
        Py_RETURN_NONE;
    /* A slot of one frame is about to be touched, larger ones only in a scan. What must come
     * from a disk is left to the page faults: they need not hold the GIL. */
    owned = run_is_owned(self, request.page, place.run);
    resident = owned && (self->pkmap.remap.order == 0 || nr_ahead != 0) &&
               self->pkmap.remap.order <= MAX_RESIDENT_ORDER && !map->high_is_disk;
    if (owned)
        nr += runs_ahead(self, request.page, slot, place.run, nr_ahead);
    if (pkmap_map(&self->pkmap, map, slot, place.run, nr, resident) != PYSLAB_OK)
        return map_failed(self, place.run);
    self->pkmap.nr_misses++;
    self->pkmap.nr_ahead += nr - 1;
    return window_view(self, &request, &place, slot);
}

/* The first free slot from start on; -1: none, or too many are mapped. */
static PyObject *window_next_free(PyObject *op, PyObject *arg)
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

static PyObject *window_flush_unused(PyObject *op, PyObject *unused)
{
    WindowObject *self = window_of(op);
    int64_t freed = self->pkmap.remap.base == NULL ? 0 : pkmap_flush(&self->pkmap);

    (void)unused;
    if (freed < 0) {
        PyErr_Format(objects.error, "cannot unmap slots: %s", strerror(errno));
        return NULL;
    }
    return PyLong_FromLongLong(freed);
}

/* --- life --------------------------------------------------------------- */

static void window_end(WindowObject *self)
{
    if (self->closed)
        return;
    self->closed = true;
    window_shrink(self);
    window_wake(self);
}

static PyObject *window_close(PyObject *op, PyObject *unused)
{
    (void)unused;
    window_end(window_of(op));
    Py_RETURN_NONE;
}

static PyObject *open_failed(int code, unsigned long slots, int order)
{
    if (code == PYSLAB_EINVAL)
        PyErr_Format(PyExc_ValueError, "a Window has 1 to %u slots, not %lu", PKMAP_MAX_SLOTS,
                     slots);
    else
        PyErr_Format(objects.out_of_memory,
                     "cannot reserve a Window of %lu slots of order %d (%s); hint: make it smaller",
                     slots, order, pyslab_strerror(code));
    return NULL;
}

/* arena, slots, order, for: 0 the caller, 1 the arena itself, 2 the arena's thread; how
 * many slots may be mapped at once. */
static PyObject *window_open(PyObject *op, PyObject *args)
{
    WindowObject *self = window_of(op);
    PyObject *arena, *wanted_order;
    unsigned long slots;
    unsigned int max_mapped;
    int order, code, role;

    if (!PyArg_ParseTuple(args, "O!kOiI:_open", objects.arena_type, &arena, &slots, &wanted_order,
                          &role, &max_mapped))
        return NULL;
    if (!arena_is_open((ArenaObject *)arena) ||
        (order = arg_order((ArenaObject *)arena, wanted_order)) < 0)
        return NULL;
    if (self->pkmap.counts != NULL) {
        PyErr_SetString(objects.error, "a Window is initialised once");
        return NULL;
    }
    code = slots > PKMAP_MAX_SLOTS
               ? PYSLAB_EINVAL
               : pkmap_create(&self->pkmap, (uint32_t)slots, (unsigned)order,
                              ((ArenaObject *)arena)->core->pages.map.nr_mapped);
    if (code != PYSLAB_OK) {
        memset(&self->pkmap, 0, sizeof self->pkmap);
        return open_failed(code, slots, order);
    }
    self->arena = (ArenaObject *)arena;
    self->owns_arena = role == 0;
    self->local = role == 2;
    self->thread = PyThread_get_thread_ident();
    self->max_mapped = max_mapped < slots ? max_mapped : (uint32_t)slots;
    self->closed = false;
    if (self->owns_arena)
        Py_INCREF(arena);
    self->next = self->arena->windows;
    if (self->next != NULL)
        self->next->prev = self;
    self->arena->windows = self;
    Py_RETURN_NONE;
}

/* The arena and the window forget each other. */
static void window_detach(WindowObject *self)
{
    ArenaObject *arena = self->arena;

    if (arena == NULL)
        return;
    window_end(self);
    if (self->next != NULL)
        self->next->prev = self->prev;
    if (self->prev != NULL)
        self->prev->next = self->next;
    else
        arena->windows = self->next;
    if (arena->window == self)
        arena->window = NULL;
    self->arena = NULL;
    self->next = self->prev = NULL;
    if (self->owns_arena)
        Py_DECREF(arena);
}

void windows_close(ArenaObject *arena)
{
    for (WindowObject *w = arena->windows; w != NULL; w = w->next)
        window_end(w);
}

void windows_orphan(ArenaObject *arena)
{
    while (arena->windows != NULL)
        window_detach(arena->windows);
}

bool windows_check(const ArenaObject *arena, struct finding *finding)
{
    for (const WindowObject *w = arena->windows; w != NULL; w = w->next)
        if (!pkmap_check(&w->pkmap, finding))
            return false;
    return true;
}

/* --- Python surface ----------------------------------------------------- */

static PyObject *window_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = type->tp_alloc(type, 0);

    (void)args, (void)kwargs;
    if (self != NULL)
        window_of(self)->closed = true; /* until _open() */
    return self;
}

static int window_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    if (window_of(op)->owns_arena)
        Py_VISIT(window_of(op)->arena);
    return 0;
}

static int window_clear(PyObject *op)
{
    window_detach(window_of(op));
    return 0;
}

/* No view is left: each owns a reference to its Window. */
static void window_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    window_detach(window_of(op));
    if (window_of(op)->pkmap.counts != NULL)
        pkmap_destroy(&window_of(op)->pkmap);
    type->tp_free(op);
    Py_DECREF(type);
}

/* The counts, read-only: they stay where they are as long as the Window. */
static int window_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    struct pkmap *pk = &window_of(op)->pkmap;

    if (PyBuffer_FillInfo(view, op, pk->counts, (Py_ssize_t)(pk->nr_slots * sizeof *pk->counts), 1,
                          flags) < 0)
        return -1;
    if ((flags & PyBUF_ND) == 0)
        return 0;
    view->internal = PyMem_New(Py_ssize_t, 2);
    if (view->internal == NULL) {
        Py_CLEAR(view->obj);
        PyErr_NoMemory();
        return -1;
    }
    view->itemsize = (Py_ssize_t)sizeof *pk->counts;
    view->shape = view->internal;
    view->shape[0] = (Py_ssize_t)pk->nr_slots;
    view->shape[1] = view->itemsize; /* the stride */
    if ((flags & PyBUF_STRIDES) == PyBUF_STRIDES)
        view->strides = &view->shape[1];
    if ((flags & PyBUF_FORMAT) == PyBUF_FORMAT)
        view->format = "I";
    return 0;
}

static void window_releasebuffer(PyObject *op, Py_buffer *view)
{
    (void)op;
    PyMem_Free(view->internal);
}

PyObject *arena_set_window(PyObject *op, PyObject *window)
{
    ArenaObject *self = (ArenaObject *)op;

    if (!PyObject_TypeCheck(window, objects.window_type) || window_of(window)->arena != self) {
        PyErr_SetString(PyExc_TypeError, "expected a Window of this arena");
        return NULL;
    }
    self->window = window_of(window);
    Py_RETURN_NONE;
}

static PyObject *get_arena(PyObject *op, void *unused)
{
    (void)unused;
    return window_has_arena(window_of(op)) ? Py_NewRef((PyObject *)window_of(op)->arena) : NULL;
}

static PyObject *get_closed(PyObject *op, void *unused)
{
    (void)unused;
    return PyBool_FromLong(window_of(op)->closed);
}

static PyObject *get_slots(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(window_of(op)->pkmap.nr_slots);
}

static PyObject *get_base(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(window_of(op)->pkmap.remap.base);
}

static PyObject *get_nbytes(PyObject *op, void *unused)
{
    const struct window_object *self = window_of(op);

    (void)unused;
    return PyLong_FromSize_t((size_t)self->pkmap.nr_slots
                             << (self->pkmap.remap.order + PAGE_SHIFT));
}

static PyObject *get_order(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(window_of(op)->pkmap.remap.order);
}

static PyObject *get_figures(PyObject *op, void *unused)
{
    const struct pkmap *pk = &window_of(op)->pkmap;

    (void)unused;
    return Py_BuildValue("KKKKKII", (unsigned long long)pk->nr_hits,
                         (unsigned long long)pk->nr_misses, (unsigned long long)pk->nr_ahead,
                         (unsigned long long)pk->nr_flushes, (unsigned long long)pk->remap.nr_calls,
                         pk->nr_in_use, pk->nr_mapped);
}

static PyMethodDef window_methods[] = {
    {"kmap", FAST(window_kmap),
     "kmap($self, page, /, index=0, *, timeout=None)\n--\n\n"
     "A view of the aligned run of 2**order frames that holds frame index of the Page: a\n"
     "Buffer over the part of the run that is the Page's. It ends at kunmap() or with its\n"
     "with block, and has a reference on the Page's block.\n\n"
     "timeout: seconds to wait for a slot when all are in use; None: do not wait.\n"
     "Raises WindowExhaustedError, IndexError, ValueError for a freed Page or a closed\n"
     "Window, InvalidPointerError, ArenaClosedError, ArenaForkedError, TypeError."},
    {"kunmap", window_kunmap, METH_O,
     "kunmap($self, view, /)\n--\n\n"
     "Ends a view; every later access to it raises ValueError.\n\n"
     "Raises BufferError while arrays or memoryviews of it are alive: it stays mapped then.\n"
     "DoubleFreeError the second time; InvalidPointerError for what is no view of this Window."},
    {"flush_unused", window_flush_unused, METH_NOARGS,
     "flush_unused($self, /)\n--\n\n"
     "Make every slot that nobody uses free and inaccessible; return how many."},
    {"close", window_close, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "End kmap; calling it again does nothing. Live views stay valid; the addresses are\n"
     "given up with the last of them."},
    {"_open", window_open, METH_VARARGS, NULL},
    {"_map", window_map, METH_VARARGS, NULL},
    {"_next_free", window_next_free, METH_O, NULL},
    {"_wait", window_wait, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef window_getset[] = {
    {"arena", get_arena, NULL, "The Arena whose frames it shows.", NULL},
    {"closed", get_closed, NULL, "True once close() was called, bool.", NULL},
    {"slots", get_slots, NULL, "How many runs it can show at once, int.", NULL},
    {"base", get_base, NULL, "Address of slot 0, int; 0 once closed.", NULL},
    {"nbytes", get_nbytes, NULL, "Bytes of address space of all slots, int.", NULL},
    {"order", get_order, NULL, "A slot shows 2**order frames, int.", NULL},
    {"_figures", get_figures, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyObject *windows_list(const ArenaObject *arena)
{
    PyObject *list = PyList_New(0);

    for (WindowObject *w = arena->windows; w != NULL && list != NULL; w = w->next)
        if (PyList_Append(list, (PyObject *)w) < 0)
            Py_CLEAR(list);
    return list;
}

PyTypeObject *window_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)"The part of pyslab.Window that is written in C."},
        {Py_tp_new, (void *)window_tp_new},
        {Py_tp_dealloc, (void *)window_dealloc},
        {Py_tp_traverse, (void *)window_traverse},
        {Py_tp_clear, (void *)window_clear},
        {Py_tp_methods, window_methods},
        {Py_tp_getset, window_getset},
        {Py_bf_getbuffer, (void *)window_getbuffer},
        {Py_bf_releasebuffer, (void *)window_releasebuffer},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab._core.WindowBase",
        .basicsize = sizeof(WindowObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
                 Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

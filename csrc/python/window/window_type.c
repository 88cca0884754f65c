/* window_type.c - WindowBase, the C part of pyslab.Window: the type, how a Window is opened, its
 * attributes, and the counts of its slots as a buffer.
 */
#include "python/window/window_type.h"

#include "python/arena/arena_guard.h"
#include "python/call/args.h"
#include "python/window/window_kmap.h"
#include "python/window/window_object.h"
#include "python/window/window_policy.h"

#include <errno.h>
#include <string.h>

/* --- life ---------------------------------------------------------------- */

static PyObject *window_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = type->tp_alloc(type, 0);

    (void)args, (void)kwargs;
    if (self != NULL) {
        try_incref_enable(self);
        window_of(self)->closed = true; /* until _open() */
    }
    return self;
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

struct open_args {
    ArenaObject *arena;
    PyObject *order;
    unsigned long slots;
    unsigned int max_mapped;
    int role;
};

/* The arena has one Window more. */
static void window_link(WindowObject *self, ArenaObject *arena)
{
    borrowed_lock();
    self->arena = arena;
    self->next = arena->windows;
    if (self->next != NULL)
        self->next->prev = self;
    arena->windows = self;
    borrowed_unlock();
}

static PyObject *open_slots(WindowObject *self, const struct open_args *args)
{
    int order, code;

    if (!arena_is_open(args->arena) || (order = arg_order(args->arena, args->order)) < 0)
        return NULL;
    if (self->pkmap.counts != NULL) {
        PyErr_SetString(objects.error, "a Window is initialised once");
        return NULL;
    }
    code = args->slots > PKMAP_MAX_SLOTS
               ? PYSLAB_EINVAL
               : pkmap_create(&self->pkmap, (uint32_t)args->slots, (unsigned)order,
                              args->arena->core->pages.map.nr_mapped);
    if (code != PYSLAB_OK) {
        memset(&self->pkmap, 0, sizeof self->pkmap);
        return open_failed(code, args->slots, order);
    }
    self->owns_arena = args->role == 0;
    self->local = args->role == 2;
    self->thread = PyThread_get_thread_ident();
    self->max_mapped = args->max_mapped < args->slots ? args->max_mapped : (uint32_t)args->slots;
    self->closed = false;
    if (self->owns_arena)
        Py_INCREF(args->arena);
    window_link(self, args->arena);
    Py_RETURN_NONE;
}

/* _open(arena, slots, order, role, max_mapped), once per Window. role: 0 for a Window that a user
 * makes, 1 for the arena's own, 2 for the arena's local one of this thread. max_mapped: how many
 * slots may be mapped at once. */
static PyObject *window_open(PyObject *op, PyObject *args)
{
    struct open_args parsed;
    PyObject *result;

    if (!PyArg_ParseTuple(args, "O!kOiI:_open", objects.arena_type, &parsed.arena, &parsed.slots,
                          &parsed.order, &parsed.role, &parsed.max_mapped))
        return NULL;
    arena_pin_without_gil(parsed.arena);
    result = open_slots(window_of(op), &parsed);
    arena_unpin_without_gil(parsed.arena);
    return result;
}

static PyObject *window_close(PyObject *op, PyObject *unused)
{
    (void)unused;
    window_end(window_of(op));
    Py_RETURN_NONE;
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

GUARD(window_clear, window_owner, int, (PyObject * op), (op))

/* Each view owns a reference to its Window, so none is left. */
static void window_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    (void)GUARDED(window_clear)(op);
    if (window_of(op)->pkmap.counts != NULL)
        pkmap_destroy(&window_of(op)->pkmap);
    type->tp_free(op);
    Py_DECREF(type);
}

/* --- the counts ---------------------------------------------------------- */

/* A read-only buffer of the slots' counts, one unsigned int each, for the policy. They stay where
 * they are as long as the Window lives. */
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

/* --- attributes ---------------------------------------------------------- */

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

GUARD_FAST(window_kmap, window_owner)
GUARD_TWO(window_kunmap, window_owner)
GUARD_TWO(window_flush_unused, window_owner)
GUARD_TWO(window_close, window_owner)
GUARD_TWO(window_open, window_owner)
GUARD_TWO(window_map, window_owner)
GUARD_TWO(window_next_free, window_owner)
GUARD_TWO(window_wait, window_owner)
GUARD_TWO(window_shown, window_owner)

static PyMethodDef window_methods[] = {
    {"kmap", FAST(GUARDED(window_kmap)),
     "kmap($self, page, /, index=0, *, timeout=None)\n--\n\n"
     "A view of the aligned run of 2**order frames that holds frame index of the Page: a\n"
     "Buffer over the part of the run that is the Page's. It ends at kunmap() or with its\n"
     "with block, and has a reference on the Page's block.\n\n"
     "timeout: seconds to wait for a slot when all are in use; None: do not wait.\n"
     "Raises WindowExhaustedError, IndexError, ValueError for a freed Page or a closed\n"
     "Window, InvalidPointerError, ArenaClosedError, ArenaForkedError, TypeError.\n\n"
     ">>> window = arena.window(slots=4)\n>>> with window.kmap(arena.alloc_page()) as view:\n"
     "...     print(view.nbytes)\n4096"},
    {"kunmap", GUARDED(window_kunmap), METH_O,
     "kunmap($self, view, /)\n--\n\n"
     "Ends a view; every later access to it raises ValueError.\n\n"
     "Raises BufferError while arrays or memoryviews of it are alive: it stays mapped then.\n"
     "DoubleFreeError the second time; InvalidPointerError for what is no view of this Window.\n\n"
     ">>> window = arena.window(slots=4)\n>>> window.kunmap(window.kmap(arena.alloc_page()))"},
    {"flush_unused", GUARDED(window_flush_unused), METH_NOARGS,
     "flush_unused($self, /)\n--\n\n"
     "Make every slot that nobody uses free and inaccessible; return how many.\n\n"
     ">>> window = arena.window(slots=4)\n>>> window.flush_unused()\n0"},
    {"close", GUARDED(window_close), METH_NOARGS,
     "close($self, /)\n--\n\n"
     "End kmap; calling it again does nothing. Live views stay valid; the addresses are\n"
     "given up with the last of them.\n\n"
     ">>> window = arena.window(slots=4)\n>>> window.close()\n>>> window.closed\nTrue"},
    {"_open", GUARDED(window_open), METH_VARARGS, NULL},
    {"_map", GUARDED(window_map), METH_VARARGS, NULL},
    {"_next_free", GUARDED(window_next_free), METH_O, NULL},
    {"_wait", GUARDED(window_wait), METH_O, NULL},
    {"_shown", GUARDED(window_shown), METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

GUARD_GET(get_arena, window_owner)
GUARD_GET(get_closed, window_owner)
GUARD_GET(get_slots, window_owner)
GUARD_GET(get_base, window_owner)
GUARD_GET(get_nbytes, window_owner)
GUARD_GET(get_order, window_owner)
GUARD_GET(get_figures, window_owner)

static PyGetSetDef window_getset[] = {
    {"arena", GUARDED(get_arena), NULL, "The Arena whose frames it shows.", NULL},
    {"closed", GUARDED(get_closed), NULL, "True once close() was called, bool.", NULL},
    {"slots", GUARDED(get_slots), NULL, "How many runs it can show at once, int.", NULL},
    {"base", GUARDED(get_base), NULL, "Address of slot 0, int; 0 once closed.", NULL},
    {"nbytes", GUARDED(get_nbytes), NULL, "Bytes of address space of all slots, int.", NULL},
    {"order", GUARDED(get_order), NULL, "A slot shows 2**order frames, int.", NULL},
    {"_figures", GUARDED(get_figures), NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject *window_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)"The part of pyslab.Window that is written in C."},
        {Py_tp_new, (void *)window_tp_new},
        {Py_tp_dealloc, (void *)window_dealloc},
        {Py_tp_traverse, (void *)window_traverse},
        {Py_tp_clear, (void *)GUARDED(window_clear)},
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

/* usage_type.c - a block of time in which an arena's use is counted exactly.
 *
 * What it is: the C part of arena.statistics(): it opens the core's usage block when it is
 * made, tells its figures, and closes it; and Arena._reset_peak().
 * What it is not: a context manager, or nesting: src/pyslab/statistics.py.
 *
 * Lifetime. An open one pins its arena and owns a reference to it, so that the figures can
 * be told to the end; one that is dropped open closes itself.
 * Invariant: while it is open, and only then, its block is on the core's list and the arena is
 * pinned.
 * Lock: the GIL, or the arena (arena_guard.h); the core's list has its own.
 */
#include "python/usage/usage_type.h"

#include "python/arena/arena_guard.h"
#include "python/arena/arena_object.h"

typedef struct {
    PyObject_HEAD
    ArenaObject *arena;        /* owned */
    struct usage_block block;  /* on the core's list while open */
    struct usage_figures last; /* once closed */
    bool open;
} UsageObject;

static struct page_alloc *pages_of(const UsageObject *self)
{
    return &self->arena->core->pages;
}

/* UsageBlock(arena) */
static PyObject *usage_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *arena;
    UsageObject *self;

    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "UsageBlock() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!", objects.arena_type, &arena))
        return NULL;
    arena_pin((ArenaObject *)arena);
    self = arena_is_open((ArenaObject *)arena) ? (UsageObject *)type->tp_alloc(type, 0) : NULL;
    if (self == NULL) {
        arena_unpin((ArenaObject *)arena);
        return NULL;
    }
    self->arena = (ArenaObject *)Py_NewRef(arena);
    usage_open(pages_of(self)->usage, pages_of(self)->domain, &self->block);
    self->open = true; /* the pin stays */
    return (PyObject *)self;
}

static void usage_end(UsageObject *self)
{
    if (!self->open)
        return;
    usage_close(pages_of(self)->usage, pages_of(self)->domain, &self->block, &self->last);
    self->open = false;
    arena_unpin(self->arena);
}

static void usage_dealloc(PyObject *op)
{
    UsageObject *self = (UsageObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    if (self->arena != NULL) {
        guard_begin(self->arena);
        usage_end(self);
        guard_end();
    }
    Py_XDECREF(self->arena);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *method_close(PyObject *op, PyObject *unused)
{
    (void)unused;
    usage_end((UsageObject *)op);
    Py_RETURN_NONE;
}

static PyObject *method_read(PyObject *op, PyObject *unused)
{
    UsageObject *self = (UsageObject *)op;
    struct usage_figures f = self->last;

    (void)unused;
    if (self->open)
        usage_read(pages_of(self)->usage, &self->block, &f);
    return Py_BuildValue("LLLLKK", (long long)f.current_bytes, (long long)f.current_count,
                         (long long)f.peak_bytes, (long long)f.peak_count,
                         (unsigned long long)f.total_bytes, (unsigned long long)f.total_count);
}

PyObject *arena_reset_peak(PyObject *op, PyObject *unused)
{
    ArenaObject *self = (ArenaObject *)op;

    (void)unused;
    if (!arena_is_mapped(self))
        return NULL;
    page_alloc_reset_peak(&self->core->pages);
    Py_RETURN_NONE;
}

GUARD_TWO(method_read, owner_of_member)
GUARD_TWO(method_close, owner_of_member)

static PyMethodDef usage_methods[] = {
    {"read", GUARDED(method_read), METH_NOARGS,
     "read($self, /)\n--\n\n"
     "current_bytes, current_count, peak_bytes, peak_count, total_bytes, total_count since\n"
     "the block was opened; after close() as they were then."},
    {"close", GUARDED(method_close), METH_NOARGS,
     "close($self, /)\n--\n\nEnds the block; calling it again does nothing."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject *usage_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)"The part of arena.statistics() that is written in C."},
        {Py_tp_new, (void *)usage_new},
        {Py_tp_dealloc, (void *)usage_dealloc},
        {Py_tp_methods, usage_methods},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab._core.UsageBlock",
        .basicsize = sizeof(UsageObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

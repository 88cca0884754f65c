/* region_type.c - pyslab.Region: the type, its attributes, and what the garbage collector sees. */
#include "python/region/region_type.h"

#include "python/arena/arena_guard.h"
#include "python/region/region_calls.h"
#include "python/region/region_end.h"
#include "python/region/region_object.h"

#include <stddef.h>

static const char region_doc[] =
    "Buffers that go together, from Arena.region(); a context manager.\n\n"
    "alloc() moves a pointer; rewind(), reset() and the end of the with give back all that\n"
    "came after a mark, or everything, and release the Buffers. A Region has one owner at a\n"
    "time: a call in the middle of another one on it, or on a child, is a PyslabError.\n\n"
    ">>> with arena.region() as region:\n"
    "...     first = region.alloc(32)\n"
    "...     mark = region.mark()\n"
    "...     second = region.alloc(32)\n"
    "...     region.rewind(mark)\n"
    "...     print(first.released, second.released)\n"
    "False True";

/* --- attributes ---------------------------------------------------------- */

static pyslab_region_stats region_figures(const RegionObject *self)
{
    pyslab_region_stats stats = {0};

    if (self->core != NULL)
        region_stats(self->core, &stats);
    return stats;
}

static PyObject *get_used(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(region_figures(region_of(op)).used_bytes);
}

static PyObject *get_reserved(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(region_figures(region_of(op)).reserved_bytes);
}

static PyObject *get_nr_blocks(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(region_figures(region_of(op)).nr_blocks);
}

static PyObject *get_nr_large(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(region_figures(region_of(op)).nr_large);
}

static PyObject *get_closed(PyObject *op, void *unused)
{
    (void)unused;
    return PyBool_FromLong(region_of(op)->closed);
}

static PyObject *region_repr(PyObject *op)
{
    pyslab_region_stats stats = region_figures(region_of(op));

    return PyUnicode_FromFormat("<pyslab.Region used=%llu reserved=%llu%s>",
                                (unsigned long long)stats.used_bytes,
                                (unsigned long long)stats.reserved_bytes,
                                region_of(op)->closed    ? " closed"
                                : region_of(op)->closing ? " closing"
                                                         : "");
}

GUARD_ONE(region_repr, owner_of_member)

GUARD_GET(get_used, owner_of_member)
GUARD_GET(get_reserved, owner_of_member)
GUARD_GET(get_nr_blocks, owner_of_member)
GUARD_GET(get_nr_large, owner_of_member)
GUARD_GET(get_closed, owner_of_member)

static PyGetSetDef region_getset[] = {
    {"used", GUARDED(get_used), NULL,
     "Bytes handed out, with padding; large objects by frames; int. Children have their own.",
     NULL},
    {"reserved", GUARDED(get_reserved), NULL, "Bytes of the region's frames, int.", NULL},
    {"nr_blocks", GUARDED(get_nr_blocks), NULL, "Page blocks that Buffers share, int.", NULL},
    {"nr_large", GUARDED(get_nr_large), NULL, "Buffers with frames of their own, int.", NULL},
    {"closed", GUARDED(get_closed), NULL, "True once the region has come to its end, bool.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef region_members[] = {
    {"arena", T_OBJECT, offsetof(RegionObject, arena), READONLY, "The Arena it belongs to."},
    {"parent", T_OBJECT, offsetof(RegionObject, parent), READONLY,
     "The Region that it is a child of, or None."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(RegionObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* --- life ---------------------------------------------------------------- */

/* Each Buffer owns a reference to its Region, so none is left. */
static void region_finalize(PyObject *op)
{
    struct saved_error saved;

    PyErr_Fetch(&saved.type, &saved.value, &saved.traceback);
    guard_begin(region_of(op)->arena);
    if (region_object_close(region_of(op), "close") < 0)
        PyErr_WriteUnraisable(op);
    guard_end();
    PyErr_Restore(saved.type, saved.value, saved.traceback);
}

static int region_traverse(PyObject *op, visitproc visit, void *arg)
{
    RegionObject *self = region_of(op);

    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->arena);
    Py_VISIT(self->parent);
    for (uint32_t i = 0; i < self->nr_entries; i++)
        if (self->entries[i].kind == ENTRY_CALLABLE)
            Py_VISIT(self->entries[i].object);
    return 0;
}

/* region_finalize has closed the region, so that of what the collector looks at only the arena and
 * the parent are left. The parent's entries may be in another thread's hands (try_incref), so all
 * of it is guarded. False: the finalizer has made a new reference. */
static bool region_leave(RegionObject *self)
{
    bool gone;

    PyObject_GC_Track((PyObject *)self);
    gone = PyObject_CallFinalizerFromDealloc((PyObject *)self) == 0;
    if (gone) {
        PyObject_GC_UnTrack((PyObject *)self);
        /* Before the callbacks of weak references can find it in the parent. */
        region_leave_parent(self);
    }
    return gone;
}

static void region_dealloc(PyObject *op)
{
    RegionObject *self = region_of(op);
    PyTypeObject *type = Py_TYPE(op);
    bool gone;

    /* While this thread waits for the guard another one may collect garbage, and would take an
     * object without references for some. object_new() may have failed before it was tracked. */
    PyObject_GC_UnTrack(op);
    guard_begin(self->arena);
    gone = region_leave(self);
    guard_end();
    if (!gone)
        return;
    if (self->weakrefs != NULL)
        PyObject_ClearWeakRefs(op);
    PyMem_Free(self->entries);
    Py_XDECREF(self->parent);
    Py_DECREF(self->arena);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

PyTypeObject *region_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)region_doc},
        {Py_tp_dealloc, (void *)region_dealloc},
        {Py_tp_finalize, (void *)region_finalize},
        {Py_tp_traverse, (void *)region_traverse},
        {Py_tp_repr, (void *)GUARDED(region_repr)},
        {Py_tp_methods, region_methods},
        {Py_tp_getset, region_getset},
        {Py_tp_members, region_members},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab.Region",
        .basicsize = sizeof(RegionObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

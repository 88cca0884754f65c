/* region_calls.c - the methods of Region, and Arena.region().
 *
 * Arguments are converted before the state is looked at: a conversion may run Python
 * code that closes the region.
 */
#include "python/region/region_calls.h"

#include "python/arena/arena_guard.h"
#include "python/call/args.h"
#include "python/call/errors.h"
#include "python/region/region_buffer.h"
#include "python/region/region_end.h"
#include "python/region/region_object.h"

/* False with an exception set for a closed region, and, if it is to allocate, for a closed arena.
 * A region that is coming to its end still allocates for the callables that run then. */
static bool region_is_usable(const RegionObject *self, bool allocating)
{
    bool at_its_end = self->closing && !self->closed && self->nr_busy != 0;

    if (self->closing && !(allocating && at_its_end)) {
        PyErr_Format(PyExc_ValueError, "operation on a %s region",
                     self->closed ? "closed" : "closing");
        return false;
    }
    return !allocating || arena_is_open(self->arena);
}

/* --- allocation ---------------------------------------------------------- */

static void *alloc_core(RegionObject *self, size_t size, size_t align, bool zero)
{
    void *p;

    region_object_enter(self);
    if (zero)
        p = region_alloc_zeroed(self->core, size, align);
    else
        p = region_alloc_aligned(self->core, size, align);
    region_object_leave(self);
    /* An exception of a shrinker comes out of the call, and the memory stays in the region. */
    return PyErr_Occurred() ? NULL : p;
}

/* A Buffer of n bytes, with its entry. One of 0 bytes takes a byte of the region, so that every
 * Buffer lies before or behind a mark. */
static PyObject *alloc_buffer(RegionObject *self, Py_ssize_t n, size_t align, bool zero)
{
    PyObject *buffer;
    void *p;

    if (!region_is_usable(self, true))
        return NULL;
    Py_INCREF(self);
    arena_pin(self->arena);
    p = alloc_core(self, n == 0 ? 1 : (size_t)n, align != 0 ? align : REGION_ALIGN, zero);
    /* Room for the entry is made only now, because callbacks may have taken it. */
    if (p == NULL)
        buffer = raise_out_of_memory(self->arena, (size_t)n, align > REGION_ALIGN ? align : 0,
                                     PYSLAB_GFP_KERNEL);
    else if (!entries_reserve(self))
        buffer = NULL;
    else
        buffer = buffer_new(self->arena, p, n, &region_buffer_ops, (PyObject *)self);
    if (buffer != NULL)
        entry_add(self, buffer, ENTRY_BUFFER);
    arena_unpin(self->arena);
    Py_DECREF(self);
    return buffer;
}

static bool alloc_keywords(const char *function, PyObject *const *values, PyObject *kwnames,
                           size_t *align)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);

        if (PyUnicode_CompareWithASCIIString(name, "align") != 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", function,
                         name);
            return false;
        }
        if (!arg_align(values[i], align))
            return false;
    }
    return true;
}

static PyObject *alloc_with(PyObject *op, const char *function, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames, bool zero)
{
    RegionObject *self = region_of(op);
    size_t align = REGION_ALIGN;
    Py_ssize_t n;

    if (nargs != 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes 1 positional argument, got %zd", function, nargs);
        return NULL;
    }
    if (kwnames != NULL && !alloc_keywords(function, args + nargs, kwnames, &align))
        return NULL;
    if (!region_is_usable(self, true))
        return NULL;
    n = arg_size(self->arena, args[0], "n");
    return n < 0 ? NULL : alloc_buffer(self, n, align, zero);
}

static PyObject *method_alloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    return alloc_with(op, "alloc", args, nargs, kwnames, false);
}

static PyObject *method_zalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames)
{
    return alloc_with(op, "zalloc", args, nargs, kwnames, true);
}

/* --- marks --------------------------------------------------------------- */

static PyObject *method_mark(PyObject *op, PyObject *unused)
{
    RegionObject *self = region_of(op);
    uint64_t mark;

    (void)unused;
    if (!region_is_usable(self, false) || !region_is_idle(self, "mark"))
        return NULL;
    mark = region_mark(self->core);
    return mark == 0 ? PyErr_NoMemory() : PyLong_FromUnsignedLongLong(mark);
}

static PyObject *method_rewind(PyObject *op, PyObject *arg)
{
    RegionObject *self = region_of(op);
    uint64_t mark;

    if (!PyLong_Check(arg) || PyBool_Check(arg)) {
        PyErr_Format(PyExc_TypeError, "rewind() takes what mark() returned, not %.100s",
                     Py_TYPE(arg)->tp_name);
        return NULL;
    }
    mark = PyLong_AsUnsignedLongLong(arg);
    if (mark == (uint64_t)-1 && PyErr_Occurred())
        PyErr_Clear(); /* larger than any mark: refused below */
    if (!region_is_usable(self, false) || !region_is_idle(self, "rewind"))
        return NULL;
    if (mark == 0 || !region_mark_is_live(self->core, mark)) {
        PyErr_SetString(PyExc_ValueError, "rewind: not a mark of this region, or one that lies "
                                          "behind an earlier rewind() or reset()");
        return NULL;
    }
    return region_object_go_back(self, "rewind", mark) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *method_reset(PyObject *op, PyObject *unused)
{
    RegionObject *self = region_of(op);

    (void)unused;
    if (!region_is_usable(self, false) || !region_is_idle(self, "reset"))
        return NULL;
    return region_object_go_back(self, "reset", 0) < 0 ? NULL : Py_NewRef(Py_None);
}

/* --- children, callables, the end ---------------------------------------- */

/* The hint in bytes, the only argument, positional or by name; -1 with an exception set. */
static Py_ssize_t arg_hint(ArenaObject *arena, const char *function, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t nr_keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    if (nr_keywords != 0 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "hint") != 0) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", function,
                     PyTuple_GET_ITEM(kwnames, 0));
        return -1;
    }
    if (nargs + nr_keywords > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument, got %zd", function,
                     nargs + nr_keywords);
        return -1;
    }
    return nargs + nr_keywords == 0 ? 0 : arg_size(arena, args[0], "hint");
}

PyObject *arena_region(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *arena = (ArenaObject *)op;
    Py_ssize_t hint;

    if (!arena_is_open(arena) || (hint = arg_hint(arena, "region", args, nargs, kwnames)) < 0 ||
        !arena_is_open(arena))
        return NULL;
    return region_object_new(arena, NULL, hint);
}

static PyObject *method_child(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    RegionObject *self = region_of(op);
    Py_ssize_t hint;

    if (!region_is_usable(self, true) ||
        (hint = arg_hint(self->arena, "child", args, nargs, kwnames)) < 0 ||
        !region_is_usable(self, true) || !region_is_idle(self, "child"))
        return NULL;
    return region_object_new(self->arena, self, hint);
}

static PyObject *method_on_exit(PyObject *op, PyObject *callable)
{
    RegionObject *self = region_of(op);

    if (!PyCallable_Check(callable)) {
        PyErr_Format(PyExc_TypeError, "on_exit() takes a callable, not %.100s",
                     Py_TYPE(callable)->tp_name);
        return NULL;
    }
    if (!region_is_usable(self, false) || !region_is_idle(self, "on_exit") ||
        !entries_reserve(self))
        return NULL;
    region_touch(self->core);
    entry_add(self, Py_NewRef(callable), ENTRY_CALLABLE);
    return Py_NewRef(callable);
}

static PyObject *method_close(PyObject *op, PyObject *unused)
{
    (void)unused;
    return region_object_close(region_of(op), "close") < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *method_enter(PyObject *op, PyObject *unused)
{
    (void)unused;
    return region_is_usable(region_of(op), true) ? Py_NewRef(op) : NULL;
}

static PyObject *method_exit(PyObject *op, PyObject *args)
{
    (void)args;
    return region_object_close(region_of(op), "exit") < 0 ? NULL : Py_NewRef(Py_None);
}

/* --- the table ----------------------------------------------------------- */

GUARD_FAST(method_alloc, owner_of_member)
GUARD_FAST(method_zalloc, owner_of_member)
GUARD_FAST(method_child, owner_of_member)
GUARD_TWO(method_mark, owner_of_member)
GUARD_TWO(method_rewind, owner_of_member)
GUARD_TWO(method_reset, owner_of_member)
GUARD_TWO(method_on_exit, owner_of_member)
GUARD_TWO(method_close, owner_of_member)
GUARD_TWO(method_enter, owner_of_member)
GUARD_TWO(method_exit, owner_of_member)

PyMethodDef region_methods[] = {
    {"alloc", FAST(GUARDED(method_alloc)),
     "alloc($self, n, /, *, align=16)\n--\n\n"
     "A Buffer of n bytes, content unspecified, that lives until the region goes back.\n\n"
     "n: int bytes or a string such as \"1KiB\"; more than 64 KiB gets frames of its own.\n"
     "align: power of two; below 16 means 16.\n"
     "Raises OutOfMemoryError, ArenaClosedError, ValueError for a closed region, TypeError.\n\n"
     ">>> region = arena.region()\n>>> region.alloc(32).nbytes\n32"},
    {"zalloc", FAST(GUARDED(method_zalloc)),
     "zalloc($self, n, /, *, align=16)\n--\n\nAs alloc(), with every byte zero.\n\n"
     "Raises as alloc().\n\n>>> region = arena.region()\n>>> region.zalloc(32)[0]\n0"},
    {"mark", GUARDED(method_mark), METH_NOARGS,
     "mark($self, /)\n--\n\n"
     "Where the region is now, an int for rewind(). Raises ValueError for a closed region.\n\n"
     ">>> region = arena.region()\n>>> region.rewind(region.mark())"},
    {"rewind", GUARDED(method_rewind), METH_O,
     "rewind($self, mark, /)\n--\n\n"
     "Gives back what came after the mark, which stays valid: calls on_exit's callables and\n"
     "closes children, last first, then releases the Buffers.\n\n"
     "Memory that objects without an export may know (numpy.ndarray(buffer=buf)) is not\n"
     "used again before a rewind() or reset() after their end.\n"
     "Raises BufferError while a view of a Buffer concerned is alive; ValueError for a mark\n"
     "of another region, or behind an earlier rewind() or reset(); and what callables raise,\n"
     "after all of it is done.\n\n"
     ">>> region = arena.region()\n>>> mark = region.mark()\n>>> buf = region.alloc(32)\n"
     ">>> region.rewind(mark)\n>>> buf.released\nTrue"},
    {"reset", GUARDED(method_reset), METH_NOARGS,
     "reset($self, /)\n--\n\n"
     "Gives everything back, as rewind() does; the memory stays with the region.\n\n"
     "Raises as rewind().\n\n>>> region = arena.region()\n>>> buf = region.alloc(32)\n"
     ">>> region.reset()\n>>> buf.released\nTrue"},
    {"child", FAST(GUARDED(method_child)),
     "child($self, /, hint=0)\n--\n\n"
     "A Region inside this one: closed when this one is, or is rewound to an earlier mark.\n"
     "Raises as Arena.region(); ValueError more than 63 deep.\n\n"
     ">>> region = arena.region()\n>>> with region.child() as child:\n"
     "...     print(child.parent is region)\nTrue"},
    {"on_exit", GUARDED(method_on_exit), METH_O,
     "on_exit($self, callback, /)\n--\n\n"
     "Has callback() called when the region goes back behind this point; returns callback.\n\n"
     "The last one registered is called first, while all Buffers can still be used. It may\n"
     "allocate. What it raises comes out of the call that goes back, after all of it is done, as "
     "with\n"
     "contextlib.ExitStack.\n\n"
     ">>> region = arena.region()\n>>> _ = region.on_exit(lambda: print(\"it ends\"))\n"
     ">>> region.close()\nit ends"},
    {"close", GUARDED(method_close), METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Gives everything back and ends the region; calling it again does nothing.\n\n"
     "Raises BufferError while a view of a Buffer is alive: the region takes no more\n"
     "allocations then, the Buffers stay valid, and it closes when it is closed again or the\n"
     "last view goes. Raises what callables raise, after all of it is done.\n\n"
     ">>> region = arena.region()\n>>> region.close()\n>>> region.closed\nTrue"},
    {"__enter__", GUARDED(method_enter), METH_NOARGS, NULL},
    {"__exit__", GUARDED(method_exit), METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* args.c - from Python arguments to sizes, orders, alignments and gfp masks.
 *
 * Conversions may run Python code (__index__), so each looks at the arena's state after it has
 * the number.
 */
#include "python/call/args.h"

/* True for any enum.Flag: a gfp mask is an int to Python, but given as a size, an order or an
 * alignment it is a mistake. */
static bool is_flag(PyObject *arg)
{
    return !PyLong_CheckExact(arg) && PyLong_Check(arg) &&
           PyObject_IsInstance(arg, objects.flag_type) == 1;
}

/* The argument as an int object, a new reference; NULL with TypeError set. what: its name. */
static PyObject *index_of(PyObject *arg, const char *what)
{
    if (is_flag(arg)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, not the flag %R", what, arg);
        return NULL;
    }
    if (!PyIndex_Check(arg)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, not %.100s", what, Py_TYPE(arg)->tp_name);
        return NULL;
    }
    return PyNumber_Index(arg);
}

/* Raises the right exception for a number that is negative, or too large for any arena. */
static Py_ssize_t size_out_of_range(ArenaObject *arena, PyObject *number, const char *what)
{
    PyObject *zero = PyLong_FromLong(0);
    int negative = zero == NULL ? -1 : PyObject_RichCompareBool(number, zero, Py_LT);

    Py_XDECREF(zero);
    PyErr_Clear();
    if (negative == 1)
        PyErr_Format(PyExc_ValueError, "%s must not be negative, got %S", what, number);
    else
        PyErr_Format(objects.out_of_memory,
                     "cannot allocate %S bytes: the arena has %llu; hint: no larger arena "
                     "could hold this either",
                     number, (unsigned long long)arena->core->bytes);
    return -1;
}

Py_ssize_t arg_count(ArenaObject *arena, PyObject *arg, const char *what)
{
    PyObject *number = index_of(arg, what);
    Py_ssize_t size;

    if (number == NULL)
        return -1;
    size = PyLong_AsSsize_t(number);
    if (size < 0)
        size = arena_is_open(arena) ? size_out_of_range(arena, number, what) : -1;
    Py_DECREF(number);
    return size;
}

Py_ssize_t arg_size(ArenaObject *arena, PyObject *arg, const char *what)
{
    PyObject *number;
    Py_ssize_t size;

    if (likely(PyLong_CheckExact(arg))) {
        size = PyLong_AsSsize_t(arg);
        if (likely(size >= 0))
            return size;
        PyErr_Clear();
        return arena_is_open(arena) ? size_out_of_range(arena, arg, what) : -1;
    }
    if (!arena_is_open(arena))
        return -1;
    if (!PyUnicode_Check(arg))
        return arg_count(arena, arg, what);
    number = PyObject_CallOneArg(objects.parse_bytes, arg);
    if (number == NULL)
        return -1;
    size = arena_is_open(arena) ? arg_count(arena, number, what) : -1;
    Py_DECREF(number);
    return size;
}

int arg_order(ArenaObject *arena, PyObject *arg)
{
    PyObject *number = index_of(arg, "order");
    unsigned max_order;
    int overflow;
    long order;

    if (number == NULL)
        return -1;
    order = PyLong_AsLongAndOverflow(number, &overflow);
    if (!arena_is_open(arena)) {
        Py_DECREF(number);
        return -1;
    }
    max_order = arena->core->pages.max_order;
    if (overflow != 0 || order < 0 || order > (long)max_order) {
        PyErr_Format(PyExc_ValueError, "order must be between 0 and max_order %u, got %S",
                     max_order, number);
        order = -1;
    }
    Py_DECREF(number);
    return (int)order;
}

bool arg_align(PyObject *arg, size_t *align)
{
    PyObject *number = index_of(arg, "align");
    Py_ssize_t value;

    if (number == NULL)
        return false;
    value = PyLong_AsSsize_t(number);
    if (value == -1 && PyErr_Occurred())
        PyErr_Clear();
    if (value < 0 || (value != 0 && !is_power_of_two((uint64_t)value))) {
        PyErr_Format(PyExc_ValueError, "align must be 0 or a power of two, got %S", number);
        Py_DECREF(number);
        return false;
    }
    Py_DECREF(number);
    *align = (size_t)value;
    return true;
}

bool arg_nofail(uint32_t gfp, size_t nbytes)
{
    unsigned order = nbytes == 0 ? 0 : order_for_pages(bytes_to_pages(nbytes));

    if (gfp_nofail_valid(gfp, order))
        return true;
    PyErr_SetString(
        PyExc_ValueError,
        "GFP.NOFAIL needs GFP.DIRECT_RECLAIM, and at most two frames: it waits for ever");
    return false;
}

bool arg_no_nofail(const char *function, uint32_t gfp)
{
    if ((gfp & PYSLAB_GFP_NOFAIL) == 0)
        return true;
    PyErr_Format(PyExc_ValueError, "%s() does not wait: GFP.NOFAIL is not for it", function);
    return false;
}

bool arg_drop_highmem(const char *function, uint32_t *gfp)
{
    if (likely((*gfp & GFP_SLAB_BUG_BITS) == 0))
        return true;
    *gfp &= ~(GFP_SLAB_BUG_BITS | (uint32_t)PYSLAB_GFP_MOVABLE);
    return PyErr_WarnFormat(PyExc_RuntimeWarning, 1,
                            "%s() returns memory with an address: GFP.HIGHMEM and GFP.DMA32 are "
                            "dropped",
                            function) == 0;
}

bool arg_gfp(PyObject *arg, uint32_t *gfp)
{
    unsigned long value;

    if (!PyLong_Check(arg) || PyBool_Check(arg)) {
        PyErr_Format(PyExc_TypeError, "gfp must be a pyslab.GFP, not %.100s",
                     Py_TYPE(arg)->tp_name);
        return false;
    }
    value = PyLong_AsUnsignedLong(arg);
    if ((value == (unsigned long)-1 && PyErr_Occurred()) || value > UINT32_MAX ||
        !gfp_valid((uint32_t)value)) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "%R is not a valid gfp mask: unknown bits, or two zones",
                     arg);
        return false;
    }
    *gfp = (uint32_t)value;
    return true;
}

PyObject *arg_sequence(PyObject *arg, const char *message)
{
#ifdef Py_GIL_DISABLED
    if (PyList_CheckExact(arg)) /* another thread may change it at any time */
        return PyList_AsTuple(arg);
#endif
    return PySequence_Fast(arg, message);
}

bool arg_options(const char *function, Py_ssize_t nargs, Py_ssize_t nr_positional,
                 PyObject *const *args, PyObject *kwnames, bool align_allowed,
                 struct alloc_options *out)
{
    Py_ssize_t nr_keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    *out = (struct alloc_options){.align = 0, .gfp = PYSLAB_GFP_KERNEL};
    if (nargs != nr_positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd positional argument%s, got %zd", function,
                     nr_positional, nr_positional == 1 ? "" : "s", nargs);
        return false;
    }
    for (Py_ssize_t i = 0; i < nr_keywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        bool ok;

        if (PyUnicode_CompareWithASCIIString(name, "gfp") == 0) {
            ok = arg_gfp(args[nargs + i], &out->gfp);
        } else if (align_allowed && PyUnicode_CompareWithASCIIString(name, "align") == 0) {
            ok = arg_align(args[nargs + i], &out->align);
        } else {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", function,
                         name);
            ok = false;
        }
        if (!ok)
            return false;
    }
    return true;
}

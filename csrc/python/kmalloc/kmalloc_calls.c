/* kmalloc_calls.c - Arena.kmalloc() and its relatives: arguments, the core's call, a Buffer. */
#include "python/kmalloc/kmalloc_calls.h"

#include "python/arena/arena_guard.h"
#include "python/call/args.h"
#include "python/call/errors.h"
#include "python/call/gil.h"
#include "python/kmalloc/kmalloc_buffer.h"

/* The core's allocation, without the GIL if much must be cleared. */
static void *kmalloc_core(ArenaObject *self, size_t size, size_t align, uint32_t gfp)
{
    struct kmalloc *km = &self->core->kmalloc;
    bool zero = (gfp & PYSLAB_GFP_ZERO) != 0;
    bool aligned = align > sizeof(uint64_t);
    void *p;

    arena_pin(self);
    if (zero && size >= LONG_WORK_BYTES) {
        Py_BEGIN_ALLOW_THREADS
        p = aligned ? kmalloc_aligned(km, size, align, gfp) : kmalloc_zeroed(km, size, gfp);
        Py_END_ALLOW_THREADS
    } else if (aligned) {
        p = kmalloc_aligned(km, size, align, gfp);
    } else {
        p = zero ? kmalloc_zeroed(km, size, gfp) : kmalloc_alloc(km, size, gfp);
    }
    arena_unpin_keeping(self);
    return p;
}

PyObject *kmalloc_buffer_new(ArenaObject *self, const char *function, Py_ssize_t size,
                             const struct alloc_options *options)
{
    uint32_t gfp = options->gfp;
    void *p;

    if (!arg_nofail(gfp, (size_t)size) || !arg_drop_highmem(function, &gfp))
        return NULL;
    do
        p = kmalloc_core(self, (size_t)size, options->align, gfp & ~(uint32_t)PYSLAB_GFP_NOFAIL);
    while (p == NULL && nofail_again(self, gfp));
    if (p == NULL)
        return raise_out_of_memory(self, (size_t)size, options->align, gfp);
    return buffer_new(self, p, size, &kmalloc_buffer_ops, NULL);
}

/* Not inlined: kmalloc(size) would save its registers for it. */
static slow_path PyObject *kmalloc_with(PyObject *op, const char *function, uint32_t extra_gfp,
                                        PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct alloc_options options;
    Py_ssize_t size;

    if (!arg_options(function, nargs, 1, args, kwnames, true, &options))
        return NULL;
    options.gfp |= extra_gfp;
    size = arg_size(self, args[0], "size");
    if (size < 0 || !arena_is_open(self))
        return NULL;
    return kmalloc_buffer_new(self, function, size, &options);
}

static PyObject *kmalloc_any(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    return kmalloc_with(op, "kmalloc", 0, args, nargs, kwnames);
}

PINNED_FAST(kmalloc_any)

/* The value of an exact int; -1 with an exception set if it is too large. Any negative number is
 * possible. */
static always_inline Py_ssize_t exact_int_value(PyObject *number)
{
#if PY_VERSION_HEX >= 0x030C0000
    if (likely(PyUnstable_Long_IsCompact((PyLongObject *)number)))
        return PyUnstable_Long_CompactValue((PyLongObject *)number);
#endif
    return PyLong_AsSsize_t(number);
}

/* kmalloc(size): the usual call, with an exact int and nothing more, is served here, in as few
 * instructions as can be; every other form goes to kmalloc_with. */
PyObject *method_kmalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;

    if (likely(nargs == 1 && kwnames == NULL && PyLong_CheckExact(args[0]) && !self->closed)) {
        Py_ssize_t size = exact_int_value(args[0]);

        if (likely(size >= 0)) {
            void *p = kmalloc_alloc(&self->core->kmalloc, (size_t)size, PYSLAB_GFP_KERNEL);

            if (likely(p != NULL))
                return buffer_new(self, p, size, &kmalloc_buffer_ops, NULL);
            return raise_out_of_memory(self, (size_t)size, 0, PYSLAB_GFP_KERNEL);
        }
        PyErr_Clear();
    }
    return GUARDED(kmalloc_any)(op, args, nargs, kwnames);
}

PyObject *method_kzalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return kmalloc_with(op, "kzalloc", PYSLAB_GFP_ZERO, args, nargs, kwnames);
}

PyObject *kmalloc_buffer_resize(ArenaObject *self, const char *function, BufferObject *buffer,
                                Py_ssize_t size, uint32_t gfp)
{
    int failed;

    if (!arg_nofail(gfp, (size_t)size) || !arg_drop_highmem(function, &gfp))
        return NULL;
    if (!arena_is_open(self))
        return NULL;
    critical_begin(buffer);
    failed = buffer_resize(buffer, size, gfp);
    critical_end();
    return failed < 0 ? NULL : Py_NewRef((PyObject *)buffer);
}

PyObject *method_krealloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct alloc_options options;
    BufferObject *buffer;
    Py_ssize_t size;

    if (!arg_options("krealloc", nargs, 2, args, kwnames, false, &options))
        return NULL;
    buffer = arg_buffer(self, args[0]);
    size = buffer == NULL ? -1 : arg_size(self, args[1], "size");
    if (size < 0)
        return NULL;
    return kmalloc_buffer_resize(self, "krealloc", buffer, size, options.gfp);
}

static PyObject *ksize(PyObject *op)
{
    const BufferObject *buffer = (BufferObject *)op;

    if (buffer->released) {
        PyErr_SetString(PyExc_ValueError, "ksize of a released Buffer");
        return NULL;
    }
    return PyLong_FromSize_t(buffer_capacity(buffer));
}

GUARD_ONE(ksize, buffer_owner)

PyObject *method_ksize(PyObject *op, PyObject *arg)
{
    BufferObject *buffer = arg_buffer((ArenaObject *)op, arg);

    if (buffer == NULL)
        return NULL;
    return GUARDED(ksize)((PyObject *)buffer);
}

PyObject *method_kfree(PyObject *op, PyObject *arg)
{
    BufferObject *buffer = arg_buffer((ArenaObject *)op, arg);

    if (buffer == NULL || buffer_kfree(buffer, "kfree") < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* family_calls.c - Arena.kmalloc_array() and its relatives: arrays, copies, and secrets.
 *
 * What it is: the kernel's family around kmalloc; each turns its arguments into a size, and lets
 * kmalloc's own calls do the work.
 * What it is not: kmalloc(), krealloc() and kfree() themselves (kmalloc_calls.c).
 */
#include "python/kmalloc/family_calls.h"

#include "python/arena/arena_guard.h"
#include "python/call/args.h"
#include "python/call/errors.h"
#include "python/call/gil.h"
#include "python/kmalloc/kmalloc_buffer.h"
#include "python/kmalloc/kmalloc_calls.h"

#include <string.h>

/* --- arrays -------------------------------------------------------------- */

/* n * size of two arguments; -1 with an exception set. What no Py_ssize_t holds is more than any
 * arena has, and arg_count says so. */
static Py_ssize_t arg_array(ArenaObject *arena, PyObject *const *args)
{
    Py_ssize_t n = arg_count(arena, args[0], "n"), bytes;
    Py_ssize_t size = n < 0 ? -1 : arg_size(arena, args[1], "size");
    PyObject *factor, *other, *product = NULL;

    if (size < 0)
        return -1;
    if (likely(!__builtin_mul_overflow(n, size, &bytes)))
        return bytes;
    factor = PyLong_FromSsize_t(n);
    other = PyLong_FromSsize_t(size);
    if (factor != NULL && other != NULL)
        product = PyNumber_Multiply(factor, other);
    Py_XDECREF(factor);
    Py_XDECREF(other);
    if (product == NULL)
        return -1;
    bytes = arg_count(arena, product, "n * size");
    Py_DECREF(product);
    return bytes;
}

static PyObject *array_with(PyObject *op, const char *function, uint32_t extra_gfp,
                            PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct alloc_options options;
    Py_ssize_t nbytes;

    if (!arg_options(function, nargs, 2, args, kwnames, true, &options))
        return NULL;
    options.gfp |= extra_gfp;
    nbytes = arg_array(self, args);
    if (nbytes < 0 || !arena_is_open(self))
        return NULL;
    return kmalloc_buffer_new(self, function, nbytes, &options);
}

PyObject *method_kmalloc_array(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames)
{
    return array_with(op, "kmalloc_array", 0, args, nargs, kwnames);
}

PyObject *method_kcalloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return array_with(op, "kcalloc", PYSLAB_GFP_ZERO, args, nargs, kwnames);
}

PyObject *method_krealloc_array(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct alloc_options options;
    BufferObject *buffer;
    Py_ssize_t nbytes;

    if (!arg_options("krealloc_array", nargs, 3, args, kwnames, false, &options))
        return NULL;
    buffer = arg_buffer(self, args[0]);
    nbytes = buffer == NULL ? -1 : arg_array(self, args + 1);
    if (nbytes < 0)
        return NULL;
    return kmalloc_buffer_resize(self, "krealloc_array", buffer, nbytes, options.gfp);
}

/* --- copies -------------------------------------------------------------- */

/* Writes the view's bytes, in the order of C, to the memory of a new Buffer. */
static int copy_view(BufferObject *to, Py_buffer *from)
{
    if (!PyBuffer_IsContiguous(from, 'C'))
        return PyBuffer_ToContiguous(to->p, from, from->len, 'C');
    if ((size_t)from->len >= LONG_WORK_BYTES) {
        Py_BEGIN_ALLOW_THREADS
        memcpy(to->p, from->buf, (size_t)from->len);
        Py_END_ALLOW_THREADS
    } else if (from->len != 0) {
        memcpy(to->p, from->buf, (size_t)from->len);
    }
    return 0;
}

PyObject *method_kmemdup(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ArenaObject *self = (ArenaObject *)op;
    struct alloc_options options;
    PyObject *copy = NULL;
    Py_buffer view;

    if (!arg_options("kmemdup", nargs, 1, args, kwnames, true, &options) ||
        PyObject_GetBuffer(args[0], &view, PyBUF_FULL_RO) < 0)
        return NULL;
    options.gfp &= ~(uint32_t)PYSLAB_GFP_ZERO; /* every byte is written anyway */
    if (arena_is_open(self))
        copy = kmalloc_buffer_new(self, "kmemdup", view.len, &options);
    if (copy != NULL && copy_view((BufferObject *)copy, &view) < 0)
        Py_CLEAR(copy);
    PyBuffer_Release(&view);
    return copy;
}

/* --- secrets ------------------------------------------------------------- */

/* Clears the Buffer's memory, and what krealloc left behind when views had been made of it. */
static void clear_memory(const BufferObject *self)
{
    while (self != NULL) {
        const PyObject *keep = self->keep;

        if (self->p != NULL)
            kmalloc_clear(&self->arena->core->kmalloc, self->p);
        self = keep != NULL && Py_IS_TYPE(keep, objects.buffer_type) ? (const BufferObject *)keep
                                                                     : NULL;
    }
}

PyObject *method_kfree_sensitive(PyObject *op, PyObject *arg)
{
    BufferObject *buffer = arg_buffer((ArenaObject *)op, arg);
    int failed;

    if (buffer == NULL)
        return NULL;
    if (buffer->ops != &kmalloc_buffer_ops) {
        PyErr_Format(objects.invalid_pointer,
                     "kfree_sensitive: the Buffer is of %s(), not of kmalloc(); hint: clear it, "
                     "then %s()",
                     buffer->ops->made_by, buffer->ops->freed_by);
        return NULL;
    }
    critical_begin(buffer);
    if (!buffer->released && buffer->exports == 0)
        clear_memory(buffer);
    failed = buffer_kfree(buffer, "kfree_sensitive");
    critical_end();
    if (failed < 0)
        return NULL;
    Py_RETURN_NONE;
}

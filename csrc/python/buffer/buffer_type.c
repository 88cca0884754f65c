/* buffer_type.c - pyslab.Buffer: the type, its attributes and its methods. */
#include "python/buffer/buffer_type.h"

#include "python/arena/arena_guard.h"
#include "python/buffer/buffer_access.h"
#include "python/buffer/buffer_copy.h"
#include "python/buffer/buffer_freelist.h"
#include "python/interchange/dlpack.h"
#include "python/share/shared_buffer.h"

#include <stddef.h>

static const char buffer_doc[] =
    "Real bytes in an arena: a writable, one-dimensional buffer of unsigned bytes.\n\n"
    "Made by Arena.kmalloc() and its relatives. The memory goes back when the last\n"
    "reference goes, or at kfree(); a freed Buffer raises ValueError on every access.\n"
    "One that was ever exported (a memoryview, numpy.frombuffer, ...) keeps its memory\n"
    "after kfree() until the Buffer object itself goes, because others may still know the\n"
    "address: drop the object to have the memory back. repr() says so.\n\n"
    ">>> buf = arena.kmalloc(100)\n"
    ">>> buf[:5] = b\"hello\"\n"
    ">>> bytes(buf[:5]), buf.nbytes, buf.capacity\n"
    "(b'hello', 100, 112)\n"
    ">>> arena.kfree(buf)\n"
    ">>> buf.released\n"
    "True";

/* --- methods ------------------------------------------------------------- */

static PyObject *buffer_tobytes(PyObject *op, PyObject *unused)
{
    BufferObject *self = (BufferObject *)op;

    (void)unused;
    if (!buffer_is_usable(self))
        return NULL;
    return PyBytes_FromStringAndSize(self->nbytes == 0 ? "" : self->p, self->nbytes);
}

static PyObject *buffer_enter(PyObject *op, PyObject *unused)
{
    (void)unused;
    return buffer_is_usable((BufferObject *)op) ? Py_NewRef(op) : NULL;
}

static PyObject *buffer_exit(PyObject *op, PyObject *args)
{
    BufferObject *self = (BufferObject *)op;
    int result = 0;

    (void)args;
    if (!self->released)
        result = self->ops->exit != NULL ? self->ops->exit(self)
                                         : buffer_kfree(self, self->ops->freed_by);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

GUARD_TWO(buffer_tobytes, buffer_owner)
GUARD_TWO(buffer_enter, buffer_owner)
GUARD_TWO(buffer_exit, buffer_owner)
GUARD_FAST(buffer_handle, buffer_owner)

static PyMethodDef buffer_methods[] = {
    {"tobytes", GUARDED(buffer_tobytes), METH_NOARGS,
     "tobytes($self, /)\n--\n\nA copy as bytes.\n\n"
     "Raises ValueError once freed.\n\n>>> arena.kmemdup(b\"abc\").tobytes()\nb'abc'"},
    {"close", GUARDED(buffer_exit), METH_NOARGS,
     "close($self, /)\n--\n\nWhat the end of `with buffer:` does: kfree(); again does nothing.\n\n"
     ">>> with arena.kmalloc(100) as buf:\n...     buf[0] = 1\n>>> buf.released\nTrue"},
    {"handle", FAST(GUARDED(buffer_handle)),
     "handle($self, /, uses=1, *, pinned=False)\n--\n\n"
     "Bytes for another process, which opens the same memory with them: open_handle().\n\n"
     "For whole blocks of a page and more of a shared arena, and for Buffers from\n"
     "open_handle(). uses: how often it may be opened (1 to 65534). pinned: any number of\n"
     "times, as long as this process has the block. A block that is freed before it was\n"
     "opened stays until it was, or until the handle ends.\n"
     "Raises PyslabError for a private arena, ValueError for other blocks and once freed.\n\n"
     ">>> with pyslab.Arena(\"1MiB\", shared=True) as shared:\n"
     "...     handle = shared.kmalloc(4096).handle()\n>>> len(handle)\n32"},
    {"__copy__", buffer_method_copy, METH_NOARGS,
     "__copy__($self, /)\n--\n\n"
     "A Buffer of the same arena with the same bytes.\n\n"
     "Raises OutOfMemoryError, ArenaClosedError, ValueError once freed."},
    {"__deepcopy__", buffer_deepcopy, METH_O,
     "__deepcopy__($self, memo, /)\n--\n\nThe same as __copy__()."},
    {"__reduce_ex__", buffer_reduce_ex, METH_O,
     "__reduce_ex__($self, protocol, /)\n--\n\n"
     "For pickle; protocol 5 without a copy, given a buffer_callback. See pyslab.interchange."},
    {"__dlpack__", FAST(buffer_dlpack),
     "__dlpack__($self, /, *, stream=None, max_version=None, dl_device=None, copy=None)\n--\n\n"
     "A DLPack capsule: a one-dimensional tensor of unsigned bytes, for from_dlpack().\n\n"
     "max_version: (major, minor) that the consumer knows; from (1, 0) on the capsule has a\n"
     "version. copy: True for a tensor over a copy in the same arena.\n"
     "The Buffer cannot be freed while the tensor lives. Raises BufferError for a stream or\n"
     "a device that is not the CPU, ValueError once freed, TypeError, OutOfMemoryError."},
    {"__dlpack_device__", buffer_dlpack_device, METH_NOARGS,
     "__dlpack_device__($self, /)\n--\n\n(1, 0): the CPU, in DLPack's numbers."},
    {"__enter__", GUARDED(buffer_enter), METH_NOARGS, NULL},
    {"__exit__", GUARDED(buffer_exit), METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* --- attributes ---------------------------------------------------------- */

static PyObject *get_nbytes(PyObject *op, void *unused)
{
    (void)unused;
    return buffer_is_usable((BufferObject *)op) ? PyLong_FromSsize_t(((BufferObject *)op)->nbytes)
                                                : NULL;
}

static PyObject *get_capacity(PyObject *op, void *unused)
{
    (void)unused;
    return buffer_is_usable((BufferObject *)op)
               ? PyLong_FromSize_t(buffer_capacity((BufferObject *)op))
               : NULL;
}

static PyObject *get_address(PyObject *op, void *unused)
{
    (void)unused;
    return buffer_is_usable((BufferObject *)op) ? PyLong_FromVoidPtr(((BufferObject *)op)->p)
                                                : NULL;
}

static PyObject *get_arena(PyObject *op, void *unused)
{
    (void)unused;
    return arena_ref(((BufferObject *)op)->arena);
}

static PyObject *get_released(PyObject *op, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((BufferObject *)op)->released);
}

GUARD_GET(get_nbytes, buffer_owner)
GUARD_GET(get_capacity, buffer_owner)
GUARD_GET(get_address, buffer_owner)
GUARD_GET(get_released, buffer_owner)

static PyGetSetDef buffer_getset[] = {
    {"nbytes", GUARDED(get_nbytes), NULL, "Bytes asked for, int.", NULL},
    {"capacity", GUARDED(get_capacity), NULL,
     "Usable bytes without moving, int; what ksize() gives.", NULL},
    {"address", GUARDED(get_address), NULL, "Address of the first byte, int.", NULL},
    {"arena", get_arena, NULL,
     "The Arena that the memory belongs to; a Heap if it is another process's.", NULL},
    {"released", GUARDED(get_released), NULL, "True once kfree() was called, bool.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef buffer_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(BufferObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* --- the type ------------------------------------------------------------ */

static PyObject *buffer_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type, (void)args, (void)kwargs;
    PyErr_SetString(PyExc_TypeError,
                    "a Buffer is not made by its constructor; use arena.kmalloc(size)");
    return NULL;
}

GUARD_ONE(buffer_repr, buffer_owner)
GUARD(buffer_length, buffer_owner, Py_ssize_t, (PyObject * op), (op))
GUARD(buffer_item, buffer_owner, PyObject *, (PyObject * op, Py_ssize_t i), (op, i))
GUARD_TWO(buffer_subscript, buffer_owner)
GUARD(buffer_ass_subscript, buffer_owner, int, (PyObject * op, PyObject *key, PyObject *value),
      (op, key, value))
GUARD(buffer_richcompare, buffer_owner, PyObject *, (PyObject * op, PyObject *other, int compare),
      (op, other, compare))

PyTypeObject *buffer_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)buffer_doc},
        {Py_tp_dealloc, (void *)buffer_dealloc},
        {Py_tp_new, (void *)buffer_tp_new},
        {Py_tp_repr, (void *)GUARDED(buffer_repr)},
        {Py_tp_hash, (void *)PyObject_HashNotImplemented},
        {Py_tp_richcompare, (void *)GUARDED(buffer_richcompare)},
        {Py_mp_length, (void *)GUARDED(buffer_length)},
        {Py_sq_length, (void *)GUARDED(buffer_length)},
        {Py_sq_item, (void *)GUARDED(buffer_item)},
        {Py_mp_subscript, (void *)GUARDED(buffer_subscript)},
        {Py_mp_ass_subscript, (void *)GUARDED(buffer_ass_subscript)},
        {Py_bf_getbuffer, (void *)buffer_getbuffer},
        {Py_bf_releasebuffer, (void *)buffer_releasebuffer},
        {Py_tp_methods, buffer_methods},
        {Py_tp_getset, buffer_getset},
        {Py_tp_members, buffer_members},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab.Buffer",
        .basicsize = sizeof(BufferObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };

    buffers_watch_tracing();
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

/* received.c - see received.h. */
#include "python/share/received.h"

#include "python/call/errors.h"

#include "arena/arena.h"

static PyTypeObject *received_type;

static void *raise_class(const char *name, const char *text)
{
    PyObject *class = objects_class("pyslab.errors", name);

    if (class != NULL)
        PyErr_SetString(class, text);
    Py_XDECREF(class);
    return NULL;
}

static void *raise_open_error(int code)
{
    if (code == PYSLAB_ESTALE)
        return raise_class(
            "StaleHandleError",
            "the handle was used up, or its block is gone; a message is opened once");
    if (code == PYSLAB_EPOINTER)
        return raise_class("NotAttachedError",
                           "the heap of the handle is not attached, and its process is gone or "
                           "does not show its files; hint: pass its descriptors");
    PyErr_Format(objects.error, "a handle could not be opened: %s", pyslab_strerror(code));
    return NULL;
}

/* Opens; a heap that this process has no part in is attached first, by the files of its process. */
static int open_block(const pyslab_handle *handle, int pid, bool writable, pyslab_shared_block *out)
{
    int code = share_handle_open(handle, out);
    struct pyslab_heap *heap;

    if (code != PYSLAB_EPOINTER || pid <= 0)
        return code;
    if ((!writable || share_attach_process(pid, handle->heap_id, true, &heap) != PYSLAB_OK) &&
        share_attach_process(pid, handle->heap_id, false, &heap) != PYSLAB_OK)
        return PYSLAB_EPOINTER;
    return share_handle_open(handle, out);
}

/* The arena whose heap this is; NULL: another process's. */
static struct pyslab_arena *own_arena(pyslab_heap *heap)
{
    struct kmalloc *kmalloc = heap->is_own ? share_of_heap(heap)->kmalloc : NULL;

    return kmalloc == NULL ? NULL
                           : (void *)((char *)kmalloc - offsetof(struct pyslab_arena, kmalloc));
}

ReceivedObject *received_open(const pyslab_handle *handle, int pid, bool writable)
{
    pyslab_shared_block block;
    ReceivedObject *self;
    int code = open_block(handle, pid, writable, &block);

    if (code != PYSLAB_OK)
        return raise_open_error(code);
    self = PyObject_New(ReceivedObject, received_type);
    if (self == NULL) {
        (void)share_block_close(&block);
        return NULL;
    }
    self->block = block;
    self->arena = own_arena(block.heap);
    if (self->arena != NULL)
        arena_get(self->arena);
    self->nbytes = (Py_ssize_t)block.bytes;
    self->writable = writable && block.writable != 0;
    return self;
}

static void received_dealloc(PyObject *op)
{
    ReceivedObject *self = (ReceivedObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    (void)share_block_close(&self->block); /* a forked child may not have it: nothing to do then */
    if (self->arena != NULL)
        (void)arena_put(self->arena);
    PyObject_Free(op);
    Py_DECREF(type);
}

static int received_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    ReceivedObject *self = (ReceivedObject *)op;

    return PyBuffer_FillInfo(view, op, self->block.address, self->nbytes, !self->writable, flags);
}

static Py_ssize_t received_len(PyObject *op)
{
    return ((ReceivedObject *)op)->nbytes;
}

static PyObject *received_repr(PyObject *op)
{
    const ReceivedObject *self = (ReceivedObject *)op;

    return PyUnicode_FromFormat("<pyslab.ReceivedBlock of %zd bytes at %p, %s>", self->nbytes,
                                self->block.address, self->writable ? "writable" : "read-only");
}

PyTypeObject *received_type_new(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_doc, "A block of another process's heap, which this one holds."},
        {Py_tp_dealloc, (void *)received_dealloc},
        {Py_tp_repr, (void *)received_repr},
        {Py_bf_getbuffer, (void *)received_getbuffer},
        {Py_sq_length, (void *)received_len},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "pyslab.ReceivedBlock",
        .basicsize = sizeof(ReceivedObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };

    received_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    return received_type;
}

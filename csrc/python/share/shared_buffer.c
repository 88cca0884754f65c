/* shared_buffer.c - see shared_buffer.h. Order of the text: the kind, opening, handles. */
#include "python/share/shared_buffer.h"

#include "python/arena/arena_guard.h"
#include "python/call/args.h"
#include "python/call/errors.h"
#include "python/pages/page_object.h"

#include <string.h>

/* --- the kind ---------------------------------------------------------------- */

/* What the core needs to let go of the block: `keep` is bytes with this in it. */
static const pyslab_shared_block *block_of(const BufferObject *self)
{
    return (const pyslab_shared_block *)(const void *)PyBytes_AS_STRING(self->keep);
}

static int shared_give_back(const BufferObject *self, void *p)
{
    int code = pyslab_share_close(block_of(self));

    (void)p;
    return code == PYSLAB_EFORKED ? PYSLAB_OK : code; /* the parent holds it, and not this child */
}

static size_t shared_capacity(const BufferObject *self)
{
    return (size_t)block_of(self)->bytes;
}

/* Memory for a copy, in the same arena; of another process's block in the default one. */
static PyObject *shared_new_like(const BufferObject *self)
{
    PyObject *arena = NULL, *make = NULL, *copy = NULL, *get = NULL;

    if (self->arena->core != NULL)
        arena = Py_NewRef((PyObject *)self->arena);
    else if ((get = objects_class("pyslab._arena.handles", "default_arena")) != NULL)
        arena = PyObject_CallNoArgs(get);
    if (arena != NULL)
        make = objects_class("pyslab.interchange", "aligned_buffer");
    if (make != NULL)
        copy = PyObject_CallFunction(make, "On", arena, self->nbytes);
    Py_XDECREF(get);
    Py_XDECREF(arena);
    Py_XDECREF(make);
    return copy;
}

static const struct buffer_ops shared_buffer_ops = {
    .give_back = shared_give_back,
    .capacity = shared_capacity,
    .new_like = shared_new_like,
    .in_arena = true, /* or a Heap could go before the objects over its blocks */
    .made_by = "open_handle",
    .freed_by = "kfree",
};

/* --- opening ------------------------------------------------------------------ */

static void raise_not_opened(int code)
{
    if (code == PYSLAB_EPOINTER)
        PyErr_SetString(objects.not_attached, "the heap was detached meanwhile");
    else
        PyErr_Format(exception_of_code(code), "open_handle: %s", pyslab_strerror(code));
}

/* A Buffer that has the block from now on. */
static BufferObject *buffer_of_block(ArenaObject *owner, const pyslab_shared_block *block,
                                     uint32_t tail, enum shared_access access)
{
    PyObject *keep = PyBytes_FromStringAndSize((const char *)block, sizeof *block);
    uint64_t nbytes = tail < block->bytes ? block->bytes - tail : block->bytes;
    BufferObject *self = NULL;

    if (keep != NULL)
        self = buffer_new_view(owner, block->address, (Py_ssize_t)nbytes, &shared_buffer_ops, keep);
    Py_XDECREF(keep);
    if (self == NULL)
        (void)pyslab_share_close(block);
    else if (access == SHARED_READ || !heap_is_writable(block->heap))
        self->marks |= BUFFER_READ_ONLY;
    return self;
}

BufferObject *shared_buffer_open(const pyslab_handle *handle, int pid, enum shared_access access)
{
    ArenaObject *owner = heap_owner(handle, pid, access);
    BufferObject *buffer = NULL;
    pyslab_shared_block block;
    int code;

    if (owner == NULL)
        return NULL;
    code = pyslab_share_open(handle, &block);
    if (code == PYSLAB_OK)
        buffer = buffer_of_block(owner, &block, handle->tail, access);
    else
        raise_not_opened(code);
    arena_unpin(owner);
    Py_DECREF((PyObject *)owner);
    return buffer;
}

static bool read_handle(PyObject *arg, pyslab_handle *out)
{
    Py_buffer view;
    bool fits;

    if (PyObject_GetBuffer(arg, &view, PyBUF_SIMPLE) < 0)
        return false;
    fits = view.len == sizeof *out;
    if (fits)
        memcpy(out, view.buf, sizeof *out);
    else
        PyErr_Format(PyExc_ValueError, "a handle has %zu bytes, not %zd", sizeof *out, view.len);
    PyBuffer_Release(&view);
    return fits;
}

static PyObject *method_open_handle(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"handle", "writable", NULL};
    PyObject *arg;
    pyslab_handle handle;
    int writable = 0;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|p:open_handle", names, &arg, &writable) ||
        !read_handle(arg, &handle))
        return NULL;
    return (PyObject *)shared_buffer_open(&handle, 0, writable != 0 ? SHARED_WRITE : SHARED_READ);
}

/* --- handles ------------------------------------------------------------------ */

struct handle_options {
    uint32_t uses;
    bool pinned;
};

static bool handle_option(const char *name, PyObject *value, struct handle_options *out)
{
    long uses;

    if (strcmp(name, "pinned") == 0) {
        int truth = PyObject_IsTrue(value);

        out->pinned = truth == 1;
        return truth >= 0;
    }
    if (strcmp(name, "uses") != 0) {
        PyErr_Format(PyExc_TypeError, "handle() got an unexpected keyword argument '%s'", name);
        return false;
    }
    uses = PyLong_AsLong(value);
    if (uses == -1 && PyErr_Occurred())
        return false;
    if (uses < 1 || uses >= PYSLAB_USES_PINNED) {
        PyErr_Format(PyExc_ValueError, "uses must be 1 to %d, got %ld", PYSLAB_USES_PINNED - 1,
                     uses);
        return false;
    }
    out->uses = (uint32_t)uses;
    return true;
}

/* Reads uses= and pinned=, the first by its place too: the uses for the core, or 0 with an
 * exception set. */
static uint32_t handle_uses(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t nr_keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    struct handle_options options = {.uses = 1};

    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "handle() takes at most 1 positional argument, got %zd",
                     nargs);
        return 0;
    }
    if (nargs == 1 && !handle_option("uses", args[0], &options))
        return 0;
    for (Py_ssize_t i = 0; i < nr_keywords; i++) {
        const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(kwnames, i));

        if (name == NULL || !handle_option(name, args[nargs + i], &options))
            return 0;
    }
    return options.pinned ? PYSLAB_USES_PINNED : options.uses;
}

/* Notes how many bytes of the block are not in use. */
static void set_tail(pyslab_handle *handle, uint64_t block_bytes, Py_ssize_t nbytes)
{
    uint64_t tail = block_bytes > (uint64_t)nbytes ? block_bytes - (uint64_t)nbytes : 0;

    handle->tail = tail <= UINT32_MAX ? (uint32_t)tail : 0;
}

static PyObject *handle_result(int code, const pyslab_handle *handle)
{
    if (code == PYSLAB_OK)
        return PyBytes_FromStringAndSize((const char *)handle, sizeof *handle);
    if (code == PYSLAB_EINVAL)
        PyErr_SetString(PyExc_ValueError, "a block of less than 4096 bytes, or of no call that "
                                          "gives whole blocks, has no handle: send its bytes");
    else if (code == PYSLAB_ELIMIT)
        PyErr_SetString(objects.error, "too many blocks are exported, or on their way: send the "
                                       "bytes, or a handle with more uses");
    else
        PyErr_Format(exception_of_code(code), "handle: %s", pyslab_strerror(code));
    return NULL;
}

static bool owner_is_shared(const ArenaObject *arena)
{
    if (arena->core->share != NULL)
        return true;
    PyErr_SetString(objects.error,
                    "the arena is private: only Arena(size, shared=True) has handles");
    return false;
}

/* A block of its own: not a part of a region, of an area, or of a window. */
static bool is_whole_block(const BufferObject *self)
{
    return self->ops == &shared_buffer_ops || (self->ops->is_block && self->nbytes != 0);
}

/* A code of the core. pre: it is a whole block, of a shared arena or of another process's heap */
static int export_buffer(const BufferObject *self, uint32_t uses, pyslab_handle *out)
{
    int code;

    CHECK(is_whole_block(self));
    CHECK(self->ops == &shared_buffer_ops || self->arena->core->share != NULL);
    code = self->ops == &shared_buffer_ops
               ? pyslab_share_pass_on(block_of(self), uses, out)
               : pyslab_share_export(self->arena->core, self->p, uses, out);
    if (code == PYSLAB_OK)
        set_tail(out, buffer_capacity(self), self->nbytes);
    return code;
}

PyObject *buffer_handle(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const BufferObject *self = (BufferObject *)op;
    uint32_t uses = handle_uses(args, nargs, kwnames);
    pyslab_handle handle;

    if (uses == 0 || !buffer_is_usable(self))
        return NULL;
    if (!is_whole_block(self)) {
        PyErr_Format(PyExc_ValueError,
                     "handle: only blocks of kmalloc and of frames have one, "
                     "and this is of %s: send its bytes",
                     self->nbytes == 0 ? "0 bytes" : self->ops->made_by);
        return NULL;
    }
    if (self->ops != &shared_buffer_ops && !owner_is_shared(self->arena))
        return NULL;
    return handle_result(export_buffer(self, uses, &handle), &handle);
}

static bool send_buffer(PyObject *op, pyslab_handle *out)
{
    const BufferObject *self = (BufferObject *)op;

    return !self->released && is_whole_block(self) &&
           (self->ops == &shared_buffer_ops || self->arena->core->share != NULL) &&
           export_buffer(self, 1, out) == PYSLAB_OK;
}

GUARD(send_buffer, buffer_owner, bool, (PyObject * op, pyslab_handle *out), (op, out))

bool shared_buffer_send(BufferObject *buffer, pyslab_handle *out)
{
    return GUARDED(send_buffer)((PyObject *)buffer, out);
}

PyObject *page_handle(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const PageObject *self = (PageObject *)op;
    uint32_t uses = handle_uses(args, nargs, kwnames);
    const struct frame_map *map;
    pyslab_handle handle;
    int code;

    if (uses == 0 || !page_is_usable(self))
        return NULL;
    map = &page_frames_of(self)->map;
    if (!pfn_has_address(map, self->pfn)) {
        PyErr_Format(PyExc_ValueError,
                     "handle: frame %u is high memory, which other processes do not see",
                     self->pfn);
        return NULL;
    }
    if (!owner_is_shared(self->arena))
        return NULL;
    code = pyslab_share_export(self->arena->core, pfn_to_virt(map, self->pfn), uses, &handle);
    return handle_result(code, &handle);
}

/* --- the module --------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"open_handle", (PyCFunction)(void (*)(void))method_open_handle, METH_VARARGS | METH_KEYWORDS,
     "open_handle(handle, writable=False)\n--\n\n"
     "A Buffer over the block of a handle: the memory itself, in the heap of the process that\n"
     "made it, which keeps the block until the Buffer goes.\n\n"
     "It is read-only, unless writable=True is given and the arena is shared=\"writable\". A heap\n"
     "that is not attached yet is looked for among the processes of the same user.\n"
     "Raises StaleHandleError if the handle was used up or ended, NotAttachedError, ValueError "
     "for\n"
     "bytes that are no handle, PyslabError."},
    {"_shared_rows", method_shared_rows, METH_O, NULL},
    {"_attach_files", method_attach_files, METH_VARARGS, NULL},
    {"_attach_process", method_attach_process, METH_VARARGS, NULL},
    {"_detach_left", method_detach_left, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

bool share_functions_add(PyObject *module)
{
    return PyModule_AddFunctions(module, functions) == 0;
}

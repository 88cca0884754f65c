/* heap_object.c - see heap_object.h. Order of the text: finding, making, letting go, the type. */
#include "python/share/heap_object.h"

#include "python/buffer/buffer.h"
#include "python/call/errors.h"
#include "share/left.h"

#include "os/os.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char heap_doc[] =
    "The shared arena of another process: what attach() gives, and the arena of a Buffer that\n"
    "came by a handle.\n"
    "\n"
    "Its blocks can be read, and written if both sides ask for it. Nothing is allocated in it: "
    "that\n"
    "is for the process that made it. A Buffer of its blocks keeps it; detach() ends it here.";

/* --- finding --------------------------------------------------------------- */

static struct pyslab_arena *core_of_own(struct pyslab_heap *heap)
{
    /* Both structs begin with the next: an arena with its kmalloc, a share with its heap. */
    return (struct pyslab_arena *)share_of_heap(heap)->kmalloc;
}

static bool owner_is_heap(const ArenaObject *owner)
{
    return Py_IS_TYPE((PyObject *)owner, objects.heap_type);
}

struct pyslab_heap *heap_of_owner(const ArenaObject *owner)
{
    if (owner_is_heap(owner))
        return ((const HeapObject *)owner)->heap;
    return owner->core != NULL && owner->core->share != NULL ? &owner->core->share->heap : NULL;
}

/* The object over a heap that this process has a part in, a new reference; NULL: there is none. */
static PyObject *object_get_locked(struct pyslab_heap *heap)
{
    PyObject *object;

    lock_assert_held(share_mutex());
    object = heap->is_own ? core_of_own(heap)->object : heap->object;

    return object != NULL && try_incref(object) ? object : NULL;
}

static ArenaObject *known_owner(const uint64_t id[2])
{
    struct pyslab_heap *heap;
    PyObject *object = NULL;

    borrowed_lock();
    share_lock();
    heap = share_heap_find_locked(id);
    if (heap != NULL)
        object = object_get_locked(heap);
    share_unlock();
    borrowed_unlock();
    return (ArenaObject *)object;
}

static bool is_for_writing(const struct pyslab_heap *heap)
{
    return (heap->table.flags & SHARE_WRITABLE) != 0;
}

bool heap_is_writable(const struct pyslab_heap *heap)
{
    return heap->writable && is_for_writing(heap);
}

/* It can be used as it is: a heap that was attached for reading is attached anew where that can
 * help. */
static bool owner_serves(const ArenaObject *owner, enum shared_access access)
{
    const struct pyslab_heap *heap = heap_of_owner(owner);

    if (access == SHARED_READ || heap == NULL || heap->is_own || heap_is_writable(heap))
        return true;
    return access == SHARED_WRITE_IF_ALLOWED && !is_for_writing(heap);
}

/* False with ValueError set: it is this process's own, which others may only read, so that what
 * comes back by a handle is as it was there. */
static bool own_allows(const ArenaObject *owner, enum shared_access access)
{
    const struct pyslab_heap *heap = heap_of_owner(owner);

    if (access != SHARED_WRITE || heap == NULL || !heap->is_own || is_for_writing(heap))
        return true;
    PyErr_SetString(PyExc_ValueError, "open_handle: the arena is not shared=\"writable\"");
    return false;
}

/* src/pyslab/_arena/attaching.py knows where heaps are found. */
static ArenaObject *attach_owner(const uint64_t id[2], int pid, enum shared_access access)
{
    PyObject *attach = objects_class("pyslab._arena.attaching", "_attach_owner");
    PyObject *owner = NULL;

    if (attach != NULL)
        owner = PyObject_CallFunction(attach, "y#iii", (const char *)id, (Py_ssize_t)16, pid,
                                      access != SHARED_READ, access == SHARED_WRITE);
    Py_XDECREF(attach);
    return (ArenaObject *)owner;
}

ArenaObject *heap_owner(const pyslab_handle *handle, int pid, enum shared_access access)
{
    ArenaObject *owner = known_owner(handle->heap_id);

    if (owner != NULL && !owner_serves(owner, access))
        Py_CLEAR(owner);
    if (owner == NULL)
        owner = attach_owner(handle->heap_id, pid, access);
    if (owner == NULL)
        return NULL;
    arena_pin(owner);
    if (owner_is_heap(owner) || (arena_is_mapped(owner) && own_allows(owner, access)))
        return owner;
    arena_unpin(owner);
    Py_DECREF((PyObject *)owner);
    return NULL;
}

/* --- making ---------------------------------------------------------------- */

/* An Arena over a shared arena that C code of this process made. */
static PyObject *own_arena_object(struct pyslab_heap *heap)
{
    PyObject *make = objects_class("pyslab._arena.handles", "_arena_of_handle");
    PyObject *arena = NULL;

    if (make != NULL)
        arena = PyObject_CallFunction(make, "N", PyLong_FromVoidPtr(core_of_own(heap)));
    Py_XDECREF(make);
    return arena;
}

static HeapObject *heap_object_new(struct pyslab_heap *heap)
{
    HeapObject *self = (HeapObject *)objects.heap_type->tp_alloc(objects.heap_type, 0);

    if (self == NULL)
        return NULL;
    try_incref_enable((PyObject *)self);
    self->heap = heap;
#ifdef Py_GIL_DISABLED
    self->counts.tallies = tallies_new();
    if (self->counts.tallies == NULL)
        Py_CLEAR(self);
#endif
    return self;
}

static PyObject *heap_object_get(struct pyslab_heap *heap)
{
    PyObject *object, *made;

    if (heap->is_own)
        return own_arena_object(heap);
    made = (PyObject *)heap_object_new(heap);
    if (made == NULL)
        return NULL;
    borrowed_lock();
    if (heap->object == NULL)
        heap->object = Py_NewRef(made); /* the heap's own */
    object = Py_NewRef((PyObject *)heap->object);
    borrowed_unlock();
    Py_DECREF(made);
    return object;
}

/* What a Python function over an attach call of the core returns: a Heap, or an Arena of this
 * process; or (code, errno). */
static PyObject *attach_result(int code, int error, struct pyslab_heap *heap)
{
    return code == PYSLAB_OK ? heap_object_get(heap) : Py_BuildValue("ii", code, error);
}

PyObject *method_attach_files(PyObject *module, PyObject *args)
{
    int heap_fd, table_fd, writable, code;
    struct pyslab_heap *heap = NULL;

    (void)module;
    if (!PyArg_ParseTuple(args, "iip", &heap_fd, &table_fd, &writable))
        return NULL;
    code = pyslab_share_attach(heap_fd, table_fd, (uint32_t)writable, &heap);
    return attach_result(code, errno, heap);
}

PyObject *method_attach_process(PyObject *module, PyObject *args)
{
    struct pyslab_heap *heap = NULL;
    const char *id;
    Py_ssize_t id_bytes;
    int pid, writable, asked, code;
    uint64_t words[2];

    (void)module;
    if (!PyArg_ParseTuple(args, "iz#pp", &pid, &id, &id_bytes, &writable, &asked))
        return NULL;
    if (id != NULL && id_bytes != sizeof words) {
        PyErr_SetString(PyExc_ValueError, "a heap's id has 16 bytes");
        return NULL;
    }
    if (id != NULL)
        memcpy(words, id, sizeof words);
    code = share_attach_process(pid, id != NULL ? words : NULL, writable != 0, asked != 0, &heap);
    return attach_result(code, errno, heap);
}

/* --- letting go ------------------------------------------------------------ */

/* Takes a heap that is left, and of which Python has no more than the heap's own reference to its
 * object, off this process; returns that reference. NULL: there is none. */
static PyObject *left_take(void)
{
    PyObject *object = NULL;
    struct pyslab_heap *heap = NULL;

    borrowed_lock();
    share_lock();
    while (object == NULL && (heap = share_heap_next_locked(heap)) != NULL) {
        HeapObject *self = heap->is_own ? NULL : heap->object;

        if (self == NULL || Py_REFCNT((PyObject *)self) != 1 || !share_heap_is_left_locked(heap))
            continue;
        heap->object = self->heap = NULL;
        (void)share_detach_locked(heap);
        object = (PyObject *)self;
    }
    share_unlock();
    borrowed_unlock();
    return object;
}

/* _detach_left(): detaches the heaps that a handle has led to and nobody can make use of any more:
 * their owners are gone (share/left.h). */
PyObject *method_detach_left(PyObject *module, PyObject *unused)
{
    PyObject *object;

    (void)module, (void)unused;
    while ((object = left_take()) != NULL)
        Py_DECREF(object);
    Py_RETURN_NONE;
}

#define LEFT_LOOK_MS 20u /* between looks: one asks the system about each idle heap */

static int look_for_left(void *unused)
{
    (void)unused;
    Py_XDECREF(method_detach_left(NULL, NULL));
    return 0;
}

/* Python looks later, when the object that held the block is gone, too. */
static void look_later(void)
{
    static _Atomic uint32_t looked_ms;
    uint32_t now = os_time_ms(), before = load_relaxed(&looked_ms);

    if (now - before < LEFT_LOOK_MS)
        return;
    store_relaxed(&looked_ms, now);
    (void)Py_AddPendingCall(look_for_left, NULL); /* fails if 32 others wait: then with the next */
}

void heap_watch(void)
{
    atomic_store(&share_on_idle, look_later);
}

/* _shared_rows(arena): (row, is alive) of each client of an own arena. */
PyObject *method_shared_rows(PyObject *module, PyObject *arg)
{
    struct pyslab_heap *heap = NULL;
    PyObject *rows = PyList_New(0), *row;

    (void)module;
    if (PyObject_TypeCheck(arg, objects.arena_type))
        heap = heap_of_owner((ArenaObject *)arg);
    for (uint32_t i = SHARE_OWNER_ROW + 1; heap != NULL && rows != NULL && i < SHARE_ROWS; i++) {
        if (load_acquire(&heap->table.rows[i].in_use) == 0)
            continue;
        row = Py_BuildValue("iN", (int)i, PyBool_FromLong(share_row_is_alive(heap, i)));
        if (row == NULL || PyList_Append(rows, row) < 0)
            Py_CLEAR(rows);
        Py_XDECREF(row);
    }
    return rows;
}

/* --- the type --------------------------------------------------------------- */

/* NULL with an exception set: it was detached. */
static struct pyslab_heap *heap_at(PyObject *op)
{
    struct pyslab_heap *heap = ((HeapObject *)op)->heap;

    if (heap == NULL)
        PyErr_SetString(objects.not_attached, "the heap was detached");
    return heap;
}

static PyObject *heap_detach(PyObject *op, PyObject *unused)
{
    HeapObject *self = (HeapObject *)op;
    struct pyslab_heap *heap = self->heap;
    int code;

    (void)unused;
    if (heap == NULL)
        Py_RETURN_NONE;
    borrowed_lock();
    heap->object = self->heap = NULL;
    borrowed_unlock();
    code = pyslab_share_detach(heap);
    if (code == PYSLAB_OK) {
        Py_DECREF(op); /* the heap's own */
        Py_RETURN_NONE;
    }
    borrowed_lock();
    heap->object = self;
    self->heap = heap;
    borrowed_unlock();
    if (code == PYSLAB_EBUSY)
        PyErr_SetString(PyExc_BufferError, "detach: Buffers of the heap are still alive");
    else
        raise_code(code, "Heap.detach: the heap", op);
    return NULL;
}

static PyObject *heap_reap(PyObject *op, PyObject *unused)
{
    struct pyslab_heap *heap = heap_at(op);
    uint64_t bytes = 0;
    int code;

    (void)unused;
    if (heap == NULL)
        return NULL;
    code = pyslab_share_reap_heap(heap, &bytes);
    if (code == PYSLAB_EOS && errno == EACCES)
        PyErr_SetString(objects.error, "the owner is dead, and this process has the heap for "
                                       "reading only: its memory goes back with the last process "
                                       "that has it attached");
    else if (code != PYSLAB_OK && code != PYSLAB_EBUSY) /* busy: another process is at it */
        raise_code(code, "Heap.reap: the heap", op);
    return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(bytes);
}

static PyObject *heap_kfree(PyObject *op, PyObject *arg)
{
    BufferObject *buffer = arg_buffer((ArenaObject *)op, arg);

    if (buffer == NULL || buffer_kfree(buffer, "kfree") < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *heap_repr(PyObject *op)
{
    const HeapObject *self = (HeapObject *)op;
    char id[33];

    if (self->heap == NULL)
        return PyUnicode_FromString("<pyslab.Heap detached>");
    snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, self->heap->table.heap_id[0],
             self->heap->table.heap_id[1]);
    return PyUnicode_FromFormat("<pyslab.Heap %s size=%llu buffers=%zd%s>", id,
                                (unsigned long long)self->heap->table.heap_bytes,
                                arena_counts(&self->counts).count,
                                self->heap->writable ? " writable" : "");
}

static PyMethodDef heap_methods[] = {
    {"detach", heap_detach, METH_NOARGS,
     "detach($self, /)\n--\n\n"
     "End this process's part in the heap; again does nothing. Raises BufferError while Buffers\n"
     "over its blocks are alive."},
    {"reap", heap_reap, METH_NOARGS,
     "reap($self, /)\n--\n\n"
     "Clear up after dead clients, and return 0; if the owner is dead, give back to the system\n"
     "what nobody holds, and return its bytes. Raises PyslabError if that takes a heap attached\n"
     "for writing."},
    {"kfree", heap_kfree, METH_O,
     "kfree($self, buf, /)\n--\n\nEnd a Buffer of this heap, as Arena.kfree() does."},
    {NULL, NULL, 0, NULL},
};

static PyObject *get_id(PyObject *op, void *unused)
{
    const struct pyslab_heap *heap = heap_at(op);
    char id[33];

    (void)unused;
    if (heap == NULL)
        return NULL;
    snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, heap->table.heap_id[0],
             heap->table.heap_id[1]);
    return PyUnicode_FromString(id);
}

static PyObject *get_owner_alive(PyObject *op, void *unused)
{
    struct pyslab_heap *heap = heap_at(op);

    (void)unused;
    return heap == NULL ? NULL : PyBool_FromLong(pyslab_share_owner_is_alive(heap));
}

static PyObject *get_writable(PyObject *op, void *unused)
{
    const struct pyslab_heap *heap = heap_at(op);

    (void)unused;
    return heap == NULL ? NULL : PyBool_FromLong(heap->writable);
}

static PyObject *get_size(PyObject *op, void *unused)
{
    const struct pyslab_heap *heap = heap_at(op);

    (void)unused;
    return heap == NULL ? NULL : PyLong_FromUnsignedLongLong(heap->table.heap_bytes);
}

static PyObject *get_detached(PyObject *op, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((HeapObject *)op)->heap == NULL);
}

static PyGetSetDef heap_getset[] = {
    {"heap_id", get_id, NULL, "The heap's name in handles, str of 32 hex digits.", NULL},
    {"owner_alive", get_owner_alive, NULL, "Whether the process that made it lives, bool.", NULL},
    {"writable", get_writable, NULL, "Whether it is attached for writing, bool.", NULL},
    {"size", get_size, NULL, "Bytes of its frames, int.", NULL},
    {"detached", get_detached, NULL, "True once detach() was called, bool.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* Its heap owned a reference, so it was detached. */
static void heap_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

#ifdef Py_GIL_DISABLED
    free(((HeapObject *)op)->counts.tallies);
#endif
    type->tp_free(op);
    Py_DECREF(type);
}

PyTypeObject *heap_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)heap_doc},
        {Py_tp_dealloc, (void *)heap_dealloc},
        {Py_tp_repr, (void *)heap_repr},
        {Py_tp_methods, heap_methods},
        {Py_tp_getset, heap_getset},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab.Heap",
        .basicsize = sizeof(HeapObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

/* buffer.c - the Buffer's memory: making, freeing, resizing, exporting.
 *
 * Not here: indexing, comparison and attributes (buffer_access.c).
 * Buffers are not tracked by the garbage collector: they can hold only their Arena,
 * their KmemCache, and memory of their own.
 */
#include "python/buffer_internal.h"
#include "python/tracing.h"

#include <string.h>

/* --- freelist ----------------------------------------------------------- */

/* Dead Buffers that keep their reference to the type. While tracemalloc is on there is
 * neither room in the list nor anything to take: all Buffers are made by
 * buffer_new_slow(), which is where that is looked at. */
#ifndef Py_GIL_DISABLED
#define MAX_FREE_BUFFERS 1024u
#define NO_FREELIST (-1) /* as a count of free Buffers; beyond the maximum as unsigned */

static BufferObject *free_buffers[MAX_FREE_BUFFERS];
static int nr_free_buffers = NO_FREELIST;

void buffers_set_traced(bool on)
{
    while (nr_free_buffers > 0) {
        BufferObject *self = free_buffers[--nr_free_buffers];
        PyTypeObject *type = Py_TYPE(self);

        PyObject_Free(self);
        Py_DECREF(type);
    }
    nr_free_buffers = on ? NO_FREELIST : 0;
}
#else
void buffers_set_traced(bool on)
{
    (void)on;
}
#endif

/* A dead Buffer, or NULL. */
static always_inline BufferObject *buffer_object_take(void)
{
#ifndef Py_GIL_DISABLED
    if (likely(nr_free_buffers > 0)) {
        BufferObject *self = free_buffers[--nr_free_buffers];

#ifdef Py_REF_DEBUG
        _Py_NewReference((PyObject *)self);
#else
        Py_SET_REFCNT((PyObject *)self, 1);
#endif
        return self;
    }
#endif
    return NULL;
}

static always_inline void buffer_object_free(BufferObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

#ifndef Py_GIL_DISABLED
    if (likely((unsigned)nr_free_buffers < MAX_FREE_BUFFERS)) {
        free_buffers[nr_free_buffers++] = self;
        return;
    }
#endif
    PyObject_Free(self);
    Py_DECREF(type);
}

/* --- memory ------------------------------------------------------------- */

/* Somebody else freed the memory, or wrote over the metadata: there is no caller to raise
 * it to. */
static void memory_lost(int code, const void *p)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    raise_code(code, "pyslab.Buffer: memory", p);
    PyErr_WriteUnraisable((PyObject *)objects.buffer_type);
    PyErr_Restore(type, value, traceback);
}

/* Gives memory back to the core. */
static always_inline void memory_return(struct pyslab_arena *core, void *p, enum buffer_kind kind,
                                        PyObject *keep)
{
    int code;

    if (likely(kind == BUFFER_KMALLOC || kind == BUFFER_CACHE)) {
        code = kmalloc_free(&core->kmalloc, p);
    } else if (kind == BUFFER_POOL) {
        code = mempool_object_free(keep, p);
    } else if (kind == BUFFER_PAGES) {
        uint32_t pfn = virt_to_pfn(&core->pages.map, p);

        code = page_put(&core->pages, pfn, page_order(pfn_to_page(&core->pages.map, pfn)));
    } else if (kind == BUFFER_REGION) {
        return; /* the region gives it back */
    } else {
        code = pyslab_vfree(core, p);
        if (code == PYSLAB_EFORKED)
            return; /* the parent's: in a forked child the Buffer just goes */
    }
    if (unlikely(code != PYSLAB_OK))
        memory_lost(code, p);
}

/* A block of frames has gone when its last reference does. */
static void buffer_trace_gone(const BufferObject *self)
{
    const struct frame_map *map = &self->arena->core->pages.map;

    if (self->kind == BUFFER_PAGES) {
        struct page *page = pfn_to_page(map, virt_to_pfn(map, self->p));

        if (load_relaxed(&page->refcount) > 1)
            return;
    }
    trace_untrack(self->p);
}

static slow_path void buffer_heed_marks(const BufferObject *self)
{
    if (self->marks & BUFFER_TRACED)
        buffer_trace_gone(self);
    if (self->marks & BUFFER_HIDDEN)
        self->arena->current_count++; /* it was not counted */
}

/* The memory leaves the Buffer, which goes on existing. */
static always_inline void buffer_drop_memory(BufferObject *self)
{
    void *p = self->p;

    if (unlikely(self->marks != 0))
        buffer_heed_marks(self);
    self->p = NULL;
    if (unlikely(self->kind == BUFFER_KMAP)) {
        int code = window_view_return(self, p);

        if (unlikely(code != PYSLAB_OK))
            memory_lost(code, p);
    } else {
        memory_return(self->arena->core, p, (enum buffer_kind)self->kind, self->keep);
    }
    arena_count_gone(self->arena, self->nbytes);
}

static always_inline PyObject *buffer_fill(BufferObject *self, ArenaObject *arena, void *p,
                                           Py_ssize_t nbytes, enum buffer_kind kind, PyObject *keep)
{
    self->p = p;
    self->nbytes = nbytes;
    self->arena = (ArenaObject *)Py_NewRef((PyObject *)arena);
    self->keep = Py_XNewRef(keep);
    self->weakrefs = NULL;
    self->exports = 0;
    self->kind = (uint8_t)kind;
    self->released = false;
    self->ever_exported = false;
    self->marks = 0;
    arena_count_new(arena, nbytes);
    return (PyObject *)self;
}

/* The Buffer has this memory, of this size, from now on. */
static void buffer_trace(BufferObject *self)
{
    if (likely(!trace_on))
        return;
    self->marks |= BUFFER_TRACED;
    trace_track(self->p, (size_t)self->nbytes);
}

static slow_path PyObject *buffer_new_slow(ArenaObject *arena, void *p, Py_ssize_t nbytes,
                                           enum buffer_kind kind, PyObject *keep)
{
    BufferObject *self = PyObject_New(BufferObject, objects.buffer_type);

    if (self == NULL) {
        memory_return(arena->core, p, kind, keep);
        return NULL;
    }
    buffer_fill(self, arena, p, nbytes, kind, keep);
    buffer_trace(self);
    return (PyObject *)self;
}

PyObject *buffer_new(ArenaObject *arena, void *p, Py_ssize_t nbytes, enum buffer_kind kind,
                     PyObject *keep)
{
    BufferObject *self = buffer_object_take();

    if (likely(self != NULL))
        return buffer_fill(self, arena, p, nbytes, kind, keep);
    return buffer_new_slow(arena, p, nbytes, kind, keep);
}

PyObject *buffer_new_view(ArenaObject *arena, void *p, Py_ssize_t nbytes, PyObject *window,
                          uint32_t pfn)
{
    BufferObject *self = buffer_object_take();

    if (unlikely(self == NULL))
        self = PyObject_New(BufferObject, objects.buffer_type);
    if (unlikely(self == NULL))
        return NULL;
    self->pfn = pfn;
    return buffer_fill(self, arena, p, nbytes, BUFFER_KMAP, window);
}

/* Old memories of a Buffer that was often resized are a chain: they go one by one, as each
 * within the one before would take the C stack. */
static slow_path void buffer_keep_gone(PyObject *keep)
{
    while (keep != NULL && Py_IS_TYPE(keep, objects.buffer_type)) {
        PyObject *next = ((BufferObject *)keep)->keep;

        ((BufferObject *)keep)->keep = NULL;
        Py_DECREF(keep);
        keep = next;
    }
    Py_XDECREF(keep);
}

static void buffer_dealloc(PyObject *op)
{
    BufferObject *self = (BufferObject *)op;
    ArenaObject *arena = self->arena;

    if (unlikely(self->weakrefs != NULL))
        PyObject_ClearWeakRefs(op);
    if (likely(self->p != NULL))
        buffer_drop_memory(self);
    if (unlikely(self->keep != NULL)) {
        if (self->kind == BUFFER_REGION)
            region_buffer_gone(self);
        buffer_keep_gone(self->keep);
    }
    buffer_object_free(self);
    Py_DECREF(arena);
}

size_t buffer_capacity(const BufferObject *self)
{
    struct pyslab_arena *core = self->arena->core;

    if (self->kind == BUFFER_KMAP)
        return (size_t)self->nbytes;
    if (self->kind == BUFFER_PAGES) {
        uint32_t pfn = virt_to_pfn(&core->pages.map, self->p);

        return (size_t)page_block_pages(pfn_to_page(&core->pages.map, pfn)) << PAGE_SHIFT;
    }
    if (self->kind == BUFFER_VM)
        return pyslab_vsize(core, self->p);
    if (self->kind == BUFFER_REGION)
        return (size_t)self->nbytes;
    return kmalloc_usable(&core->kmalloc, self->p);
}

bool buffer_is_usable(const BufferObject *self)
{
    if (likely(!self->released))
        return true;
    PyErr_SetString(PyExc_ValueError, "operation on a released Buffer");
    return false;
}

static bool buffer_has_no_exports(const BufferObject *self, const char *call)
{
    if (self->exports == 0)
        return true;
    PyErr_Format(PyExc_BufferError, "%s: %zd exported view%s of the Buffer still alive", call,
                 self->exports, self->exports == 1 ? "" : "s");
    return false;
}

int buffer_kfree(BufferObject *self, const char *call)
{
    bool view = self->kind == BUFFER_KMAP;

    if (self->kind == BUFFER_REGION) {
        PyErr_Format(objects.invalid_pointer,
                     "%s: the Buffer belongs to a region, which frees all of it at once", call);
        return -1;
    }
    if (self->released) {
        PyErr_Format(objects.double_free,
                     view ? "%s: the view was unmapped before" : "%s: the Buffer was freed before",
                     call);
        return -1;
    }
    if (!buffer_has_no_exports(self, call) || (view && !window_view_close(self)))
        return -1;
    self->released = true;
    /* See pytypes.h: whoever has seen the address must never see another's data. */
    if (!self->ever_exported)
        buffer_drop_memory(self);
    return 0;
}

/* --- resize ------------------------------------------------------------- */

static void buffer_set_size(BufferObject *self, Py_ssize_t nbytes)
{
    self->arena->current_bytes += nbytes - self->nbytes;
    self->nbytes = nbytes;
    buffer_trace(self);
}

/* The address is known elsewhere: the old memory stays until the Buffer dies, owned by
 * a hidden Buffer behind `keep`. */
static int keep_old_memory(BufferObject *self, void *moved)
{
    BufferObject *old = (BufferObject *)buffer_new(self->arena, moved, 0, BUFFER_KMALLOC,
                                                   self->keep);

    if (old == NULL)
        return -1;
    old->p = self->p;
    old->marks = BUFFER_HIDDEN | (self->marks & BUFFER_TRACED);
    self->arena->current_count--;
    self->arena->total_count--;
    self->ever_exported = false;
    Py_XSETREF(self->keep, (PyObject *)old);
    return 0;
}

static bool buffer_may_resize(const BufferObject *self)
{
    return buffer_is_usable(self) && buffer_has_no_exports(self, "krealloc");
}

/* Memory for more than the Buffer has; NULL with an exception set. Shrinkers and on_oom may
 * run meanwhile, and do anything to the Buffer. */
static void *resize_alloc(BufferObject *self, Py_ssize_t nbytes, uint32_t gfp)
{
    struct kmalloc *km = &self->arena->core->kmalloc;
    uint32_t plain = gfp & ~(uint32_t)(PYSLAB_GFP_ZERO | PYSLAB_GFP_NOFAIL);
    void *moved;

    do
        moved = kmalloc_alloc(km, (size_t)nbytes, plain);
    while (moved == NULL && nofail_again(self->arena, gfp));
    if (moved == NULL)
        return raise_out_of_memory(self->arena, (size_t)nbytes, 0, gfp);
    if (buffer_may_resize(self))
        return moved;
    (void)kmalloc_free(km, moved);
    return NULL;
}

static int resize_move(BufferObject *self, Py_ssize_t nbytes, uint32_t gfp)
{
    void *moved, *old;

    arena_pin(self->arena);
    moved = resize_alloc(self, nbytes, gfp);
    arena_unpin(self->arena);
    if (moved == NULL)
        return -1;
    old = self->p;
    if (self->nbytes != 0)
        memcpy(moved, old, (size_t)(self->nbytes < nbytes ? self->nbytes : nbytes));
    if (!self->ever_exported) {
        trace_gone(old);
        (void)kmalloc_free(&self->arena->core->kmalloc, old);
    } else if (keep_old_memory(self, moved) < 0) {
        return -1;
    }
    self->p = moved;
    return 0;
}

int buffer_resize(BufferObject *self, Py_ssize_t nbytes, uint32_t gfp)
{
    if (!buffer_may_resize(self))
        return -1;
    if (self->kind != BUFFER_KMALLOC) {
        PyErr_SetString(objects.invalid_pointer, "krealloc: the Buffer is not from kmalloc");
        return -1;
    }
    if ((size_t)nbytes > buffer_capacity(self)) {
        if (resize_move(self, nbytes, gfp) < 0)
            return -1;
    } else if (!self->ever_exported) {
        trace_gone(self->p); /* resized to nothing it has another address */
        self->p = kmalloc_resize(&self->arena->core->kmalloc, self->p, (size_t)nbytes,
                                 PYSLAB_GFP_KERNEL);
    }
    if ((gfp & PYSLAB_GFP_ZERO) != 0 && nbytes > self->nbytes)
        memset((char *)self->p + self->nbytes, 0, (size_t)(nbytes - self->nbytes));
    buffer_set_size(self, nbytes);
    return 0;
}

/* --- export ------------------------------------------------------------- */

void buffer_hold(BufferObject *self)
{
    if (self->exports++ == 0 && self->kind == BUFFER_REGION)
        region_buffer_exported(self);
}

void buffer_let_go(BufferObject *self)
{
    if (--self->exports == 0 && self->kind == BUFFER_REGION)
        region_buffer_unexported(self);
}

static int buffer_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    static char nothing; /* kmalloc(0) has no memory, a view wants an address */
    BufferObject *self = (BufferObject *)op;

    view->obj = NULL;
    if (!buffer_is_usable(self))
        return -1;
    if (PyBuffer_FillInfo(view, op, self->nbytes == 0 ? &nothing : self->p, self->nbytes, 0,
                          flags) < 0)
        return -1;
    buffer_hold(self);
    self->ever_exported = true;
    return 0;
}

/* Defining it is what makes np.frombuffer hold its export. */
static void buffer_releasebuffer(PyObject *op, Py_buffer *view)
{
    (void)view;
    buffer_let_go((BufferObject *)op);
}

BufferObject *arg_buffer(ArenaObject *arena, PyObject *arg)
{
    BufferObject *self = (BufferObject *)arg;

    if (!Py_IS_TYPE(arg, objects.buffer_type)) {
        PyErr_Format(PyExc_TypeError, "expected a pyslab.Buffer, not %.100s",
                     Py_TYPE(arg)->tp_name);
        return NULL;
    }
    if (self->arena != arena) {
        PyErr_Format(objects.invalid_pointer, "the Buffer at %p belongs to another arena", self->p);
        return NULL;
    }
    return self;
}

static PyObject *buffer_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)type, (void)args, (void)kwargs;
    PyErr_SetString(PyExc_TypeError,
                    "a Buffer is not made by its constructor; use arena.kmalloc(size)");
    return NULL;
}

PyTypeObject *buffer_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_dealloc, (void *)buffer_dealloc},
        {Py_tp_new, (void *)buffer_tp_new},
        {Py_bf_getbuffer, (void *)buffer_getbuffer},
        {Py_bf_releasebuffer, (void *)buffer_releasebuffer},
        BUFFER_ACCESS_SLOTS,
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab.Buffer",
        .basicsize = sizeof(BufferObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

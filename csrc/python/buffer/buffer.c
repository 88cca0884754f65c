/* buffer.c - the Buffer's memory: making, freeing, exporting.
 *
 * What it is not: what one kind of Buffer does differently (buffer.h has that table, the data
 * structure, the invariant and the lock); where dead Buffers are kept (buffer_freelist.h).
 */
#include "python/buffer/buffer.h"

#include "python/arena/arena_guard.h"
#include "python/buffer/buffer_freelist.h"
#include "python/call/errors.h"
#include "python/call/gil.h"
#include "python/stack/corruption.h"
#include "python/tracing/tracing.h"

/* --- memory -------------------------------------------------------------- */

/* Somebody else freed the memory, or wrote over the metadata. The Buffer was dropped, so there
 * is no caller to raise the error to. */
static slow_path void memory_lost(int code, const void *p)
{
    PyObject *type, *value, *traceback;

    if (corruption_waits())
        return; /* which tells more of it */
    PyErr_Fetch(&type, &value, &traceback);
    raise_code(code, "pyslab.Buffer: memory", p);
    PyErr_WriteUnraisable((PyObject *)objects.buffer_type);
    PyErr_Restore(type, value, traceback);
}

/* Gives memory back to the core. */
static always_inline void memory_return(const BufferObject *self, void *p)
{
    int code;

    if (likely(self->ops->give_back == NULL))
        code = kmalloc_free(&self->arena->core->kmalloc, p);
    else
        code = self->ops->give_back(self, p);
    if (unlikely(code != PYSLAB_OK))
        memory_lost(code, p);
}

/* The cache with debug flags whose object the memory is; NULL: it is of none. */
static struct kmem_cache *debug_cache_of(const BufferObject *self)
{
    struct slab_alloc *slabs = &self->arena->core->kmalloc.slabs;
    struct kmem_cache *cache = self->ops->give_back == NULL ? slab_cache_of(slabs, self->p) : NULL;

    return cache != NULL && cache->debug != NULL ? cache : NULL;
}

/* Memory is about to leave the Buffer: does what its marks ask for. */
static slow_path void buffer_heed_marks(const BufferObject *self)
{
    bool stays = self->ops->is_shared != NULL && self->ops->is_shared(self);

    if ((self->marks & BUFFER_TRACED) && !stays)
        trace_untrack(self->p);
    if (self->marks & BUFFER_HIDDEN)
        arena_count_hidden(self->arena, 1); /* balances what arena_count_gone will take off */
}

/* The memory of a Buffer with marks leaves it. */
static slow_path void buffer_drop_marked(BufferObject *self)
{
    struct kmem_cache *released = (self->marks & BUFFER_RELEASED) != 0 ? debug_cache_of(self)
                                                                       : NULL;
    void *p = self->p;

    buffer_heed_marks(self);
    self->p = NULL;
    if (released != NULL)
        debug_free_released(released, p);
    else
        memory_return(self, p);
    arena_count_gone(self->arena, self->nbytes);
}

/* The memory leaves the Buffer, which goes on existing. */
static always_inline void buffer_drop_memory(BufferObject *self)
{
    void *p = self->p;

    if (unlikely(self->marks != 0)) {
        buffer_drop_marked(self);
        return;
    }
    self->p = NULL;
    memory_return(self, p);
    arena_count_gone(self->arena, self->nbytes);
}

/* Gives the object its memory. */
static always_inline void buffer_fill(BufferObject *self, ArenaObject *arena, void *p,
                                      Py_ssize_t nbytes, const struct buffer_ops *ops,
                                      PyObject *keep)
{
    self->p = p;
    self->nbytes = nbytes;
    self->arena = arena;
    self->keep = Py_XNewRef(keep);
    self->weakrefs = NULL;
    self->exports = 0;
    self->ops = ops;
    self->released = false;
    self->ever_exported = false;
    self->marks = 0;
    arena_hold_new(arena, ops->in_arena, nbytes);
}

void buffer_trace(BufferObject *self)
{
    if (likely(!trace_is_on()))
        return;
    if (trace_track(self->p, (size_t)self->nbytes))
        self->marks |= BUFFER_TRACED;
}

static slow_path PyObject *buffer_new_slow(ArenaObject *arena, void *p, Py_ssize_t nbytes,
                                           const struct buffer_ops *ops, PyObject *keep)
{
    BufferObject *self = buffer_object_new();

    if (self == NULL) {
        /* give_back takes a Buffer: this one stands in for the one that could not be made. */
        const BufferObject stand_in = {.nbytes = nbytes, .arena = arena, .keep = keep, .ops = ops};

        memory_return(&stand_in, p);
        return NULL;
    }
    buffer_fill(self, arena, p, nbytes, ops, keep);
    buffer_trace(self);
    return (PyObject *)self;
}

PyObject *buffer_new(ArenaObject *arena, void *p, Py_ssize_t nbytes, const struct buffer_ops *ops,
                     PyObject *keep)
{
    BufferObject *self;

    gil_assert_held();
    CHECK_WALK(trace_flag_is_right());
    self = buffer_object_take();
    if (unlikely(self == NULL))
        return buffer_new_slow(arena, p, nbytes, ops, keep);
    buffer_fill(self, arena, p, nbytes, ops, keep);
    return (PyObject *)self;
}

BufferObject *buffer_new_view(ArenaObject *arena, void *p, Py_ssize_t nbytes,
                              const struct buffer_ops *ops, PyObject *keep)
{
    BufferObject *self = buffer_object_take();

    if (unlikely(self == NULL))
        self = buffer_object_new();
    if (likely(self != NULL)) {
        buffer_fill(self, arena, p, nbytes, ops, keep);
    }
    return self;
}

/* Old memories of a Buffer that was often resized are a chain of hidden Buffers, each the `keep`
 * of the one before. They are dropped one by one, because a destructor within a destructor for
 * each of them would take too much of the C stack. */
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

/* The memory of a Buffer that dies leaves it, and its kind is told. */
static always_inline void buffer_leave(BufferObject *self)
{
    if (likely(self->p != NULL))
        buffer_drop_memory(self);
    if (unlikely(self->keep != NULL) && self->ops->died != NULL)
        self->ops->died(self);
}

#ifdef Py_GIL_DISABLED
static slow_path void buffer_leave_guarded(BufferObject *self)
{
    guard_begin(self->arena);
    buffer_leave(self);
    guard_end();
}

static always_inline void buffer_leave_by_kind(BufferObject *self)
{
    if (self->ops->in_arena)
        buffer_leave_guarded(self);
    else
        buffer_leave(self);
}
#else
#define buffer_leave_by_kind buffer_leave
#endif

void buffer_dealloc(PyObject *op)
{
    BufferObject *self = (BufferObject *)op;
    ArenaObject *arena = self->arena;
    bool by_reference = self->ops->in_arena;

    gil_assert_held();
    CHECK(buffer_state_is_possible(self) && self->exports == 0);
    if (unlikely(self->weakrefs != NULL))
        PyObject_ClearWeakRefs(op);
    buffer_leave_by_kind(self);
    if (unlikely(self->keep != NULL))
        buffer_keep_gone(self->keep);
    buffer_object_free(self);
    arena_let_go(arena, by_reference);
}

size_t buffer_capacity(const BufferObject *self)
{
    CHECK(self->p != NULL);
    if (self->ops->capacity != NULL)
        return self->ops->capacity(self);
    return kmalloc_usable(&self->arena->core->kmalloc, self->p);
}

/* With init_on_free, zeroes what kfree would free, unless other processes hold it. */
static void buffer_wipe(const BufferObject *self)
{
    struct kmalloc *km = &self->arena->core->kmalloc;
    const struct kmem_cache *cache;

    if ((km->slabs.pages->init & INIT_ON_FREE) == 0 || page_is_shown(km->slabs.pages, self->p))
        return;
    cache = slab_cache_of(&km->slabs, self->p);
    if (cache == NULL || cache->init != 0)
        kmalloc_clear(km, self->p);
}

/* Takes the access from memory with a guard; tells a tool that watches the arena that nobody may
 * touch it. */
static void buffer_deny(const BufferObject *self)
{
    struct kmalloc *km = &self->arena->core->kmalloc;
    enum sanitize_mode watch = km->slabs.pages->watch;

    if (self->ops->give_back != NULL)
        return;
    if (guarded_is_live(&km->slabs, self->p)) {
        guarded_release(&km->slabs, self->p);
        return;
    }
    buffer_wipe(self);
    if (unlikely(watch != SANITIZE_NONE))
        sanitize_close(watch, self->p, kmalloc_usable(km, self->p));
}

void buffer_release_memory(BufferObject *self)
{
    struct kmem_cache *cache = debug_cache_of(self);
    void *p = self->p;
    int code;

    if (likely(cache == NULL)) {
        buffer_deny(self);
        return;
    }
    code = debug_release(cache, p);
    if (code == PYSLAB_OK) {
        self->marks |= BUFFER_RELEASED;
        return;
    }
    buffer_heed_marks(self);
    self->p = NULL;
    memory_lost(code, p);
    arena_count_gone(self->arena, self->nbytes);
}

/* --- the end of its use -------------------------------------------------- */

bool buffer_state_is_possible(const BufferObject *self)
{
    return self->released ? self->exports == 0 : self->p != NULL;
}

bool buffer_is_usable(const BufferObject *self)
{
    CHECK(buffer_state_is_possible(self));
    if (likely(!self->released))
        return true;
    PyErr_SetString(PyExc_ValueError, "operation on a released Buffer");
    return false;
}

bool buffer_is_writable(const BufferObject *self)
{
    if (!buffer_is_usable(self))
        return false;
    if (likely((self->marks & BUFFER_READ_ONLY) == 0))
        return true;
    PyErr_SetString(PyExc_TypeError, "the Buffer is read-only");
    return false;
}

bool buffer_has_no_exports(const BufferObject *self, const char *call)
{
    if (self->exports == 0)
        return true;
    PyErr_Format(PyExc_BufferError, "%s: %zd exported view%s of the Buffer still alive", call,
                 self->exports, self->exports == 1 ? "" : "s");
    return false;
}

void buffer_end(BufferObject *self)
{
    CHECK(!self->released && self->exports == 0);
    self->released = true;
    if (!self->ever_exported) /* buffer.h says why */
        buffer_drop_memory(self);
    else if (self->p != NULL)
        buffer_release_memory(self);
}

int buffer_free(BufferObject *self, const char *call)
{
    if (self->released) {
        PyErr_Format(objects.double_free, "%s: the Buffer was freed before", call);
        return -1;
    }
    if (!buffer_has_no_exports(self, call))
        return -1;
    buffer_end(self);
    return 0;
}

static int kfree(PyObject *op, const char *call)
{
    BufferObject *self = (BufferObject *)op;

    return self->ops->free != NULL ? self->ops->free(self, call) : buffer_free(self, call);
}

GUARD(kfree, buffer_owner, int, (PyObject * op, const char *call), (op, call))

int buffer_kfree(BufferObject *self, const char *call)
{
    return GUARDED(kfree)((PyObject *)self, call);
}

/* --- export -------------------------------------------------------------- */

void buffer_hold(BufferObject *self)
{
    if (self->exports++ == 0 && self->ops->held != NULL)
        self->ops->held(self);
}

void buffer_let_go(BufferObject *self)
{
    CHECK(self->exports > 0);
    if (--self->exports == 0 && self->ops->let_go != NULL)
        self->ops->let_go(self);
}

static int getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    static char nothing; /* the address of a view of kmalloc(0), which has no memory */
    BufferObject *self = (BufferObject *)op;

    view->obj = NULL;
    if (!buffer_is_usable(self))
        return -1;
    if (PyBuffer_FillInfo(view, op, self->nbytes == 0 ? &nothing : self->p, self->nbytes,
                          (self->marks & BUFFER_READ_ONLY) != 0, flags) < 0)
        return -1;
    buffer_hold(self);
    self->ever_exported = true;
    return 0;
}

GUARD(getbuffer, buffer_owner, int, (PyObject * op, Py_buffer *view, int flags), (op, view, flags))

int buffer_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    return GUARDED(getbuffer)(op, view, flags);
}

static int let_go(PyObject *op)
{
    buffer_let_go((BufferObject *)op);
    return 0;
}

GUARD(let_go, buffer_owner, int, (PyObject * op), (op))

/* np.frombuffer holds its export only if the type defines this function. */
void buffer_releasebuffer(PyObject *op, Py_buffer *view)
{
    (void)view;
    (void)GUARDED(let_go)(op);
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

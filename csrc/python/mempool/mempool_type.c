/* mempool_type.c - pyslab.Mempool: objects for what must go on when memory is short. The type,
 * how one is made, its methods and attributes.
 */
#include "python/mempool/mempool_type.h"

#include "python/arena/arena_guard.h"
#include "python/cache/cache_create.h"
#include "python/call/args.h"
#include "python/call/errors.h"
#include "python/mempool/mempool_alloc.h"
#include "python/mempool/mempool_object.h"

#include <stddef.h>
#include <stdio.h>

static const char mempool_doc[] =
    "Objects in reserve for when memory is short, from Arena.mempool(); a context manager.\n"
    "\n"
    "alloc() asks the cache first, and takes from the reserve only when the cache finds nothing.\n"
    "What is freed fills the reserve again.\n"
    "\n"
    ">>> with arena.mempool(4, 256) as pool:\n"
    "...     message = pool.alloc()\n"
    "...     print(pool.min_nr, pool.curr_nr, pool.outstanding)\n"
    "...     pool.free(message)\n"
    "4 4 1";

/* --- creation ------------------------------------------------------------ */

/* min_nr, an int of at least 1. -1 with an exception set. */
static Py_ssize_t arg_min_nr(ArenaObject *arena, PyObject *arg)
{
    Py_ssize_t nr;

    if (PyBool_Check(arg)) {
        PyErr_SetString(PyExc_TypeError, "min_nr must be an int, not bool");
        return -1;
    }
    nr = arg_count(arena, arg, "min_nr");
    if (nr != 0)
        return nr;
    PyErr_SetString(PyExc_ValueError, "min_nr must be at least 1, got 0");
    return -1;
}

/* The cache that was given, or a new one for objects of the size that was given (*own is true
 * then). A new reference; NULL with an exception set. */
static CacheObject *arg_cache(ArenaObject *arena, PyObject *arg, bool *own)
{
    char name[PYSLAB_NAME_MAX];
    Py_ssize_t size;

    *own = !Py_IS_TYPE(arg, objects.cache_type);
    if (!*own) {
        CacheObject *cache = (CacheObject *)arg;

        if (cache->arena != arena) {
            PyErr_Format(objects.invalid_pointer, "the cache '%s' belongs to another arena",
                         cache->name);
            return NULL;
        }
        return cache_is_usable(cache, true) ? (CacheObject *)Py_NewRef(arg) : NULL;
    }
    if (PyBool_Check(arg)) {
        PyErr_SetString(PyExc_TypeError, "cache_or_size must be a KmemCache, an int or a str, "
                                         "not bool");
        return NULL;
    }
    size = arg_size(arena, arg, "cache_or_size");
    if (size < 0 || !arena_is_open(arena))
        return NULL;
    snprintf(name, sizeof name, "mempool-%zd", size);
    return cache_new_private(arena, name, size);
}

/* The bytes of nr objects, for an error message; SIZE_MAX if there is no such number. */
static size_t bytes_of(const CacheObject *cache, Py_ssize_t nr)
{
    return (size_t)nr > SIZE_MAX / cache->stride ? SIZE_MAX : (size_t)nr * cache->stride;
}

static struct mempool *create_core(CacheObject *cache, Py_ssize_t min_nr)
{
    struct mempool *pool = NULL;
    int code = mempool_create(cache->cache, (size_t)min_nr, &pool);

    if (code == PYSLAB_OK)
        return pool;
    /* If a constructor or a shrinker has raised, that exception stays. */
    return raise_out_of_memory(cache->arena, bytes_of(cache, min_nr), 0, PYSLAB_GFP_KERNEL);
}

static MempoolObject *mempool_new(CacheObject *cache, bool own, Py_ssize_t min_nr)
{
    MempoolObject *self = PyObject_New(MempoolObject, objects.mempool_type);

    if (self == NULL)
        return NULL;
    self->arena = (ArenaObject *)Py_NewRef((PyObject *)cache->arena);
    self->weakrefs = NULL;
    self->cache = (CacheObject *)Py_NewRef((PyObject *)cache);
    self->nr_inside = 0;
    self->own_cache = own;
    self->closed = false;
    self->pool = NULL;
    self->pool = create_core(cache, min_nr);
    if (self->pool == NULL)
        Py_CLEAR(self);
    return self;
}

PyObject *arena_mempool(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ArenaObject *arena = (ArenaObject *)op;
    MempoolObject *self = NULL;
    CacheObject *cache;
    Py_ssize_t min_nr;
    bool own;

    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "mempool() takes 2 positional arguments, got %zd", nargs);
        return NULL;
    }
    if (!arena_is_open(arena) || (min_nr = arg_min_nr(arena, args[0])) < 0 ||
        (cache = arg_cache(arena, args[1], &own)) == NULL)
        return NULL;
    arena_pin(arena);
    self = mempool_new(cache, own, min_nr);
    Py_DECREF(cache);
    arena_unpin(arena);
    return (PyObject *)self;
}

/* --- methods ------------------------------------------------------------- */

static PyObject *method_free(PyObject *op, PyObject *arg)
{
    MempoolObject *self = mempool_of(op);
    BufferObject *buffer = arg_buffer(self->arena, arg);

    if (buffer == NULL)
        return NULL;
    if (buffer->ops != &mempool_buffer_ops || buffer->keep != op) {
        PyErr_Format(objects.invalid_pointer,
                     "the Buffer is not from this mempool of '%s', to which it was freed",
                     self->cache->name);
        return NULL;
    }
    if (!pool_is_usable(self, false) || buffer_kfree(buffer, "free") < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *method_resize(PyObject *op, PyObject *arg)
{
    MempoolObject *self = mempool_of(op);
    ArenaObject *arena = self->arena;
    Py_ssize_t min_nr;
    int code;

    if (!pool_is_usable(self, true) || (min_nr = arg_min_nr(arena, arg)) < 0 ||
        !pool_is_usable(self, true))
        return NULL;
    arena_pin(arena);
    pool_enter(self);
    code = mempool_resize(self->pool, (size_t)min_nr);
    pool_leave(self);
    if (code != PYSLAB_OK)
        raise_out_of_memory(arena, bytes_of(self->cache, min_nr), 0, PYSLAB_GFP_KERNEL);
    arena_unpin(arena);
    return code == PYSLAB_OK ? Py_NewRef(Py_None) : NULL;
}

static PyObject *method_close(PyObject *op, PyObject *unused)
{
    (void)unused;
    pool_close(mempool_of(op));
    Py_RETURN_NONE;
}

static PyObject *method_enter(PyObject *op, PyObject *unused)
{
    (void)unused;
    return pool_is_usable(mempool_of(op), true) ? Py_NewRef(op) : NULL;
}

GUARD_FAST(mempool_method_alloc, owner_of_member)
GUARD_TWO(method_free, owner_of_member)
GUARD_TWO(method_resize, owner_of_member)
GUARD_TWO(method_close, owner_of_member)
GUARD_TWO(method_enter, owner_of_member)

static PyMethodDef mempool_methods[] = {
    {"alloc", FAST(GUARDED(mempool_method_alloc)),
     "alloc($self, /, *, gfp=pyslab.GFP.KERNEL, timeout=None)\n--\n\n"
     "One object as a Buffer: from the cache without reclaim, then with it if gfp has\n"
     "DIRECT_RECLAIM, then from the reserve.\n\n"
     "timeout: seconds, 0 to 1000000, to wait for a free when the reserve is empty too,\n"
     "without the GIL; None: none. GFP.NOFAIL waits for ever. on_oom is not asked.\n"
     "Raises OutOfMemoryError, ValueError for a closed pool or a timeout with a gfp that\n"
     "may not wait, ArenaClosedError, TypeError, and what a signal's handler raises.\n\n"
     ">>> pool = arena.mempool(4, 256)\n>>> pool.alloc().nbytes\n256"},
    {"free", GUARDED(method_free), METH_O,
     "free($self, buf, /)\n--\n\n"
     "Returns an object of this pool: to the reserve while it is short of min_nr, else to\n"
     "the cache. Dropping the Buffer does the same; one that was ever exported goes back\n"
     "only when it dies. Rules and errors as Arena.kfree().\n"
     "Raises InvalidPointerError for a Buffer from elsewhere, ValueError for a closed pool.\n\n"
     ">>> pool = arena.mempool(4, 256)\n>>> pool.free(pool.alloc())"},
    {"resize", GUARDED(method_resize), METH_O,
     "resize($self, min_nr, /)\n--\n\n"
     "Sets min_nr. A larger reserve is filled at once, or OutOfMemoryError leaves it as it\n"
     "was; a smaller one gives the rest back. Raises ValueError, TypeError,\n"
     "ArenaClosedError.\n\n"
     ">>> pool = arena.mempool(4, 256)\n>>> pool.resize(8)\n>>> pool.curr_nr\n8"},
    {"close", GUARDED(method_close), METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Gives the reserve back and ends allocation; calling it again does nothing. Threads\n"
     "that wait get a ValueError. Live Buffers stay valid, and go back to the cache.\n\n"
     ">>> pool = arena.mempool(4, 256)\n>>> pool.close()\n>>> pool.closed\nTrue"},
    {"__enter__", GUARDED(method_enter), METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))GUARDED(method_close), METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* --- attributes ---------------------------------------------------------- */

static PyObject *get_min_nr(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(pool_figures(mempool_of(op)).min_nr);
}

static PyObject *get_curr_nr(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(pool_figures(mempool_of(op)).curr_nr);
}

static PyObject *get_outstanding(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(pool_figures(mempool_of(op)).nr_outstanding);
}

static PyObject *get_from_reserve(PyObject *op, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(pool_figures(mempool_of(op)).nr_from_reserve);
}

static PyObject *get_closed(PyObject *op, void *unused)
{
    (void)unused;
    return PyBool_FromLong(mempool_of(op)->closed);
}

static PyObject *mempool_repr(PyObject *op)
{
    MempoolObject *self = mempool_of(op);
    pyslab_mempool_stats stats = pool_figures(self);

    return PyUnicode_FromFormat("<pyslab.Mempool of '%s' min_nr=%u curr_nr=%u outstanding=%llu%s>",
                                self->cache->name, stats.min_nr, stats.curr_nr,
                                (unsigned long long)stats.nr_outstanding,
                                self->closed ? " closed" : "");
}

GUARD_ONE(mempool_repr, owner_of_member)

GUARD_GET(get_min_nr, owner_of_member)
GUARD_GET(get_curr_nr, owner_of_member)
GUARD_GET(get_outstanding, owner_of_member)
GUARD_GET(get_from_reserve, owner_of_member)
GUARD_GET(get_closed, owner_of_member)

static PyGetSetDef mempool_getset[] = {
    {"min_nr", GUARDED(get_min_nr), NULL, "Objects that the reserve is for, int; 0 once closed.",
     NULL},
    {"curr_nr", GUARDED(get_curr_nr), NULL, "Objects in the reserve now, int.", NULL},
    {"outstanding", GUARDED(get_outstanding), NULL, "Objects of the pool in callers' hands, int.",
     NULL},
    {"from_reserve", GUARDED(get_from_reserve), NULL, "Allocations that the reserve served, int.",
     NULL},
    {"closed", GUARDED(get_closed), NULL, "True once close() was called, bool.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef mempool_members[] = {
    {"cache", T_OBJECT, offsetof(MempoolObject, cache), READONLY, "The KmemCache under it."},
    {"arena", T_OBJECT, offsetof(MempoolObject, arena), READONLY, "The Arena it belongs to."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(MempoolObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject *mempool_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)mempool_doc},
        {Py_tp_dealloc, (void *)mempool_dealloc},
        {Py_tp_repr, (void *)GUARDED(mempool_repr)},
        {Py_tp_methods, mempool_methods},
        {Py_tp_getset, mempool_getset},
        {Py_tp_members, mempool_members},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab.Mempool",
        .basicsize = sizeof(MempoolObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

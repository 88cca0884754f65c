/* mempool_type.c - Mempool: objects for what must go on when memory is short, as Buffers.
 *
 * A Buffer of a pool owns a reference to its Mempool, so that wherever the Buffer dies its
 * object goes back to the pool. close() gives the reserve back at once; the core's pool
 * goes with the last object, and with it a cache that was made for it.
 * Waiting is done without the GIL, a slice at a time: between two of them signals are
 * looked at, and now and then whether the arena has memory again.
 */
#include "python/pytypes.h"

#include "os/os.h"
#include "slab/mempool.h"

#include <stddef.h>
#include <stdio.h>

#define WAIT_SLICE_MS 50u
#define WAIT_RETRY_SLICES 20u /* between two looks at the cache while nobody frees */
#define MAX_TIMEOUT 1000000.0 /* seconds; in milliseconds it is below 2**31 */
#define WAIT_FOR_EVER UINT32_MAX

static inline MempoolObject *mempool_of(PyObject *op)
{
    return (MempoolObject *)op;
}

/* --- life --------------------------------------------------------------- */

static bool has_core_pool(const MempoolObject *self)
{
    return self->pool != NULL && self->arena->core != NULL;
}

static pyslab_mempool_stats pool_figures(const MempoolObject *self)
{
    pyslab_mempool_stats stats = {0};

    if (has_core_pool(self))
        mempool_stats(self->pool, &stats);
    return stats;
}

/* Destroys the core's pool if it is closed and nothing needs it. */
static void pool_settle(MempoolObject *self)
{
    struct mempool *pool = self->pool;

    if (!self->closed || self->nr_inside != 0 || !has_core_pool(self) ||
        pool_figures(self).nr_outstanding != 0)
        return;
    self->pool = NULL;
    (void)mempool_destroy(pool);
    if (self->own_cache)
        cache_retire(self->cache);
}

static void pool_enter(MempoolObject *self)
{
    self->nr_inside++;
}

static void pool_leave(MempoolObject *self)
{
    self->nr_inside--;
    pool_settle(self);
}

static void pool_close(MempoolObject *self)
{
    if (self->closed)
        return;
    self->closed = true;
    if (!has_core_pool(self))
        return;
    pool_enter(self);
    mempool_retire(self->pool); /* destructors may run */
    pool_leave(self);
}

static void mempool_dealloc(PyObject *op)
{
    MempoolObject *self = mempool_of(op);
    PyTypeObject *type = Py_TYPE(op);

    if (self->weakrefs != NULL)
        PyObject_ClearWeakRefs(op);
    pool_close(self);
    Py_DECREF(self->cache);
    Py_DECREF(self->arena);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* A call may have been the last to need a closed arena. */
static void arena_unpin_now(ArenaObject *arena)
{
    if (--arena->nr_live == 0 && arena->closed)
        arena_settle(arena);
}

/* --- creation ----------------------------------------------------------- */

/* How many objects: an int of at least 1. -1 with an exception set. */
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

/* The cache that was given, or a new one for objects of the size that was given. */
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

/* The bytes of so many objects, for an error. */
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
    /* A constructor or a shrinker may have raised. */
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
    arena->nr_live++;
    self = mempool_new(cache, own, min_nr);
    Py_DECREF(cache);
    arena_unpin_now(arena);
    return (PyObject *)self;
}

/* --- objects ------------------------------------------------------------ */

/* Not closed, and its arena is mapped; open as well if it is to allocate. */
static bool pool_is_usable(const MempoolObject *self, bool allocating)
{
    if (allocating && !arena_is_open(self->arena))
        return false;
    if (self->closed) {
        PyErr_Format(PyExc_ValueError, "operation on the closed mempool of '%s'",
                     self->cache->name);
        return false;
    }
    if (self->arena->core == NULL) {
        PyErr_SetString(objects.closed, "the arena is closed and its memory is unmapped");
        return false;
    }
    return true;
}

int mempool_object_free(PyObject *op, void *p)
{
    MempoolObject *self = mempool_of(op);
    int code;

    pool_enter(self);
    code = mempool_free(self->pool, p); /* destructors may run */
    pool_leave(self);
    return code;
}

/* One try. What a constructor or a shrinker raises comes out of the call. */
static void *alloc_once(MempoolObject *self, uint32_t gfp)
{
    void *p;

    pool_enter(self);
    p = mempool_alloc(self->pool, gfp);
    if (p != NULL && PyErr_Occurred()) {
        (void)mempool_free(self->pool, p);
        p = NULL;
    }
    pool_leave(self);
    return p;
}

static bool wait_slice(MempoolObject *self, uint32_t ms)
{
    bool any;

    pool_enter(self);
    Py_BEGIN_ALLOW_THREADS
    any = mempool_wait(self->pool, min_uint(ms, WAIT_SLICE_MS));
    Py_END_ALLOW_THREADS
    pool_leave(self);
    return any;
}

/* Tries until there is an object, the time is over, or something speaks against it. */
static void *alloc_waiting(MempoolObject *self, uint32_t gfp, uint32_t timeout_ms)
{
    uint32_t start = os_time_ms(), waited = 0;
    void *p = alloc_once(self, gfp);

    for (unsigned slice = 1; p == NULL && !PyErr_Occurred() && waited < timeout_ms; slice++) {
        bool any = wait_slice(self, timeout_ms - waited);

        if (PyErr_CheckSignals() < 0 || !pool_is_usable(self, true))
            return NULL;
        waited = timeout_ms == WAIT_FOR_EVER ? 0 : os_time_ms() - start;
        if (any || waited >= timeout_ms || slice % WAIT_RETRY_SLICES == 0)
            p = alloc_once(self, gfp);
    }
    return p;
}

/* OutOfMemoryError with what the pool has to say. */
static PyObject *raise_used_up(MempoolObject *self, uint32_t gfp)
{
    pyslab_mempool_stats stats = pool_figures(self);
    PyObject *type, *value, *traceback;

    if (PyErr_Occurred())
        return NULL;
    raise_out_of_memory(self->arena, self->cache->stride, 0, gfp);
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_Format(type, "%S; the mempool's reserve of %u is in use, %llu objects are out", value,
                 stats.min_nr, (unsigned long long)stats.nr_outstanding);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return NULL;
}

struct pool_options {
    uint32_t gfp;
    uint32_t timeout_ms;
};

/* Seconds, or None. */
static bool arg_timeout(PyObject *arg, uint32_t *ms)
{
    double seconds;

    if (arg == Py_None)
        return true;
    if (PyBool_Check(arg) || (!PyLong_Check(arg) && !PyFloat_Check(arg))) {
        PyErr_Format(PyExc_TypeError, "timeout must be a number of seconds or None, not %.100s",
                     Py_TYPE(arg)->tp_name);
        return false;
    }
    seconds = PyFloat_AsDouble(arg);
    if (seconds == -1.0 && PyErr_Occurred())
        PyErr_Clear(); /* an int beyond any float */
    if (!(seconds >= 0.0 && seconds <= MAX_TIMEOUT)) {
        PyErr_Format(PyExc_ValueError, "timeout must be 0 to 1000000 seconds, got %R", arg);
        return false;
    }
    *ms = (uint32_t)(seconds * 1000.0);
    if (*ms == 0 && seconds > 0.0)
        *ms = 1;
    return true;
}

static bool alloc_parse(const MempoolObject *self, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames, struct pool_options *out)
{
    Py_ssize_t nr_keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    *out = (struct pool_options){.gfp = PYSLAB_GFP_KERNEL};
    if (nargs != 0) {
        PyErr_Format(PyExc_TypeError, "alloc() takes 0 positional arguments, got %zd", nargs);
        return false;
    }
    for (Py_ssize_t i = 0; i < nr_keywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        bool ok = false;

        if (PyUnicode_CompareWithASCIIString(name, "gfp") == 0)
            ok = arg_gfp(args[i], &out->gfp);
        else if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0)
            ok = arg_timeout(args[i], &out->timeout_ms);
        else
            PyErr_Format(PyExc_TypeError, "alloc() got an unexpected keyword argument %R", name);
        if (!ok)
            return false;
    }
    if (out->timeout_ms != 0 && (out->gfp & PYSLAB_GFP_DIRECT_RECLAIM) == 0) {
        PyErr_SetString(PyExc_ValueError, "a timeout needs a gfp that may wait: one with "
                                          "GFP.DIRECT_RECLAIM");
        return false;
    }
    if (!arg_nofail(out->gfp, self->cache->stride) || !arg_drop_highmem("alloc", &out->gfp))
        return false;
    if ((out->gfp & PYSLAB_GFP_NOFAIL) != 0)
        out->timeout_ms = WAIT_FOR_EVER;
    return true;
}

static PyObject *method_alloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    MempoolObject *self = mempool_of(op);
    struct pool_options options;
    PyObject *buffer;
    void *p;

    if (!alloc_parse(self, args, nargs, kwnames, &options) || !pool_is_usable(self, true))
        return NULL;
    self->arena->nr_live++;
    p = alloc_waiting(self, options.gfp, options.timeout_ms);
    buffer = p == NULL ? raise_used_up(self, options.gfp)
                       : buffer_new(self->arena, p, self->cache->object_size, BUFFER_POOL, op);
    arena_unpin_now(self->arena);
    return buffer;
}

static PyObject *method_free(PyObject *op, PyObject *arg)
{
    MempoolObject *self = mempool_of(op);
    BufferObject *buffer = arg_buffer(self->arena, arg);

    if (buffer == NULL)
        return NULL;
    if (buffer->kind != BUFFER_POOL || buffer->keep != op) {
        PyErr_Format(objects.invalid_pointer,
                     "the Buffer is not from this mempool of '%s', to which it was freed",
                     self->cache->name);
        return NULL;
    }
    if (!pool_is_usable(self, false) || buffer_kfree(buffer, "free") < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* --- the pool ----------------------------------------------------------- */

static PyObject *method_resize(PyObject *op, PyObject *arg)
{
    MempoolObject *self = mempool_of(op);
    ArenaObject *arena = self->arena;
    Py_ssize_t min_nr;
    int code;

    if (!pool_is_usable(self, true) || (min_nr = arg_min_nr(arena, arg)) < 0 ||
        !pool_is_usable(self, true))
        return NULL;
    arena->nr_live++;
    pool_enter(self);
    code = mempool_resize(self->pool, (size_t)min_nr);
    pool_leave(self);
    if (code != PYSLAB_OK)
        raise_out_of_memory(arena, bytes_of(self->cache, min_nr), 0, PYSLAB_GFP_KERNEL);
    arena_unpin_now(arena);
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

/* --- attributes --------------------------------------------------------- */

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

static PyMethodDef mempool_methods[] = {
    {"alloc", FAST(method_alloc),
     "alloc($self, /, *, gfp=GFP.KERNEL, timeout=None)\n--\n\n"
     "One object as a Buffer: from the cache without reclaim, then with it if gfp has\n"
     "DIRECT_RECLAIM, then from the reserve.\n\n"
     "timeout: seconds, 0 to 1000000, to wait for a free when the reserve is empty too,\n"
     "without the GIL; None: none. GFP.NOFAIL waits for ever. on_oom is not asked.\n"
     "Raises OutOfMemoryError, ValueError for a closed pool or a timeout with a gfp that\n"
     "may not wait, ArenaClosedError, TypeError, and what a signal's handler raises."},
    {"free", method_free, METH_O,
     "free($self, buf, /)\n--\n\n"
     "Returns an object of this pool: to the reserve while it is short of min_nr, else to\n"
     "the cache. Dropping the Buffer does the same; one that was ever exported goes back\n"
     "only when it dies. Rules and errors as Arena.kfree().\n"
     "Raises InvalidPointerError for a Buffer from elsewhere, ValueError for a closed pool."},
    {"resize", method_resize, METH_O,
     "resize($self, min_nr, /)\n--\n\n"
     "Sets min_nr. A larger reserve is filled at once, or OutOfMemoryError leaves it as it\n"
     "was; a smaller one gives the rest back. Raises ValueError, TypeError,\n"
     "ArenaClosedError."},
    {"close", method_close, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Gives the reserve back and ends allocation; calling it again does nothing. Threads\n"
     "that wait get a ValueError. Live Buffers stay valid, and go back to the cache."},
    {"__enter__", method_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))method_close, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef mempool_getset[] = {
    {"min_nr", get_min_nr, NULL, "Objects that the reserve is for, int; 0 once closed.", NULL},
    {"curr_nr", get_curr_nr, NULL, "Objects in the reserve now, int.", NULL},
    {"outstanding", get_outstanding, NULL, "Objects of the pool in callers' hands, int.", NULL},
    {"from_reserve", get_from_reserve, NULL, "Allocations that the reserve served, int.", NULL},
    {"closed", get_closed, NULL, "True once close() was called, bool.", NULL},
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
        {Py_tp_doc, (void *)(uintptr_t)"Objects in reserve, from Arena.mempool()."},
        {Py_tp_dealloc, (void *)mempool_dealloc},
        {Py_tp_repr, (void *)mempool_repr},
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

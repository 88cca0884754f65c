/* cache_calls.c - the methods of KmemCache: objects out and in, one or many; shrink, destroy. */
#include "python/cache/cache_calls.h"

#include "python/arena/arena_guard.h"
#include "python/cache/cache_object.h"
#include "python/call/args.h"
#include "python/call/errors.h"
#include "python/stack/corruption.h"

#include "slab/mempool.h"

/* --- objects ------------------------------------------------------------- */

/* One object of the core's cache; NULL. pre: the cache exists */
static inline void *alloc_one(CacheObject *self, uint32_t gfp)
{
    void *p;

    CHECK(self->cache != NULL);
    self->nr_calls++;
    p = cache_alloc(self->cache, gfp);
    self->nr_calls--;
    return p;
}

/* Not inlined: alloc() would save its registers for it. */
static slow_path PyObject *alloc_any(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *kwnames)
{
    CacheObject *self = cache_of(op);
    uint32_t gfp = PYSLAB_GFP_KERNEL;
    void *p;

    if (unlikely(nargs != 0 || kwnames != NULL)) {
        struct alloc_options options;

        if (!arg_options("alloc", nargs, 0, args, kwnames, false, &options) ||
            !arg_nofail(options.gfp, self->stride) || !arg_drop_highmem("alloc", &options.gfp))
            return NULL;
        gfp = options.gfp;
    }
    if (unlikely(self->arena->closed || self->cache == NULL) && !cache_is_usable(self, true))
        return NULL;
    do
        p = alloc_one(self, gfp & ~(uint32_t)PYSLAB_GFP_NOFAIL);
    while (unlikely(p == NULL) && nofail_again(self->arena, gfp) && cache_is_usable(self, true));
    if (unlikely(p == NULL)) /* by a constructor, an exception may be set */
        return raise_out_of_memory(self->arena, self->stride, 0, gfp);
    return buffer_new(self->arena, p, self->object_size, &cache_buffer_ops, op);
}

/* alloc() without arguments, of an object that the thread's main sheaf has, runs no callback and is
 * served here; every other call goes to alloc_any. */
static PyObject *method_alloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    CacheObject *self = cache_of(op);
    struct kmem_cache *cache = self->cache;

    if (likely(nargs == 0 && kwnames == NULL && cache != NULL && !self->arena->closed &&
               thread_has_domain(cache->domain))) {
        void *p = sheaf_pop(sheaf_table_loaded(), cache->fast_class);

        if (likely(p != NULL))
            return buffer_new(self->arena, p, self->object_size, &cache_buffer_ops, op);
    }
    return alloc_any(op, args, nargs, kwnames);
}

static PyObject *method_free(PyObject *op, PyObject *arg)
{
    CacheObject *self = cache_of(op);
    BufferObject *buffer = arg_buffer(self->arena, arg);

    if (buffer == NULL)
        return NULL;
    if (buffer->ops != &cache_buffer_ops || buffer->keep != op) {
        const char *from = buffer->ops == &cache_buffer_ops ? cache_of(buffer->keep)->name
                                                            : buffer->ops->made_by;

        PyErr_Format(objects.invalid_pointer,
                     "the Buffer belongs to '%s' and was freed to the cache '%s'", from,
                     self->name);
        return NULL;
    }
    if (buffer_kfree(buffer, "kfree") < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Turns core objects into Buffers; on failure all of them are gone. */
static PyObject *wrap_objects(CacheObject *self, void **objects_, Py_ssize_t n)
{
    PyObject *list = PyList_New(n);

    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *buffer = NULL;

        if (list != NULL) {
            buffer = buffer_new(self->arena, objects_[i], self->object_size, &cache_buffer_ops,
                                (PyObject *)self);
            if (buffer == NULL)
                Py_CLEAR(list); /* buffer_new has given this object back */
            else
                PyList_SET_ITEM(list, i, buffer);
        } else {
            (void)cache_free(self->cache, objects_[i]);
        }
    }
    return list;
}

static PyObject *method_alloc_bulk(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames)
{
    CacheObject *self = cache_of(op);
    struct alloc_options options;
    PyObject *list = NULL;
    Py_ssize_t n;
    size_t got;
    void **p;

    if (!arg_options("alloc_bulk", nargs, 1, args, kwnames, false, &options) ||
        !arg_no_nofail("alloc_bulk", options.gfp) || !arg_drop_highmem("alloc_bulk", &options.gfp))
        return NULL;
    n = arg_count(self->arena, args[0], "n");
    if (n < 0 || !cache_is_usable(self, true))
        return NULL;
    if ((size_t)n > self->arena->core->bytes / self->stride)
        return raise_out_of_memory(
            self->arena, (size_t)n > SIZE_MAX / self->stride ? SIZE_MAX : (size_t)n * self->stride,
            0, options.gfp);
    p = PyMem_New(void *, (size_t)n);
    if (p == NULL)
        return PyErr_NoMemory();
    arena_pin(self->arena);
    self->nr_calls++;
    got = cache_alloc_bulk(self->cache, options.gfp, (size_t)n, p);
    if (got == (size_t)n)
        list = wrap_objects(self, p, n);
    else
        raise_out_of_memory(self->arena, (size_t)n * self->stride, 0, options.gfp);
    self->nr_calls--;
    arena_unpin(self->arena);
    PyMem_Free(p);
    return list;
}

/* prefill(n): n objects as Buffers made now, so that taking one later cannot fail. */
static PyObject *method_prefill(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    PyObject *list = method_alloc_bulk(op, args, nargs, kwnames);
    PyObject *sheaf = list == NULL ? NULL : PyObject_CallOneArg(objects.prefilled, list);

    Py_XDECREF(list);
    return sheaf;
}

/* free_bulk(bufs): frees every Buffer it can, then raises the first error. */
static PyObject *method_free_bulk(PyObject *op, PyObject *arg)
{
    PyObject *buffers = arg_sequence(arg, "free_bulk() takes a sequence of Buffers");
    PyObject *type = NULL, *value = NULL, *traceback = NULL;

    if (buffers == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(buffers); i++) {
        PyObject *done = method_free(op, PySequence_Fast_GET_ITEM(buffers, i));

        if (done == NULL && type == NULL)
            PyErr_Fetch(&type, &value, &traceback);
        PyErr_Clear();
        Py_XDECREF(done);
    }
    Py_DECREF(buffers);
    if (type != NULL) {
        PyErr_Restore(type, value, traceback);
        (void)corruption_raise();
        return NULL;
    }
    Py_RETURN_NONE;
}

/* --- the cache ----------------------------------------------------------- */

/* The text of the CacheBusyError for a cache that still has mempools; a new reference. */
static PyObject *describe_pools(CacheObject *self, uint32_t nr, const pyslab_mempool_stats *newest)
{
    return PyUnicode_FromFormat("cache '%s' still has %u mempool%s; the newest has min_nr %u and "
                                "%llu objects out",
                                self->name, nr, nr == 1 ? "" : "s", newest->min_nr,
                                (unsigned long long)newest->nr_outstanding);
}

static PyObject *method_shrink(PyObject *op, PyObject *unused)
{
    CacheObject *self = cache_of(op);

    (void)unused;
    if (!cache_is_usable(self, false))
        return NULL;
    return PyLong_FromUnsignedLongLong((unsigned long long)cache_shrink(self->cache) << PAGE_SHIFT);
}

/* destroy(). The GIL is held all the time, so that no other Python thread is inside a call on the
 * cache; a call that waits without it is counted in nr_calls. */
static PyObject *method_destroy(PyObject *op, PyObject *unused)
{
    CacheObject *self = cache_of(op);
    struct kmem_cache *cache = self->cache;
    int code;

    (void)unused;
    if (!cache_is_usable(self, false))
        return NULL;
    if (cache_hooks_are_running(self)) {
        PyErr_Format(objects.cache_busy, "cache '%s' is running its constructor or destructor",
                     self->name);
        return NULL;
    }
    if (self->nr_calls != 0) {
        PyErr_Format(objects.cache_busy, "cache '%s' is in the middle of an allocation",
                     self->name);
        return NULL;
    }
    self->cache = NULL; /* a destructor in Python that looks finds the cache destroyed */
    code = cache_destroy(cache);
    if (code != PYSLAB_OK) {
        pyslab_mempool_stats newest;
        uint32_t nr_pools = mempools_of(cache, &newest);
        PyObject *text;

        self->cache = cache;
        text = nr_pools != 0 ? describe_pools(self, nr_pools, &newest) : cache_describe_live(self);
        if (text != NULL)
            PyErr_SetObject(objects.cache_busy, text);
        (void)corruption_raise();
        Py_XDECREF(text);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* slab_map(): drawn in Python, like all pictures. */
static PyObject *method_slab_map(PyObject *op, PyObject *unused)
{
    PyObject *module = PyImport_ImportModule("pyslab._seeing.slab_map"), *result;

    (void)unused;
    if (module == NULL)
        return NULL;
    result = PyObject_CallMethod(module, "of_cache", "O", op);
    Py_DECREF(module);
    return result;
}

/* --- the table ----------------------------------------------------------- */

GUARD_FAST(method_alloc, owner_of_member)
GUARD_FAST(method_alloc_bulk, owner_of_member)
GUARD_FAST(method_prefill, owner_of_member)
GUARD_TWO(method_free, owner_of_member)
GUARD_TWO(method_free_bulk, owner_of_member)
GUARD_TWO(method_shrink, owner_of_member)
GUARD_TWO(method_destroy, owner_of_member)

PyMethodDef cache_methods[] = {
    {"alloc", FAST(GUARDED(method_alloc)),
     "alloc($self, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\nOne object as a Buffer of `size` bytes.\n\n"
     "Raises OutOfMemoryError, ValueError for a destroyed cache, TypeError.\n\n"
     ">>> cache = arena.kmem_cache_create(\"node\", 48)\n>>> cache.alloc().nbytes\n48"},
    {"free", GUARDED(method_free), METH_O,
     "free($self, buf, /)\n--\n\n"
     "Returns an object of this cache; rules and errors as Arena.kfree().\n"
     "Raises InvalidPointerError for a Buffer from elsewhere.\n\n"
     ">>> cache = arena.kmem_cache_create(\"node\", 48)\n>>> cache.free(cache.alloc())"},
    {"alloc_bulk", FAST(GUARDED(method_alloc_bulk)),
     "alloc_bulk($self, n, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\nA list of n Buffers: all or "
     "nothing.\n\n"
     "Raises OutOfMemoryError, ValueError, TypeError; no object is taken then.\n\n"
     ">>> cache = arena.kmem_cache_create(\"node\", 48)\n>>> len(cache.alloc_bulk(10))\n10"},
    {"free_bulk", GUARDED(method_free_bulk), METH_O,
     "free_bulk($self, bufs, /)\n--\n\n"
     "Frees every Buffer of a sequence; raises the first error after freeing the others.\n\n"
     ">>> cache = arena.kmem_cache_create(\"node\", 48)\n"
     ">>> cache.free_bulk(cache.alloc_bulk(10))"},
    {"prefill", FAST(GUARDED(method_prefill)),
     "prefill($self, n, /, *, gfp=pyslab.GFP.KERNEL)\n--\n\n"
     "A PrefilledSheaf: n objects set aside, a context manager whose alloc() cannot fail.\n\n"
     "Raises OutOfMemoryError if n are not to be had, ValueError, TypeError.\n\n"
     ">>> cache = arena.kmem_cache_create(\"node\", 48)\n>>> with cache.prefill(2) as sheaf:\n"
     "...     print(sheaf.alloc().nbytes)\n48"},
    {"shrink", GUARDED(method_shrink), METH_NOARGS,
     "shrink($self, /)\n--\n\n"
     "Gives empty slabs back to the buddy, and has the fullest slabs used first from now\n"
     "on. Returns the bytes given back.\n\n"
     ">>> cache = arena.kmem_cache_create(\"node\", 48)\n>>> cache.free(cache.alloc())\n"
     ">>> cache.shrink() > 0\nTrue"},
    {"slab_map", method_slab_map, METH_NOARGS,
     "slab_map($self, /)\n--\n\n"
     "A SlabMap: what each object of each slab is, list by list; text, picture, data.\n\n"
     "Raises ValueError for a destroyed cache.\n\n"
     ">>> cache = arena.kmem_cache_create(\"node\", 48)\n>>> node = cache.alloc()\n"
     ">>> len(cache.slab_map().slabs)\n1"},
    {"destroy", GUARDED(method_destroy), METH_NOARGS,
     "destroy($self, /)\n--\n\n"
     "Gives everything back. Raises CacheBusyError while objects are live, or a Mempool is\n"
     "over the cache.\n\n"
     ">>> cache = arena.kmem_cache_create(\"node\", 48)\n>>> cache.destroy()"},
    {NULL, NULL, 0, NULL},
};

/* cache_type.c - KmemCache: a cache of equal objects, each handed out as a Buffer.
 *
 * A Buffer from a cache owns a reference to it, so a KmemCache that dies has no Buffers
 * alive and its slabs go back to the buddy.
 */
#include "python/pytypes.h"

#include "slab/mempool.h"

#include <stddef.h>
#include <string.h>

static inline CacheObject *cache_of(PyObject *op)
{
    return (CacheObject *)op;
}

/* --- life --------------------------------------------------------------- */

struct create_args {
    const char *name;
    Py_ssize_t size;
    struct alloc_options align; /* gfp unused */
    bool hwcache_align;
    PyObject *ctor; /* borrowed, or NULL */
    PyObject *dtor; /* borrowed, or NULL */
};

/* One keyword argument of kmem_cache_create. */
static bool create_keyword(PyObject *name, PyObject *value, struct create_args *out)
{
    if (PyUnicode_CompareWithASCIIString(name, "align") == 0)
        return arg_align(value, &out->align.align);
    if (PyUnicode_CompareWithASCIIString(name, "hwcache_align") == 0) {
        out->hwcache_align = PyObject_IsTrue(value) == 1;
        return !PyErr_Occurred();
    }
    if (PyUnicode_CompareWithASCIIString(name, "ctor") == 0)
        out->ctor = value == Py_None ? NULL : value;
    else if (PyUnicode_CompareWithASCIIString(name, "dtor") == 0)
        out->dtor = value == Py_None ? NULL : value;
    else {
        PyErr_Format(PyExc_TypeError, "kmem_cache_create() got an unexpected keyword argument %R",
                     name);
        return false;
    }
    return true;
}

static const char *create_name(PyObject *arg)
{
    Py_ssize_t length;
    const char *name = PyUnicode_Check(arg) ? PyUnicode_AsUTF8AndSize(arg, &length) : NULL;

    if (name == NULL) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "name must be a str, not %.100s", Py_TYPE(arg)->tp_name);
        return NULL;
    }
    if (length == 0 || length >= PYSLAB_NAME_MAX || strlen(name) != (size_t)length ||
        strpbrk(name, " \t\n") != NULL) {
        PyErr_Format(PyExc_ValueError,
                     "a cache name has 1 to %d bytes, without blanks and NUL, got %R",
                     PYSLAB_NAME_MAX - 1, arg);
        return NULL;
    }
    return name;
}

static bool create_size_is_valid(Py_ssize_t size)
{
    if (size >= 1 && size <= (Py_ssize_t)CACHE_MAX_OBJECT)
        return true;
    PyErr_Format(PyExc_ValueError, "object size must be 1 to %zu bytes, got %zd", CACHE_MAX_OBJECT,
                 size);
    return false;
}

static bool create_parse(ArenaObject *arena, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames, struct create_args *out)
{
    Py_ssize_t nr_keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    *out = (struct create_args){.name = NULL};
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "kmem_cache_create() takes 2 positional arguments, got %zd",
                     nargs);
        return false;
    }
    for (Py_ssize_t i = 0; i < nr_keywords; i++)
        if (!create_keyword(PyTuple_GET_ITEM(kwnames, i), args[nargs + i], out))
            return false;
    if (out->align.align > PAGE_SIZE) {
        PyErr_Format(PyExc_ValueError, "align of a cache is at most %zu, got %zu", PAGE_SIZE,
                     out->align.align);
        return false;
    }
    out->name = create_name(args[0]);
    if (out->name == NULL)
        return false;
    out->size = arg_size(arena, args[1], "size");
    return out->size >= 0 && arena_is_open(arena) && create_size_is_valid(out->size);
}

static struct kmem_cache *create_core(ArenaObject *arena, const struct create_args *args,
                                      struct cache_hooks *hooks)
{
    pyslab_cache_options options = {
        .struct_size = sizeof options,
        .flags = args->hwcache_align ? PYSLAB_SLAB_HWCACHE_ALIGN : 0,
        .align = args->align.align,
        .ctor = hooks != NULL ? hooks_construct : NULL,
        .dtor = hooks != NULL ? hooks_destruct : NULL,
        .context = hooks,
    };
    struct kmem_cache *cache = NULL;
    int code = cache_create(&arena->core->kmalloc.slabs, args->name, (size_t)args->size, &options,
                            &cache);

    if (code == PYSLAB_ELIMIT)
        PyErr_Format(objects.error, "an arena has at most %u caches", MAX_CACHES - 1);
    else if (code == PYSLAB_EINVAL)
        PyErr_Format(PyExc_ValueError,
                     "an object of %zd bytes does not fit the arena's largest block", args->size);
    else if (code != PYSLAB_OK)
        PyErr_NoMemory();
    return cache;
}

static CacheObject *cache_object_new(ArenaObject *arena, struct kmem_cache *cache,
                                     struct cache_hooks *hooks)
{
    CacheObject *self = PyObject_New(CacheObject, objects.cache_type);

    if (self == NULL)
        return NULL;
    self->arena = (ArenaObject *)Py_NewRef((PyObject *)arena);
    self->weakrefs = NULL;
    self->cache = cache;
    self->hooks = hooks;
    self->nr_calls = 0;
    memcpy(self->name, cache->desc->name, sizeof self->name);
    self->object_size = cache->desc->object_size;
    self->align = cache->desc->align;
    self->stride = cache->desc->stride;
    return self;
}

PyObject *cache_new(ArenaObject *arena, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct cache_hooks *hooks = NULL;
    struct create_args create;
    struct kmem_cache *cache;
    CacheObject *self;

    if (!create_parse(arena, args, nargs, kwnames, &create))
        return NULL;
    if (create.ctor != NULL || create.dtor != NULL) {
        hooks = hooks_new(arena, create.ctor, create.dtor, create.size);
        if (hooks == NULL)
            return NULL;
    }
    cache = create_core(arena, &create, hooks);
    if (cache != NULL && hooks != NULL)
        cache_set_release(cache, hooks_release);
    self = cache == NULL ? NULL : cache_object_new(arena, cache, hooks);
    if (self == NULL) {
        if (cache != NULL)
            (void)cache_destroy(cache);
        else
            hooks_free(hooks);
    }
    return (PyObject *)self;
}

CacheObject *cache_new_private(ArenaObject *arena, const char *name, Py_ssize_t size)
{
    struct create_args create = {.name = name, .size = size};
    struct kmem_cache *cache = create_size_is_valid(size) ? create_core(arena, &create, NULL)
                                                          : NULL;
    CacheObject *self = cache == NULL ? NULL : cache_object_new(arena, cache, NULL);

    if (self == NULL && cache != NULL)
        (void)cache_destroy(cache);
    return self;
}

void cache_retire(CacheObject *self)
{
    struct kmem_cache *cache = self->cache;

    if (cache != NULL && self->arena->core != NULL && cache_destroy(cache) == PYSLAB_OK)
        self->cache = NULL;
}

static bool hooks_are_running(const CacheObject *self)
{
    return self->hooks != NULL && self->hooks->running != 0;
}

/* Why the cache cannot go: its mempools. A new reference. */
static PyObject *describe_pools(CacheObject *self, uint32_t nr, const pyslab_mempool_stats *newest)
{
    return PyUnicode_FromFormat("cache '%s' still has %u mempool%s; the newest has min_nr %u and "
                                "%llu objects out",
                                self->name, nr, nr == 1 ? "" : "s", newest->min_nr,
                                (unsigned long long)newest->nr_outstanding);
}

/* "N live objects at 0x..., 0x..." for an error or a warning; a new reference. */
static PyObject *describe_live(CacheObject *self)
{
    void *p[8];
    size_t nr = cache_live_objects(self->cache, p, ARRAY_SIZE(p));
    size_t shown = nr < ARRAY_SIZE(p) ? nr : ARRAY_SIZE(p);
    PyObject *text = PyUnicode_FromFormat("cache '%s' still has %zu live object%s", self->name, nr,
                                          nr == 1 ? "" : "s");

    for (size_t i = 0; i < shown && text != NULL; i++) {
        PyObject *longer = PyUnicode_FromFormat("%U%s %p", text, i == 0 ? " at" : ",", p[i]);

        Py_SETREF(text, longer);
    }
    if (text != NULL && nr > shown)
        Py_SETREF(text, PyUnicode_FromFormat("%U, ...", text));
    return text;
}

static void warn_leaked(CacheObject *self)
{
    PyObject *type, *value, *traceback, *text;

    PyErr_Fetch(&type, &value, &traceback);
    text = describe_live(self);
    if (text == NULL || PyErr_WarnFormat(PyExc_ResourceWarning, 1, "%U", text) < 0)
        PyErr_WriteUnraisable((PyObject *)objects.cache_type);
    Py_XDECREF(text);
    PyErr_Restore(type, value, traceback);
}

static void cache_dealloc(PyObject *op)
{
    CacheObject *self = cache_of(op);
    PyTypeObject *type = Py_TYPE(op);

    if (self->weakrefs != NULL)
        PyObject_ClearWeakRefs(op);
    /* A cache that its own hook dropped, and one of which C code holds objects, stay as long as
     * the arena, with their hooks. */
    if (self->cache != NULL && self->arena->core != NULL && !hooks_are_running(self) &&
        cache_destroy(self->cache) != PYSLAB_OK)
        warn_leaked(self);
    Py_DECREF(self->arena);
    PyObject_Free(self);
    Py_DECREF(type);
}

bool cache_is_usable(const CacheObject *self, bool allocating)
{
    if (allocating && !arena_is_open(self->arena))
        return false;
    if (self->arena->core == NULL) {
        PyErr_SetString(objects.closed, "the arena is closed and its memory is unmapped");
        return false;
    }
    if (self->cache == NULL) {
        PyErr_Format(PyExc_ValueError, "operation on the destroyed cache '%s'", self->name);
        return false;
    }
    return true;
}

/* --- objects ------------------------------------------------------------ */

static inline void *alloc_one(CacheObject *self, uint32_t gfp)
{
    void *p;

    self->nr_calls++;
    p = cache_alloc(self->cache, gfp);
    self->nr_calls--;
    return p;
}

static PyObject *method_alloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
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
    if (unlikely(p == NULL)) /* a constructor may have raised */
        return raise_out_of_memory(self->arena, self->stride, 0, gfp);
    return buffer_new(self->arena, p, self->object_size, BUFFER_CACHE, op);
}

static PyObject *method_free(PyObject *op, PyObject *arg)
{
    CacheObject *self = cache_of(op);
    BufferObject *buffer = arg_buffer(self->arena, arg);

    if (buffer == NULL)
        return NULL;
    if (buffer->kind != BUFFER_CACHE || buffer->keep != op) {
        const char *from = buffer->kind == BUFFER_CACHE   ? cache_of(buffer->keep)->name
                           : buffer->kind == BUFFER_POOL  ? "a mempool"
                           : buffer->kind == BUFFER_PAGES ? "get_free_pages"
                           : buffer->kind == BUFFER_KMAP  ? "kmap"
                                                          : "kmalloc";

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
            buffer = buffer_new(self->arena, objects_[i], self->object_size, BUFFER_CACHE,
                                (PyObject *)self);
            if (buffer == NULL)
                Py_CLEAR(list); /* buffer_new returned this object */
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

/* n objects set aside: Buffers made beforehand, so that nothing is left that can fail. */
static PyObject *method_prefill(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    PyObject *list = method_alloc_bulk(op, args, nargs, kwnames);
    PyObject *sheaf = list == NULL ? NULL : PyObject_CallOneArg(objects.prefilled, list);

    Py_XDECREF(list);
    return sheaf;
}

/* Frees what it can; the first error is raised after that. */
static PyObject *method_free_bulk(PyObject *op, PyObject *arg)
{
    PyObject *buffers = PySequence_Fast(arg, "free_bulk() takes a sequence of Buffers");
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
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *method_shrink(PyObject *op, PyObject *unused)
{
    CacheObject *self = cache_of(op);

    (void)unused;
    if (!cache_is_usable(self, false))
        return NULL;
    return PyLong_FromUnsignedLongLong((unsigned long long)cache_shrink(self->cache) << PAGE_SHIFT);
}

/* Holds the GIL: no other Python thread may be inside a call on the cache. */
static PyObject *method_destroy(PyObject *op, PyObject *unused)
{
    CacheObject *self = cache_of(op);
    struct kmem_cache *cache = self->cache;
    int code;

    (void)unused;
    if (!cache_is_usable(self, false))
        return NULL;
    if (hooks_are_running(self)) {
        PyErr_Format(objects.cache_busy, "cache '%s' is running its constructor or destructor",
                     self->name);
        return NULL;
    }
    if (self->nr_calls != 0) {
        PyErr_Format(objects.cache_busy, "cache '%s' is in the middle of an allocation",
                     self->name);
        return NULL;
    }
    self->cache = NULL; /* a destructor finds it destroyed already */
    code = cache_destroy(cache);
    if (code != PYSLAB_OK) {
        pyslab_mempool_stats newest;
        uint32_t nr_pools = mempools_of(cache, &newest);
        PyObject *text;

        self->cache = cache;
        text = nr_pools != 0 ? describe_pools(self, nr_pools, &newest) : describe_live(self);
        if (text != NULL)
            PyErr_SetObject(objects.cache_busy, text);
        Py_XDECREF(text);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* --- attributes --------------------------------------------------------- */

static PyObject *get_slabs(PyObject *op, void *unused)
{
    CacheObject *self = cache_of(op);
    pyslab_cache_stats s;

    (void)unused;
    if (!cache_is_usable(self, false))
        return NULL;
    cache_stats(self->cache, &s);
    return PyObject_CallFunction(objects.slab_counts, "KKK", (unsigned long long)s.nr_full,
                                 (unsigned long long)s.nr_partial, (unsigned long long)s.nr_empty);
}

static PyObject *get_supply(PyObject *op, void *unused)
{
    CacheObject *self = cache_of(op);
    pyslab_cache_stats s;

    (void)unused;
    if (!cache_is_usable(self, false))
        return NULL;
    cache_stats(self->cache, &s);
    return PyObject_CallFunction(
        objects.supply_counts, "KKKKKK", (unsigned long long)s.supply_sheaf,
        (unsigned long long)s.supply_swap, (unsigned long long)s.supply_barn,
        (unsigned long long)s.supply_partial, (unsigned long long)s.supply_empty,
        (unsigned long long)s.supply_buddy);
}

static PyObject *get_name(PyObject *op, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(cache_of(op)->name);
}

static PyObject *get_arena(PyObject *op, void *unused)
{
    (void)unused;
    return Py_NewRef((PyObject *)cache_of(op)->arena);
}

static PyObject *cache_repr(PyObject *op)
{
    CacheObject *self = cache_of(op);

    return PyUnicode_FromFormat("<pyslab.KmemCache '%s' size=%u align=%u stride=%u%s>", self->name,
                                self->object_size, self->align, self->stride,
                                self->cache == NULL ? " destroyed" : "");
}

static PyMethodDef cache_methods[] = {
    {"alloc", FAST(method_alloc),
     "alloc($self, /, *, gfp=GFP.KERNEL)\n--\n\nOne object as a Buffer of `size` bytes."},
    {"free", method_free, METH_O,
     "free($self, buf, /)\n--\n\n"
     "Returns an object of this cache; rules and errors as Arena.kfree().\n"
     "Raises InvalidPointerError for a Buffer from elsewhere."},
    {"alloc_bulk", FAST(method_alloc_bulk),
     "alloc_bulk($self, n, /, *, gfp=GFP.KERNEL)\n--\n\nA list of n Buffers: all or nothing."},
    {"free_bulk", method_free_bulk, METH_O,
     "free_bulk($self, bufs, /)\n--\n\n"
     "Frees every Buffer of a sequence; raises the first error after freeing the others."},
    {"prefill", FAST(method_prefill),
     "prefill($self, n, /, *, gfp=GFP.KERNEL)\n--\n\n"
     "A PrefilledSheaf: n objects set aside, a context manager whose alloc() cannot fail."},
    {"shrink", method_shrink, METH_NOARGS,
     "shrink($self, /)\n--\n\n"
     "Gives empty slabs back to the buddy, and has the fullest slabs used first from now\n"
     "on. Returns the bytes given back."},
    {"destroy", method_destroy, METH_NOARGS,
     "destroy($self, /)\n--\n\n"
     "Gives everything back. Raises CacheBusyError while objects are live, or a Mempool is\n"
     "over the cache."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef cache_getset[] = {
    {"name", get_name, NULL, "Name, str.", NULL},
    {"arena", get_arena, NULL, "The Arena it belongs to.", NULL},
    {"slabs", get_slabs, NULL, "Slabs (full, partial, empty), a named tuple of int.", NULL},
    {"supply", get_supply, NULL,
     "Where refills came from (sheaf, swap, barn, partial, empty, buddy), a named tuple of int.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef cache_members[] = {
    {"size", T_UINT, offsetof(CacheObject, object_size), READONLY, "Bytes of an object."},
    {"align", T_UINT, offsetof(CacheObject, align), READONLY, "Bytes, a power of two."},
    {"stride", T_UINT, offsetof(CacheObject, stride), READONLY, "Bytes between objects."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(CacheObject, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject *cache_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)"Objects of one size, from Arena.kmem_cache_create()."},
        {Py_tp_dealloc, (void *)cache_dealloc},
        {Py_tp_repr, (void *)cache_repr},
        {Py_tp_methods, cache_methods},
        {Py_tp_getset, cache_getset},
        {Py_tp_members, cache_members},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab.KmemCache",
        .basicsize = sizeof(CacheObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

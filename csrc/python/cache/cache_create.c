/* cache_create.c - new KmemCaches: arguments, the core's cache, its Python hooks, the object. */
#include "python/cache/cache_create.h"

#include "python/call/args.h"
#include "python/stack/corruption.h"

#include <string.h>

/* --- arguments ----------------------------------------------------------- */

struct create_args {
    const char *name;
    Py_ssize_t size;
    struct alloc_options align; /* gfp unused */
    bool hwcache_align;
    uint32_t debug; /* enum pyslab_debug_flags */
    PyObject *ctor; /* borrowed, or NULL */
    PyObject *dtor; /* borrowed, or NULL */
};

/* Letters as in Arena(debug=), without names; false with an exception set. */
static bool create_debug(PyObject *value, uint32_t *flags)
{
    static const char letters[] = "FZPUfzpu"; /* in the order of the flags' bits */
    const char *text = PyUnicode_Check(value) ? PyUnicode_AsUTF8(value) : NULL;

    if (text == NULL) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "debug must be a str, not %.100s",
                         Py_TYPE(value)->tp_name);
        return false;
    }
    if (strspn(text, letters) != strlen(text)) {
        PyErr_Format(PyExc_ValueError, "debug of a cache is letters of FZPU, not %R", value);
        return false;
    }
    for (*flags = 0; *text != '\0'; text++)
        *flags |= 1u << ((strchr(letters, *text) - letters) & 3);
    return *flags == 0 || corruption_watch_collections();
}

/* Reads one keyword argument of kmem_cache_create; false with an exception set. */
static bool create_keyword(PyObject *name, PyObject *value, struct create_args *out)
{
    if (PyUnicode_CompareWithASCIIString(name, "align") == 0)
        return arg_align(value, &out->align.align);
    if (PyUnicode_CompareWithASCIIString(name, "hwcache_align") == 0) {
        out->hwcache_align = PyObject_IsTrue(value) == 1;
        return !PyErr_Occurred();
    }
    if (PyUnicode_CompareWithASCIIString(name, "debug") == 0)
        return create_debug(value, &out->debug);
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

/* --- creation ------------------------------------------------------------ */

static struct kmem_cache *create_core(ArenaObject *arena, const struct create_args *args,
                                      struct cache_hooks *hooks)
{
    pyslab_cache_options options = {
        .struct_size = sizeof options,
        .flags = args->hwcache_align ? PYSLAB_SLAB_HWCACHE_ALIGN : 0,
        .align = args->align.align,
        .debug_flags = args->debug,
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

static PyObject *cache_new(ArenaObject *arena, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
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

PyObject *arena_kmem_cache_create(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kwnames)
{
    ArenaObject *arena = (ArenaObject *)op;

    return arena_is_open(arena) ? cache_new(arena, args, nargs, kwnames) : NULL;
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

/* cache_object.c - the life of a KmemCache, and the kind of its Buffers. */
#include "python/cache/cache_object.h"

#include "python/arena/arena_guard.h"

#include <string.h>

/* give_back is kmalloc_free, as for kmalloc, whose memory is objects of caches too. */
const struct buffer_ops cache_buffer_ops = {
    .in_arena = true, .made_by = "a cache", .freed_by = "kfree"};

CacheObject *cache_object_new(ArenaObject *arena, struct kmem_cache *cache,
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

void cache_retire(CacheObject *self)
{
    struct kmem_cache *cache = self->cache;

    if (cache != NULL && self->arena->core != NULL && cache_destroy(cache) == PYSLAB_OK)
        self->cache = NULL;
}

bool cache_hooks_are_running(const CacheObject *self)
{
    return self->hooks != NULL && self->hooks->running != 0;
}

/* "N live objects at 0x..., 0x..." for an error or a warning; a new reference. */
PyObject *cache_describe_live(const CacheObject *self)
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

/* A KmemCache was dropped while C code holds objects of it: a ResourceWarning. */
static void warn_leaked(CacheObject *self)
{
    PyObject *type, *value, *traceback, *text;

    PyErr_Fetch(&type, &value, &traceback);
    text = cache_describe_live(self);
    if (text == NULL || PyErr_WarnFormat(PyExc_ResourceWarning, 1, "%U", text) < 0)
        PyErr_WriteUnraisable((PyObject *)objects.cache_type);
    Py_XDECREF(text);
    PyErr_Restore(type, value, traceback);
}

void cache_dealloc(PyObject *op)
{
    CacheObject *self = cache_of(op);
    PyTypeObject *type = Py_TYPE(op);

    if (self->weakrefs != NULL)
        PyObject_ClearWeakRefs(op);
    /* Two kinds of cache stay as long as the arena, with their hooks: one that is dropped by its
     * own hook, and one of which C code still holds objects. */
    guard_begin(self->arena);
    if (self->cache != NULL && self->arena->core != NULL && !cache_hooks_are_running(self) &&
        cache_destroy(self->cache) != PYSLAB_OK)
        warn_leaked(self);
    guard_end();
    Py_DECREF(self->arena);
    PyObject_Free(self);
    Py_DECREF(type);
}

bool cache_is_usable(const CacheObject *self, bool allocating)
{
    if (allocating && !arena_is_open(self->arena))
        return false;
    if (!arena_is_mapped(self->arena))
        return false;
    if (self->cache == NULL) {
        PyErr_Format(PyExc_ValueError, "operation on the destroyed cache '%s'", self->name);
        return false;
    }
    return true;
}

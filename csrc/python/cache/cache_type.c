/* cache_type.c - pyslab.KmemCache: the type and its attributes. */
#include "python/cache/cache_type.h"

#include "python/arena/arena_guard.h"
#include "python/cache/cache_calls.h"
#include "python/cache/cache_object.h"

#include <stddef.h>

static const char cache_doc[] =
    "A cache: a supply of objects of one size, from Arena.kmem_cache_create().\n"
    "\n"
    "It cuts blocks of page frames, called slabs, into objects, and keeps free ones at hand for\n"
    "each thread. Nothing is rounded up to a size class, as kmalloc() does.\n"
    "\n"
    ">>> cache = arena.kmem_cache_create(\"inode\", 600, align=64)\n"
    ">>> inode = cache.alloc()\n"
    ">>> cache.size, cache.stride, inode.nbytes\n"
    "(600, 640, 600)\n"
    ">>> cache.free(inode)\n"
    ">>> cache.destroy()";

/* The cache's figures, and the class of _memory/counts.py that shows them: a new reference. The
 * class comes first, because another thread may destroy the cache while its module is imported. */
static PyObject *figures_read(CacheObject *self, const char *name, pyslab_cache_stats *s)
{
    PyObject *class = objects_class("pyslab._memory.counts", name);

    if (class == NULL)
        return NULL;
    if (!cache_is_usable(self, false)) {
        Py_DECREF(class);
        return NULL;
    }
    cache_stats(self->cache, s);
    return class;
}

static PyObject *get_slabs(PyObject *op, void *unused)
{
    pyslab_cache_stats s;
    PyObject *class = figures_read(cache_of(op), "SlabCounts", &s), *made;

    (void)unused;
    if (class == NULL)
        return NULL;
    made = PyObject_CallFunction(class, "KKK", (unsigned long long)s.nr_full,
                                 (unsigned long long)s.nr_partial, (unsigned long long)s.nr_empty);
    Py_DECREF(class);
    return made;
}

static PyObject *get_supply(PyObject *op, void *unused)
{
    pyslab_cache_stats s;
    PyObject *class = figures_read(cache_of(op), "SupplyCounts", &s), *made;

    (void)unused;
    if (class == NULL)
        return NULL;
    made = PyObject_CallFunction(
        class, "KKKKKK", (unsigned long long)s.supply_sheaf, (unsigned long long)s.supply_swap,
        (unsigned long long)s.supply_barn, (unsigned long long)s.supply_partial,
        (unsigned long long)s.supply_empty, (unsigned long long)s.supply_buddy);
    Py_DECREF(class);
    return made;
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

/* Its id among the arena's caches, for Arena._slab_map(); None once it is destroyed. */
static PyObject *get_id(PyObject *op, void *unused)
{
    const CacheObject *self = cache_of(op);

    (void)unused;
    return self->cache == NULL ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(self->cache->id);
}

static PyObject *cache_repr(PyObject *op)
{
    CacheObject *self = cache_of(op);

    return PyUnicode_FromFormat("<pyslab.KmemCache '%s' size=%u align=%u stride=%u%s>", self->name,
                                self->object_size, self->align, self->stride,
                                self->cache == NULL ? " destroyed" : "");
}

GUARD_ONE(cache_repr, owner_of_member)

GUARD_GET(get_id, owner_of_member)
GUARD_GET(get_slabs, owner_of_member)
GUARD_GET(get_supply, owner_of_member)

static PyGetSetDef cache_getset[] = {
    {"name", get_name, NULL, "Name, str.", NULL},
    {"arena", get_arena, NULL, "The Arena it belongs to.", NULL},
    {"_id", GUARDED(get_id), NULL, NULL, NULL},
    {"slabs", GUARDED(get_slabs), NULL, "Slabs (full, partial, empty), a named tuple of int.",
     NULL},
    {"supply", GUARDED(get_supply), NULL,
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
        {Py_tp_doc, (void *)(uintptr_t)cache_doc},
        {Py_tp_dealloc, (void *)cache_dealloc},
        {Py_tp_repr, (void *)GUARDED(cache_repr)},
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

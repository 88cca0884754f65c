/* python.h - pyslab_import(), and the way from a Python object to its C handle and back.
 *
 * What it is not: for callers without the GIL, unlike the rest of pyslab.h; with PYSLAB_NO_PYTHON
 * it is left out. It keeps to the limited API of Python 3.10.
 */
#ifndef PYSLAB_PYTHON_H
#define PYSLAB_PYTHON_H

#ifndef PYSLAB_NO_IMPORT

/* Turns the exception for a capsule that is missing, or is something else, into an ImportError that
 * says so. Other exceptions stay what they are. Always -1. */
static inline int pyslab_import_failed(void)
{
    if (PyErr_ExceptionMatches(PyExc_AttributeError) || PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear();
        PyErr_SetString(PyExc_ImportError,
                        "the pyslab that is installed has no C API (" PYSLAB_CAPSULE ")");
    }
    return -1;
}

/* Imports pyslab if nobody has, and takes its table; to be called from a module's init, or
 * anywhere with the GIL. 0, or -1 with ImportError set: pyslab cannot be imported (as in a
 * subinterpreter), or its C API is too old or of another major version; the text names both
 * versions. Calling it again does no harm. */
static inline int pyslab_import(void)
{
    PyObject *module = PyImport_ImportModule("pyslab"); /* its own error tells why */
    const pyslab_api *api;

    if (module == NULL)
        return pyslab_import_failed();
    Py_DECREF(module);
    api = (const pyslab_api *)PyCapsule_Import(PYSLAB_CAPSULE, 0);
    if (api == NULL)
        return pyslab_import_failed();
    if (pyslab_set_api(api) != PYSLAB_OK || api->python == NULL ||
        api->python->struct_size < sizeof(pyslab_python_api)) {
        PyErr_Format(PyExc_ImportError,
                     "the pyslab that is installed has C API %u.%u (a table of %zu bytes), and "
                     "this module was compiled for %u.%u (%zu bytes)",
                     (unsigned)api->abi_major, (unsigned)api->abi_minor, api->struct_size,
                     (unsigned)PYSLAB_ABI_MAJOR, (unsigned)PYSLAB_TARGET_ABI_MINOR,
                     sizeof(pyslab_api));
        return -1;
    }
    return 0;
}

#endif

/* The handle of a pyslab.Arena. It may be used while the object is open, or as long as somebody
 * has a reference of their own (pyslab_arena_get). NULL with TypeError or ArenaClosedError set. */
static inline pyslab_arena *pyslab_arena_from_object(PyObject *arena)
{
    return pyslab_get_api()->python->arena_from_object(arena);
}

/* A new reference to the open pyslab.Arena over this arena: the one that the handle came from, or
 * that an earlier call here made, or a new one. An arena made by pyslab_arena_create() stays the
 * caller's: the object has a reference like any other (pyslab_arena_destroy() is EBUSY meanwhile),
 * and its close() gives that back. NULL with an exception set. */
static inline PyObject *pyslab_arena_to_object(pyslab_arena *arena)
{
    return pyslab_get_api()->python->arena_to_object(arena);
}

/* The handle of a pyslab.KmemCache, good until its destroy(); the object keeps the cache.
 * NULL with TypeError, ValueError (destroyed) or ArenaClosedError set. */
static inline pyslab_kmem_cache *pyslab_kmem_cache_from_object(PyObject *cache)
{
    return pyslab_get_api()->python->kmem_cache_from_object(cache);
}

/* The handle of a pyslab.Region, good until its close(); the object keeps the region. It is
 * for allocation: what ends memory (rewind, reset, destroy) is the object's. NULL with
 * TypeError, ValueError (closed) or ArenaClosedError set. */
static inline pyslab_region *pyslab_region_from_object(PyObject *region)
{
    return pyslab_get_api()->python->region_from_object(region);
}

/* Sets the exception that Python's own calls raise for this enum pyslab_error, with "what: "
 * before the sentence of pyslab_strerror(); returns NULL. */
static inline void *pyslab_raise(int error, const char *what)
{
    return pyslab_get_api()->python->raise_error(error, what);
}

#endif

/* c_api.c - the capsule pyslab._C_API, and the functions of the C API that take or return
 * Python objects.
 *
 * What it is not: the table of the other functions (api/api_table.c), which gets its Python part
 * here.
 *
 * Data structure: a core arena points to the ArenaObject over it (`object`, borrowed), so that
 * C code which has the core arena finds the Arena.
 * Invariant: an ArenaObject that is in `object` has references to that arena.
 * Lock: the GIL.
 */
#include "python/module/c_api.h"

#include "python/cache/cache_object.h"
#include "python/call/errors.h"
#include "python/region/region_object.h"

#include "api/api_table.h"

/* --- from objects -------------------------------------------------------- */

static bool is_a(PyObject *object, PyTypeObject *type, const char *name)
{
    if (PyObject_TypeCheck(object, type))
        return true;
    PyErr_Format(PyExc_TypeError, "expected a pyslab.%s, not %.200s", name,
                 Py_TYPE(object)->tp_name);
    return false;
}

static pyslab_arena *arena_from_object(PyObject *object)
{
    ArenaObject *arena = (ArenaObject *)object;

    if (!is_a(object, objects.arena_type, "Arena") || !arena_is_open(arena))
        return NULL;
    return arena->core;
}

static pyslab_kmem_cache *kmem_cache_from_object(PyObject *object)
{
    CacheObject *cache = (CacheObject *)object;

    if (!is_a(object, objects.cache_type, "KmemCache") || !cache_is_usable(cache, true))
        return NULL;
    return cache->cache;
}

static pyslab_region *region_from_object(PyObject *object)
{
    RegionObject *region = (RegionObject *)object;

    if (!is_a(object, objects.region_type, "Region") || !arena_is_open(region->arena))
        return NULL;
    if (region->closing || region->core == NULL) {
        PyErr_SetString(PyExc_ValueError, "operation on a closed region");
        return NULL;
    }
    return region->core;
}

/* --- to objects ---------------------------------------------------------- */

/* The open Arena over a core arena, a new reference; NULL without an exception if there is none. */
static PyObject *arena_known_object(const struct pyslab_arena *core)
{
    ArenaObject *arena = core != NULL ? arena_object_get(core) : NULL;

    if (arena != NULL && arena->closed)
        Py_CLEAR(arena);
    return (PyObject *)arena;
}

static PyObject *arena_to_object(pyslab_arena *core)
{
    PyObject *arena, *module;

    if (core == NULL) {
        PyErr_SetString(PyExc_ValueError, "the arena is NULL");
        return NULL;
    }
    arena = arena_known_object(core);
    if (arena != NULL)
        return arena;
    module = PyImport_ImportModule("pyslab._arena.handles");
    if (module == NULL)
        return NULL;
    arena = PyObject_CallMethod(module, "_arena_of_handle", "N", PyLong_FromVoidPtr(core));
    Py_DECREF(module);
    return arena;
}

/* _known_arena(address): the open Arena over it, or None. */
static PyObject *method_known_arena(PyObject *module, PyObject *address)
{
    void *core = PyLong_AsVoidPtr(address);
    PyObject *arena;

    (void)module;
    if (core == NULL && PyErr_Occurred())
        return NULL;
    arena = arena_known_object(core);
    return arena != NULL ? arena : Py_NewRef(Py_None);
}

/* --- errors -------------------------------------------------------------- */

static void *raise_error(int error, const char *what)
{
    PyErr_Format(exception_of_code(error), "%s: %s", what != NULL ? what : "pyslab",
                 pyslab_strerror(error));
    return NULL;
}

/* --- one interpreter ----------------------------------------------------- */

/* The types, their objects and the callables that the core knows belong to the main interpreter.
 * A second one that shared them would free objects of the first. */
bool interpreter_is_main(void)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main())
        return true;
    PyErr_SetString(PyExc_ImportError,
                    "pyslab works in the main interpreter only, and this is a subinterpreter");
    return false;
}

/* _require_main_interpreter(), called when the package is imported: Python runs PyInit__core once
 * in a process, so a later interpreter gets past the check there. */
static PyObject *method_require_main(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return interpreter_is_main() ? Py_NewRef(Py_None) : NULL;
}

static PyMethodDef functions[] = {
    {"_require_main_interpreter", method_require_main, METH_NOARGS, NULL},
    {"_known_arena", method_known_arena, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static const pyslab_python_api python_api = {
    .struct_size = sizeof python_api,
    .arena_from_object = arena_from_object,
    .arena_to_object = arena_to_object,
    .kmem_cache_from_object = kmem_cache_from_object,
    .region_from_object = region_from_object,
    .raise_error = raise_error,
};

bool c_api_add(PyObject *module)
{
    PyObject *capsule;
    int failed;

    api_table.python = &python_api;
    capsule = PyCapsule_New(&api_table, PYSLAB_CAPSULE, NULL);
    if (capsule == NULL)
        return false;
    failed = PyModule_AddObjectRef(module, "_C_API", capsule);
    Py_DECREF(capsule);
    return failed == 0 && PyModule_AddFunctions(module, functions) == 0;
}

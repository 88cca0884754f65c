/* client.c - an extension module that uses pyslab, in the common part of C11 and C++17 and
 * within the limited API.
 *
 * CLIENT_NO_IMPORT: it does not call pyslab_import(). CLIENT_UNIT: it is of two units, and
 * second.c is the other one.
 */
#define PY_SSIZE_T_CLEAN
#include <pyslab.h>

#include "families.h"
#include "no_gil.h"

#include <pthread.h>

#ifdef CLIENT_UNIT
#ifdef __cplusplus
extern "C"
#endif
    void *second_kmalloc(pyslab_arena *arena, size_t size);
#endif

/* --- families: without the GIL, here or in a thread that Python never saw --- */

static void *run_there(void *argument)
{
    intptr_t *which = (intptr_t *)argument;

    *which = families[*which].run();
    return NULL;
}

static PyObject *run(PyObject *module, PyObject *args)
{
    const char *name;
    int foreign = 0;
    intptr_t which = -1;

    (void)module;
    if (!PyArg_ParseTuple(args, "s|p", &name, &foreign))
        return NULL;
    for (int i = 0; i < NR_FAMILIES; i++)
        if (strcmp(families[i].name, name) == 0)
            which = i;
    if (which < 0)
        return PyErr_Format(PyExc_KeyError, "no family %s", name);
    Py_BEGIN_ALLOW_THREADS
    if (foreign) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, run_there, &which) != 0)
            which = -1;
        else
            pthread_join(thread, NULL);
    } else {
        run_there(&which);
    }
    Py_END_ALLOW_THREADS
    return PyLong_FromSsize_t((Py_ssize_t)which);
}

static PyObject *names(PyObject *module, PyObject *unused)
{
    PyObject *list = PyList_New(0);

    (void)module, (void)unused;
    for (int i = 0; list != NULL && i < NR_FAMILIES; i++) {
        PyObject *name = PyUnicode_FromString(families[i].name);

        if (name == NULL || PyList_Append(list, name) != 0)
            Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

/* --- objects ------------------------------------------------------------ */

static PyObject *default_arena(PyObject *module, PyObject *unused)
{
    pyslab_arena *arena = pyslab_default_arena();

    (void)module, (void)unused;
    return arena == NULL ? (PyObject *)pyslab_raise(PYSLAB_ENOMEM, "the default arena")
                         : pyslab_arena_to_object(arena);
}

static PyObject *make(PyObject *module, PyObject *size)
{
    size_t bytes = PyLong_AsSize_t(size);
    pyslab_arena *arena;

    (void)module;
    if (bytes == (size_t)-1 && PyErr_Occurred())
        return NULL;
    arena = create_arena(bytes);
    return arena == NULL ? (PyObject *)pyslab_raise(PYSLAB_EINVAL, "an arena")
                         : PyLong_FromVoidPtr(arena);
}

static PyObject *to_object(PyObject *module, PyObject *address)
{
    void *arena = PyLong_AsVoidPtr(address);

    (void)module;
    return PyErr_Occurred() ? NULL : pyslab_arena_to_object((pyslab_arena *)arena);
}

static PyObject *from_object(PyObject *module, PyObject *object)
{
    pyslab_arena *arena = pyslab_arena_from_object(object);

    (void)module;
    return arena == NULL ? NULL : PyLong_FromVoidPtr(arena);
}

/* What a handle of each kind gives: memory of the object's own cache or region. */
static PyObject *cache_alloc(PyObject *module, PyObject *object)
{
    pyslab_kmem_cache *cache = pyslab_kmem_cache_from_object(object);

    (void)module;
    return cache == NULL ? NULL
                         : PyLong_FromVoidPtr(pyslab_kmem_cache_alloc(cache, PYSLAB_GFP_KERNEL));
}

static PyObject *cache_free(PyObject *module, PyObject *args)
{
    pyslab_kmem_cache *cache;
    PyObject *object, *address;
    int error;

    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &object, &address))
        return NULL;
    cache = pyslab_kmem_cache_from_object(object);
    if (cache == NULL)
        return NULL;
    error = pyslab_kmem_cache_free(cache, PyLong_AsVoidPtr(address));
    return error != PYSLAB_OK ? (PyObject *)pyslab_raise(error, "kmem_cache_free")
                              : PyLong_FromLong(0);
}

static PyObject *region_alloc(PyObject *module, PyObject *args)
{
    pyslab_region *region;
    PyObject *object;
    Py_ssize_t size;

    (void)module;
    if (!PyArg_ParseTuple(args, "On", &object, &size))
        return NULL;
    region = pyslab_region_from_object(object);
    return region == NULL ? NULL : PyLong_FromVoidPtr(pyslab_region_alloc(region, (size_t)size));
}

/* --- references --------------------------------------------------------- */

typedef int (*arena_call)(pyslab_arena *arena);

static int get(pyslab_arena *arena)
{
    pyslab_arena_get(arena);
    return PYSLAB_OK;
}

static int write_there(pyslab_arena *arena)
{
    void *p = pyslab_kmalloc(arena, 1000, PYSLAB_GFP_KERNEL);

    if (p == NULL)
        return PYSLAB_ENOMEM;
    memset(p, 0xff, 1000);
    return pyslab_kfree(arena, p);
}

/* Takes all there is and gives it back: the slow path, with all its callbacks. */
static PyObject *exhaust(PyObject *module, PyObject *address)
{
    enum { MOST = 4096 };
    static uint32_t pfn[MOST];
    pyslab_arena *arena = (pyslab_arena *)PyLong_AsVoidPtr(address);
    uint32_t nr = 0;

    (void)module;
    if (arena == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    while (nr < MOST &&
           (pfn[nr] = pyslab_alloc_pages(arena, 0, PYSLAB_GFP_KERNEL)) != PYSLAB_PFN_NONE)
        nr++;
    for (uint32_t i = 0; i < nr; i++)
        (void)pyslab_put_page(arena, pfn[i]);
    Py_END_ALLOW_THREADS
    return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLong(nr);
}

static int put(pyslab_arena *arena)
{
    return pyslab_arena_put(arena);
}

static int destroy(pyslab_arena *arena)
{
    return pyslab_arena_destroy(arena);
}

static PyObject *call(arena_call function, const char *name, PyObject *address)
{
    void *arena = PyLong_AsVoidPtr(address);
    int error;

    if (PyErr_Occurred())
        return NULL;
    error = function((pyslab_arena *)arena);
    return error != PYSLAB_OK ? (PyObject *)pyslab_raise(error, name) : PyLong_FromLong(0);
}

#define ARENA_METHOD(name)                                                                         \
    static PyObject *method_##name(PyObject *module, PyObject *address)                            \
    {                                                                                              \
        (void)module;                                                                              \
        return call(name, #name, address);                                                         \
    }
ARENA_METHOD(get)
ARENA_METHOD(put)
ARENA_METHOD(destroy)
ARENA_METHOD(write_there)

static PyObject *second(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
#ifdef CLIENT_UNIT
    return PyLong_FromVoidPtr(second_kmalloc(pyslab_default_arena(), 10));
#else
    return PyErr_Format(PyExc_NotImplementedError, "one unit");
#endif
}

static PyObject *import_again(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return pyslab_import() < 0 ? NULL : PyLong_FromLong(0);
}

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, NULL},
    {"names", names, METH_NOARGS, NULL},
    {"default_arena", default_arena, METH_NOARGS, NULL},
    {"make", make, METH_O, NULL},
    {"to_object", to_object, METH_O, NULL},
    {"from_object", from_object, METH_O, NULL},
    {"cache_alloc", cache_alloc, METH_O, NULL},
    {"cache_free", cache_free, METH_VARARGS, NULL},
    {"region_alloc", region_alloc, METH_VARARGS, NULL},
    {"get", method_get, METH_O, NULL},
    {"exhaust", exhaust, METH_O, NULL},
    {"put", method_put, METH_O, NULL},
    {"destroy", method_destroy, METH_O, NULL},
    {"write_there", method_write_there, METH_O, NULL},
    {"second", second, METH_NOARGS, NULL},
    {"import_again", import_again, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "client", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_client(void);

PyMODINIT_FUNC PyInit_client(void)
{
#ifndef CLIENT_NO_IMPORT
    if (pyslab_import() < 0)
        return NULL;
#endif
    return without_gil(PyModule_Create(&definition));
}

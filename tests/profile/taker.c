/* taker.c - an extension that takes memory by the C API, for tests/profile/test_c_api.py. */
#define PY_SSIZE_T_CLEAN
#include <pyslab.h>

#include <pthread.h>

#include "../extensions/no_gil.h"

enum { NR = 100, GFP = PYSLAB_GFP_KERNEL };

/* A function of its own in each stack. */
static __attribute__((noinline)) void *grab(pyslab_arena *arena, size_t size)
{
    void *p = pyslab_kmalloc(arena, size, GFP);

    __asm__ volatile("" ::: "memory");
    return p;
}

/* take(arena, nr, size, nr_kept): the addresses that it has kept */
static PyObject *take(PyObject *module, PyObject *args)
{
    PyObject *object, *kept = PyList_New(0);
    Py_ssize_t nr, size, nr_kept;
    pyslab_arena *arena;

    (void)module;
    if (kept == NULL || !PyArg_ParseTuple(args, "Onnn", &object, &nr, &size, &nr_kept) ||
        (arena = pyslab_arena_from_object(object)) == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < nr; i++) {
        void *p = grab(arena, (size_t)size);
        PyObject *address = PyLong_FromVoidPtr(p);

        if (i >= nr_kept)
            pyslab_kfree(arena, p);
        else
            PyList_Append(kept, address);
        Py_DECREF(address);
    }
    return kept;
}

static PyObject *release(PyObject *module, PyObject *args)
{
    unsigned long long address;
    PyObject *object;

    (void)module;
    if (!PyArg_ParseTuple(args, "OK", &object, &address))
        return NULL;
    return PyLong_FromLong(
        pyslab_kfree(pyslab_arena_from_object(object), (void *)(uintptr_t)address));
}

/* Bytes that every_way() takes, and how many allocations these are. */
enum {
    WAYS_BYTES = 100 + 200 + 300 + 10 * 20 + 10 * 30 + 6 + 1000 + 2000 + 2000 + 4 * 4096 + 4096 +
    2 * 4096 + 3 * 4096 + 5000 + 2 * 4096 + 9000 + 9001 + 9002 + 40 * (1 + 3 + 1)
};
enum { WAYS_NR = 9 + 6 + 3 + 5 };

static int frames(pyslab_arena *arena)
{
    uint32_t pfn = pyslab_alloc_pages(arena, 2, GFP), single, run;
    void *p[3];

    if (pyslab_alloc_pages_bulk(arena, GFP, 1, &single) != 1)
        return __LINE__;
    p[0] = pyslab_get_free_pages(arena, 1, GFP);
    run = pyslab_alloc_run(arena, 3, 0, 0, GFP);
    p[1] = pyslab_alloc_pages_exact(arena, 5000, GFP);
    p[2] = pyslab_alloc_contig(arena, 2, 0, 0, GFP);
    return pyslab_free_pages(arena, pfn, 2) || pyslab_put_page(arena, single) ||
           pyslab_free_pages_address(arena, p[0], 1) || pyslab_put_page(arena, run) ||
           pyslab_kfree(arena, p[1]) || pyslab_kfree(arena, p[2]);
}

static int objects(pyslab_arena *arena)
{
    pyslab_kmem_cache *cache;
    pyslab_mempool *pool;
    void *p[3], *object;

    if (pyslab_kmem_cache_create(arena, "taken", 40, NULL, &cache) ||
        pyslab_mempool_create(cache, 1, &pool))
        return __LINE__;
    object = pyslab_kmem_cache_alloc(cache, GFP);
    if (pyslab_kmem_cache_alloc_bulk(cache, GFP, 3, p) != 3 ||
        pyslab_kmem_cache_free_bulk(cache, 3, p) != 3 || pyslab_kmem_cache_free(cache, object))
        return __LINE__;
    object = pyslab_mempool_alloc(pool, GFP);
    return pyslab_mempool_free(pool, object) || pyslab_mempool_destroy(pool) ||
           pyslab_kmem_cache_destroy(cache);
}

static int blocks(pyslab_arena *arena)
{
    void *p[] = {
        pyslab_kmalloc(arena, 100, GFP),
        pyslab_kzalloc(arena, 200, GFP),
        pyslab_kmalloc_aligned(arena, 300, 64, GFP),
        pyslab_kmalloc_array(arena, 10, 20, GFP),
        pyslab_kcalloc(arena, 10, 30, GFP),
        pyslab_kmemdup(arena, "secret", 6, GFP),
        pyslab_krealloc(arena, NULL, 1000, GFP),
    };

    p[6] = pyslab_krealloc(arena, p[6], 2000, GFP);
    p[6] = pyslab_krealloc_array(arena, p[6], 20, 100, GFP);
    if (pyslab_krealloc(arena, p[6], (size_t)-1 / 2, GFP) != NULL)
        return __LINE__;
    for (int i = 0; i < 6; i++)
        if (pyslab_kfree(arena, p[i]))
            return __LINE__;
    return pyslab_kfree_sensitive(arena, p[6]);
}

static int areas(pyslab_arena *arena)
{
    void *p = pyslab_vmalloc(arena, 9000, GFP), *q = pyslab_vzalloc(arena, 9001, GFP);
    void *r = pyslab_kvmalloc(arena, 9002, GFP);

    return pyslab_vfree(arena, p) || pyslab_vfree(arena, q) || pyslab_kvfree(arena, r);
}

/* every_way(arena): takes by each function and frees; (bytes, allocations), or the line of what
 * was wrong. */
static PyObject *every_way(PyObject *module, PyObject *object)
{
    pyslab_arena *arena = pyslab_arena_from_object(object);
    int line = blocks(arena);

    (void)module;
    line = line ? line : frames(arena);
    line = line ? line : areas(arena);
    line = line ? line : objects(arena);
    return line ? PyLong_FromLong(line) : Py_BuildValue("(ii)", WAYS_BYTES, WAYS_NR);
}

static void *work(void *arena)
{
    for (int i = 0; i < NR; i++)
        pyslab_kfree(arena, grab(arena, 1000));
    return NULL;
}

/* threads(arena): four threads that Python does not know take 100 blocks of 1,000 bytes each. */
static PyObject *threads(PyObject *module, PyObject *object)
{
    pyslab_arena *arena = pyslab_arena_from_object(object);
    pthread_t thread[4];

    (void)module;
    for (int i = 0; i < 4; i++)
        if (pthread_create(&thread[i], NULL, work, arena) != 0)
            return PyErr_SetFromErrno(PyExc_OSError);
    Py_BEGIN_ALLOW_THREADS
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"take", take, METH_VARARGS, NULL},
    {"release", release, METH_VARARGS, NULL},
    {"every_way", every_way, METH_O, NULL},
    {"threads", threads, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "taker", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_taker(void);

PyMODINIT_FUNC PyInit_taker(void)
{
    return pyslab_import() < 0 ? NULL : without_gil(PyModule_Create(&definition));
}

/* debug_modes.c - times an extension's allocations, for debug_modes.py.
 *
 * What it is: pairs of kmalloc and kfree with many blocks live, as a program has them, and the
 * bytes of each block written once. What it is not: a test.
 */
#define PY_SSIZE_T_CLEAN
#include <pyslab.h>

#include <string.h>
#include <time.h>

#define NR_LIVE 1000
#define BYTES 100

static double now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

/* pairs(arena, nr): nanoseconds for each of nr blocks that are freed and made again. */
static PyObject *pairs(PyObject *module, PyObject *args)
{
    static char *live[NR_LIVE];
    pyslab_arena *arena;
    PyObject *object;
    Py_ssize_t nr;
    double start;

    (void)module;
    if (!PyArg_ParseTuple(args, "On", &object, &nr))
        return NULL;
    arena = pyslab_arena_from_object(object);
    if (arena == NULL)
        return NULL;
    for (int i = 0; i < NR_LIVE; i++)
        live[i] = pyslab_kmalloc(arena, BYTES, PYSLAB_GFP_KERNEL);
    start = now_ns();
    for (Py_ssize_t i = 0; i < nr; i++) {
        char **p = &live[(i * 7919) % NR_LIVE];

        (void)pyslab_kfree(arena, *p);
        *p = pyslab_kmalloc(arena, BYTES, PYSLAB_GFP_KERNEL);
        memset(*p, (int)i, BYTES);
    }
    start = (now_ns() - start) / (double)nr;
    for (int i = 0; i < NR_LIVE; i++)
        (void)pyslab_kfree(arena, live[i]);
    return PyFloat_FromDouble(start);
}

static PyMethodDef methods[] = {{"pairs", pairs, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "debug_modes", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_debug_modes(void);

PyMODINIT_FUNC PyInit_debug_modes(void)
{
    return pyslab_import() < 0 ? NULL : PyModule_Create(&definition);
}

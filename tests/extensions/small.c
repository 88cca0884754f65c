/* small.c - a client of an older version: its pyslab_arena_stats ends earlier.
 *
 * run() gives 0, or the line of what was wrong: the library filled what this client knows of
 * the struct, and left alone what lies behind it.
 */
#define PY_SSIZE_T_CLEAN
#include <pyslab.h>

#include "no_gil.h"

#include <string.h>

enum { GUARD = 0x5a };

static int check(void)
{
    struct {
        pyslab_arena_stats stats;
        unsigned char guard[64];
    } there;
    pyslab_arena *arena = pyslab_default_arena();
    void *p = pyslab_kmalloc(arena, 100, PYSLAB_GFP_KERNEL);

    if (p == NULL)
        return __LINE__;
    memset(&there, GUARD, sizeof there);
    pyslab_arena_stats_read(arena, &there.stats);
    for (size_t i = 0; i < sizeof there.guard; i++)
        if (there.guard[i] != GUARD)
            return __LINE__;
    if (there.stats.size_bytes != pyslab_arena_size(arena) || there.stats.live_objects == 0)
        return __LINE__;
    if (there.stats.struct_size <= sizeof there.stats) /* the library's is longer */
        return __LINE__;
    return pyslab_kfree(arena, p) == PYSLAB_OK ? 0 : __LINE__;
}

static PyObject *run(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLong(check());
}

static PyMethodDef methods[] = {
    {"run", run, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "small", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_small(void);

PyMODINIT_FUNC PyInit_small(void)
{
    return pyslab_import() < 0 ? NULL : without_gil(PyModule_Create(&definition));
}

/* profile_calls.c - see profile_calls.h: arguments, the core's calls, and the word to tracing.h.
 * Lock: the GIL; without one the callers' own (src/pyslab/_profile/block.py). */
#include "python/tracing/profile_calls.h"

#include "profile/profile.h"
#include "profiler/join.h"
#include "python/stack/stack_hook.h"
#include "python/tracing/tracing.h"

#include <dlfcn.h>
#include <string.h>

/* _profile_start(path, every, seed): every is 1 for each allocation */
static PyObject *profile_calls_start(PyObject *module, PyObject *args)
{
    unsigned long long every, seed;
    PyObject *path;
    int error;

    (void)module;
    if (!PyArg_ParseTuple(args, "O&KK:_profile_start", PyUnicode_FSConverter, &path, &every, &seed))
        return NULL;
    error = profile_start(PyBytes_AS_STRING(path), every, seed);
    if (error == PYSLAB_EBUSY)
        PyErr_SetString(PyExc_RuntimeError, "a profile is on already");
    else if (error != PYSLAB_OK)
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, PyBytes_AS_STRING(path));
    Py_DECREF(path);
    if (error != PYSLAB_OK)
        return NULL;
    tracing_set_profiled(true);
    Py_RETURN_NONE;
}

/* Also for a forked child, where it only forgets the parent's. */
static PyObject *profile_calls_stop(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    tracing_set_profiled(false);
    profile_stop();
    Py_RETURN_NONE;
}

/* Tells the profiler of the whole process, if it is preloaded (profiler/join.h), how frames of
 * Python are walked; whether it is. */
static PyObject *profile_calls_join(PyObject *module, PyObject *unused)
{
    void *found = dlsym(RTLD_DEFAULT, "pyslab_profiler_join");
    __typeof__(pyslab_profiler_join) *join;

    (void)module;
    (void)unused;
    memcpy(&join, &found, sizeof join);
    if (join != NULL)
        join(stack_hook_collect, (uintptr_t)PyObject_Call);
    return PyBool_FromLong(join != NULL);
}

bool profile_calls_add(PyObject *module)
{
    static PyMethodDef functions[] = {
        {"_profile_start", profile_calls_start, METH_VARARGS, NULL},
        {"_profile_join", profile_calls_join, METH_NOARGS, NULL},
        {"_profile_stop", profile_calls_stop, METH_NOARGS, NULL},
        {NULL, NULL, 0, NULL},
    };

    return PyModule_AddFunctions(module, functions) == 0;
}

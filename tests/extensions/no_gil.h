/* no_gil.h - what a module of the tests tells a free-threaded Python: its functions need no GIL. */
#ifndef TESTS_NO_GIL_H
#define TESTS_NO_GIL_H

#include <Python.h>

static inline PyObject *without_gil(PyObject *module)
{
#ifdef Py_GIL_DISABLED
    if (module != NULL && PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED) < 0)
        Py_CLEAR(module);
#endif
    return module;
}

#endif

/* report_end.c - which descriptor gets a report that the process ends with.
 *
 * What it is: os_report_end_to() for Python. What it is not: the duplicate of a descriptor, which
 * the caller makes and closes.
 * Lock: the GIL; a report in another thread may still go to the one from before.
 */
#include "python/module/report_end.h"

#include "os/os_report.h"

/* _report_end_to(fd): -1 is none; returns the one from before, or -1. */
static PyObject *report_end_to(PyObject *module, PyObject *number)
{
    long fd = PyLong_AsLong(number);

    (void)module;
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    if (fd < -1 || fd > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "no file descriptor: %ld", fd);
        return NULL;
    }
    return PyLong_FromLong(os_report_end_to((int)fd));
}

static PyMethodDef functions[] = {
    {"_report_end_to", report_end_to, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

bool report_end_add(PyObject *module)
{
    return PyModule_AddFunctions(module, functions) == 0;
}

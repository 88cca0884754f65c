/* report_end.h - _report_end_to(), for pyslab.pytest_plugin. */
#ifndef PYTHON_MODULE_REPORT_END_H
#define PYTHON_MODULE_REPORT_END_H

#include <Python.h>

#include <stdbool.h>

/* Adds the function. False with an exception set. */
bool report_end_add(PyObject *module);

#endif

/* profile_calls.h - the functions by which src/pyslab/_profile/ begins and ends the profile. */
#ifndef PYTHON_PROFILE_CALLS_H
#define PYTHON_PROFILE_CALLS_H

#include <Python.h>

#include <stdbool.h>

bool profile_calls_add(PyObject *module);

#endif

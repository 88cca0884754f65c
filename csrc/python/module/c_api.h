/* c_api.h - the capsule pyslab._C_API, and the rule that there is one interpreter. */
#ifndef PYTHON_C_API_H
#define PYTHON_C_API_H

#include "python/module/objects.h"

/* Publishes the C API: adds _C_API and functions for the package. */
bool c_api_add(PyObject *module);
/* False with ImportError set in a subinterpreter. */
bool interpreter_is_main(void);

#endif

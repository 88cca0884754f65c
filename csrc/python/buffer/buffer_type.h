/* buffer_type.h - pyslab.Buffer: the type. */
#ifndef PYTHON_BUFFER_TYPE_H
#define PYTHON_BUFFER_TYPE_H

#include "python/module/objects.h"

PyTypeObject *buffer_type_new(PyObject *module);

#endif

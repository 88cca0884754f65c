/* region_type.h - pyslab.Region: the type. */
#ifndef PYTHON_REGION_TYPE_H
#define PYTHON_REGION_TYPE_H

#include "python/module/objects.h"

PyTypeObject *region_type_new(PyObject *module);

#endif

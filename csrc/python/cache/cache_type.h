/* cache_type.h - pyslab.KmemCache: the type. */
#ifndef PYTHON_CACHE_TYPE_H
#define PYTHON_CACHE_TYPE_H

#include "python/module/objects.h"

PyTypeObject *cache_type_new(PyObject *module);

#endif

/* page_type.h - pyslab.Page: the type. */
#ifndef PYTHON_PAGE_TYPE_H
#define PYTHON_PAGE_TYPE_H

#include "python/module/objects.h"

PyTypeObject *page_type_new(PyObject *module);

#endif

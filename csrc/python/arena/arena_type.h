/* arena_type.h - ArenaBase, the C base of pyslab.Arena: the type. */
#ifndef PYTHON_ARENA_TYPE_H
#define PYTHON_ARENA_TYPE_H

#include "python/module/objects.h"

PyTypeObject *arena_type_new(PyObject *module);

#endif

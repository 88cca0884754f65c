/* cache_calls.h - the methods of KmemCache, for its type. */
#ifndef PYTHON_CACHE_CALLS_H
#define PYTHON_CACHE_CALLS_H

#include "python/module/objects.h"

extern PyMethodDef cache_methods[];

#endif

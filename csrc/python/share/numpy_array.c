/* numpy_array.c - see numpy_array.h. */
#include "python/share/numpy_array.h"

#include "python/numpy/numpy_api.h"

#include <string.h>

/* Places in the table, the same in every NumPy that numpy_load accepts. */
enum {
    API_ARRAY_TYPE = 2,
    API_DTYPE_TYPE = 3,
    API_DTYPE_FROM_TYPE = 45,
    API_NEW_FROM_DTYPE = 94,
    API_SET_BASE = 282,
};

struct numpy_arrays numpy_arrays;

bool numpy_arrays_load(void)
{
    void *const *table;

    if (numpy_arrays.array_type != NULL)
        return true;
    table = numpy_table();
    if (table == NULL)
        return false;
    memcpy(&numpy_arrays.dtype_of, &table[API_DTYPE_FROM_TYPE], sizeof(void *));
    memcpy(&numpy_arrays.new_array, &table[API_NEW_FROM_DTYPE], sizeof(void *));
    memcpy(&numpy_arrays.set_base, &table[API_SET_BASE], sizeof(void *));
    numpy_arrays.dtype_type = table[API_DTYPE_TYPE];
    numpy_arrays.is_numpy2 = numpy_abi_major(table) >= 2;
    numpy_arrays.array_type = table[API_ARRAY_TYPE];
    return true;
}

bool numpy_arrays_are_known(void)
{
    PyObject *name, *module;

    if (numpy_arrays.array_type != NULL)
        return true;
    name = PyUnicode_FromString("numpy");
    module = name == NULL ? NULL : PyImport_GetModule(name);
    Py_XDECREF(name);
    if (module == NULL || !numpy_arrays_load())
        PyErr_Clear();
    Py_XDECREF(module);
    return numpy_arrays.array_type != NULL;
}

/* numpy_api.c - finds the entries of NumPy's table, and checks that they are what they should be.
 *
 * Lock: the GIL.
 */
#include "python/numpy/numpy_api.h"

#include "python/call/critical.h"

#include "base/bits.h"

#include <string.h>

/* Places in the table, the same in every NumPy since 1.22, which made the last three. */
enum { API_ABI_VERSION = 0, API_FEATURE_VERSION = 211, API_SET_HANDLER = 304, API_STANDARD = 306 };

#define FEATURE_VERSION_1_22 0x0fu
#define ABI_MAJOR_MAX 2u /* in the highest byte of the version: NumPy 2 */

struct numpy_api numpy_api;

static PyObject *import_table(void)
{
    PyObject *module = PyImport_ImportModule("numpy._core._multiarray_umath"), *table;

    if (module == NULL && PyErr_ExceptionMatches(PyExc_ModuleNotFoundError)) {
        PyErr_Clear();
        module = PyImport_ImportModule("numpy.core._multiarray_umath");
    }
    if (module == NULL)
        return NULL;
    table = PyObject_GetAttrString(module, "_ARRAY_API");
    Py_DECREF(module);
    return table;
}

/* A function of the table: ISO C has no cast from an object's address. */
static void table_entry(void *const *table, unsigned place, void *function)
{
    memcpy(function, &table[place], sizeof table[place]);
}

unsigned numpy_abi_major(void *const *table)
{
    unsigned (*abi_version)(void);

    table_entry(table, API_ABI_VERSION, &abi_version);
    return abi_version() >> 24;
}

/* The table may have other functions at these places in an older NumPy, and in one with another
 * major number of its binary interface. */
static bool table_is_known(void *const *table)
{
    unsigned (*feature_version)(void);

    table_entry(table, API_FEATURE_VERSION, &feature_version);
    if (feature_version() < FEATURE_VERSION_1_22) {
        PyErr_SetString(PyExc_ImportError, "pyslab: NumPy 1.22 or later is needed");
        return false;
    }
    if (numpy_abi_major(table) > ABI_MAJOR_MAX) {
        PyErr_Format(PyExc_ImportError,
                     "pyslab: NumPy with binary interface %u is unknown; %u is the last known",
                     numpy_abi_major(table), ABI_MAJOR_MAX);
        return false;
    }
    return true;
}

/* NumPy's own handler: the table has the address of a variable, in which its capsule is. */
static struct numpy_handler *standard_handler(void *const *table)
{
    PyObject *const *capsule = table[API_STANDARD];
    struct numpy_handler *handler = PyCapsule_GetPointer(*capsule, HANDLER_NAME);

    if (handler != NULL && handler->version != HANDLER_VERSION) {
        PyErr_Format(PyExc_ImportError, "pyslab: version %d of NumPy's memory handlers is unknown",
                     (int)handler->version);
        return NULL;
    }
    return handler;
}

void *const *numpy_table(void)
{
    PyObject *capsule = import_table();
    void *const *table;

    if (capsule == NULL)
        return NULL;
    table = PyCapsule_GetPointer(capsule, NULL);
    Py_DECREF(capsule); /* NumPy's module keeps the table, and is never unloaded */
    return table != NULL && table_is_known(table) ? table : NULL;
}

bool numpy_load(void)
{
    struct numpy_handler *standard;
    void *const *table;

    if (likely(__atomic_load_n(&numpy_api.standard, __ATOMIC_ACQUIRE) != NULL))
        return true;
    table = numpy_table();
    if (table == NULL)
        return false;
    standard = standard_handler(table);
    if (standard == NULL)
        return false;
    table_entry(table, API_SET_HANDLER, &numpy_api.set_handler);
    borrowed_lock();
    if (numpy_api.standard == NULL) { /* else another thread was first, and may have changed it */
        numpy_api.own = standard->allocator;
        __atomic_store_n(&numpy_api.standard, standard, __ATOMIC_RELEASE);
    }
    borrowed_unlock();
    return true;
}

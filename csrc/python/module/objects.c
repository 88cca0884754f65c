/* objects.c - looks up the classes of other modules that C code raises, calls or compares with.
 *
 * What it is not: where the classes are written: pyslab/errors.py, sizes.py, _memory/.
 */
#include "python/module/objects.h"

struct module_objects objects;

struct import {
    const char *module;
    const char *name;
    PyObject **slot; /* where the object is kept */
};

static bool import_one(const struct import *import)
{
    PyObject *module = PyImport_ImportModule(import->module);

    *import->slot = module == NULL ? NULL : PyObject_GetAttrString(module, import->name);
    Py_XDECREF(module);
    return *import->slot != NULL;
}

bool objects_import(void)
{
    static const struct import imports[] = {
        {"enum", "Flag", &objects.flag_type},
        {"pyslab.sizes", "parse_bytes", &objects.parse_bytes},
        {"pyslab._memory.prefill", "PrefilledSheaf", &objects.prefilled},
        {"pyslab._memory.counts", "SlabCounts", &objects.slab_counts},
        {"pyslab._memory.counts", "SupplyCounts", &objects.supply_counts},
        {"pyslab.errors", "PyslabError", &objects.error},
        {"pyslab.errors", "OutOfMemoryError", &objects.out_of_memory},
        {"pyslab.errors", "InvalidPointerError", &objects.invalid_pointer},
        {"pyslab.errors", "DoubleFreeError", &objects.double_free},
        {"pyslab.errors", "CorruptionError", &objects.corruption},
        {"pyslab.errors", "ArenaClosedError", &objects.closed},
        {"pyslab.errors", "ArenaForkedError", &objects.forked},
        {"pyslab.errors", "CacheBusyError", &objects.cache_busy},
        {"pyslab.errors", "WindowExhaustedError", &objects.window_exhausted},
    };

    for (size_t i = 0; i < sizeof imports / sizeof imports[0]; i++)
        if (!import_one(&imports[i]))
            return false;
    return true;
}

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

PyObject *objects_class(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *found = module == NULL ? NULL : PyObject_GetAttrString(module, name);

    Py_XDECREF(module);
    return found;
}

bool objects_import(void)
{
    static const struct import imports[] = {
        {"enum", "Flag", &objects.flag_type},
        {"pyslab.sizes", "parse_bytes", &objects.parse_bytes},
        {"pyslab._memory.prefill", "PrefilledSheaf", &objects.prefilled},
        {"pyslab.errors", "PyslabError", &objects.error},
        {"pyslab.errors", "OutOfMemoryError", &objects.out_of_memory},
        {"pyslab.errors", "InvalidPointerError", &objects.invalid_pointer},
        {"pyslab.errors", "DoubleFreeError", &objects.double_free},
        {"pyslab.errors", "CorruptionError", &objects.corruption},
        {"pyslab.errors", "ArenaClosedError", &objects.closed},
        {"pyslab.errors", "ArenaForkedError", &objects.forked},
        {"pyslab.errors", "CacheBusyError", &objects.cache_busy},
        {"pyslab.errors", "WindowExhaustedError", &objects.window_exhausted},
        {"pyslab.errors", "StaleHandleError", &objects.stale_handle},
        {"pyslab.errors", "NotAttachedError", &objects.not_attached},
    };

    for (size_t i = 0; i < sizeof imports / sizeof imports[0]; i++) {
        *imports[i].slot = objects_class(imports[i].module, imports[i].name);
        if (*imports[i].slot == NULL)
            return false;
    }
    return true;
}

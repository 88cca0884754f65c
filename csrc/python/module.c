/* module.c - PyInit__core: the module that cffi generates, and the C types added to it.
 *
 * cffi's source is compiled with its own PyInit__core renamed to cffi_module_init, in
 * its own translation unit, because it asks for the limited API.
 */
#include "python/tracing.h"

PyObject *cffi_module_init(void);
PyMODINIT_FUNC PyInit__core(void);

struct module_objects objects;

static PyObject *import_attribute(const char *module, const char *name)
{
    PyObject *m = PyImport_ImportModule(module);
    PyObject *attribute = m == NULL ? NULL : PyObject_GetAttrString(m, name);

    Py_XDECREF(m);
    return attribute;
}

static bool add_type(PyObject *module, PyTypeObject *type, PyTypeObject **slot)
{
    *slot = type;
    return type != NULL && PyModule_AddType(module, type) == 0;
}

static bool module_fill(PyObject *module)
{
    objects.flag_type = import_attribute("enum", "Flag");
    objects.parse_bytes = import_attribute("pyslab.sizes", "parse_bytes");
    objects.prefilled = import_attribute("pyslab._memory.prefill", "PrefilledSheaf");
    objects.slab_counts = import_attribute("pyslab._memory.counts", "SlabCounts");
    objects.supply_counts = import_attribute("pyslab._memory.counts", "SupplyCounts");
    return objects.flag_type != NULL && objects.parse_bytes != NULL && objects.prefilled != NULL &&
           objects.slab_counts != NULL && objects.supply_counts != NULL && errors_import() &&
           add_type(module, arena_type_new(module), &objects.arena_type) &&
           add_type(module, buffer_type_new(module), &objects.buffer_type) &&
           add_type(module, page_type_new(module), &objects.page_type) &&
           add_type(module, cache_type_new(module), &objects.cache_type) &&
           add_type(module, mempool_type_new(module), &objects.mempool_type) &&
           add_type(module, window_type_new(module), &objects.window_type) &&
           add_type(module, region_type_new(module), &objects.region_type) &&
           add_type(module, shrinker_type_new(module), &objects.shrinker_type) &&
           add_type(module, usage_type_new(module), &objects.usage_type) &&
           numpy_handler_add(module) && c_api_add(module) && tracing_add(module);
}

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = interpreter_is_main() ? cffi_module_init() : NULL;

    if (module != NULL && !module_fill(module))
        Py_CLEAR(module);
    return module;
}

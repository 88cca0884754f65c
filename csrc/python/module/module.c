/* module.c - PyInit__core: the module that cffi generates, and the C types added to it.
 *
 * cffi's source is compiled with its own PyInit__core renamed to cffi_module_init, and in a
 * translation unit of its own, because it asks Python.h for the limited API and this code needs
 * the whole one.
 */
#include "python/arena/arena_type.h"
#include "python/buffer/buffer_type.h"
#include "python/cache/cache_type.h"
#include "python/mempool/mempool_type.h"
#include "python/module/c_api.h"
#include "python/module/fork_pile.h"
#include "python/module/fork_sections.h"
#include "python/module/objects.h"
#include "python/module/report_end.h"
#include "python/numpy/numpy_handler.h"
#include "python/pages/page_type.h"
#include "python/reclaim/reclaim_hooks.h"
#include "python/region/region_type.h"
#include "python/share/heap_object.h"
#include "python/share/shared_buffer.h"
#include "python/share/travel.h"
#include "python/stack/stack_hook.h"
#include "python/tracing/profile_calls.h"
#include "python/tracing/tracing.h"
#include "python/usage/usage_type.h"
#include "python/window/window_type.h"

PyObject *cffi_module_init(void);
PyMODINIT_FUNC PyInit__core(void);

static bool add_type(PyObject *module, PyTypeObject *type, PyTypeObject **slot)
{
    *slot = type;
    return type != NULL && PyModule_AddType(module, type) == 0;
}

static bool module_fill(PyObject *module)
{
    fork_pile_watch();
    fork_sections_watch();
    heap_watch();
    return objects_import() && add_type(module, arena_type_new(module), &objects.arena_type) &&
           add_type(module, buffer_type_new(module), &objects.buffer_type) &&
           add_type(module, page_type_new(module), &objects.page_type) &&
           add_type(module, cache_type_new(module), &objects.cache_type) &&
           add_type(module, mempool_type_new(module), &objects.mempool_type) &&
           add_type(module, window_type_new(module), &objects.window_type) &&
           add_type(module, region_type_new(module), &objects.region_type) &&
           add_type(module, shrinker_type_new(module), &objects.shrinker_type) &&
           add_type(module, usage_type_new(module), &objects.usage_type) &&
           add_type(module, heap_type_new(module), &objects.heap_type) &&
           share_functions_add(module) && travel_add(module) && numpy_handler_add(module) &&
           c_api_add(module) && tracing_add(module) && profile_calls_add(module) &&
           report_end_add(module) && stack_hook_add();
}

PyMODINIT_FUNC PyInit__core(void)
{
    PyObject *module = interpreter_is_main() ? cffi_module_init() : NULL;

    if (module != NULL && !module_fill(module))
        Py_CLEAR(module);
#ifdef Py_GIL_DISABLED
    /* What Py_mod_gil says in modules that have slots; cffi's has none. */
    if (module != NULL && PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED) < 0)
        Py_CLEAR(module);
#endif
    return module;
}

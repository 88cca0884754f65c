/* numpy_handler.c - the handler of one arena: what NumPy calls for the data of a context's arrays.
 *
 * What it is: the four functions of NEP 49 ("data allocation strategies") in NumPy's struct, in a
 * capsule, one without and one with fallback="numpy" an arena.
 * What it is not: the blocks (array_block.h); the handler of the whole process (numpy_process.c);
 * policy: contexts and nesting are in src/pyslab/numpy_handler.py.
 *
 * Lifetime. Each array owns a reference to the capsule that its data came from, and the
 * capsule owns its Arena; an Arena only knows its capsules, so that there is one of each at a
 * time. An Arena that is closed gives NULL: NumPy raises MemoryError for it.
 * The size that NumPy passes to free is not used: it is not always the one it asked for.
 * Lock: the GIL. NumPy holds it when it calls malloc, calloc and free, on any thread; it may not
 * hold it for realloc, which takes it.
 */
#include "python/numpy/numpy_handler.h"

#include "python/call/gil.h"
#include "python/numpy/array_block.h"
#include "python/numpy/numpy_api.h"
#include "python/numpy/numpy_process.h"

#include <string.h>

/* --- what NumPy calls ---------------------------------------------------- */

static void *data_malloc(void *context, size_t size)
{
    return array_block_alloc_pinned(context, size, false, false);
}

static void *data_calloc(void *context, size_t nr, size_t size)
{
    size_t nbytes;

    return __builtin_mul_overflow(nr, size, &nbytes)
               ? NULL
               : array_block_alloc_pinned(context, nbytes, true, false);
}

static void data_free(void *context, void *p, size_t size)
{
    (void)size;
    if (likely(p != NULL))
        array_block_free(context, p);
}

/* np.fromstring and np.fromfile of text call this one without the GIL. */
static void *resize_with_gil(ArenaObject *arena, void *p, size_t size, bool fallback)
{
    PyGILState_STATE gil = PyGILState_Ensure();

    arena_pin_without_gil(arena);
    p = array_block_resize(arena, p, size, fallback);
    arena_unpin_without_gil(arena);
    PyGILState_Release(gil);
    return p;
}

static void *data_realloc(void *context, void *p, size_t size)
{
    return resize_with_gil(context, p, size, false);
}

/* --- the same with fallback="numpy" -------------------------------------- */

static void *fallback_malloc(void *context, size_t size)
{
    return array_block_alloc_pinned(context, size, false, true);
}

static void *fallback_calloc(void *context, size_t nr, size_t size)
{
    size_t nbytes;

    return __builtin_mul_overflow(nr, size, &nbytes)
               ? NULL
               : array_block_alloc_pinned(context, nbytes, true, true);
}

static void *fallback_realloc(void *context, void *p, size_t size)
{
    return resize_with_gil(context, p, size, true);
}

/* NumPy's own blocks do not keep the arena mapped. */
static void fallback_free(void *context, void *p, size_t size)
{
    ArenaObject *arena = context;

    (void)size;
    if (unlikely(p == NULL))
        return;
    arena_pin_without_gil(arena); /* a block of NumPy's own does not count there */
    if (unlikely(arena->core == NULL))
        array_block_free_slow(arena, p, PYSLAB_EPOINTER);
    else
        array_block_free(arena, p);
    arena_unpin_without_gil(arena);
}

/* --- the capsule --------------------------------------------------------- */

static void handler_free(PyObject *capsule)
{
    struct numpy_handler *handler = PyCapsule_GetPointer(capsule, HANDLER_NAME);
    ArenaObject *arena = handler->allocator.context;
    PyObject **known = &arena->numpy_handler[handler->allocator.malloc == fallback_malloc];

    borrowed_lock();
    if (*known == capsule) /* without a GIL a new one may be there */
        *known = NULL;
    borrowed_unlock();
    PyMem_Free(handler);
    Py_DECREF(arena);
}

static PyObject *handler_new(ArenaObject *arena, bool fallback)
{
    struct numpy_handler *handler = PyMem_Calloc(1, sizeof *handler);
    PyObject *capsule;

    if (handler == NULL)
        return PyErr_NoMemory();
    strcpy(handler->name, "pyslab");
    handler->version = HANDLER_VERSION;
    handler->allocator = (struct numpy_allocator){
        .context = arena,
        .malloc = fallback ? fallback_malloc : data_malloc,
        .calloc = fallback ? fallback_calloc : data_calloc,
        .realloc = fallback ? fallback_realloc : data_realloc,
        .free = fallback ? fallback_free : data_free,
    };
    capsule = PyCapsule_New(handler, HANDLER_NAME, handler_free);
    if (capsule == NULL) {
        PyMem_Free(handler);
        return NULL;
    }
    try_incref_enable(capsule);
    Py_INCREF(arena);
    return capsule;
}

PyObject *arena_numpy_handler(PyObject *op, PyObject *args)
{
    ArenaObject *arena = (ArenaObject *)op;
    PyObject **handler, *capsule = NULL;
    int fallback = 0;

    if (!PyArg_ParseTuple(args, "|p:_numpy_handler", &fallback) || !arena_is_open(arena))
        return NULL;
    if (fallback && !numpy_load()) /* its functions are those that are fallen back to */
        return NULL;
    handler = &arena->numpy_handler[fallback];
    borrowed_lock();
    if (*handler != NULL && try_incref(*handler))
        capsule = *handler;
    borrowed_unlock();
    if (capsule != NULL)
        return capsule;
    capsule = handler_new(arena, fallback);
    borrowed_lock();
    *handler = capsule;
    borrowed_unlock();
    return capsule;
}

/* _numpy_set_handler(capsule or None) -> the capsule that was set before */
static PyObject *module_set_handler(PyObject *module, PyObject *capsule)
{
    (void)module;
    if (capsule != Py_None && !PyCapsule_IsValid(capsule, HANDLER_NAME)) {
        PyErr_SetString(PyExc_TypeError, "expected a NumPy memory handler, or None");
        return NULL;
    }
    if (!numpy_load())
        return NULL;
    return numpy_api.set_handler(capsule == Py_None ? NULL : capsule);
}

bool numpy_handler_add(PyObject *module)
{
    static PyMethodDef functions[] = {
        {"_numpy_set_handler", module_set_handler, METH_O, NULL},
        {"_numpy_process_install", numpy_process_install, METH_VARARGS, NULL},
        {"_numpy_process_uninstall", numpy_process_uninstall, METH_NOARGS, NULL},
        {"_numpy_process_arena", numpy_process_arena, METH_NOARGS, NULL},
        {NULL, NULL, 0, NULL},
    };

    return array_block_add(module) && PyModule_AddFunctions(module, functions) == 0;
}

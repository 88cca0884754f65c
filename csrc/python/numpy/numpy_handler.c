/* numpy_handler.c - NumPy's array data from an arena (NEP 49, "data allocation strategies").
 *
 * What it is: the four functions that NumPy calls for data, in its struct, in a capsule;
 * and the two entries of NumPy's C API that read and set the handler of a context. They
 * are looked up when first used: pyslab is built without NumPy.
 * What it is not: policy. Contexts and nesting are in src/pyslab/numpy_handler.py.
 *
 * Lifetime. Each array owns a reference to the capsule that its data came from, and the
 * capsule owns its Arena; an Arena only knows its capsule, so that there is one at a time.
 * Each block counts in the Arena as a Buffer does (nr_live, current_count, and its usable
 * bytes in current_bytes), so the core arena is mapped until the last array goes, also
 * after close(), which ends allocation here too: NumPy raises MemoryError for NULL.
 * The size that NumPy passes to free is not used: it is not always the one it asked for.
 * Lock: the GIL. NumPy holds it when it calls malloc, calloc and free, on any thread; it may not
 * hold it for realloc, which takes it.
 */
#include "python/numpy/numpy_handler.h"

#include "python/call/errors.h"
#include "python/call/gil.h"
#include "python/tracing/tracing.h"

#include <string.h>

#define HANDLER_NAME "mem_handler" /* the capsule's name, which NumPy looks for */
#define MIN_BYTES                                                                                  \
    16u /* smallest request: in an arena of linux classes, 8 bytes are aligned to 8 only */

/* NumPy's PyDataMem_Handler, version 1 (numpy/ndarraytypes.h). */
struct numpy_handler {
    char name[127];
    uint8_t version;
    struct {
        void *context;
        void *(*malloc)(void *context, size_t size);
        void *(*calloc)(void *context, size_t nr, size_t size);
        void *(*realloc)(void *context, void *p, size_t size);
        void (*free)(void *context, void *p, size_t size);
    } allocator;
};

/* --- NumPy's table ------------------------------------------------------- */

/* Places in the table, the same in every NumPy since 1.22, which made them. */
enum { API_FEATURE_VERSION = 211, API_SET_HANDLER = 304 };

#define FEATURE_VERSION_1_22 0x0fu

static PyObject *(*numpy_set_handler)(PyObject *capsule);

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

static bool numpy_load(void)
{
    PyObject *capsule;
    unsigned (*feature_version)(void);
    void *const *table;

    if (likely(numpy_set_handler != NULL))
        return true;
    capsule = import_table();
    if (capsule == NULL)
        return false;
    table = PyCapsule_GetPointer(capsule, NULL);
    Py_DECREF(capsule); /* NumPy's module keeps the table, and is never unloaded */
    if (table == NULL)
        return false;
    table_entry(table, API_FEATURE_VERSION, &feature_version);
    if (feature_version() < FEATURE_VERSION_1_22) {
        PyErr_SetString(PyExc_ImportError, "pyslab: NumPy 1.22 or later is needed");
        return false;
    }
    table_entry(table, API_SET_HANDLER, &numpy_set_handler);
    return true;
}

/* --- blocks -------------------------------------------------------------- */

/* Usable bytes; 0 for what is not live. For kmalloc's own size classes the class byte of the
 * frame (the byte per frame that says which class lives there) tells it without a look at the
 * slab. */
static always_inline size_t block_bytes(struct kmalloc *km, const void *p)
{
    const struct frame_map *map = &km->slabs.map;
    size_t offset = (uintptr_t)p - (uintptr_t)map->base;

    if (likely(offset < map->bytes)) {
        unsigned class = map->classes[offset >> PAGE_SHIFT];

        if (likely(class - 1 < km->classes.nr))
            return km->classes.size[class];
    }
    return kmalloc_usable(km, p);
}

/* For more than the largest size class: a block of frames, or a run of any length for more than
 * the largest block. NULL */
static slow_path void *alloc_large(struct pyslab_arena *core, size_t size, bool zero)
{
    uint32_t gfp = PYSLAB_GFP_KERNEL | (zero ? PYSLAB_GFP_ZERO : 0u);

    if (size <= PAGE_SIZE << core->pages.max_order)
        return zero ? kmalloc_zeroed(&core->kmalloc, size, PYSLAB_GFP_KERNEL)
                    : kmalloc_slow(&core->kmalloc, size, gfp);
    if (size > core->bytes) {
        add_relaxed(&core->pages.alloc_failures, 1);
        return NULL;
    }
    return pyslab_alloc_contig(core, (uint32_t)bytes_to_pages(size), 1, 0, gfp);
}

/* NumPy raises a MemoryError of its own for NULL, and must find no exception set: what a shrinker
 * or on_oom raised is reported as unraisable. */
static slow_path void *alloc_failed(ArenaObject *arena)
{
    if (PyErr_Occurred())
        PyErr_WriteUnraisable((PyObject *)arena);
    arena_unpin(arena);
    return NULL;
}

/* The block is counted in nr_live first, which also pins the arena while callbacks of the slow
 * path run. */
static always_inline void *block_alloc(ArenaObject *arena, size_t size, bool zero)
{
    struct pyslab_arena *core = arena->core;
    size_t nbytes = size < MIN_BYTES ? MIN_BYTES : size;
    void *p;

    gil_assert_held();
    if (unlikely(arena->closed))
        return NULL;
    arena_pin(arena);
    if (unlikely(nbytes > SIZE_CLASS_MAX))
        p = alloc_large(core, nbytes, zero);
    else if (zero)
        p = kmalloc_zeroed(&core->kmalloc, nbytes, PYSLAB_GFP_KERNEL);
    else
        p = kmalloc_alloc(&core->kmalloc, nbytes, PYSLAB_GFP_KERNEL);
    if (unlikely(p == NULL))
        return alloc_failed(arena);
    arena->current_count++;
    arena->current_bytes += (Py_ssize_t)block_bytes(&core->kmalloc, p);
    arena_count_made(arena);
    trace_new(p, size);
    return p;
}

/* Somebody else freed the block, or wrote over the metadata. NumPy's free has no way to fail, so
 * the error is reported as unraisable. */
static slow_path void report_free(ArenaObject *arena, int code, const void *p)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    raise_code(code, "pyslab: data of an array", p);
    PyErr_WriteUnraisable((PyObject *)arena);
    PyErr_Restore(type, value, traceback);
}

static always_inline void block_free(ArenaObject *arena, void *p)
{
    struct kmalloc *km = &arena->core->kmalloc;
    size_t nbytes = block_bytes(km, p);
    int code;

    gil_assert_held();
    trace_gone(p);
    code = kmalloc_free(km, p);
    if (unlikely(code != PYSLAB_OK))
        report_free(arena, code, p); /* it stays counted: what it was is unknown */
    else
        arena_count_gone(arena, (Py_ssize_t)nbytes);
}

/* --- what NumPy calls ---------------------------------------------------- */

static void *data_malloc(void *context, size_t size)
{
    return block_alloc(context, size, false);
}

static void *data_calloc(void *context, size_t nr, size_t size)
{
    size_t nbytes;

    return __builtin_mul_overflow(nr, size, &nbytes) ? NULL : block_alloc(context, nbytes, true);
}

static void data_free(void *context, void *p, size_t size)
{
    (void)size;
    if (likely(p != NULL))
        block_free(context, p);
}

/* Fewer bytes: the block stays where it is, and whole frames that are left over go back. */
static void *block_shrink(ArenaObject *arena, void *p, size_t old_bytes, size_t size)
{
    struct kmalloc *km = &arena->core->kmalloc;

    p = kmalloc_resize(km, p, size < MIN_BYTES ? MIN_BYTES : size, PYSLAB_GFP_KERNEL);
    arena->current_bytes -= (Py_ssize_t)(old_bytes - block_bytes(km, p));
    trace_new(p, size);
    return p;
}

/* NULL: the block is as it was. */
static void *block_resize(ArenaObject *arena, void *p, size_t size)
{
    size_t old_bytes;
    void *moved;

    if (p == NULL)
        return block_alloc(arena, size, false);
    old_bytes = block_bytes(&arena->core->kmalloc, p);
    if (unlikely(old_bytes == 0)) {
        report_free(arena, PYSLAB_EPOINTER, p);
        return NULL;
    }
    if (size <= old_bytes)
        return block_shrink(arena, p, old_bytes, size);
    moved = block_alloc(arena, size, false);
    if (moved == NULL)
        return NULL;
    memcpy(moved, p, old_bytes);
    block_free(arena, p);
    return moved;
}

/* np.fromstring and np.fromfile of text call this one without the GIL. */
static void *data_realloc(void *context, void *p, size_t size)
{
    PyGILState_STATE gil = PyGILState_Ensure();

    p = block_resize(context, p, size);
    PyGILState_Release(gil);
    return p;
}

/* --- the capsule --------------------------------------------------------- */

static void handler_free(PyObject *capsule)
{
    struct numpy_handler *handler = PyCapsule_GetPointer(capsule, HANDLER_NAME);
    ArenaObject *arena = handler->allocator.context;

    arena->numpy_handler = NULL;
    PyMem_Free(handler);
    Py_DECREF(arena);
}

static PyObject *handler_new(ArenaObject *arena)
{
    struct numpy_handler *handler = PyMem_Calloc(1, sizeof *handler);
    PyObject *capsule;

    if (handler == NULL)
        return PyErr_NoMemory();
    strcpy(handler->name, "pyslab");
    handler->version = 1;
    handler->allocator.context = arena;
    handler->allocator.malloc = data_malloc;
    handler->allocator.calloc = data_calloc;
    handler->allocator.realloc = data_realloc;
    handler->allocator.free = data_free;
    capsule = PyCapsule_New(handler, HANDLER_NAME, handler_free);
    if (capsule == NULL) {
        PyMem_Free(handler);
        return NULL;
    }
    Py_INCREF(arena);
    return capsule;
}

PyObject *arena_numpy_handler(PyObject *op, PyObject *unused)
{
    ArenaObject *arena = (ArenaObject *)op;

    (void)unused;
    if (!arena_is_open(arena))
        return NULL;
    if (arena->numpy_handler != NULL)
        return Py_NewRef(arena->numpy_handler);
    arena->numpy_handler = handler_new(arena);
    return arena->numpy_handler;
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
    return numpy_set_handler(capsule == Py_None ? NULL : capsule);
}

bool numpy_handler_add(PyObject *module)
{
    static PyMethodDef functions[] = {
        {"_numpy_set_handler", module_set_handler, METH_O, NULL},
        {NULL, NULL, 0, NULL},
    };

    return PyModule_AddFunctions(module, functions) == 0;
}

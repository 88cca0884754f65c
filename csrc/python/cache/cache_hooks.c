/* cache_hooks.c - a KmemCache's constructor and destructor as Python callables.
 *
 * They get copies, never the object's own memory: a view that such a callable kept
 * would outlive the object. The constructor gets a zeroed bytearray and leaves the
 * object's first content in it; the destructor gets the last content as bytes.
 * They run without any lock of the core, with the GIL, once per object and slab.
 */
#include "python/cache/cache_hooks.h"

#include "python/call/gil.h"

#include <string.h>

static bool is_hook(PyObject *hook, const char *name)
{
    if (hook == NULL || PyCallable_Check(hook))
        return true;
    PyErr_Format(PyExc_TypeError, "%s must be callable or None, not %.100s", name,
                 Py_TYPE(hook)->tp_name);
    return false;
}

struct cache_hooks *hooks_new(ArenaObject *arena, PyObject *ctor, PyObject *dtor, Py_ssize_t size)
{
    struct cache_hooks *hooks;

    if (!is_hook(ctor, "ctor") || !is_hook(dtor, "dtor"))
        return NULL;
    hooks = PyMem_New(struct cache_hooks, 1);
    if (hooks == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *hooks = (struct cache_hooks){
        .ctor = Py_XNewRef(ctor), .dtor = Py_XNewRef(dtor), .core = arena->core, .size = size};
    return hooks;
}

void hooks_free(struct cache_hooks *hooks)
{
    gil_assert_held();
    if (hooks == NULL)
        return;
    Py_XDECREF(hooks->ctor);
    Py_XDECREF(hooks->dtor);
    PyMem_Free(hooks);
}

void hooks_release(void *context)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    hooks_free(context);
    PyErr_Restore(type, value, traceback);
    PyGILState_Release(gil);
}

/* Before and after a hook runs: the arena is pinned meanwhile. The pin ends without unmapping the
 * arena, even if the hook has closed it, because the core's call that ran the hook goes on using
 * it. Then the last Buffer to go unmaps it, or the end of the Arena object. */
static ArenaObject *hooks_enter(struct cache_hooks *hooks)
{
    ArenaObject *arena = arena_object_get(hooks->core);

    gil_assert_held();
    hooks->running++;
    if (arena != NULL)
        arena_pin(arena);
    return arena;
}

static void hooks_leave(struct cache_hooks *hooks, ArenaObject *arena)
{
    CHECK(hooks->running > 0);
    if (arena != NULL)
        arena_unpin_keeping(arena);
    Py_XDECREF((PyObject *)arena);
    hooks->running--;
}

static PyObject *zeroed_state(Py_ssize_t size)
{
    PyObject *state = PyByteArray_FromStringAndSize(NULL, size);

    if (state != NULL)
        memset(PyByteArray_AS_STRING(state), 0, (size_t)size);
    return state;
}

static bool construct(void *object, const struct cache_hooks *hooks)
{
    PyObject *state = zeroed_state(hooks->size);
    PyObject *result = state == NULL ? NULL : PyObject_CallOneArg(hooks->ctor, state);
    bool ok = result != NULL;

    if (ok && PyByteArray_GET_SIZE(state) != hooks->size) {
        PyErr_Format(PyExc_ValueError, "the constructor left %zd bytes in place of %zd",
                     PyByteArray_GET_SIZE(state), hooks->size);
        ok = false;
    }
    if (ok)
        memcpy(object, PyByteArray_AS_STRING(state), (size_t)hooks->size);
    Py_XDECREF(result);
    Py_XDECREF(state);
    return ok;
}

int hooks_construct(void *object, void *context)
{
    struct cache_hooks *hooks = context;
    PyGILState_STATE gil;
    ArenaObject *arena;
    bool ok;

    if (hooks->ctor == NULL) {
        memset(object, 0, (size_t)hooks->size);
        return 0;
    }
    gil = PyGILState_Ensure();
    arena = hooks_enter(hooks);
    /* With an exception set this is a mempool's second try: no more Python code, so that its caller
     * gets the first exception. */
    ok = !PyErr_Occurred() && construct(object, hooks);
    hooks_leave(hooks, arena);
    PyGILState_Release(gil);
    return ok ? 0 : -1;
}

void hooks_destruct(void *object, void *context)
{
    struct cache_hooks *hooks = context;
    PyObject *type, *value, *traceback, *state, *result;
    PyGILState_STATE gil;
    ArenaObject *arena;

    if (hooks->dtor == NULL)
        return;
    gil = PyGILState_Ensure();
    arena = hooks_enter(hooks);
    PyErr_Fetch(&type, &value, &traceback);
    state = PyBytes_FromStringAndSize(object, hooks->size);
    result = state == NULL ? NULL : PyObject_CallOneArg(hooks->dtor, state);
    if (result == NULL)
        PyErr_WriteUnraisable(hooks->dtor);
    Py_XDECREF(result);
    Py_XDECREF(state);
    hooks_leave(hooks, arena);
    PyErr_Restore(type, value, traceback);
    PyGILState_Release(gil);
}

/* reclaim_hooks.c - what the core asks when memory is short, as Python callables: the
 * arena's on_oom, and Shrinker objects.
 *
 * They run in the thread whose request is short of memory, with the GIL and without any
 * lock of the core. An exception gives the request up and comes out of the call that made
 * it; while one is set no further callback runs.
 * Lifetime. Shrinker owns the callables (the collector sees them); the core knows a
 * struct hook, which only borrows them, and whose pointers are cleared, with the GIL, when
 * the Shrinker ends. The core's release() frees the hook once nobody runs it.
 */
#include "python/reclaim/reclaim_hooks.h"

#include "python/arena/arena_guard.h"
#include "python/arena/arena_object.h"
#include "python/call/gil.h"

static const char shrinker_doc[] =
    "A cache of yours that the arena asks for memory when it is short of it, from\n"
    "Arena.register_shrinker().\n"
    "\n"
    ">>> kept = [arena.kmalloc(4096) for _ in range(8)]\n"
    ">>> def scan(nr):\n"
    "...     gone = min(nr, len(kept))\n"
    "...     del kept[:gone]\n"
    "...     return gone\n"
    ">>> shrinker = arena.register_shrinker(lambda: len(kept), scan)\n"
    ">>> shrinker.registered\n"
    "True\n"
    ">>> shrinker.unregister()";

/* What the core knows of a shrinker. */
struct hook {
    PyObject *count;    /* callable(); borrowed; NULL: unregistered */
    PyObject *scan;     /* callable(nr); borrowed */
    ArenaObject *arena; /* borrowed: the Shrinker owns it */
};

typedef struct {
    PyObject_HEAD
    ArenaObject *arena;      /* owned; NULL once unregistered */
    PyObject *count;         /* owned */
    PyObject *scan;          /* owned */
    struct hook *hook;       /* owned by the core until it releases it */
    pyslab_shrinker *handle; /* NULL once unregistered */
} ShrinkerObject;

/* Calls *hook with args, whose reference it takes over, in the middle of the core's work: the
 * arena is pinned. NULL without an exception if there is no callable. That is looked at here alone,
 * under the lock: another thread may end it, and making the arguments may have started a garbage
 * collection that took it away. */
static PyObject *call_hook(ArenaObject *arena, PyObject *const *hook, PyObject *args)
{
    PyObject *callable, *result = NULL;

    gil_assert_held();
    borrowed_lock();
    callable = Py_XNewRef(*hook);
    if (callable != NULL)
        Py_INCREF(arena);
    borrowed_unlock();
    if (callable == NULL) {
        Py_XDECREF(args);
        return NULL;
    }
    arena_pin(arena);
    if (args != NULL)
        result = PyObject_CallObject(callable, args);
    Py_DECREF(callable);
    Py_XDECREF(args);
    arena_unpin_keeping(arena);
    Py_DECREF(arena);
    return result;
}

/* --- on_oom ------------------------------------------------------------- */

/* What the core calls when a request finds no memory. context is the core arena, not the Arena,
 * because a thread of C code may use the core arena after the Arena object has gone. */
static int oom_call(size_t nbytes, uint32_t zone, void *context)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    struct pyslab_arena *core = context;
    ArenaObject *arena = arena_object_get(core);
    PyObject *result = NULL;
    int again = 0;

    if (arena != NULL && !PyErr_Occurred())
        result = call_hook(arena, &arena->on_oom,
                           Py_BuildValue("(ns)", (Py_ssize_t)nbytes, core->pages.zone[zone].name));
    if (result != NULL)
        again = PyObject_IsTrue(result) == 1;
    Py_XDECREF(result);
    Py_XDECREF((PyObject *)arena);
    if (PyErr_Occurred())
        again = -1;
    PyGILState_Release(gil);
    return again;
}

/* _set_on_oom(None or a callable). The attribute _on_oom owns the callable and on_oom borrows it:
 * both are set here, so that no other thread sees one without the other. The old callable is
 * dropped last, because its finalizer may call this function again. */
PyObject *arena_set_on_oom(PyObject *op, PyObject *callable)
{
    ArenaObject *arena = (ArenaObject *)op;
    PyObject *old, *name;
    int error;

    if (callable != Py_None && !PyCallable_Check(callable)) {
        PyErr_Format(PyExc_TypeError, "on_oom must be callable or None, not %.100s",
                     Py_TYPE(callable)->tp_name);
        return NULL;
    }
    name = PyUnicode_InternFromString("_on_oom");
    if (name == NULL)
        return NULL;
    old = Py_XNewRef(arena->on_oom);
    error = PyObject_GenericSetAttr(op, name, callable);
    borrowed_lock();
    if (error == 0)
        arena->on_oom = callable == Py_None ? NULL : callable;
    borrowed_unlock();
    if (error == 0 && arena->core != NULL)
        pyslab_arena_set_oom(arena->core, arena->on_oom == NULL ? NULL : oom_call, arena->core);
    Py_DECREF(name);
    Py_XDECREF(old);
    if (error != 0)
        return NULL;
    Py_RETURN_NONE;
}

/* --- shrinkers: what the core calls ------------------------------------- */

/* The result as a count; -1 with an exception set. */
static int64_t as_count(PyObject *result, const char *what)
{
    long long nr;

    if (result == NULL)
        return -1;
    nr = PyLong_Check(result) ? PyLong_AsLongLong(result) : -1;
    if (nr < 0 && !PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "a shrinker's %s must return an int >= 0, not %R", what,
                     result);
    Py_DECREF(result);
    return nr;
}

static uint64_t hook_count(void *context)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    const struct hook *hook = context;
    PyObject *result = NULL;
    uint64_t nr = 0;

    if (!PyErr_Occurred())
        result = call_hook(hook->arena, &hook->count, PyTuple_New(0));
    if (result != NULL)
        nr = (uint64_t)as_count(result, "count");
    if (PyErr_Occurred())
        nr = UINT64_MAX;
    PyGILState_Release(gil);
    return nr;
}

static int64_t hook_scan(uint64_t nr, void *context)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    const struct hook *hook = context;
    PyObject *result = NULL;
    int64_t freed = -1;

    if (!PyErr_Occurred())
        result = call_hook(hook->arena, &hook->scan, Py_BuildValue("(K)", (unsigned long long)nr));
    if (result != NULL && result != Py_None)
        freed = as_count(result, "scan");
    else
        Py_XDECREF(result); /* None means that there is no more to free now */
    if (PyErr_Occurred())
        freed = -2;
    PyGILState_Release(gil);
    return freed;
}

static void hook_release(void *context)
{
    PyMem_RawFree(context);
}

/* --- Shrinker ----------------------------------------------------------- */

static PyObject *shrinker_unregister_method(PyObject *op, PyObject *unused)
{
    ShrinkerObject *self = (ShrinkerObject *)op;
    pyslab_shrinker *handle = self->handle;

    (void)unused;
    if (handle != NULL) {
        self->handle = NULL;
        /* If the arena is gone, the core has released the hook already. */
        if (self->arena->core != NULL) {
            borrowed_lock();
            self->hook->count = NULL;
            self->hook->scan = NULL;
            borrowed_unlock();
            pyslab_unregister_shrinker(handle);
        }
    }
    Py_CLEAR(self->count);
    Py_CLEAR(self->scan);
    Py_RETURN_NONE;
}

static int shrinker_traverse(PyObject *op, visitproc visit, void *arg)
{
    ShrinkerObject *self = (ShrinkerObject *)op;

    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->arena);
    Py_VISIT(self->count);
    Py_VISIT(self->scan);
    return 0;
}

static int shrinker_clear(PyObject *op)
{
    Py_XDECREF(shrinker_unregister_method(op, NULL));
    Py_CLEAR(((ShrinkerObject *)op)->arena);
    return 0;
}

GUARD(shrinker_clear, owner_of_member, int, (PyObject * op), (op))

static void shrinker_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    (void)GUARDED(shrinker_clear)(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static bool hook_register(ShrinkerObject *self, unsigned seeks, unsigned long long batch)
{
    struct hook *hook = PyMem_RawMalloc(sizeof *hook);
    pyslab_shrinker_options options = {.struct_size = sizeof options,
                                       .seeks = seeks,
                                       .batch = batch,
                                       .count = hook_count,
                                       .scan = hook_scan,
                                       .release = hook_release,
                                       .context = hook};

    if (hook == NULL) {
        PyErr_NoMemory();
        return false;
    }
    *hook = (struct hook){.count = self->count, .scan = self->scan, .arena = self->arena};
    if (pyslab_register_shrinker(self->arena->core, &options, &self->handle) != PYSLAB_OK) {
        self->handle = NULL;
        PyMem_RawFree(hook);
        PyErr_NoMemory();
        return false;
    }
    self->hook = hook;
    return true;
}

/* _register_shrinker(count, scan, seeks, batch); the caller, in Python, checks the numbers. */
PyObject *arena_register_shrinker(PyObject *op, PyObject *args)
{
    ArenaObject *arena = (ArenaObject *)op;
    unsigned long long batch;
    ShrinkerObject *self;
    PyObject *count, *scan;
    unsigned seeks;

    if (!PyArg_ParseTuple(args, "OOIK", &count, &scan, &seeks, &batch) || !arena_is_open(arena))
        return NULL;
    if (!PyCallable_Check(count) || !PyCallable_Check(scan)) {
        PyErr_SetString(PyExc_TypeError, "a shrinker's count and scan must be callable");
        return NULL;
    }
    self = (ShrinkerObject *)objects.shrinker_type->tp_alloc(objects.shrinker_type, 0);
    if (self == NULL)
        return NULL;
    self->arena = (ArenaObject *)Py_NewRef(op);
    self->count = Py_NewRef(count);
    self->scan = Py_NewRef(scan);
    if (!hook_register(self, seeks, batch)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *get_registered(PyObject *op, void *unused)
{
    const ShrinkerObject *self = (ShrinkerObject *)op;

    (void)unused;
    return PyBool_FromLong(self->handle != NULL && self->arena->core != NULL);
}

GUARD_TWO(shrinker_unregister_method, owner_of_member)

static PyMethodDef shrinker_methods[] = {
    {"unregister", GUARDED(shrinker_unregister_method), METH_NOARGS,
     "unregister($self, /)\n--\n\n"
     "Ends it; calling it again does nothing. A run in another thread may still end.\n\n"
     ">>> shrinker = arena.register_shrinker(count=lambda: 0, scan=lambda nr: None)\n"
     ">>> shrinker.unregister()\n>>> shrinker.registered\nFalse"},
    {NULL, NULL, 0, NULL},
};

GUARD_GET(get_registered, owner_of_member)

static PyGetSetDef shrinker_getset[] = {
    {"registered", GUARDED(get_registered), NULL, "Whether the arena still asks it, bool.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject *shrinker_type_new(PyObject *module)
{
    PyType_Slot slots[] = {
        {Py_tp_doc, (void *)(uintptr_t)shrinker_doc},
        {Py_tp_dealloc, (void *)shrinker_dealloc},
        {Py_tp_traverse, (void *)shrinker_traverse},
        {Py_tp_clear, (void *)GUARDED(shrinker_clear)},
        {Py_tp_methods, shrinker_methods},
        {Py_tp_getset, shrinker_getset},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = "pyslab.Shrinker",
        .basicsize = sizeof(ShrinkerObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };

    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

/* corruption.c - see corruption.h.
 *
 * What it is: the handler that the core calls when a check finds that somebody wrote where they
 * should not, or freed what they should not. It makes a CorruptionError of it. In a call from
 * Python code the error is raised when that call comes back to the interpreter, by
 * PyThreadState_SetAsyncExc: so no call has to look whether something was found, and the calls of
 * arenas without debugging cost nothing. Where nobody can catch it, as when a variable lets go of
 * the last reference to a Buffer, or in a thread of C, it goes to sys.unraisablehook.
 * What it is not: the checks, and the report's text (slab/debug.h); which of the two it is, and the
 * queue of errors that wait to be raised (src/pyslab/_arena/debugging.py).
 * Lock: the core holds none of its own while it calls; the handler takes the GIL.
 */
#include "python/stack/corruption.h"

#include "python/stack/stack_hook.h"

#include <pythread.h>

#define TEXT_BYTES 8192

static PyObject *report_text(const pyslab_corruption *found)
{
    char text[TEXT_BYTES];
    size_t bytes = pyslab_corruption_text(found, text, sizeof text);

    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)(bytes < sizeof text ? bytes : sizeof text - 1),
                                "replace");
}

/* A new CorruptionError; NULL with an exception set. */
static PyObject *error_new(const pyslab_corruption *found)
{
    PyObject *make = objects_class("pyslab._arena.debugging", "corruption"), *error = NULL;

    if (make != NULL)
        error = PyObject_CallFunction(
            make, "NIsNnLNiiy#NNN", report_text(found), (unsigned)found->kind, found->cache,
            PyLong_FromVoidPtr((void *)(uintptr_t)found->object), (Py_ssize_t)found->object_size,
            (long long)found->offset, PyLong_FromVoidPtr((void *)(uintptr_t)found->address),
            (int)found->expected, (int)found->found,
            found->dump != NULL ? (const char *)found->dump : "", (Py_ssize_t)found->dump_bytes,
            PyLong_FromVoidPtr((void *)(uintptr_t)found->dump_at), stack_list(found->allocated_at),
            stack_list(found->freed_at));
    Py_XDECREF(make);
    return error;
}

/* Whether a call of the interpreter's comes next in this thread, which may raise. */
static bool is_raisable(void)
{
    PyObject *ask = objects_class("pyslab._arena.debugging", "is_raisable");
    PyObject *answer = ask == NULL ? NULL : PyObject_CallNoArgs(ask);
    bool yes = answer == Py_True;

    Py_XDECREF(ask);
    Py_XDECREF(answer);
    PyErr_Clear();
    return yes;
}

/* Runs no Python code. */
bool corruption_waits(void)
{
    PyObject *type, *value, *traceback, *waiting, *key;
    bool yes;

    PyErr_Fetch(&type, &value, &traceback);
    waiting = objects_class("pyslab.errors", "_waiting");
    key = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    yes = waiting != NULL && key != NULL && PyDict_Contains(waiting, key) == 1;
    Py_XDECREF(waiting);
    Py_XDECREF(key);
    PyErr_Restore(type, value, traceback);
    return yes;
}

/* Takes back what raise_later has asked the interpreter for; the error stays in the queue. Python
 * 3.11 looks for what was asked for ever if it is taken back by NULL, and hangs under a tracer then
 * (PyThreadState_EnterTracing is of that version). So there it is raised, in a function that does
 * nothing, and dropped. */
static void take_back(void)
{
#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030C0000
    PyThreadState *thread = PyThreadState_Get();
    PyObject *nothing = objects_class("pyslab.errors", "_nothing"), *done = NULL;

    PyThreadState_EnterTracing(thread);
    (void)PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), PyExc_InterruptedError);
    if (nothing != NULL)
        done = PyObject_CallNoArgs(nothing);
    PyErr_Clear();
    PyThreadState_LeaveTracing(thread);
    Py_XDECREF(done);
    Py_XDECREF(nothing);
#else
    (void)PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), NULL);
#endif
}

/* Queues the error, whose reference it takes over, for when this thread's call comes back. */
static void raise_later(PyObject *error)
{
    PyObject *put = objects_class("pyslab.errors", "_queue");
    PyObject *done = put == NULL ? NULL : PyObject_CallOneArg(put, error);

    if (done != NULL)
        (void)PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), objects.corruption);
    else
        PyErr_WriteUnraisable(error);
    Py_XDECREF(put);
    Py_XDECREF(done);
    Py_DECREF(error);
}

static void write_unraisable(PyObject *error)
{
    PyErr_SetObject(objects.corruption, error);
    Py_DECREF(error);
    PyErr_WriteUnraisable((PyObject *)objects.arena_type);
}

/* The exception could not be made, as when the interpreter ends: then only the text is told. */
static void write_plainly(const pyslab_corruption *found)
{
    char text[TEXT_BYTES];

    PyErr_Clear();
    (void)pyslab_corruption_text(found, text, sizeof text);
    fprintf(stderr, "pyslab: %s", text);
}

/* What the core calls. The arena is pinned meanwhile, since hooks and finalizers may run. */
static void on_corruption(const pyslab_corruption *found, void *context)
{
    bool known = PyGILState_GetThisThreadState() != NULL;
    PyObject *type, *value, *traceback, *error;
    PyGILState_STATE gil;
    ArenaObject *arena;

    if (found->access != PYSLAB_ACCESS_NONE) /* in a signal handler; the text is written already */
        return;
    gil = PyGILState_Ensure();
    arena = arena_object_get(context);
    PyErr_Fetch(&type, &value, &traceback);
    /* What was found earlier in this call waits in the queue; the Python code below must not be
     * where it is raised. */
    if (corruption_waits())
        take_back();
    if (arena != NULL)
        arena_pin(arena);
    error = error_new(found);
    if (error == NULL)
        write_plainly(found);
    else if (known && is_raisable())
        raise_later(error);
    else
        write_unraisable(error);
    if (arena != NULL)
        arena_unpin_keeping(arena);
    PyErr_Restore(type, value, traceback);
    Py_XDECREF((PyObject *)arena);
    PyGILState_Release(gil);
}

void corruption_watch(struct pyslab_arena *core)
{
    pyslab_set_corruption_handler(core, on_corruption, core);
}

bool corruption_raise(void)
{
    PyObject *type, *value, *traceback, *take, *error;

    if (likely(!corruption_waits()))
        return false;
    PyErr_Fetch(&type, &value, &traceback);
    take_back(); /* first: it must not be raised inside _take */
    take = objects_class("pyslab.errors", "_take");
    error = take == NULL ? NULL : PyObject_CallNoArgs(take);
    if (error != NULL)
        PyErr_SetObject(objects.corruption, error);
    Py_XDECREF(take);
    Py_XDECREF(error);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return true;
}

bool corruption_watch_collections(void)
{
    PyObject *watched = objects_class("pyslab._arena.debugging", "is_raisable");

    Py_XDECREF(watched); /* the module has begun to watch when it was imported */
    return watched != NULL;
}

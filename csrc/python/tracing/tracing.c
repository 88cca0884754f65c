/* tracing.c - whether tracemalloc, a profile or a recording is on, and what they are told of blocks
 * of arenas.
 *
 * PyTraceMalloc_Track() tests a flag of the interpreter that extensions cannot read.
 * Calling it to find out costs 27 instructions a block, about a tenth of kmalloc and
 * drop from Python (docs/performance.md), so the two functions that change the flag,
 * start() and stop() of the builtin module _tracemalloc, are watched: the entries of its
 * method table call the functions below, which call the real ones and then look. Every
 * reference to start and stop, whenever taken, goes through that table.
 * An interpreter whose entries look different is not touched: trace_on stays true there,
 * and each block asks.
 * Invariant: trace_on is true while one of the three is on (trace_flag_is_right).
 */
#include "python/tracing/tracing.h"

#include "api/api_profile.h"
#include "profile/profile.h"
#include "profile/recorded.h"
#include "python/call/gil.h"

shared_bool trace_on = true;

typedef PyObject *(*fast_function)(PyObject *, PyObject *const *, Py_ssize_t);

static fast_function real_start;
static PyCFunction real_stop;
static shared_bool traced = true;                 /* tracemalloc may be on */
static shared_bool profiled;                      /* a profile is on */
static shared_bool recorded;                      /* `pyslab record` started the process */
static void (*on_change)(enum trace_state state); /* who is told; see tracing_on_change */

/* tracemalloc's untrack function answers -2 when it is off, whatever the address. */
static bool tracemalloc_is_on(void)
{
    return PyTraceMalloc_Untrack(TRACE_DOMAIN, 0) != -2;
}

bool trace_flag_is_right(void)
{
    return trace_on || (!profiled && !recorded && !tracemalloc_is_on());
}

bool trace_track(const void *p, size_t nbytes)
{
    bool noted = profiled && nbytes != 0 && profile_alloc_anew(p, nbytes);

    gil_assert_held();
    if (recorded && nbytes != 0) {
        recorded_alloc(p, nbytes);
        noted = true;
    }
    if (!traced)
        return noted;
    if (nbytes == 0) /* blocks of 0 bytes have no addresses of their own */
        (void)PyTraceMalloc_Untrack(TRACE_DOMAIN, (uintptr_t)p);
    else
        (void)PyTraceMalloc_Track(TRACE_DOMAIN, (uintptr_t)p, nbytes);
    return true;
}

void trace_untrack(const void *p)
{
    gil_assert_held();
    if (profiled)
        profile_free(p);
    if (recorded && p != (const void *)(uintptr_t)PYSLAB_ZERO_SIZE)
        recorded_free(p);
    if (traced)
        (void)PyTraceMalloc_Untrack(TRACE_DOMAIN, (uintptr_t)p);
}

/* The invariant of tracing.h holds again, and who makes Buffers is told. */
static void update(void)
{
    trace_on = traced || profiled || recorded;
    if (on_change != NULL)
        on_change(traced ? TRACE_ON : trace_on ? TRACE_SAMPLED : TRACE_OFF);
}

/* tracemalloc was perhaps switched on or off. */
static void look(void)
{
    traced = tracemalloc_is_on();
    update();
}

void tracing_set_profiled(bool on)
{
    profiled = on;
    api_profile_set(profiled, recorded);
    update();
}

void tracing_on_change(void (*changed)(enum trace_state state))
{
    on_change = changed;
}

/* What the two entries call instead of tracemalloc's own functions. */
static PyObject *watched_start(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *result = real_start(module, args, nargs);

    look();
    return result;
}

static PyObject *watched_stop(PyObject *module, PyObject *unused)
{
    PyObject *result = real_stop(module, unused);

    look();
    return result;
}

/* The entry of the module's method table with this name, if it is called in the way that the
 * functions here are written for; else NULL. */
static PyMethodDef *builtin_entry(PyObject *module, const char *name, int flags)
{
    PyObject *function = PyObject_GetAttrString(module, name);
    PyMethodDef *entry = NULL;

    if (function == NULL)
        PyErr_Clear();
    else if (PyCFunction_CheckExact(function) && PyCFunction_GET_FLAGS(function) == flags)
        entry = ((PyCFunctionObject *)function)->m_ml;
    Py_XDECREF(function); /* the entry stays: the table is static */
    return entry;
}

static void watch(PyObject *module)
{
    PyMethodDef *start = builtin_entry(module, "start", METH_FASTCALL);
    PyMethodDef *stop = builtin_entry(module, "stop", METH_NOARGS);

    if (start == NULL || stop == NULL)
        return;
    /* A process that starts Python a second time has the entries replaced already. */
    if (real_stop == NULL) {
        real_start = (fast_function)(void (*)(void))start->ml_meth;
        real_stop = stop->ml_meth;
        start->ml_meth = (PyCFunction)(void (*)(void))watched_start;
        stop->ml_meth = watched_stop;
    }
    look();
}

bool tracing_add(PyObject *module)
{
    PyObject *tracemalloc = PyImport_ImportModule("_tracemalloc");

    if (tracemalloc == NULL)
        return false;
    recorded = recorded_start();
    api_profile_set(profiled, recorded);
    watch(tracemalloc);
    Py_DECREF(tracemalloc);
    return PyModule_AddIntConstant(module, "tracemalloc_domain", TRACE_DOMAIN) == 0;
}

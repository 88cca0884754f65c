/* critical.c - see critical.h. */
#include "python/call/critical.h"

#ifdef Py_GIL_DISABLED

pthread_mutex_t borrowed_mutex = PTHREAD_MUTEX_INITIALIZER;

/* An object's references are counted in two fields: ob_ref_local by the thread that made it, and
 * ob_ref_shared, which has two flags in its lowest bits, by all others. */
bool try_incref(PyObject *op)
{
#if PY_VERSION_HEX >= 0x030E0000
    return PyUnstable_TryIncRef(op) != 0;
#else
    uint32_t local = __atomic_load_n(&op->ob_ref_local, __ATOMIC_RELAXED);
    Py_ssize_t shared;

    if (local == _Py_IMMORTAL_REFCNT_LOCAL)
        return true;
    if (__atomic_load_n(&op->ob_tid, __ATOMIC_RELAXED) == _Py_ThreadId()) {
        if (local == 0)
            return false;
        __atomic_store_n(&op->ob_ref_local, local + 1, __ATOMIC_RELAXED);
        return true;
    }
    shared = __atomic_load_n(&op->ob_ref_shared, __ATOMIC_RELAXED);
    do {
        /* Nothing but flags, of which "merged" says that the local count is gone too. */
        if (shared == 0 || shared == _Py_REF_MERGED)
            return false;
    } while (!__atomic_compare_exchange_n(&op->ob_ref_shared, &shared,
                                          shared + (1 << _Py_REF_SHARED_SHIFT), true,
                                          __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
    return true;
#endif
}

struct stopped {
    void (*run)(void *);
    void *argument;
    bool done;
};

static int run_once(PyObject *unused, void *argument)
{
    struct stopped *stopped = argument;

    (void)unused;
    if (!stopped->done)
        stopped->run(stopped->argument);
    stopped->done = true;
    return 0; /* no more objects */
}

/* A visit of the garbage collector's objects is the one function of Python's that is documented to
 * run while the world is stopped. There is always an object: this module. */
void world_stopped(void (*run)(void *), void *argument)
{
    struct stopped stopped = {.run = run, .argument = argument};

    PyUnstable_GC_VisitObjects(run_once, &stopped);
}

/* The interpreter looks for what is pending where a piece of code begins: any will do. */
bool pending_run(void)
{
    PyObject *names = PyErr_CheckSignals() == 0 ? PyDict_New() : NULL;
    PyObject *result = names != NULL ? PyRun_String("None", Py_eval_input, names, names) : NULL;
    bool ok = result != NULL;

    Py_XDECREF(result);
    Py_XDECREF(names);
    return ok;
}

#else

typedef int critical_has_nothing_to_do; /* ISO C has no empty source */

#endif

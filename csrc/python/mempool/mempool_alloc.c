/* mempool_alloc.c - Mempool.alloc(): an object as a Buffer, after a wait if need be.
 *
 * Waiting is done without the GIL, a slice of time after the other: between two of them signals
 * are looked at (pending_run()), and now and then whether the arena has memory again.
 */
#include "python/mempool/mempool_alloc.h"

#include "python/call/args.h"
#include "python/call/critical.h"
#include "python/call/errors.h"
#include "python/mempool/mempool_object.h"

#include "os/os.h"

#define WAIT_SLICE_MS 50u
#define WAIT_RETRY_SLICES 20u /* from one look at the cache to the next while nobody frees */
#define MAX_TIMEOUT 1000000.0 /* seconds; in milliseconds it is below 2**31 */
#define WAIT_FOR_EVER UINT32_MAX

/* --- tries --------------------------------------------------------------- */

/* One try. If a constructor or a shrinker raises, the object goes back: NULL, and its exception. */
static void *alloc_once(MempoolObject *self, uint32_t gfp)
{
    void *p;

    pool_enter(self);
    p = mempool_alloc(self->pool, gfp);
    if (p != NULL && PyErr_Occurred()) {
        (void)mempool_free(self->pool, p);
        p = NULL;
    }
    pool_leave(self);
    return p;
}

static bool wait_slice(MempoolObject *self, uint32_t ms)
{
    bool any;

    pool_enter(self);
    Py_BEGIN_ALLOW_THREADS
    any = mempool_wait(self->pool, min_uint(ms, WAIT_SLICE_MS));
    Py_END_ALLOW_THREADS
    pool_leave(self);
    return any;
}

/* Tries until there is an object, the time is over, or a signal's handler, a constructor or
 * close() speaks against it: then NULL, perhaps with an exception set. */
static void *alloc_waiting(MempoolObject *self, uint32_t gfp, uint32_t timeout_ms)
{
    uint32_t start = os_time_ms(), waited = 0;
    void *p = alloc_once(self, gfp);

    for (unsigned slice = 1; p == NULL && !PyErr_Occurred() && waited < timeout_ms; slice++) {
        bool any = wait_slice(self, timeout_ms - waited);

        if (!pending_run() || !pool_is_usable(self, true))
            return NULL;
        waited = timeout_ms == WAIT_FOR_EVER ? 0 : os_time_ms() - start;
        if (any || waited >= timeout_ms || slice % WAIT_RETRY_SLICES == 0)
            p = alloc_once(self, gfp);
    }
    return p;
}

/* OutOfMemoryError with the pool's figures, unless an exception is set already; NULL. */
static PyObject *raise_used_up(MempoolObject *self, uint32_t gfp)
{
    pyslab_mempool_stats stats = pool_figures(self);
    PyObject *type, *value, *traceback;

    if (PyErr_Occurred())
        return NULL;
    raise_out_of_memory(self->arena, self->cache->stride, 0, gfp);
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_Format(type, "%S; the mempool's reserve of %u is in use, %llu objects are out", value,
                 stats.min_nr, (unsigned long long)stats.nr_outstanding);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return NULL;
}

/* --- arguments ----------------------------------------------------------- */

struct pool_options {
    uint32_t gfp;
    uint32_t timeout_ms;
};

/* Seconds or None, in *ms. False with an exception set. */
static bool arg_timeout(PyObject *arg, uint32_t *ms)
{
    double seconds;

    if (arg == Py_None)
        return true;
    if (PyBool_Check(arg) || (!PyLong_Check(arg) && !PyFloat_Check(arg))) {
        PyErr_Format(PyExc_TypeError, "timeout must be a number of seconds or None, not %.100s",
                     Py_TYPE(arg)->tp_name);
        return false;
    }
    seconds = PyFloat_AsDouble(arg);
    if (seconds == -1.0 && PyErr_Occurred())
        PyErr_Clear(); /* an int too large for a float */
    if (!(seconds >= 0.0 && seconds <= MAX_TIMEOUT)) {
        PyErr_Format(PyExc_ValueError, "timeout must be 0 to 1000000 seconds, got %R", arg);
        return false;
    }
    *ms = (uint32_t)(seconds * 1000.0);
    if (*ms == 0 && seconds > 0.0)
        *ms = 1;
    return true;
}

static bool alloc_parse(const MempoolObject *self, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames, struct pool_options *out)
{
    Py_ssize_t nr_keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    *out = (struct pool_options){.gfp = PYSLAB_GFP_KERNEL};
    if (nargs != 0) {
        PyErr_Format(PyExc_TypeError, "alloc() takes 0 positional arguments, got %zd", nargs);
        return false;
    }
    for (Py_ssize_t i = 0; i < nr_keywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        bool ok = false;

        if (PyUnicode_CompareWithASCIIString(name, "gfp") == 0)
            ok = arg_gfp(args[i], &out->gfp);
        else if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0)
            ok = arg_timeout(args[i], &out->timeout_ms);
        else
            PyErr_Format(PyExc_TypeError, "alloc() got an unexpected keyword argument %R", name);
        if (!ok)
            return false;
    }
    if (out->timeout_ms != 0 && (out->gfp & PYSLAB_GFP_DIRECT_RECLAIM) == 0) {
        PyErr_SetString(PyExc_ValueError, "a timeout needs a gfp that may wait: one with "
                                          "GFP.DIRECT_RECLAIM");
        return false;
    }
    if (!arg_nofail(out->gfp, self->cache->stride) || !arg_drop_highmem("alloc", &out->gfp))
        return false;
    if ((out->gfp & PYSLAB_GFP_NOFAIL) != 0)
        out->timeout_ms = WAIT_FOR_EVER;
    return true;
}

/* --- the call ------------------------------------------------------------ */

PyObject *mempool_method_alloc(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames)
{
    MempoolObject *self = mempool_of(op);
    struct pool_options options;
    PyObject *buffer;
    void *p;

    if (!alloc_parse(self, args, nargs, kwnames, &options) || !pool_is_usable(self, true))
        return NULL;
    arena_pin(self->arena);
    p = alloc_waiting(self, options.gfp, options.timeout_ms);
    buffer = p == NULL
                 ? raise_used_up(self, options.gfp)
                 : buffer_new(self->arena, p, self->cache->object_size, &mempool_buffer_ops, op);
    arena_unpin(self->arena);
    return buffer;
}

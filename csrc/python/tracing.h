/* tracing.h - blocks of arenas as tracemalloc sees them, in a domain of their own.
 *
 * Whoever hands out memory to Python calls trace_new(), whoever takes it back
 * trace_gone(): one test of one flag while tracing is off, and none at all for making
 * and dropping a Buffer (buffer.c). Blocks that C code takes from an arena are not traced.
 * What is not traced may be reported gone.
 * Lock: none; callers hold the GIL.
 */
#ifndef PYTHON_TRACING_H
#define PYTHON_TRACING_H

#include "python/pytypes.h"

/* The number of the domain: NumPy's way of choosing one, and not NumPy's number. */
#define TRACE_DOMAIN 0x70736c62u /* "pslb" */

/* False: tracemalloc is off. True: it may be on, and checks that itself. */
extern __attribute__((visibility("hidden"))) bool trace_on;

void trace_track(const void *p, size_t nbytes);
void trace_untrack(const void *p);

/* Memory at p was handed out, or has another size now. */
static always_inline void trace_new(const void *p, size_t nbytes)
{
    if (unlikely(trace_on))
        trace_track(p, nbytes);
}

static always_inline void trace_gone(const void *p)
{
    if (unlikely(trace_on))
        trace_untrack(p);
}

/* Adds tracemalloc_domain to the module, and watches tracemalloc's start() and stop(). */
bool tracing_add(PyObject *module);

#endif

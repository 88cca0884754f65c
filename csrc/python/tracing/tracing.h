/* tracing.h - blocks of arenas as tracemalloc sees them, in a domain of their own, and as the
 * process's profile does (profile/profile.h), and `pyslab record` (profile/recorded.h).
 *
 * What it is: whoever hands out memory to Python calls trace_new(), whoever takes it back
 * trace_gone(): one test of one flag while all are off. Making and dropping a Buffer costs
 * not even that: the list of dead Buffers is told when the flag changes (tracing_on_change), and
 * gives none while it is on (buffer/buffer_freelist.h). Reporting a block gone that was never
 * reported does nothing.
 * What it is not: for blocks that C code takes from an arena; tracemalloc does not see them, the
 * profile does (api/api_profile.h).
 * Invariant: trace_on is true while tracemalloc traces, while a profile is on, and in a process
 * that is recorded; the reverse need not be so.
 * Lock: none; callers hold the GIL.
 */
#ifndef PYTHON_TRACING_H
#define PYTHON_TRACING_H

#include "python/call/critical.h"

#include "base/atomic.h"
#include "base/check.h"

/* The number of the domain, chosen as NumPy chose its own: four letters. */
#define TRACE_DOMAIN 0x70736c62u /* "pslb" */

/* False: tracemalloc, the profile and the recorder are off. True: one may be on, and checks that
 * itself. */
extern __attribute__((visibility("hidden"))) shared_bool trace_on;

/* The flag. With a GIL it is a plain bool: behind an atomic load the compiler would compute once
 * more what it had from before. */
static always_inline bool trace_is_on(void)
{
#ifdef Py_GIL_DISABLED
    return load_relaxed(&trace_on);
#else
    return trace_on;
#endif
}

/* The invariant above. */
bool trace_flag_is_right(void);
/* Reports a block, whatever trace_on is; tracemalloc may be off. False: nobody took note of it, and
 * trace_untrack would do nothing. */
bool trace_track(const void *p, size_t nbytes);
void trace_untrack(const void *p);

/* Memory at p was handed out, or has another size now. */
static always_inline void trace_new(const void *p, size_t nbytes)
{
    CHECK_WALK(trace_flag_is_right());
    if (unlikely(trace_is_on()))
        (void)trace_track(p, nbytes);
}

/* Memory at p went back. */
static always_inline void trace_gone(const void *p)
{
    CHECK_WALK(trace_flag_is_right());
    if (unlikely(trace_is_on()))
        trace_untrack(p);
}

enum trace_state {
    TRACE_OFF,
    TRACE_SAMPLED, /* a profile is on, which takes note of few blocks, or the process is recorded;
                      tracemalloc is off */
    TRACE_ON,      /* tracemalloc may be on */
};

/* Has changed() called whenever the state may have changed, and for the first time by
 * tracing_add(). There is one such function. */
void tracing_on_change(void (*changed)(enum trace_state state));
/* A profile has begun, or ended. */
void tracing_set_profiled(bool on);
/* Adds tracemalloc_domain to the module, and watches tracemalloc's start() and stop(). */
bool tracing_add(PyObject *module);

#endif

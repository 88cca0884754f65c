/* critical.h - what stands in the GIL's place on an interpreter without one ("free-threaded").
 *
 * What it is: five tools. On an interpreter with a GIL the last is a look at signals, the others
 * nothing.
 *   shared_...: types of fields that several threads change. There every ++ and += is atomic.
 *   critical_begin(), critical_end(): a critical section of Python, on an object. As with the GIL
 *     a thread that waits, or runs other Python code, lets it go meanwhile, so what is looked at
 *     before such a place is looked at again after it.
 *   borrowed_lock(), try_incref(): for a pointer to an object that owns no reference to it. The
 *     object may be on its way out in another thread: its dealloc clears the pointer under this
 *     lock, and who follows the pointer holds the lock until it has a reference.
 *   world_stopped(): a function runs while no other thread runs Python.
 *   pending_run(): for who waits in C: objects whose end was left to this thread come to it.
 * What it is not: which object guards what (arena/arena_guard.h).
 * Lock: borrowed_lock() is held for a few instructions, with no call of Python in between.
 */
#ifndef PYTHON_CRITICAL_H
#define PYTHON_CRITICAL_H

#include "python/module/objects.h"

#include "base/compiler.h"

#ifdef Py_GIL_DISABLED

#include <pthread.h>
#include <stdatomic.h>

typedef _Atomic(Py_ssize_t) shared_ssize;
typedef _Atomic(uint64_t) shared_u64;
typedef _Atomic(bool) shared_bool;

/* True if the section that this thread entered last is on this object, and it has not let it go.
 * To enter it again is right, but takes 3.13 a thousand tries before it lets go of the first one;
 * later versions look themselves. */
static inline bool critical_is_entered(const PyObject *op)
{
#if PY_VERSION_HEX < 0x030E0000
    uintptr_t last = PyThreadState_GetUnchecked()->critical_section;

    /* Two flags: 1, it was let go; 2, it is on two objects. */
    return last != 0 && (last & 1) == 0 &&
           ((const PyCriticalSection *)(last & ~(uintptr_t)3))->_cs_mutex == &op->ob_mutex;
#else
    (void)op;
    return false;
#endif
}

#define critical_begin(op)                                                                         \
    {                                                                                              \
        PyObject *critical_op = (PyObject *)(op);                                                  \
        bool critical_entered = critical_is_entered(critical_op);                                  \
        PyCriticalSection critical_section;                                                        \
                                                                                                   \
        if (!critical_entered)                                                                     \
        PyCriticalSection_Begin(&critical_section, critical_op)

#define critical_end()                                                                             \
    if (!critical_entered)                                                                         \
        PyCriticalSection_End(&critical_section);                                                  \
    }

extern pthread_mutex_t borrowed_mutex;

static inline void borrowed_lock(void)
{
    pthread_mutex_lock(&borrowed_mutex);
}

static inline void borrowed_unlock(void)
{
    pthread_mutex_unlock(&borrowed_mutex);
}

/* From now on try_incref() works on the object. pre: the caller has
 * just made it (unchecked: nothing tells that) */
static inline void try_incref_enable(PyObject *op)
{
#if PY_VERSION_HEX >= 0x030E0000
    PyUnstable_EnableTryIncRef(op);
#else
    Py_ssize_t none = 0;

    (void)__atomic_compare_exchange_n(&op->ob_ref_shared, &none, _Py_REF_MAYBE_WEAKREF, false,
                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED);
#endif
}

/* A new reference, or false: the object is on its way out. pre: its memory cannot
 * go meanwhile (unchecked: the lock of the caller sees to that) */
bool try_incref(PyObject *op);

/* Calls run(argument) while every other thread that runs Python code is stopped at a place where
 * with a GIL it could let that go: not in the middle of straight C code. So what run() changes is
 * seen whole by all, and it sees all that they did. Threads that are outside of Python go on. */
void world_stopped(void (*run)(void *), void *argument);

/* Signals are looked at, and objects of this thread end of which another thread has dropped the
 * last reference: the interpreter leaves that to the thread that made them, for when it runs Python
 * code the next time. Without this call a thread that waits in C for memory or a slot would wait
 * for itself. False, with an exception set, if a handler raised one. */
bool pending_run(void);

#else

typedef Py_ssize_t shared_ssize;
typedef uint64_t shared_u64;
typedef bool shared_bool;

static inline void world_stopped(void (*run)(void *), void *argument)
{
    run(argument);
}

#define critical_begin(op) {
#define critical_end() }

static inline bool pending_run(void)
{
    return PyErr_CheckSignals() == 0;
}

static inline void borrowed_lock(void) {}

static inline void borrowed_unlock(void) {}

static inline void try_incref_enable(PyObject *op)
{
    (void)op;
}

static always_inline bool try_incref(PyObject *op)
{
    if (unlikely(Py_REFCNT(op) == 0))
        return false;
    Py_INCREF(op);
    return true;
}

#endif

#endif

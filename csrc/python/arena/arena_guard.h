/* arena_guard.h - one thread at a time in an arena's Python objects, on an interpreter without a
 * GIL.
 *
 * What it is: guarded forms of methods and getters. The guarded form runs the plain one in a
 * critical section on the Arena, and with the arena pinned, so that for the objects of one arena
 * all is as under a GIL: Pages, KmemCaches, Mempools, Regions, Windows, usage blocks, Shrinkers,
 * and Buffers of the kinds that change one of these. With a GIL the guarded form is the plain one.
 * What it is not: for kmalloc() and its relatives, which need no guard beside the pin, and for
 * Buffers of other kinds, which are guarded each by itself (buffer/buffer.h).
 *
 * How to use it: GUARD_...(f, owner) before a table, GUARDED(f) in it. owner is a function from
 * the object to its Arena, a new reference; or NULL: then the object guards itself.
 * guard_begin(arena) and guard_end() are the same around statements.
 */
#ifndef PYTHON_ARENA_GUARD_H
#define PYTHON_ARENA_GUARD_H

#include "python/arena/arena_object.h"

/* An object that starts with its Arena, which it owns. */
struct arena_member {
    PyObject_HEAD
    ArenaObject *arena;
};

static inline ArenaObject *owner_self(PyObject *op)
{
    if (op == NULL)
        __builtin_unreachable(); /* or GCC 16 warns of what follows GUARD's test of its owner */
    return (ArenaObject *)Py_NewRef(op);
}

static inline ArenaObject *owner_of_member(PyObject *op)
{
    return (ArenaObject *)Py_XNewRef((PyObject *)((struct arena_member *)op)->arena);
}

#ifdef Py_GIL_DISABLED

#define GUARDED(f) f##_guarded

#define guard_begin(arena_)                                                                        \
    {                                                                                              \
        ArenaObject *guard_arena = (ArenaObject *)Py_NewRef((PyObject *)(arena_));                 \
        critical_begin(guard_arena);                                                               \
        arena_pin(guard_arena)

#define guard_end()                                                                                \
    arena_unpin(guard_arena);                                                                      \
    critical_end();                                                                                \
    Py_DECREF(guard_arena);                                                                        \
    }

/* Defines the guarded form of a function of this result and these parameters. */
#define GUARD(f, owner, result_type, parameters, arguments)                                        \
    static result_type f##_guarded parameters                                                      \
    {                                                                                              \
        ArenaObject *guard_arena = owner(op);                                                      \
        result_type guard_result;                                                                  \
                                                                                                   \
        critical_begin(guard_arena != NULL ? (PyObject *)guard_arena : op);                        \
        if (guard_arena != NULL)                                                                   \
            arena_pin(guard_arena);                                                                \
        guard_result = f arguments;                                                                \
        if (guard_arena != NULL)                                                                   \
            arena_unpin(guard_arena);                                                              \
        critical_end();                                                                            \
        Py_XDECREF((PyObject *)guard_arena);                                                       \
        return guard_result;                                                                       \
    }

/* The plain form with the arena pinned, and no critical section. */
#define PINNED_FAST(f)                                                                             \
    static slow_path PyObject *f##_guarded(PyObject *op, PyObject *const *args, Py_ssize_t nargs,  \
                                           PyObject *kwnames)                                      \
    {                                                                                              \
        PyObject *result;                                                                          \
                                                                                                   \
        arena_pin((ArenaObject *)op);                                                              \
        result = f(op, args, nargs, kwnames);                                                      \
        arena_unpin((ArenaObject *)op);                                                            \
        return result;                                                                             \
    }

#else

#define GUARDED(f) f
#define PINNED_FAST(f)

#define guard_begin(arena_) {
#define guard_end() }
#define GUARD(f, owner, result_type, parameters, arguments)

#endif

/* A method with METH_FASTCALL | METH_KEYWORDS; one with METH_FASTCALL; with two parameters, which
 * is METH_NOARGS, METH_O and METH_VARARGS; a getter. */
#define GUARD_FAST(f, owner)                                                                       \
    GUARD(f, owner, PyObject *,                                                                    \
          (PyObject * op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames),             \
          (op, args, nargs, kwnames))
#define GUARD_FASTCALL(f, owner)                                                                   \
    GUARD(f, owner, PyObject *, (PyObject * op, PyObject *const *args, Py_ssize_t nargs),          \
          (op, args, nargs))
#define GUARD_TWO(f, owner) GUARD(f, owner, PyObject *, (PyObject * op, PyObject * arg), (op, arg))
#define GUARD_GET(f, owner) GUARD(f, owner, PyObject *, (PyObject * op, void *arg), (op, arg))
#define GUARD_ONE(f, owner) GUARD(f, owner, PyObject *, (PyObject * op), (op))

#endif

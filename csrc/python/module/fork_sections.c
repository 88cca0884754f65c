/* fork_sections.c - in a forked child no critical section, and no lock of what threads leave when
 * they end, is held by a thread that is not there.
 *
 * What it is: Python stops all threads before fork(), and each lets go of its critical sections.
 * But a lock that was let go is handed to the thread that has waited longest, which sleeps: in the
 * child it is held for good, and who enters the section waits for ever. So the locks of what
 * threads often wait for are opened there: each Arena's, and that of the NumPy handler. A thread
 * that ends is no more among those that Python stops: it may hold the lock under which it gives
 * back its number, or leaves its dead Buffers. Both are opened, too; what they guard is changed by
 * one store, so it is as before or as after.
 * What it is not: for Buffers of kmalloc, of which threads seldom share one, and for objects of
 * Python's own: its lists and dicts have the same fault.
 * Invariant: in a child, after fork(), the lock of each of these objects is held by the thread
 * that has forked, or by nobody.
 * Lock: none; a child has one thread.
 */
#include "python/module/fork_sections.h"

#include "python/arena/arena_object.h"
#include "python/buffer/buffer_freelist.h"
#include "python/numpy/array_critical.h"

#include "arena/arena_fork.h"

#ifdef Py_GIL_DISABLED

/* True if this thread is in a critical section on the object. */
static bool section_is_ours(const PyObject *op)
{
    const PyThreadState *thread = PyThreadState_GetUnchecked();
    uintptr_t entered = thread != NULL ? thread->critical_section : 0;

    /* Two flags: 1, it and all that were entered before it were let go; 2, it is on two objects. */
    while (entered != 0 && (entered & 1) == 0) {
        const PyCriticalSection2 *section = (const PyCriticalSection2 *)(entered & ~(uintptr_t)3);

        if (section->_cs_base._cs_mutex == &op->ob_mutex ||
            ((entered & 2) != 0 && section->_cs_mutex2 == &op->ob_mutex))
            return true;
        entered = section->_cs_base._cs_prev;
    }
    return false;
}

static void section_open(PyObject *op)
{
    if (op != NULL && !section_is_ours(op))
        op->ob_mutex = (PyMutex){0};
}

static void arena_open(struct pyslab_arena *core)
{
    section_open(core->object);
}

static void in_child(void)
{
    arena_list_each_in_child(arena_open);
    section_open(array_refusal);
    tallies_fork_child();
    buffer_freelist_fork_child();
}

void fork_sections_watch(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

#else

void fork_sections_watch(void) {}

#endif

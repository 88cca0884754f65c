/* fork_pile.c - a ResourceWarning when much of a shared arena waits for forked children.
 *
 * What it is: what share/fork.h calls, from any thread and under a lock, and has Python say later,
 * in its main thread. What it is not: the count (pyslab_share_stats).
 * Lock: none.
 */
#include "python/module/fork_pile.h"

#include "share/fork.h"

static int warn(void *unused)
{
    (void)unused;
    if (PyErr_WarnEx(PyExc_ResourceWarning,
                     "a quarter of a shared arena was freed and waits for forked children that "
                     "may still read it; hint: call arena.drop_inherited() in them, or start them "
                     "by spawn or forkserver (docs/fork.md)",
                     1) != 0)
        PyErr_WriteUnraisable(NULL);
    return 0;
}

static void warn_later(void)
{
    (void)Py_AddPendingCall(warn, NULL); /* it fails if 32 others wait: then nobody is told */
}

void fork_pile_watch(void)
{
    atomic_store(&share_fork_on_pile, warn_later);
}

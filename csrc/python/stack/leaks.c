/* leaks.c - the C half of Arena(track="leaks"): from the core's groups of live allocations to
 * Python's lists. What it is not: the report (src/pyslab/leaks.py), or when it is made
 * (src/pyslab/_arena/tracking.py).
 * Lock: the tracker's own; methods are guarded by the arena (arena_guard.h). */
#include "python/stack/leaks.h"

#include "os/os_heap.h"
#include "python/stack/stack_hook.h"

PyObject *arena_track(PyObject *op, PyObject *unused)
{
    ArenaObject *self = (ArenaObject *)op;

    (void)unused;
    if (!arena_is_open(self))
        return NULL;
    if (usage_track(&self->core->pages.own_usage, &self->core->domain) == NULL)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *group_tuple(const struct track_group *group)
{
    return Py_BuildValue("(KKN)", (unsigned long long)group->bytes,
                         (unsigned long long)group->count, stack_list(group->stack));
}

static PyObject *groups_list(const struct track_group *group, uint32_t nr)
{
    PyObject *list = PyList_New(nr);

    for (uint32_t i = 0; list != NULL && i < nr; i++) {
        PyObject *item = group_tuple(&group[i]);

        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, item);
    }
    return list;
}

/* ([(bytes, count, frames), ...], lost), the most bytes first; None: it is not tracked. */
PyObject *arena_leaks(PyObject *op, PyObject *unused)
{
    ArenaObject *self = (ArenaObject *)op;
    struct tracker *tracker;
    struct track_group *group;
    PyObject *list;
    uint64_t lost;
    uint32_t nr;

    (void)unused;
    if (!arena_is_mapped(self))
        return NULL;
    tracker = load_relaxed(&self->core->pages.own_usage.tracker);
    if (tracker == NULL)
        Py_RETURN_NONE;
    group = tracker_groups(tracker, &nr, &lost);
    if (nr == UINT32_MAX)
        return PyErr_NoMemory();
    list = groups_list(group, nr);
    os_heap_free(group, nr * sizeof *group);
    return list == NULL ? NULL : Py_BuildValue("(NK)", list, (unsigned long long)lost);
}

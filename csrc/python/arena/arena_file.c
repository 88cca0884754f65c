/* arena_file.c - see arena_file.h. */
#include "python/arena/arena_file.h"

#include "arena/arena.h"

bool arena_file_is_lost(const ArenaObject *self)
{
    const struct pyslab_arena *side = load_relaxed(&self->core->side);

    return load_relaxed(&self->core->high.lost) || (side != NULL && load_relaxed(&side->high.lost));
}

PyObject *arena_tell_lost_file(ArenaObject *self, PyObject *result)
{
    if (likely(result == NULL || self->told_lost_file || !arena_file_is_lost(self)))
        return result;
    self->told_lost_file = true;
    if (PyErr_WarnEx(PyExc_RuntimeWarning,
                     "the descriptor of the arena's high memory was closed by the program, and may "
                     "name another file now; high memory goes on through a mapping that was made "
                     "with the arena. hint: a daemon closes descriptors before it makes arenas",
                     1) == 0)
        return result;
    Py_DECREF(result);
    return NULL;
}

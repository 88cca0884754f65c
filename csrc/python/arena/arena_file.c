/* arena_file.c - see arena_file.h. */
#include "python/arena/arena_file.h"

#include "arena/arena.h"

static bool is_lost(const struct os_file *file)
{
    return load_relaxed(&file->lost);
}

/* Nothing can be mapped or given back any more. */
static bool is_out_of_reach(const struct os_file *file)
{
    return load_relaxed(&file->lost) && load_relaxed(&file->alias) == NULL;
}

/* Asked of the arena's file and of its side arena's. */
static bool any_file(const ArenaObject *self, bool (*is)(const struct os_file *file))
{
    const struct pyslab_arena *side = load_acquire(&self->core->side);

    return is(&self->core->high) || (side != NULL && is(&side->high));
}

bool arena_file_is_lost(const ArenaObject *self)
{
    return any_file(self, is_lost);
}

#define CLOSED                                                                                     \
    "the descriptor of the arena's high memory was closed by the program, and may name another "   \
    "file now; "
#define HINT "hint: a daemon closes descriptors before it makes arenas"

PyObject *arena_tell_lost_file(ArenaObject *self, PyObject *result)
{
    const char *text = CLOSED "high memory goes on through a mapping that was made with the "
                              "arena. " HINT;

    if (likely(result == NULL || self->told_lost_file || !arena_file_is_lost(self)))
        return result;
    if (any_file(self, is_out_of_reach))
        text = CLOSED "a limit of addresses left no room for a second way (EBADF): no more of it "
                      "can be mapped, and its memory stays with the program. " HINT
                      ", or raises the limit (ulimit -v)";
    self->told_lost_file = true;
    if (PyErr_WarnEx(PyExc_RuntimeWarning, text, 1) == 0)
        return result;
    Py_DECREF(result);
    return NULL;
}

PyObject *arena_method_tell_lost_file(PyObject *op, PyObject *unused)
{
    ArenaObject *self = (ArenaObject *)op;

    (void)unused;
    if (self->core == NULL) /* closed meanwhile, and unmapped */
        Py_RETURN_NONE;
    return arena_tell_lost_file(self, Py_NewRef(Py_None));
}

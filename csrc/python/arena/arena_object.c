/* arena_object.c - whether an Arena can still be used, and the end of the core arena under it. */
#include "python/arena/arena_object.h"

#include "python/call/gil.h"

bool arena_is_open(const ArenaObject *arena)
{
    if (likely(!arena->closed))
        return true;
    PyErr_SetString(objects.closed, "the arena is closed: it takes no more allocations");
    return false;
}

bool arena_is_mapped(const ArenaObject *arena)
{
    if (likely(arena->core != NULL))
        return true;
    PyErr_SetString(objects.closed, "the arena is closed and its memory is unmapped");
    return false;
}

bool arena_counts_are_possible(const ArenaObject *self)
{
    return self->current_count >= 0 && self->current_bytes >= 0 &&
           self->nr_live >= self->current_count;
}

void arena_settle(ArenaObject *self)
{
    struct pyslab_arena *core = self->core;

    gil_assert_held();
    CHECK(self->closed);
    if (core == NULL || self->nr_live != 0)
        return;
    self->core = NULL;
    if (self->on_oom != NULL) /* C code may go on using the arena */
        pyslab_arena_set_oom(core, NULL, NULL);
    if (core->object == self)
        core->object = NULL;
    while (self->nr_refs > 0) {
        self->nr_refs--;
        pyslab_arena_put(core);
    }
}

/* arena_life.c - references to an arena, and the process's own (default) arena.
 * What it is not: making and unmaking (arena.c).
 *
 * Data structure: a count in the arena. Its creator has one reference; whoever else needs the
 * arena to stay takes one more.
 * Invariant: an arena is mapped while its count is positive. The default arena, once there
 * is one, has a reference that is never given back.
 * Lock: none. Threads that want the default arena at once may each make one; one stays.
 */
#include "arena/arena.h"

#include "arena/arena_default.h"

static _Atomic(struct pyslab_arena *) default_arena;

static bool is_default(const struct pyslab_arena *arena)
{
    return arena == atomic_load_explicit(&default_arena, memory_order_relaxed);
}

struct pyslab_arena *arena_default(void)
{
    struct pyslab_arena *arena = atomic_load_explicit(&default_arena, memory_order_acquire);
    struct pyslab_arena *made;

    if (likely(arena != NULL))
        return arena;
    if (arena_default_make(&made) != PYSLAB_OK) /* another thread may have taken what was left */
        return atomic_load_explicit(&default_arena, memory_order_acquire);
    if (atomic_compare_exchange_strong(&default_arena, &arena, made))
        return made;
    arena_destroy(made);
    return arena;
}

void arena_get(struct pyslab_arena *arena)
{
    uint32_t before = atomic_fetch_add_explicit(&arena->nr_refs, 1, memory_order_relaxed);

    CHECK(before != 0);
    (void)before;
}

int arena_put(struct pyslab_arena *arena)
{
    uint32_t nr = load_relaxed(&arena->nr_refs);

    do
        if (nr == 0 || (nr == 1 && is_default(arena)))
            return PYSLAB_EINVAL;
    while (!atomic_compare_exchange_weak_explicit(&arena->nr_refs, &nr, nr - 1,
                                                  memory_order_acq_rel, memory_order_relaxed));
    if (nr == 1)
        arena_destroy(arena);
    return PYSLAB_OK;
}

int arena_destroy_sole(struct pyslab_arena *arena)
{
    uint32_t nr = 1;

    if (is_default(arena) ||
        !atomic_compare_exchange_strong_explicit(&arena->nr_refs, &nr, 0, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return PYSLAB_EBUSY;
    arena_destroy(arena);
    return PYSLAB_OK;
}

/* arena_failing.c - see arena_failing.h. */
#include "arena/arena_failing.h"

#include "arena/arena_fork.h"
#include "os/os_heap.h"

#include <string.h>

#define MILLION 1000000u

void arena_divert_failing(struct pyslab_arena *arena)
{
    thread_registry_lock();
    add_relaxed(&arena->pages.own_faults.nr, 1);
    thread_domain_divert_locked(&arena->domain);
    thread_registry_unlock();
}

void arena_restore_failing(struct pyslab_arena *arena)
{
    thread_registry_lock();
    sub_relaxed(&arena->pages.own_faults.nr, 1);
    thread_domain_restore_locked(&arena->domain);
    thread_registry_unlock();
}

static bool options_are_sane(const pyslab_failing_options *options)
{
    return options->probability <= MILLION && options->this_thread <= 1 &&
           (options->cache == NULL ||
            (options->cache[0] != '\0' && strlen(options->cache) < PYSLAB_NAME_MAX));
}

int arena_failing_begin(struct pyslab_arena *arena, const pyslab_failing_options *options,
                        struct pyslab_failing **out)
{
    struct pyslab_failing *attr;

    if (!options_are_sane(options))
        return PYSLAB_EINVAL;
    attr = os_heap_alloc(sizeof *attr);
    if (attr == NULL)
        return PYSLAB_ENOMEM;
    *attr = (struct pyslab_failing){.arena = arena != NULL ? &arena->pages.own_faults : NULL,
                                    .thread = options->this_thread != 0 ? fault_thread() : NULL,
                                    .options = *options,
                                    .random = options->seed,
                                    .space_left = options->space_bytes,
                                    .stats = {.struct_size = sizeof attr->stats}};
    if (options->cache != NULL)
        memcpy(attr->cache, options->cache, strlen(options->cache) + 1);
    attr->options.cache = NULL; /* the caller's text may go */
    if (attr->options.probability == 0)
        attr->options.probability = MILLION;
    fault_attr_add(attr);
    if (arena != NULL)
        arena_divert_failing(arena);
    else
        arena_list_divert_failing();
    *out = attr;
    return PYSLAB_OK;
}

/* The address of the arena's watch is that of a member of the arena. */
static struct pyslab_arena *arena_of(const struct pyslab_failing *attr)
{
    char *watch = (char *)(uintptr_t)attr->arena;

    return (struct pyslab_arena *)(void *)(watch - offsetof(struct pyslab_arena, pages.own_faults));
}

void arena_failing_end(struct pyslab_failing *attr)
{
    if (attr->arena == NULL)
        arena_list_restore_failing();
    else if (!fault_attr_is_orphan(attr))
        arena_restore_failing(arena_of(attr));
    fault_attr_remove(attr);
    os_heap_free(attr, sizeof *attr);
}

bool arena_creation_fails(void)
{
    static struct fault_watch new_arena;

    return fault_attrs_ask(&new_arena, NULL, sizeof(struct pyslab_arena), 0);
}

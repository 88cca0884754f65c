/* api_failing.c - the functions of pyslab.h by which calls of a program are made to fail.
 * What it is not: the rules (page_alloc/fault_attr.h). Lock: none. */
#include "api/copy_struct.h"
#include "arena/arena_failing.h"
#include "arena/arena_fork.h"

int pyslab_failing_begin(pyslab_arena *arena, const pyslab_failing_options *options,
                         pyslab_failing **out)
{
    pyslab_failing_options whole;

    if (options == NULL || !copy_struct_in(&whole, sizeof whole, options, options->struct_size,
                                           UP_TO(pyslab_failing_options, cache)))
        return PYSLAB_EINVAL;
    whole.struct_size = sizeof whole;
    return arena_failing_begin(arena, &whole, out);
}

void pyslab_failing_read(pyslab_failing *failing, pyslab_failing_stats *out)
{
    fault_attr_read(failing, out);
    out->nr_arenas = arena_list_count();
}

void pyslab_failing_end(pyslab_failing *failing)
{
    if (failing != NULL)
        arena_failing_end(failing);
}

/* api_track.c - the functions of pyslab.h that tell where memory was allocated.
 * What it is not: the table behind them (page_alloc/track.h). Lock: none. */
#include "arena/arena.h"

int pyslab_arena_track(pyslab_arena *arena)
{
    return usage_track(&arena->pages.own_usage, &arena->domain) != NULL ? PYSLAB_OK : PYSLAB_ENOMEM;
}

size_t pyslab_arena_leaks(pyslab_arena *arena, char *text, size_t bytes)
{
    struct tracker *tracker = load_acquire(&arena->pages.own_usage.tracker);

    if (tracker != NULL)
        return tracker_report(tracker, text, bytes);
    if (bytes != 0)
        text[0] = '\0';
    return 0;
}

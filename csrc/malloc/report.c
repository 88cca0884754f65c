/* report.c - what the heap holds, as text: malloc_stats(), and at exit where the environment
 * asks for it (PYSLAB_MALLOC=stats). Not here: what else is done at exit (at_exit.c).
 */
#include "malloc/heap.h"

#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long long kib(uint64_t nr_pages)
{
    return (unsigned long long)nr_pages << (PAGE_SHIFT - 10);
}

void heap_report(void)
{
    pyslab_arena_stats stats;
    char text[1024];
    int length;

    if (!heap_ready())
        return;
    arena_stats(&malloc_arena, &stats);
    length = snprintf(
        text, sizeof text,
        "pyslab: malloc of process %ld\n"
        "  objects    %12llu live, %llu KiB; %llu handed out; %llu on sheaves\n"
        "  slabs      %12llu KiB\n"
        "  large      %12llu KiB in %llu blocks\n"
        "  peak       %12llu KiB of frames in use\n"
        "  free       %12llu KiB resident; %llu KiB given back\n"
        "  metadata   %12llu KiB on the core's heap\n"
        "  failures   %12llu\n",
        (long)getpid(), (unsigned long long)stats.live_objects,
        (unsigned long long)stats.live_object_bytes >> 10, (unsigned long long)stats.total_objects,
        (unsigned long long)stats.cached_objects, kib(stats.slab_pages), kib(stats.large_pages),
        (unsigned long long)stats.large_count, kib(stats.peak_used_pages),
        kib(stats.dirty_free_pages), kib(stats.pages_released),
        (unsigned long long)stats.heap_bytes >> 10, (unsigned long long)stats.alloc_failures);
    os_write_error(text, length > 0 ? min_uint((unsigned)length, sizeof text - 1) : 0);
}

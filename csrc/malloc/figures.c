/* figures.c - the functions that ask about the heap, or ask something of it: mallinfo, mallinfo2,
 * malloc_info, malloc_stats, malloc_usable_size, malloc_trim, mallopt; and the report that the
 * environment asks for at exit (PYSLAB_MALLOC=stats).
 * What it is not: what else is done at exit (at_exit.c).
 *
 * Data structure: struct figures, read from the arena and from the quarantine anew at each call.
 * Invariant: what waits in the quarantine is not live, although the arena still counts it so.
 * Each function ends with its work done in a thread that is being cancelled too.
 * Lock: none of its own.
 */
#include "malloc/exported.h"
#include "malloc/glibc_names.h"
#include "malloc/heap.h"
#include "malloc/quarantine.h"
#include "malloc/settings.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

struct figures {
    pyslab_arena_stats arena;        /* as the arena counts */
    struct quarantine_figures waits; /* what of it was freed already; zero by default */
    uint64_t live_objects;           /* objects in the program's hands */
    uint64_t live_object_bytes;      /* of them, as the size classes have it */
    uint64_t large_count;            /* blocks of whole frames in the program's hands */
    uint64_t large_bytes;            /* of them, with their guard frames */
};

/* Other threads may free between the two counts. */
static uint64_t less(uint64_t all, uint64_t part)
{
    return all > part ? all - part : 0;
}

static void figures_read(struct figures *f)
{
    arena_stats(&malloc_arena, &f->arena);
    quarantine_figures(&f->waits);
    f->live_objects = less(f->arena.live_objects, f->waits.nr_objects);
    f->live_object_bytes = less(f->arena.live_object_bytes, f->waits.object_bytes);
    f->large_count = less(f->arena.large_count, f->waits.nr_blocks);
    f->large_bytes = less(f->arena.large_pages << PAGE_SHIFT, f->waits.block_bytes);
}

EXPORTED size_t NAMED(malloc_usable_size)(void *p)
{
    return p != NULL ? heap_usable(p) : 0;
}

/* How much to keep is not the caller's to say here: everything unused goes. */
EXPORTED int NAMED(malloc_trim)(size_t keep)
{
    int saved = errno;
    uint64_t released;

    (void)keep;
    released = heap_ready() ? arena_release_unused(&malloc_arena) : 0;
    errno = saved;
    return released != 0;
}

/* The heap has none of the parameters that glibc's has, and says so by its value. */
EXPORTED int NAMED(mallopt)(int parameter, int value)
{
    (void)parameter;
    (void)value;
    return 0;
}

/* --- numbers -------------------------------------------------------------- */

/* glibc's equations hold: arena == uordblks + fordblks, and hblkhd beside them. Here arena is
 * the memory held for small objects or for nothing yet; uordblks, the objects in the program's
 * hands; fordblks, what is free of it; hblks and hblkhd, the large blocks in the program's hands;
 * keepcost, what malloc_trim would give back at least. */
EXPORTED struct mallinfo2 NAMED(mallinfo2)(void)
{
    struct mallinfo2 info = {0};
    struct figures f;

    if (!heap_ready())
        return info;
    figures_read(&f);
    info.keepcost = f.arena.dirty_free_pages << PAGE_SHIFT;
    info.arena = (f.arena.slab_pages << PAGE_SHIFT) + info.keepcost;
    info.uordblks = f.live_object_bytes < info.arena ? f.live_object_bytes : info.arena;
    info.fordblks = info.arena - info.uordblks;
    info.hblks = f.large_count;
    info.hblkhd = f.large_bytes;
    return info;
}

static int as_int(size_t n)
{
    return (int)n; /* glibc's old interface: numbers wrap */
}

EXPORTED struct mallinfo NAMED(mallinfo)(void)
{
    struct mallinfo2 info = NAMED(mallinfo2)();

    return (struct mallinfo){.arena = as_int(info.arena),
                             .hblks = as_int(info.hblks),
                             .hblkhd = as_int(info.hblkhd),
                             .uordblks = as_int(info.uordblks),
                             .fordblks = as_int(info.fordblks),
                             .keepcost = as_int(info.keepcost)};
}

/* --- text ----------------------------------------------------------------- */

typedef unsigned long long number; /* what %llu prints */

static number kib(uint64_t nr_pages)
{
    return (number)nr_pages << (PAGE_SHIFT - 10);
}

/* Returns the length of the report in text, as much of it as fits. */
static size_t format_report(char *text, size_t bytes)
{
    struct figures f;
    int length;

    figures_read(&f);
    length = snprintf(
        text, bytes,
        "pyslab: malloc of process %ld\n"
        "  objects    %12llu live, %llu KiB; %llu handed out; %llu free, kept at hand\n"
        "  slabs      %12llu KiB\n"
        "  large      %12llu KiB in %llu blocks\n"
        "  quarantine %12llu KiB in %llu objects; %llu KiB in %llu blocks\n"
        "  peak       %12llu KiB of frames in use\n"
        "  free       %12llu KiB resident; %llu KiB given back\n"
        "  metadata   %12llu KiB on the core's heap\n"
        "  failures   %12llu\n",
        (long)getpid(), (number)f.live_objects, (number)f.live_object_bytes >> 10,
        (number)f.arena.total_objects, (number)f.arena.cached_objects, kib(f.arena.slab_pages),
        (number)f.large_bytes >> 10, (number)f.large_count, (number)f.waits.object_bytes >> 10,
        (number)f.waits.nr_objects, (number)f.waits.block_bytes >> 10, (number)f.waits.nr_blocks,
        kib(f.arena.peak_used_pages), kib(f.arena.dirty_free_pages), kib(f.arena.pages_released),
        (number)f.arena.heap_bytes >> 10, (number)f.arena.alloc_failures);
    return length > 0 ? min_uint((unsigned)length, (unsigned)bytes - 1) : 0;
}

void heap_report(void)
{
    char text[1024];

    if (heap_ready())
        settings_report(text, format_report(text, sizeof text), true);
}

/* To stderr as the program has it now: it is the program that asks. */
EXPORTED void NAMED(malloc_stats)(void)
{
    char text[1024];
    int saved = errno, state;

    if (!heap_ready())
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    (void)fwrite(text, 1, format_report(text, sizeof text), stderr);
    pthread_setcancelstate(state, NULL);
    errno = saved;
}

/* The free objects of each size class. */
static void print_sizes(FILE *file)
{
    struct kmalloc *km = &malloc_arena.kmalloc;

    fputs("<sizes>\n", file);
    for (unsigned class = 1; class <= km->classes.nr; class++) {
        pyslab_cache_stats stats;
        number nr, nr_slabs;

        cache_stats(km->slabs.caches[class], &stats);
        nr_slabs = stats.nr_full + stats.nr_partial + stats.nr_empty;
        nr = less(nr_slabs * stats.objects_per_slab, stats.live_objects);
        if (nr != 0)
            fprintf(file, "  <size from=\"%u\" to=\"%u\" total=\"%llu\" count=\"%llu\"/>\n",
                    km->classes.size[class - 1] + 1, stats.object_size, nr * stats.object_size, nr);
    }
    fputs("</sizes>\n", file);
}

/* The totals of the one heap, which are the process's too. */
static void print_totals(FILE *file, const struct figures *f)
{
    struct mallinfo2 info = NAMED(mallinfo2)();
    number now = (number)info.arena + info.hblkhd;
    number peak = (number)f->arena.peak_used_pages << PAGE_SHIFT;

    fprintf(file,
            "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
            "<total type=\"rest\" count=\"%llu\" size=\"%llu\"/>\n"
            "<total type=\"mmap\" count=\"%llu\" size=\"%llu\"/>\n"
            "<system type=\"current\" size=\"%llu\"/>\n"
            "<system type=\"max\" size=\"%llu\"/>\n"
            "<aspace type=\"total\" size=\"%llu\"/>\n",
            (number)f->arena.cached_objects, (number)info.fordblks, (number)info.hblks,
            (number)info.hblkhd, now, peak > now ? peak : now, (number)f->arena.size_bytes);
}

static void print_info(FILE *file)
{
    struct figures f = {.live_objects = 0};

    fputs("<malloc version=\"1\">\n<heap nr=\"0\">\n", file);
    if (heap_ready()) {
        figures_read(&f);
        print_sizes(file);
        print_totals(file, &f);
        fputs("</heap>\n", file);
        print_totals(file, &f);
    } else {
        fputs("</heap>\n", file);
    }
    fputs("</malloc>\n", file);
}

/* In glibc's format, as far as it fits. Returns EINVAL, and prints nothing, unless options is 0. */
EXPORTED int NAMED(malloc_info)(int options, FILE *file)
{
    int state;

    if (options != 0)
        return EINVAL;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    print_info(file);
    pthread_setcancelstate(state, NULL);
    return 0;
}

/* support.c - clock, memory, arena and messages of the driver.
 *
 * What it is: the few helpers that every other file needs.
 * What it is not: anything that runs inside a timed loop, but bench_die.
 */
#include "driver.h"
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

_Noreturn void bench_die(const char *message, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("pyslab bench driver: ", stderr);
    va_start(arguments, message);
    vfprintf(stderr, message, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

pyslab_arena *bench_arena_create(uint64_t size_bytes)
{
    pyslab_arena_options options = {
        .struct_size = sizeof(options),
        .max_order = PYSLAB_DEFAULT_ORDER,
        .size_bytes = size_bytes,
        .overcommit = 1,
        .hugepages = PYSLAB_HUGEPAGES_TRY,
        .kmalloc_classes = PYSLAB_CLASSES_FINE,
    };
    pyslab_arena *arena = NULL;
    int error = pyslab_arena_create(&options, &arena);

    if (error != PYSLAB_OK)
        bench_die("cannot make an arena of %llu bytes: %s",
                  (unsigned long long)size_bytes, pyslab_strerror(error));
    return arena;
}

void *bench_map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (p == MAP_FAILED)
        bench_die("cannot map %zu bytes", bytes);
    return p;
}

void bench_unmap(void *p, size_t bytes)
{
    munmap(p, bytes);
}

uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_scale(uint64_t count, double scale)
{
    double scaled = (double)count * scale;

    return scaled < 1.0 ? 1 : (uint64_t)scaled;
}

void bench_progress(uint64_t step, uint64_t total)
{
    fprintf(stderr, "progress %llu/%llu\n", (unsigned long long)step, (unsigned long long)total);
}

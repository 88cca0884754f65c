/* support.c - clock, memory, arena, child processes and messages of the driver.
 *
 * What it is: the few helpers that every other file needs.
 * What it is not: anything that runs inside a timed loop, but bench_die.
 */
#include "driver.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROLLUP_BYTES = 4096, NS_PER_MS = 1000000, MS_PER_SECOND = 1000 };

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

const void *bench_api_table(void)
{
    return pyslab_get_api();
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
        .purge_delay_ms = BENCH_PURGE_DELAY_MS,
    };
    pyslab_arena *arena = NULL;
    int error = pyslab_arena_create(&options, &arena);

    if (error != PYSLAB_OK)
        bench_die("cannot make an arena of %llu bytes: %s", (unsigned long long)size_bytes,
                  pyslab_strerror(error));
    return arena;
}

static void *map(size_t bytes, int flags)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_POPULATE, -1,
                   0);

    if (p == MAP_FAILED)
        bench_die("cannot map %zu bytes", bytes);
    return p;
}

void *bench_map(size_t bytes)
{
    return map(bytes, MAP_PRIVATE);
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

void bench_sleep_ms(uint64_t ms)
{
    struct timespec left = {
        .tv_sec = (time_t)(ms / MS_PER_SECOND),
        .tv_nsec = (long)(ms % MS_PER_SECOND * NS_PER_MS),
    };

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

/* A line of smaps_rollup, which the kernel counts page by page; statm may lag behind. */
static uint64_t rollup_bytes(const char *line)
{
    char text[ROLLUP_BYTES];
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
    const char *found;

    if (file >= 0)
        close(file);
    text[length > 0 ? length : 0] = '\0';
    found = strstr(text, line);
    if (!found)
        bench_die("cannot read /proc/self/smaps_rollup");
    return (uint64_t)strtoull(found + strlen(line), NULL, 10) * 1024u;
}

uint64_t bench_resident_bytes(void)
{
    return rollup_bytes("\nRss:");
}

uint64_t bench_anonymous_bytes(void)
{
    return rollup_bytes("\nAnonymous:");
}

bool bench_takes_part(const struct bench_options *options, enum bench_allocator allocator)
{
    return options->only == BENCH_ANY || options->only == allocator;
}

struct bench_child bench_child_start(void (*work)(const void *context, void *result),
                                     const void *context, size_t result_bytes)
{
    struct bench_child child = {
        .shared = map(result_bytes, MAP_SHARED),
        .bytes = result_bytes,
    };

    fflush(stdout);
    child.pid = fork();
    if (child.pid < 0)
        bench_die("cannot start a child process");
    if (child.pid == 0) {
        work(context, child.shared);
        _exit(EXIT_SUCCESS);
    }
    return child;
}

void bench_child_finish(struct bench_child *child, void *result)
{
    int status;
    pid_t ended;

    do
        ended = waitpid(child->pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    if (ended != child->pid || status != 0)
        bench_die("a child process failed");
    memcpy(result, child->shared, child->bytes);
    bench_unmap(child->shared, child->bytes);
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

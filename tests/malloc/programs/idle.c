/* idle.c - 512 MiB allocated and freed, then a sleep without any call, longer if need be. Prints
 * how many KiB are resident at its end, how many threads there were before the work and after it,
 * and how many KiB are resident in a child, forked after the work, that has done the same.
 * "small": in blocks of 1,000 bytes; "one": one block. A second argument: in place of the sleep,
 * the same block of 100,000 bytes is asked for all the time. */
#include "require.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOTAL ((size_t)512 << 20)
#define SLEEP_MS 2900

/* Without malloc: stdio and opendir would allocate. */
static long number_after(const char *field)
{
    static char text[8192];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    const char *at;

    REQUIRE(got > 0);
    close(fd);
    text[got] = '\0';
    at = strstr(text, field);
    REQUIRE(at != NULL);
    return strtol(at + strlen(field), NULL, 10);
}

static bool is_busy; /* instead of sleeping, it asks for blocks that the thread's caches have */

static void sleep_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000}, now, end;

    if (!is_busy) {
        while (nanosleep(&time, &time) != 0)
            ;
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ms / 1000 + 1;
    do {
        free(malloc(100000));
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec);
}

static void fill_and_drop(size_t total, size_t block)
{
    static char *p[TOTAL / 1000];
    size_t nr = total / block;

    for (size_t i = 0; i < nr; i++) {
        p[i] = malloc(block);
        REQUIRE(p[i] != NULL);
        memset(p[i], 1, block);
    }
    for (size_t i = 0; i < nr; i++)
        free(p[i]);
}

#define SMALL_KIB (64l << 10) /* what the tests ask for */
#define MORE_LOOKS 40         /* on a busy machine the library's thread is late */

/* How many KiB are resident after the sleep; where a thread gives memory back, after it has had the
 * time. Looking makes no call of malloc. */
static long resident_later(void)
{
    long kib;

    sleep_ms(SLEEP_MS);
    kib = number_after("\nVmRSS:");
    for (int looks = 0; kib >= SMALL_KIB && looks < MORE_LOOKS; looks++) {
        if (number_after("\nThreads:") == 1)
            break;
        sleep_ms(500);
        kib = number_after("\nVmRSS:");
    }
    return kib;
}

/* The child starts a thread of its own, and tells through the pipe what is resident at its end. */
static void be_child(int pipe, size_t block)
{
    long kib;

    REQUIRE(number_after("\nThreads:") == 1);
    fill_and_drop(TOTAL, block);
    kib = resident_later();
    REQUIRE(write(pipe, &kib, sizeof kib) == sizeof kib);
    _exit(0);
}

int main(int argc, char **argv)
{
    size_t block = argc > 1 && strcmp(argv[1], "small") == 0 ? 1000 : TOTAL;
    long before = number_after("\nThreads:"), after, kib, in_child;
    int pipes[2], status;

    is_busy = argc > 2;
    REQUIRE(pipe(pipes) == 0);
    fill_and_drop(TOTAL, block);
    after = number_after("\nThreads:");
    if (fork() == 0)
        be_child(pipes[1], block);
    kib = resident_later();
    REQUIRE(wait(&status) > 0 && status == 0);
    REQUIRE(read(pipes[0], &in_child, sizeof in_child) == sizeof in_child);
    printf("%ld %ld %ld %ld\n", kib, before, after, in_child);
    return 0;
}

/* after_a_peak.c - what after_a_peak.py runs under the malloc library: a peak of 2 GiB in blocks of
 * 1 MiB, dropped, and then 3 seconds in which one block of argv[1] bytes is asked for again and
 * again. Prints how many MiB are resident after the drop and at the end of each second. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NR_BLOCKS 2048
#define BLOCK_BYTES ((size_t)1 << 20)

static long resident_mib(void)
{
    char text[200];
    int fd = open("/proc/self/statm", O_RDONLY);
    ssize_t got = read(fd, text, sizeof text - 1);
    char *end;

    close(fd);
    text[got > 0 ? got : 0] = '\0';
    strtol(text, &end, 10);
    return strtol(end, NULL, 10) * sysconf(_SC_PAGESIZE) >> 20;
}

int main(int argc, char **argv)
{
    static char *p[NR_BLOCKS];
    size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    long resident[4];
    struct timespec now, next;

    for (int i = 0; i < NR_BLOCKS; i++) {
        p[i] = malloc(BLOCK_BYTES);
        if (p[i] == NULL)
            return 1;
        memset(p[i], 1, BLOCK_BYTES);
    }
    for (int i = 0; i < NR_BLOCKS; i++)
        free(p[i]);
    resident[0] = resident_mib();
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (int second = 1; second <= 3; second++) {
        next.tv_sec++;
        do {
            for (int i = 0; i < 1000; i++) {
                void *volatile block = malloc(size);

                free(block);
            }
            clock_gettime(CLOCK_MONOTONIC, &now);
        } while (now.tv_sec < next.tv_sec ||
                 (now.tv_sec == next.tv_sec && now.tv_nsec < next.tv_nsec));
        resident[second] = resident_mib();
    }
    printf("%ld %ld %ld %ld\n", resident[0], resident[1], resident[2], resident[3]);
    return 0;
}

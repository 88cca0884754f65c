/* launch.c - runs one program and says what it cost.
 *
 * What it is: `launch REPORT NAME=VALUE... -- PROGRAM ARGUMENT...` starts the program with
 * these variables and no others, waits for it and writes one line into the file REPORT:
 *     nanoseconds user_us system_us peak_kib minor_faults wait_status
 * What it is not: a workload. It is there because the kernel counts the memory of whoever
 * calls exec() towards the peak of what is executed: a small C program leaves a floor of one
 * or two MiB, an interpreter would leave one of fifty.
 * Invariant: the peak is that of the largest process of the program's tree that was waited for.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

static long long us(struct timeval time)
{
    return (long long)time.tv_sec * 1000000 + time.tv_usec;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    char **program = argv + 2;
    char **variables = argv + 2;
    long long begin, end;
    FILE *report;
    pid_t child;
    int error, status = 0;

    while (program < argv + argc && strcmp(*program, "--") != 0)
        program++;
    if (program + 1 >= argv + argc) {
        fprintf(stderr, "usage: launch REPORT NAME=VALUE... -- PROGRAM ARGUMENT...\n");
        return 2;
    }
    *program++ = NULL; /* ends the variables */
    report = fopen(argv[1], "w");
    if (report == NULL) {
        fprintf(stderr, "launch: cannot write %s\n", argv[1]);
        return EXIT_FAILURE;
    }
    begin = now_ns();
    error = posix_spawn(&child, program[0], NULL, NULL, program, variables);
    if (error != 0 || wait4(child, &status, 0, &usage) != child) {
        fprintf(stderr, "launch: cannot run %s: %s\n", program[0], strerror(error));
        return EXIT_FAILURE;
    }
    end = now_ns();
    fprintf(report, "%lld %lld %lld %ld %ld %d\n", end - begin, us(usage.ru_utime),
            us(usage.ru_stime), usage.ru_maxrss, usage.ru_minflt, status);
    return fclose(report) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* stdio_forks.c - forks while other threads use stdio: for three seconds, without a hang.
 *
 * A thread in getline holds its FILE and wants memory; fflush(NULL) holds the list of FILEs and
 * waits for that FILE; fork holds the locks of the heap and wants the list. Prints ok, or is
 * ended by an alarm. */
#include "require.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_FORKERS 4
#define NR_READERS 8
#define LINE_BYTES 50000       /* comes from a thread's own free objects, mostly */
#define LONG_LINE_BYTES 500000 /* always wants a lock of the heap */
#define SECONDS 3
#define TIMEOUT_SECONDS 20

static atomic_bool stop;
static atomic_int nr_forks;

static void *fork_on(void *unused)
{
    while (!stop) {
        pid_t pid = fork();
        int status = -1;

        REQUIRE(pid >= 0);
        if (pid == 0) {
            FILE *file;

            alarm(TIMEOUT_SECONDS);
            file = fopen("/dev/null", "w"); /* allocates, and enters the list of FILEs */
            REQUIRE(file != NULL);
            _exit(0);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
        nr_forks++;
    }
    return unused;
}

static int line_bytes[] = {LINE_BYTES, LONG_LINE_BYTES};

static void *read_lines(void *argument)
{
    FILE *file = tmpfile();
    int bytes = *(int *)argument;

    REQUIRE(file != NULL);
    for (int i = 0; i < bytes; i++)
        putc('x', file);
    putc('\n', file);
    while (!stop) {
        char *line = NULL;
        size_t room = 0;

        rewind(file);
        REQUIRE(getline(&line, &room, file) == bytes + 1);
        free(line);
    }
    return NULL;
}

static void *flush_all(void *unused)
{
    while (!stop)
        fflush(NULL);
    return unused;
}

int main(void)
{
    pthread_t thread[NR_FORKERS + NR_READERS + 1];
    int nr = 0;

    alarm(TIMEOUT_SECONDS);
    for (int i = 0; i < NR_READERS; i++)
        REQUIRE(pthread_create(&thread[nr++], NULL, read_lines, &line_bytes[i % 2]) == 0);
    for (int i = 0; i < NR_FORKERS; i++)
        REQUIRE(pthread_create(&thread[nr++], NULL, fork_on, NULL) == 0);
    REQUIRE(pthread_create(&thread[nr++], NULL, flush_all, NULL) == 0);
    sleep(SECONDS);
    stop = 1;
    while (nr > 0)
        pthread_join(thread[--nr], NULL);
    REQUIRE(nr_forks > 0);
    puts("ok");
    return 0;
}

/* early_and_late.c - allocations before main and after it, in libraries that come and go, in
 * threads that end in each way, around processes that are made in each way. Prints ok, then
 * last. Argument: the path of plugin.so. */
#include "require.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *early[100];

__attribute__((constructor(101))) static void before_main(void)
{
    for (size_t i = 0; i < 100; i++) {
        early[i] = malloc(i * 100 + 1);
        memset(early[i], (int)i, i * 100 + 1);
    }
}

__attribute__((destructor(101))) static void after_main(void)
{
    for (size_t i = 0; i < 100; i++)
        free(early[i]);
    if (write(STDOUT_FILENO, "last\n", 5) != 5)
        _exit(1);
}

static void at_exit(void)
{
    free(realloc(strdup("x"), 1000));
}

static void plugins(const char *path)
{
    for (int round = 0; round < 20; round++) {
        void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        char *(*make)(size_t);
        char *p;

        REQUIRE(plugin != NULL);
        *(void **)&make = dlsym(plugin, "plugin_make");
        p = make(5000);
        REQUIRE(dlclose(plugin) == 0);
        REQUIRE(p[4999] == 5); /* outlives the library that made it */
        free(p);
    }
}

static void *thread_that_exits(void *p)
{
    free(p);
    pthread_exit(malloc(77));
}

static void *thread_that_waits(void *unused)
{
    char *p = malloc(300);

    pthread_cleanup_push(free, p);
    for (;;)
        pause();
    pthread_cleanup_pop(1);
    return unused;
}

static void threads(void)
{
    pthread_t thread;
    void *result;

    for (int round = 0; round < 50; round++) {
        REQUIRE(pthread_create(&thread, NULL, thread_that_exits, malloc(500)) == 0);
        REQUIRE(pthread_join(thread, &result) == 0 && result != NULL);
        free(result);
        REQUIRE(pthread_create(&thread, NULL, thread_that_waits, NULL) == 0);
        REQUIRE(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
        REQUIRE(result == PTHREAD_CANCELED);
    }
}

static int status_of(pid_t pid)
{
    int status = -1;

    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

static void on_abort(int signal)
{
    (void)signal;
    _exit(9);
}

static void processes(void)
{
    char *true_argv[] = {"true", NULL};
    char line[32] = "";
    FILE *pipe;
    pid_t pid;

    pid = vfork();
    if (pid == 0) {
        execvp("true", true_argv);
        _exit(127);
    }
    REQUIRE(status_of(pid) == 0);
    REQUIRE(posix_spawnp(&pid, "true", NULL, NULL, true_argv, environ) == 0);
    REQUIRE(status_of(pid) == 0);
    REQUIRE(system("exit 3") == 3 << 8);
    pipe = popen("echo word", "r");
    REQUIRE(fgets(line, sizeof line, pipe) != NULL && strcmp(line, "word\n") == 0);
    REQUIRE(pclose(pipe) == 0);
    pid = fork();
    if (pid == 0) {
        signal(SIGABRT, on_abort);
        free(malloc(50));
        abort();
    }
    REQUIRE(WEXITSTATUS(status_of(pid)) == 9);
}

static void *exit_here(void *unused)
{
    free(unused);
    exit(0);
}

int main(int argc, char **argv)
{
    pthread_t thread;

    REQUIRE(argc == 2);
    REQUIRE(atexit(at_exit) == 0);
    for (size_t i = 0; i < 100; i++)
        REQUIRE(early[i][i * 100] == (char)i);
    plugins(argv[1]);
    threads();
    processes();
    puts("ok");
    fflush(stdout);
    /* exit() from a thread while main is in a call. */
    REQUIRE(pthread_create(&thread, NULL, exit_here, malloc(1)) == 0);
    pthread_join(thread, NULL);
    return 1;
}

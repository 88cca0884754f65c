/* reader.c - starts the owner, opens its block, kills it, and still has the block.
 *
 * Run: ./reader ./owner */
#define _GNU_SOURCE
#include <pyslab.h>

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starts the owner with a pipe as its standard input, and one from its standard output. */
static pid_t start(const char *program, int *from_owner, int *to_owner)
{
    int in[2], out[2];
    pid_t pid;

    if (pipe(in) != 0 || pipe(out) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[1]);
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    *to_owner = in[1];
    *from_owner = out[0];
    return pid;
}

int main(int argc, char **argv)
{
    pyslab_shared_block block;
    pyslab_handle handle;
    int from_owner, to_owner;
    pid_t owner;

    if (argc != 2 || pyslab_import() < 0)
        return 2;
    owner = start(argv[1], &from_owner, &to_owner);
    if (owner < 0 || read(from_owner, &handle, sizeof handle) != (ssize_t)sizeof handle)
        return 1;
    /* The heap of the handle is looked for in the process that made it. */
    if (pyslab_share_attach_process((int)owner, handle.heap_id, 0, &block.heap) != PYSLAB_OK ||
        pyslab_share_open(&handle, &block) != PYSLAB_OK)
        return 1;
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    if (pyslab_share_owner_is_alive(block.heap) != 0)
        return 1;
    printf("the owner is dead, and its block says: %s\n", (const char *)block.address);
    return pyslab_share_close(&block) == PYSLAB_OK ? 0 : 1;
}

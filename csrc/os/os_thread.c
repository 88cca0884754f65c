/* os_thread.c - see os_thread.h. Lock: none. */
#include "os/os_thread.h"

#include "base/check.h"
#include "base/lock.h"
#include "base/config.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)64 << 10)
#define MAX_STACK_BYTES ((size_t)4 << 20) /* static TLS of the program's libraries lies in it too */

/* Fails with EINVAL if the stack is too small for what the C library needs of it. */
static int create(pthread_t *out, size_t stack, void *(*run)(void *), void *argument)
{
    pthread_attr_t attr;
    int error = pthread_attr_init(&attr);

    if (error != 0)
        return error;
    error = pthread_attr_setstacksize(&attr, stack);
    if (error == 0)
        error = pthread_create(out, &attr, run, argument);
    pthread_attr_destroy(&attr);
    return error;
}

int os_thread_start(void *(*run)(void *argument), void *argument, const char *name, pthread_t *out)
{
    sigset_t all, saved;
    size_t stack = STACK_BYTES;
    int error;

    CHECK(lock_none_is_held() && strlen(name) <= 15);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved); /* the new thread starts with the same mask */
    do
        error = create(out, stack, run, argument);
    while (error == EINVAL && (stack *= 2) <= MAX_STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (error != 0) {
        errno = error;
        return PYSLAB_EOS;
    }
    pthread_setname_np(*out, name);
    return PYSLAB_OK;
}

void os_thread_join(pthread_t thread)
{
    pthread_join(thread, NULL);
}

uint32_t os_process_id(void)
{
    return (uint32_t)getpid();
}

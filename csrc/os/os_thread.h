/* os_thread.h - a thread of the core's own.
 *
 * What it is: start and end of a thread that the program did not ask for by name: all signals
 * are blocked in it, so that handlers run in the program's threads only; its stack is small.
 * What it is not: a pool, or the registry of the program's threads (thread/thread.h).
 */
#ifndef OS_OS_THREAD_H
#define OS_OS_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* The C library allocates for a new thread and takes locks of its own.
 * pre: the caller holds no lock of the core; name has at most 15 characters. EOS: the system
 * refused */
int os_thread_start(void *(*run)(void *argument), void *argument, const char *name, pthread_t *out);
/* Waits until it has ended. */
void os_thread_join(pthread_t thread);
/* The process that asks: a child of vfork has another number than its parent, whose memory it
 * uses. */
uint32_t os_process_id(void);

#endif

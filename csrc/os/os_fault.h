/* os_fault.h - who is told when a thread touches memory that it has no access to (SIGSEGV).
 *
 * What it is: one handler of SIGSEGV for the process. It asks a hook whose address that was, and
 * then does in any case what would have been done without it: it calls the handler that was there
 * before, or lets the system end the process. So faulthandler, a Java machine or a core dump get
 * what they would have got.
 * What it is not: a repair. The access is not made, and the hook cannot ask for that.
 *
 * A handler that was installed later may end by raise(SIGSEGV) after it gave the signal back to
 * this one, as Python's faulthandler does. Such a signal has no address. If a fault at a watched
 * address led to it, this one returns, and the access faults again; else the signal is passed on
 * like the others. That is known on x86-64 alone.
 *
 * Data structure: the action that was there before.
 * Invariant: while the handler is installed, `before` is never this handler itself.
 * Lock: the caller's, around watch and unwatch. The handler takes none.
 */
#ifndef OS_OS_FAULT_H
#define OS_OS_FAULT_H

#include "base/config.h"

/* Runs in the signal handler, of any thread: system calls, and memory that is there already. True:
 * the address is watched. access: enum pyslab_access; NONE: nobody was caught, only say so. */
typedef bool (*os_fault_hook)(uintptr_t address, uint16_t access);

/* Installs the handler, which runs on the thread's alternate stack if it has one. The calling
 * thread gets one if it has none. EOS */
int os_fault_watch(os_fault_hook hook);
/* Puts the action from before back, unless somebody has installed another one meanwhile: then the
 * handler stays, for who was given its address. */
void os_fault_unwatch(void);

#endif

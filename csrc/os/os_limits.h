/* os_limits.h - the limits that a process sets for itself, and access to more of a reservation
 * under them.
 *
 * What it is: what a program needs that limits itself, or that has the system refuse most calls
 * (seccomp), and still goes on to allocate.
 * What it is not: what the limits are (os_address_space_bytes in os.h).
 * Lock: none.
 */
#ifndef OS_OS_LIMITS_H
#define OS_OS_LIMITS_H

#include "base/config.h"

/* prlimit(2): 0, or -1 with errno. set and old are struct rlimit or NULL. pid: 0 is the caller. */
int os_limit(int pid, int resource, const void *set, void *old);
/* The resource bounds what os_address_space_bytes tells. */
bool os_limit_is_of_memory(int resource);

/* Makes a range readable and writable; it reads zero. By mmap, which sandboxes allow that let a
 * program allocate at all; by mprotect where mmap is refused, as it is in a process whose limit
 * is below what it has reserved already.
 * pre: whole pages; of an os_commit with overcommit that os_deny closed and nothing was written
 * to (unchecked: nobody keeps a list of those). EOS */
int os_open_fresh(void *p, size_t bytes);

#endif

/* limits.c - the limits that a process sets for itself (RLIMIT_AS, RLIMIT_DATA) after the start.
 *
 * The heap's addresses are taken at its start, so that the system would never refuse it any: a
 * lower limit would go unnoticed until the machine is out of memory. Hence the library stands in
 * for setrlimit and prlimit: they do what they always do, and then the heap's own limit becomes
 * what the process's leaves to it. Growth itself asks nothing, because a sandbox may forbid that.
 * What it is not: for limits that were there at the start, which the heap's size heeds; nor for
 * those that another process sets (prlimit --pid).
 *
 * Data structure: the arena's limit of frames, and the process that the heap belongs to.
 * Invariant: while the process's limit is not below what it has mapped, the heap's addresses
 * included, the arena has no limit, and no cost of one: the system refuses the rest by itself.
 * Lock: none; two threads that set limits at once may leave either one's.
 */
#include "malloc/exported.h"
#include "malloc/heap.h"

#include "os/os.h"
#include "os/os_limits.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

struct rlimit;

/* Only os/ may include the header that declares these. */
int NAMED(setrlimit)(int resource, const struct rlimit *set);
int NAMED(prlimit)(int pid, int resource, const struct rlimit *set, struct rlimit *old);

/* A child of vfork has the parent's memory and its own limits: it must not set the parent's. */
static _Atomic int owner;

static void set_owner(void)
{
    store_relaxed(&owner, getpid());
}

void limits_start(void)
{
    set_owner();
    pthread_atfork(NULL, NULL, set_owner);
}

/* Frames that the heap may use under a limit. Others: code, stacks, and mappings of the program,
 * which cannot grow any more under a limit that they and the heap are beyond. */
static uint64_t allowed_pages(uint64_t limit)
{
    uint64_t heap = malloc_arena.mapped_bytes + malloc_arena.metadata_bytes;
    uint64_t mapped = os_mapped_bytes();
    uint64_t others = mapped > heap ? mapped - heap : 0;

    if (limit >= mapped)
        return LIMIT_NONE;
    return limit > others ? (limit - others) >> PAGE_SHIFT : 0;
}

static void heed(int pid)
{
    int saved = errno;

    if (heap_is_made() && (pid == 0 || pid == getpid()) && getpid() == load_relaxed(&owner))
        store_relaxed(&malloc_arena.pages.limit_pages, allowed_pages(os_address_space_bytes()));
    errno = saved;
}

EXPORTED int NAMED(prlimit)(int pid, int resource, const struct rlimit *set, struct rlimit *old)
{
    int result = os_limit(pid, resource, set, old);

    if (result == 0 && set != NULL && os_limit_is_of_memory(resource))
        heed(pid);
    return result;
}

EXPORTED int NAMED(setrlimit)(int resource, const struct rlimit *set)
{
    return NAMED(prlimit)(0, resource, set, NULL);
}

/* On 64-bit systems the two structs are one. */
int NAMED(prlimit64)(int pid, int resource, const struct rlimit *set, struct rlimit *old)
    ALIAS_OF(prlimit);
int NAMED(setrlimit64)(int resource, const struct rlimit *set) ALIAS_OF(setrlimit);

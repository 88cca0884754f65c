/* os_limits.c - see os_limits.h. */
#include "os/os_limits.h"

#include "base/check.h"
#include "base/fault.h"
#include "os/os.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(struct rlimit) == sizeof(struct rlimit64), "one struct for prlimit64");

/* The system call itself: the C library's function may be one that the caller stands in for. */
int os_limit(int pid, int resource, const void *set, void *old)
{
    return (int)syscall(SYS_prlimit64, pid, resource, set, old);
}

bool os_limit_is_of_memory(int resource)
{
    return resource == (int)RLIMIT_AS || resource == (int)RLIMIT_DATA;
}

int os_open_fresh(void *p, size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

    CHECK(bytes != 0 && (((uintptr_t)p | bytes) & (os_page_bytes() - 1)) == 0);
    if (fault_here())
        return PYSLAB_EOS;
    if (mmap(p, bytes, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) {
        if (mprotect(p, bytes, PROT_READ | PROT_WRITE) != 0)
            return PYSLAB_EOS;
        os_dump(p, bytes, true); /* a new mapping comes into core dumps anyway */
        return PYSLAB_OK;
    }
    os_advise_hugepages(p, bytes, false); /* as the frames before it: one mapping with them */
    return PYSLAB_OK;
}

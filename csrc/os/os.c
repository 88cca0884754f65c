/* os.c - os.h on Linux: mappings, and what the machine says of itself.
 *
 * What it is not: it keeps no record of what it has mapped; each caller does.
 * Lock: none.
 */
#include "os/os.h"

#include "base/atomic.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older headers lack it */
#endif

/* The range starts at a host page and is some of them long. */
static bool is_whole_pages(const void *p, size_t bytes)
{
    return bytes != 0 && (((uintptr_t)p | bytes) & (os_page_bytes() - 1)) == 0;
}

static bool is_whole_frames(const void *p, size_t bytes)
{
    return bytes != 0 && (((uintptr_t)p | bytes) & (PAGE_SIZE - 1)) == 0;
}

/* Of frames that are smaller than the host's pages, a range may end inside a page. The system would
 * round its length up, over what lies behind: so it is refused here. */
static bool is_refused(const void *p, size_t bytes)
{
    CHECK(is_whole_frames(p, bytes));
    if (is_whole_pages(p, bytes))
        return false;
    errno = EINVAL;
    return true;
}

/* Replaces what is mapped in the range. */
static int map_fixed_as(void *p, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *got;

    if (is_refused(p, bytes) || fault_here())
        return PYSLAB_EOS;
    got = mmap(p, bytes, protection, flags | MAP_FIXED, fd, offset);
    return got == MAP_FAILED ? PYSLAB_EOS : PYSLAB_OK;
}

static int map_fixed(void *p, size_t bytes, int flags, int fd, off_t offset)
{
    return map_fixed_as(p, bytes, PROT_READ | PROT_WRITE, flags, fd, offset);
}

int os_reserve(size_t bytes, size_t align, void **out)
{
    size_t slack = align > os_page_bytes() ? align : 0;
    uintptr_t start, aligned;
    size_t head, tail;
    void *p;

    CHECK(is_whole_pages(NULL, bytes) && is_power_of_two(align) && align >= os_page_bytes());
    if (bytes + slack < bytes || fault_here())
        return PYSLAB_EOS;
    p = mmap(NULL, bytes + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return PYSLAB_EOS;
    start = (uintptr_t)p;
    aligned = (uintptr_t)align_up(start, align);
    head = aligned - start;
    tail = slack - head;
    if (head != 0)
        munmap(p, head);
    if (tail != 0)
        munmap((void *)(aligned + bytes), tail);
    *out = (void *)aligned;
    return PYSLAB_OK;
}

int os_commit(void *p, size_t bytes, bool overcommit)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;

    return map_fixed(p, bytes, overcommit ? flags | MAP_NORESERVE : flags, -1, 0);
}

int os_commit_hugetlb(void *p, size_t bytes)
{
    CHECK((((uintptr_t)p | bytes) & (os_hugepage_bytes() - (os_hugepage_bytes() != 0))) == 0);
    return map_fixed(p, bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
}

int os_uncommit(void *p, size_t bytes)
{
    return map_fixed_as(p, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int os_deny(void *p, size_t bytes)
{
    return !is_refused(p, bytes) && mprotect(p, bytes, PROT_NONE) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

int os_allow(void *p, size_t bytes)
{
    if (is_refused(p, bytes) || fault_here())
        return PYSLAB_EOS;
    return mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

int os_deny_writes(void *p, size_t bytes)
{
    if (is_refused(p, bytes) || fault_here())
        return PYSLAB_EOS;
    return mprotect(p, bytes, PROT_READ) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

void os_dump(void *p, size_t bytes, bool wanted)
{
    if (!is_refused(p, bytes))
        (void)madvise(p, bytes, wanted ? MADV_DODUMP : MADV_DONTDUMP);
}

void os_release(void *p, size_t bytes)
{
    CHECK(is_whole_pages(p, (size_t)align_up(bytes, os_page_bytes())));
    munmap(p, bytes);
}

int os_discard(void *p, size_t bytes)
{
    return !is_refused(p, bytes) && madvise(p, bytes, MADV_DONTNEED) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

void os_advise_hugepages(void *p, size_t bytes, bool wanted)
{
    if (!is_refused(p, bytes))
        (void)madvise(p, bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

int os_prefault(void *p, size_t bytes)
{
    if (is_refused(p, bytes))
        return PYSLAB_EOS;
    return madvise(p, bytes, MADV_POPULATE_WRITE) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

int os_lock_memory(void *p, size_t bytes)
{
    return !is_refused(p, bytes) && mlock(p, bytes) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

uint64_t os_physical_bytes(void)
{
    long nr_pages = sysconf(_SC_PHYS_PAGES);

    return nr_pages > 0 ? (uint64_t)nr_pages * os_page_bytes() : 0;
}

uint64_t os_address_space_bytes(void)
{
    struct rlimit limit;
    uint64_t bytes = UINT64_MAX;

    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        bytes = limit.rlim_cur;
    if (getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur < bytes)
        bytes = limit.rlim_cur; /* RLIM_INFINITY is the largest number */
    return bytes;
}

size_t os_page_bytes(void)
{
    long bytes = sysconf(_SC_PAGESIZE);

    return bytes > (long)PAGE_SIZE ? (size_t)bytes : PAGE_SIZE;
}

size_t os_statm_page_bytes(void)
{
    return getauxval(AT_PAGESZ);
}

size_t os_hugepage_bytes(void)
{
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "re");
    unsigned long bytes = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%lu", &bytes) != 1)
        bytes = 0;
    fclose(file);
    return bytes;
}

unsigned os_nr_cpus(void)
{
    static _Atomic unsigned known; /* the answer, once there is one: to ask opens a file */
    long nr;

    if (load_relaxed(&known) == 0) {
        nr = sysconf(_SC_NPROCESSORS_ONLN);
        store_relaxed(&known, nr > 0 ? (unsigned)nr : 1);
    }
    return load_relaxed(&known);
}

uint32_t os_time_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

uint64_t os_time_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void os_yield(void)
{
    sched_yield();
}

void os_sleep_ms(uint32_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&time, NULL);
}

uint64_t os_random64(void)
{
    uint64_t bits;
    struct timespec now;

    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == (ssize_t)sizeof bits)
        return bits;
    /* Early boot: the clock and an address still differ between processes. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    bits = (uint64_t)now.tv_nsec ^ ((uint64_t)(uintptr_t)&bits << 16);
    return bits * 0x9e3779b97f4a7c15u;
}

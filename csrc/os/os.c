/* os.c - os.h on Linux. */
#include "os/os.h"

#include "base/atomic.h"
#include "base/bits.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older headers lack it */
#endif

static int map_fixed_as(void *p, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *got;

    if (fault_here())
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
    return map_fixed(p, bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
}

int os_commit_file(void *p, size_t bytes, int fd, uint64_t offset)
{
    return map_fixed(p, bytes, MAP_SHARED, fd, (off_t)offset);
}

int os_commit_file_resident(void *p, size_t bytes, int fd, uint64_t offset)
{
    return map_fixed(p, bytes, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
}

int os_uncommit(void *p, size_t bytes)
{
    return map_fixed_as(p, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int os_deny(void *p, size_t bytes)
{
    return mprotect(p, bytes, PROT_NONE) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

int os_allow(void *p, size_t bytes)
{
    if (fault_here())
        return PYSLAB_EOS;
    return mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

void os_release(void *p, size_t bytes)
{
    munmap(p, bytes);
}

int os_discard(void *p, size_t bytes)
{
    return madvise(p, bytes, MADV_DONTNEED) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

void os_advise_hugepages(void *p, size_t bytes, bool wanted)
{
    (void)madvise(p, bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

int os_prefault(void *p, size_t bytes)
{
    return madvise(p, bytes, MADV_POPULATE_WRITE) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

int os_lock_memory(void *p, size_t bytes)
{
    return mlock(p, bytes) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

int os_memfd_create(const char *name, uint64_t bytes, int *fd)
{
    int new_fd = fault_here() ? -1 : memfd_create(name, MFD_CLOEXEC);

    if (new_fd < 0)
        return PYSLAB_EOS;
    if (ftruncate(new_fd, (off_t)bytes) != 0) {
        close(new_fd);
        return PYSLAB_EOS;
    }
    *fd = new_fd;
    return PYSLAB_OK;
}

int os_file_discard(int fd, uint64_t offset, uint64_t bytes)
{
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    return fallocate(fd, mode, (off_t)offset, (off_t)bytes) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

/* The size is right, or can be made so; the lock is taken. */
static int disk_file_prepare(int fd, uint64_t bytes, bool *fresh)
{
    struct stat status;
    int error;

    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &status) != 0)
        return PYSLAB_EOS;
    *fresh = status.st_size == 0;
    if (!*fresh && (uint64_t)status.st_size != bytes) {
        errno = ESTALE;
        return PYSLAB_EOS;
    }
    error = posix_fallocate(fd, 0, (off_t)bytes);
    if (error == 0)
        return PYSLAB_OK;
    if (*fresh && ftruncate(fd, 0) != 0) {
        /* The file keeps what it has; the error to tell is the first. */
    }
    errno = error;
    return PYSLAB_EOS;
}

int os_disk_file_open(const char *path, uint64_t bytes, int *fd, bool *fresh)
{
    int new_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int saved;

    if (new_fd < 0)
        return PYSLAB_EOS;
    if (disk_file_prepare(new_fd, bytes, fresh) == PYSLAB_OK) {
        *fd = new_fd;
        return PYSLAB_OK;
    }
    saved = errno;
    close(new_fd);
    errno = saved;
    return PYSLAB_EOS;
}

int os_file_sync(int fd)
{
    return fdatasync(fd) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

void os_file_clear(int fd, uint64_t offset, uint64_t bytes, bool keep_blocks)
{
    static const char zeros[4096];

    if (keep_blocks) {
        if (fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                      (off_t)bytes) == 0)
            return;
    } else if (os_file_discard(fd, offset, bytes) == PYSLAB_OK) {
        return;
    }
    for (uint64_t end = offset + bytes; offset < end;) {
        size_t left = end - offset < sizeof zeros ? (size_t)(end - offset) : sizeof zeros;
        ssize_t written = pwrite(fd, zeros, left, (off_t)offset);

        offset += written > 0 ? (uint64_t)written : 0;
    }
}

int os_file_prefault(int fd, uint64_t bytes)
{
    return fallocate(fd, 0, 0, (off_t)bytes) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

void os_file_close(int fd)
{
    close(fd);
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

    return bytes > 0 ? (size_t)bytes : PAGE_SIZE;
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
    static _Atomic unsigned known; /* asking opens a file */
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

/* os_file.c - os_file.h on Linux. Order of the text: opening, the proof, the alias, use, fork. */
#include "os/os_file.h"

#include "base/atomic.h"
#include "base/check.h"
#include "base/fault.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef FALLOC_FL_ZERO_RANGE
#define FALLOC_FL_ZERO_RANGE 0x10 /* Linux 3.15; the headers of musl lack it */
#endif

/* Programs that close "all" descriptors mostly stop at 1024, and select() needs those below. */
#define HIGH_NUMBER 1024
#define ALIAS_SHARE 4u /* an alias takes at most this part of the addresses that are left */

static bool is_inside(const struct os_file *file, uint64_t offset, uint64_t bytes)
{
    uint64_t page = os_page_bytes();

    return offset % page == 0 && bytes % page == 0 && bytes <= file->bytes &&
           offset <= file->bytes - bytes;
}

/* --- opening ------------------------------------------------------------ */

int os_fd_moved_up(int fd)
{
    struct rlimit limit;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_NUMBER);

    if (high < 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 64 &&
        limit.rlim_cur <= HIGH_NUMBER)
        high = fcntl(fd, F_DUPFD_CLOEXEC, (int)limit.rlim_cur / 4 * 3);
    if (high < 0)
        return fd;
    close(fd);
    return high;
}

/* The alias must leave the process the addresses that it has under its limit. */
static bool alias_is_allowed(uint64_t bytes)
{
    uint64_t limit = os_address_space_bytes(), mapped;

    if (limit == UINT64_MAX)
        return true;
    mapped = os_mapped_bytes();
    return mapped < limit && bytes <= (limit - mapped) / ALIAS_SHARE;
}

static char *alias_make(int fd, uint64_t bytes)
{
    void *p;

    if (!alias_is_allowed(bytes) || fault_here())
        return NULL;
    p = mmap(NULL, bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, bytes, MADV_DONTFORK);
    (void)madvise(p, bytes, MADV_DONTDUMP);
    return p;
}

/* Closes fd on an error. EOS */
static int adopt(struct os_file *file, int fd, uint64_t bytes, bool is_disk)
{
    struct stat status;

    fd = os_fd_moved_up(fd);
    if (fstat(fd, &status) != 0) {
        close(fd);
        return PYSLAB_EOS;
    }
    *file = (struct os_file){.fd = fd,
                             .is_disk = is_disk,
                             .device = status.st_dev,
                             .inode = status.st_ino,
                             .bytes = bytes,
                             .alias = alias_make(fd, bytes)};
    return PYSLAB_OK;
}

int os_file_open_memory(struct os_file *file, const char *name, uint64_t bytes)
{
    int fd = fault_here() ? -1 : memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int saved;

    if (fd < 0)
        return PYSLAB_EOS;
    if (ftruncate(fd, (off_t)bytes) == 0)
        return adopt(file, fd, bytes, false);
    saved = errno;
    close(fd);
    errno = saved;
    return PYSLAB_EOS;
}

/* Takes the file's lock, and gives an empty file its size. An old file must have it already. */
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
        /* The file keeps the blocks it got: the error to report is that of the allocation. */
    }
    errno = error;
    return PYSLAB_EOS;
}

int os_file_open_disk(struct os_file *file, const char *path, uint64_t bytes, bool *fresh)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int saved;

    if (fd < 0)
        return PYSLAB_EOS;
    if (disk_file_prepare(fd, bytes, fresh) == PYSLAB_OK)
        return adopt(file, fd, bytes, true);
    saved = errno;
    close(fd);
    errno = saved;
    return PYSLAB_EOS;
}

/* --- the proof ---------------------------------------------------------- */

bool os_file_is_ours(struct os_file *file)
{
    struct stat status;

    if (!load_relaxed(&file->lost) && fstat(file->fd, &status) == 0 &&
        status.st_dev == file->device && status.st_ino == file->inode)
        return true;
    store_relaxed(&file->lost, true);
    errno = EBADF;
    return false;
}

void os_file_close(struct os_file *file)
{
    if (file->fd < 0)
        return;
    if (os_file_is_ours(file)) {
        if (file->is_disk)
            (void)flock(file->fd, LOCK_UN); /* a mapping that is left would keep the lock */
        close(file->fd);
    }
    if (load_relaxed(&file->alias) != NULL)
        munmap(load_relaxed(&file->alias), file->bytes);
    *file = OS_FILE_NONE;
}

/* --- the alias ---------------------------------------------------------- */

/* A second mapping of a part of the alias, at p. An old size of 0 asks mremap for that. */
static int alias_map(const struct os_file *file, void *p, uint64_t offset, size_t bytes)
{
    void *got = mremap(load_relaxed(&file->alias) + offset, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
                       p);

    if (got == MAP_FAILED)
        return PYSLAB_EOS;
    /* It has the alias's advice and access. */
    (void)madvise(p, bytes, MADV_DOFORK);
    (void)madvise(p, bytes, MADV_DODUMP);
    return mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

/* Locked pages (mlockall) are refused with EINVAL; a mapping without the right to write is, by
 * systems before Linux 6.7, with EACCES. */
static int alias_discard(const struct os_file *file, uint64_t offset, uint64_t bytes)
{
    char *p = load_relaxed(&file->alias) + offset;
    int error;

    if (madvise(p, bytes, MADV_REMOVE) == 0)
        return PYSLAB_OK;
    if (errno == EINVAL)
        (void)munlock(load_relaxed(&file->alias), file->bytes);
    else if (errno != EACCES || mprotect(p, bytes, PROT_WRITE) != 0)
        return PYSLAB_EOS;
    error = madvise(p, bytes, MADV_REMOVE) == 0 ? PYSLAB_OK : PYSLAB_EOS;
    (void)mprotect(p, bytes, PROT_NONE);
    return error;
}

/* A mapping of a range, to be ended with munmap; NULL: none is to be had. */
static char *alias_open(const struct os_file *file, uint64_t offset, size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    if (alias_map(file, p, offset, bytes) == PYSLAB_OK)
        return p;
    munmap(p, bytes);
    return NULL;
}

/* --- use ---------------------------------------------------------------- */

static int map_by_descriptor(struct os_file *file, void *p, uint64_t offset, size_t bytes,
                             enum os_file_map how)
{
    int flags = how == OS_FILE_PRIVATE ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED;
    void *got;

    if (how == OS_FILE_SHARED_RESIDENT)
        flags |= MAP_POPULATE;
    got = mmap(p, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, file->fd, (off_t)offset);
    return got == MAP_FAILED ? PYSLAB_EOS : PYSLAB_OK;
}

int os_file_map(struct os_file *file, void *p, uint64_t offset, size_t bytes, enum os_file_map how)
{
    int error;

    CHECK(bytes != 0 && (uintptr_t)p % os_page_bytes() == 0 && is_inside(file, offset, bytes));
    if (fault_here())
        return PYSLAB_EOS;
    /* The proof comes after the mapping, which nobody has looked into yet: before it, another
     * thread could close and reuse the number in between. To make pages resident changes a file,
     * so that is proved first as well. */
    if (how != OS_FILE_SHARED_RESIDENT || os_file_is_ours(file)) {
        error = map_by_descriptor(file, p, offset, bytes, how);
        if (os_file_is_ours(file))
            return error;
        (void)os_uncommit(p, bytes);
    }
    errno = EBADF;
    if (load_relaxed(&file->alias) == NULL || how == OS_FILE_PRIVATE)
        return PYSLAB_EOS;
    error = alias_map(file, p, offset, bytes);
    if (error == PYSLAB_OK && how == OS_FILE_SHARED_RESIDENT)
        (void)os_prefault(p, bytes);
    return error;
}

int os_file_discard(struct os_file *file, uint64_t offset, uint64_t bytes)
{
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    CHECK(is_inside(file, offset, bytes));
    if (load_relaxed(&file->alias) != NULL && alias_discard(file, offset, bytes) == PYSLAB_OK)
        return PYSLAB_OK;
    if (!os_file_is_ours(file))
        return PYSLAB_EOS;
    return fallocate(file->fd, mode, (off_t)offset, (off_t)bytes) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

static int clear_by_writing(struct os_file *file, uint64_t offset, uint64_t bytes)
{
    static const char zeros[4096];

    for (uint64_t end = offset + bytes; offset < end;) {
        size_t left = end - offset < sizeof zeros ? (size_t)(end - offset) : sizeof zeros;
        ssize_t written = pwrite(file->fd, zeros, left, (off_t)offset);

        if (written <= 0 && errno != EINTR)
            return PYSLAB_EOS;
        offset += written > 0 ? (uint64_t)written : 0;
    }
    return PYSLAB_OK;
}

static int clear_by_descriptor(struct os_file *file, uint64_t offset, uint64_t bytes)
{
    int mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

    if (!os_file_is_ours(file))
        return PYSLAB_EOS;
    if (file->is_disk && fallocate(file->fd, mode, (off_t)offset, (off_t)bytes) == 0)
        return PYSLAB_OK;
    return clear_by_writing(file, offset, bytes);
}

static int clear_by_alias(const struct os_file *file, uint64_t offset, uint64_t bytes)
{
    char *p = load_relaxed(&file->alias) != NULL ? alias_open(file, offset, bytes) : NULL;

    if (p == NULL)
        return PYSLAB_EOS;
    memset(p, 0, bytes);
    munmap(p, bytes);
    return PYSLAB_OK;
}

void os_file_clear(struct os_file *file, uint64_t offset, uint64_t bytes)
{
    CHECK(is_inside(file, offset, bytes));
    if (!file->is_disk && os_file_discard(file, offset, bytes) == PYSLAB_OK)
        return;
    if (clear_by_descriptor(file, offset, bytes) == PYSLAB_OK ||
        clear_by_alias(file, offset, bytes) == PYSLAB_OK)
        return;
    store_relaxed(&file->lost, true);
    store_relaxed(&file->alias, NULL);
}

int os_file_sync(struct os_file *file)
{
    if (os_file_is_ours(file))
        return fdatasync(file->fd) == 0 ? PYSLAB_OK : PYSLAB_EOS;
    if (load_relaxed(&file->alias) == NULL)
        return PYSLAB_EOS;
    return msync(load_relaxed(&file->alias), file->bytes, MS_SYNC) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

int os_file_prefault(struct os_file *file, uint64_t bytes)
{
    if (!os_file_is_ours(file))
        return PYSLAB_EOS;
    return fallocate(file->fd, 0, 0, (off_t)bytes) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

/* --- fork --------------------------------------------------------------- */

void os_file_after_fork(struct os_file *file)
{
    store_relaxed(&file->alias, NULL);
}

/* Private memory with what is at p now, in its place. EOS */
static int replace_by_copy(void *p, size_t bytes)
{
    void *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (copy == MAP_FAILED)
        return PYSLAB_EOS;
    memcpy(copy, p, bytes);
    if (mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, p) != MAP_FAILED)
        return PYSLAB_OK;
    munmap(copy, bytes);
    return PYSLAB_EOS;
}

void os_file_make_private(struct os_file *file, void *p, uint64_t offset, size_t bytes)
{
    CHECK(is_inside(file, offset, bytes));
    if (os_file_is_ours(file) &&
        map_by_descriptor(file, p, offset, bytes, OS_FILE_PRIVATE) == PYSLAB_OK)
        return;
    if (replace_by_copy(p, bytes) != PYSLAB_OK)
        (void)mprotect(p, bytes, PROT_READ);
}

/* Maps a file with what is in the first half at both halves. EOS */
static int ring_copy(char *p, size_t bytes, int fd)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t written = write(fd, p + done, bytes - done);

        if (written <= 0 && errno != EINTR)
            return PYSLAB_EOS;
        done += written > 0 ? (size_t)written : 0;
    }
    for (unsigned half = 0; half < 2; half++)
        if (mmap(p + half * bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
            MAP_FAILED)
            return PYSLAB_EOS;
    return PYSLAB_OK;
}

void os_file_make_private_ring(void *p, size_t bytes)
{
    int fd = memfd_create("pyslab-ring", MFD_CLOEXEC), error = PYSLAB_EOS;

    CHECK(bytes != 0);
    if (fd >= 0) {
        error = ring_copy(p, bytes, fd);
        close(fd);
    }
    if (error != PYSLAB_OK)
        (void)mprotect(p, 2 * bytes, PROT_READ);
}

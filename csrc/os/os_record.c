/* os_record.c - os_record.h on Linux. */
#include "os/os_record.h"

#include "base/check.h"
#include "base/fault.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18 /* Linux 4.14 */
#endif

#define RECORD_ROOM ((size_t)1 << 30)
#define RECORD_LEAST_ROOM ((size_t)16 << 20)

/* Gives the open file its length; the number of an error. */
static int lengthen(int fd, size_t bytes)
{
    return fault_here() ? ENOSPC : posix_fallocate(fd, 0, (off_t)bytes);
}

/* Addresses for the file, fewer where a limit allows no more. */
static char *map_room(int fd, size_t *room)
{
    for (*room = RECORD_ROOM; *room >= RECORD_LEAST_ROOM; *room /= 4) {
        void *p = mmap(NULL, *room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

        if (p != MAP_FAILED)
            return p;
    }
    return NULL;
}

/* A page with a 1 in it, which a forked child sees as 0; NULL. */
static _Atomic uint32_t *here_new(void)
{
    void *p = mmap(NULL, os_page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0);

    if (p == MAP_FAILED)
        return NULL;
    if (madvise(p, os_page_bytes(), MADV_WIPEONFORK) != 0) {
        munmap(p, os_page_bytes());
        return NULL;
    }
    atomic_store((_Atomic uint32_t *)p, 1);
    return p;
}

/* Maps the open file; EOS with errno set. */
static int attach(struct os_record *record, int fd, size_t bytes)
{
    struct stat status;
    int error = lengthen(fd, bytes);

    if (error != 0 || fstat(fd, &status) != 0) {
        errno = error != 0 ? error : errno;
        return PYSLAB_EOS;
    }
    record->device = status.st_dev;
    record->inode = status.st_ino;
    record->bytes = bytes;
    record->here = here_new();
    record->base = record->here != NULL ? map_room(fd, &record->room) : NULL;
    if (record->base != NULL && madvise(record->base, record->room, MADV_DONTFORK) == 0)
        return PYSLAB_OK;
    os_record_close(record, 0);
    return PYSLAB_EOS;
}

static int open_and_attach(struct os_record *record, size_t bytes)
{
    int fd = open(record->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), error, saved;

    if (fd < 0)
        return PYSLAB_EOS;
    error = attach(record, fd, bytes);
    saved = errno;
    close(fd);
    if (error != PYSLAB_OK)
        unlink(record->path);
    errno = saved;
    return error;
}

/* open and close are cancellation points, and malloc, whose calls are recorded, is none. */
int os_record_open(struct os_record *record, const char *path, size_t bytes)
{
    int state, error;

    *record = (struct os_record){0};
    if (strlen(path) >= sizeof record->path) {
        errno = ENAMETOOLONG;
        return PYSLAB_EOS;
    }
    memcpy(record->path, path, strlen(path) + 1);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    error = open_and_attach(record, bytes);
    pthread_setcancelstate(state, NULL);
    return error;
}

static bool is_same(const struct os_record *record, int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_dev == record->device &&
           status.st_ino == record->inode;
}

int os_record_grow(struct os_record *record, size_t bytes)
{
    int state, fd, error = PYSLAB_EOS;

    CHECK(os_record_is_here(record));
    if (bytes > record->room)
        return PYSLAB_EOS;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    fd = open(record->path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        if (is_same(record, fd) && lengthen(fd, bytes) == 0) {
            record->bytes = bytes;
            error = PYSLAB_OK;
        }
        close(fd);
    }
    pthread_setcancelstate(state, NULL);
    return error;
}

void os_record_close(struct os_record *record, size_t bytes)
{
    if (record->base != NULL && os_record_is_here(record)) {
        munmap(record->base, record->room);
        if (bytes != 0 && truncate(record->path, (off_t)bytes) != 0) {
            /* The file is longer than it need be, which its header tells. */
        }
    }
    if (record->here != NULL)
        munmap((void *)record->here, os_page_bytes());
    record->base = NULL;
    record->here = NULL;
}

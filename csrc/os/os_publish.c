/* os_publish.c - os_publish.h on Linux. */
#include "os/os_publish.h"

#include "base/check.h"
#include "os/os.h"
#include "os/os_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_ADD_SEALS /* Linux 3.17 */
#define F_ADD_SEALS 1033
#define F_SEAL_SEAL 1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#endif
#ifndef F_SEAL_FUTURE_WRITE /* Linux 5.1 */
#define F_SEAL_FUTURE_WRITE 16
#endif
#ifndef MADV_WIPEONFORK /* Linux 4.14 */
#define MADV_WIPEONFORK 18
#endif

/* The page that is wiped, and the file behind it; NULL: refused. */
static char *map_marked(int fd, size_t bytes)
{
    size_t page = os_page_bytes();
    char *mark = mmap(NULL, page + bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (mark == MAP_FAILED)
        return NULL;
    if (mmap(mark + page, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
            MAP_FAILED ||
        madvise(mark + page, bytes, MADV_DONTFORK) != 0 ||
        madvise(mark, page, MADV_WIPEONFORK) != 0) {
        munmap(mark, page + bytes);
        return NULL;
    }
    (void)madvise(mark + page, bytes, MADV_DONTDUMP);
    *mark = 1;
    return mark;
}

/* A file that is sized, mapped and sealed; its descriptor, or -1. */
static int make(const char *name, size_t bytes, char **mark)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -1;
    *mark = ftruncate(fd, (off_t)bytes) == 0 ? map_marked(fd, bytes) : NULL;
    if (*mark == NULL) {
        close(fd);
        return -1;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) ==
        0)
        return fd;
    munmap(*mark, os_page_bytes() + bytes);
    close(fd);
    return -1;
}

static bool is_ours(const struct os_publish *file)
{
    struct stat status;

    return fstat(file->fd, &status) == 0 && status.st_dev == file->device &&
           status.st_ino == file->inode;
}

/* Takes a new file under this number. */
static int adopt(struct os_publish *file, int fd, char *mark, size_t bytes)
{
    struct stat status;

    *file = (struct os_publish){.fd = fd, .mark = mark, .bytes = bytes};
    if (fstat(fd, &status) == 0) {
        file->device = status.st_dev;
        file->inode = status.st_ino;
        return PYSLAB_OK;
    }
    munmap(mark, os_page_bytes() + bytes);
    close(fd);
    *file = OS_PUBLISH_NONE;
    return PYSLAB_EOS;
}

int os_publish_open(struct os_publish *file, const char *name, size_t bytes)
{
    char *mark;
    int fd = make(name, bytes, &mark);

    CHECK(bytes % os_page_bytes() == 0);
    return fd >= 0 ? adopt(file, os_fd_moved_up(fd), mark, bytes) : PYSLAB_EOS;
}

/* The parent's mapping of the file is not there; only the wiped page is. */
int os_publish_renew(struct os_publish *file, const char *name)
{
    bool takes_number = is_ours(file);
    int old = file->fd, fd;
    size_t bytes = file->bytes;
    char *mark;

    munmap(file->mark, os_page_bytes());
    *file = OS_PUBLISH_NONE;
    fd = make(name, bytes, &mark);
    if (takes_number && fd >= 0 && dup3(fd, old, O_CLOEXEC) == old) {
        close(fd);
        return adopt(file, old, mark, bytes);
    }
    if (takes_number)
        close(old);
    return fd >= 0 ? adopt(file, os_fd_moved_up(fd), mark, bytes) : PYSLAB_EOS;
}

void os_publish_close(struct os_publish *file)
{
    int saved = errno;

    if (file->fd < 0)
        return;
    if (is_ours(file))
        close(file->fd);
    /* In a child that no handler told of the fork, others' mappings may lie behind the mark. */
    munmap(file->mark, os_page_bytes() + (*file->mark != 0 ? file->bytes : 0));
    *file = OS_PUBLISH_NONE;
    errno = saved;
}

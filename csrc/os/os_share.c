/* os_share.c - os_share.h on Linux. */
#include "os/os_share.h"

#include "base/check.h"
#include "base/fault.h"
#include "os/os.h"
#include "os/os_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_OFD_GETLK /* Linux 3.15 */
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#endif
#ifndef F_ADD_SEALS /* Linux 3.17 */
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#endif

/* --- files ----------------------------------------------------------------- */

int os_share_look(int fd, struct os_share_file *out)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || fstat(fd, &status) != 0)
        return PYSLAB_EOS;
    if ((seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW)) {
        errno = EBADF;
        return PYSLAB_EOS;
    }
    *out = (struct os_share_file){status.st_dev, status.st_ino, (uint64_t)status.st_size};
    return PYSLAB_OK;
}

static int open_path(const char *path, int flags, int *out)
{
    int fd = fault_here() ? -1 : open(path, flags | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return PYSLAB_EOS;
    *out = os_fd_moved_up(fd);
    return PYSLAB_OK;
}

int os_share_create(const char *name, uint64_t bytes, int *out)
{
    int fd = fault_here() ? -1 : memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return PYSLAB_EOS;
    if (ftruncate(fd, (off_t)bytes) != 0) {
        os_share_close(fd);
        return PYSLAB_EOS;
    }
    *out = os_fd_moved_up(fd);
    return PYSLAB_OK;
}

int os_share_reopen(int fd, bool writable, int *out)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open_path(path, writable ? O_RDWR : O_RDONLY, out);
}

int os_share_each_of(int pid, const char *name, bool (*visit)(void *context, int fd), void *context)
{
    char path[320], text[256], wanted[64];
    const struct dirent *entry;
    bool more = true;
    DIR *fds;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    snprintf(wanted, sizeof wanted, "/memfd:%s (deleted)", name);
    fds = opendir(path);
    if (fds == NULL)
        return PYSLAB_EOS;
    while (more && (entry = readdir(fds)) != NULL) {
        ssize_t length;

        snprintf(path, sizeof path, "/proc/%d/fd/%s", pid, entry->d_name);
        length = readlink(path, text, sizeof text - 1);
        text[length > 0 ? length : 0] = '\0';
        if (strcmp(text, wanted) == 0 && open_path(path, O_RDONLY, &fd) == PYSLAB_OK) {
            more = visit(context, fd);
            os_share_close(fd);
        }
    }
    closedir(fds);
    return PYSLAB_OK;
}

void os_share_deny(void *p, uint64_t bytes)
{
    (void)mprotect(p, bytes, PROT_NONE);
}

int os_share_no_fork(void *p, uint64_t bytes)
{
    return !fault_here() && madvise(p, bytes, MADV_DONTFORK) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

int os_share_punch(void *p, uint64_t bytes)
{
    return madvise(p, bytes, MADV_REMOVE) == 0 ? PYSLAB_OK : PYSLAB_EOS;
}

int os_share_seal(int fd, unsigned mode)
{
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0 || fchmod(fd, mode) != 0)
        return PYSLAB_EOS;
    return PYSLAB_OK;
}

void os_share_close(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
}

/* --- mappings -------------------------------------------------------------- */

int os_share_map(int fd, uint64_t bytes, bool writable, void **out)
{
    int access = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *p = fault_here() ? MAP_FAILED : mmap(NULL, bytes, access, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        return PYSLAB_EOS;
    (void)madvise(p, bytes, MADV_DONTDUMP);
    *out = p;
    return PYSLAB_OK;
}

int os_share_move(void *p, uint64_t bytes, void *place)
{
    void *moved = fault_here() ? MAP_FAILED
                               : mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place);

    return moved == MAP_FAILED ? PYSLAB_EOS : PYSLAB_OK;
}

void os_share_unmap(void *p, uint64_t bytes)
{
    int saved = errno;

    munmap(p, bytes);
    errno = saved;
}

/* --- signs of life ----------------------------------------------------------- */

static struct flock lock_of(short type, uint64_t byte, uint64_t nr)
{
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = (off_t)nr};
}

static int lock_byte(int fd, short type, uint64_t byte, int *out)
{
    struct flock lock = lock_of(type, byte, 1);
    int error = os_share_reopen(fd, true, out);

    if (error == PYSLAB_OK && fcntl(*out, F_OFD_SETLK, &lock) != 0) {
        os_share_close(*out);
        error = PYSLAB_EOS;
    }
    return error;
}

int os_sign_lock(int fd, uint64_t byte, int *out)
{
    return lock_byte(fd, F_WRLCK, byte, out);
}

int os_sign_lock_shared(int fd, uint64_t byte, int *out)
{
    return lock_byte(fd, F_RDLCK, byte, out);
}

void *os_sign_keep(int locked)
{
    void *p = fault_here() ? MAP_FAILED
                           : mmap(NULL, os_page_bytes(), PROT_NONE, MAP_SHARED, locked, 0);

    if (p != MAP_FAILED && madvise(p, os_page_bytes(), MADV_DONTFORK) != 0) {
        os_share_unmap(p, os_page_bytes());
        p = MAP_FAILED;
    }
    os_share_close(locked);
    return p != MAP_FAILED ? p : NULL;
}

void *os_sign_make(int fd, uint64_t byte)
{
    int locked;

    return os_sign_lock(fd, byte, &locked) == PYSLAB_OK ? os_sign_keep(locked) : NULL;
}

void os_sign_end(void *sign)
{
    os_share_unmap(sign, os_page_bytes());
}

bool os_sign_any_alive(int fd, uint64_t byte, uint64_t nr)
{
    struct flock lock = lock_of(F_WRLCK, byte, nr);

    return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

bool os_sign_is_alive(int fd, uint64_t byte)
{
    return os_sign_any_alive(fd, byte, 1);
}

/* os_report.c - see os_report.h. */
#include "os/os_report.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_LEAST 200 /* the duplicate gets this number or a higher one: few programs look there */

static struct {
    bool is_known; /* descriptor 2 was open at the start */
    dev_t device;  /* the file that it was */
    ino_t inode;   /* likewise */
    int kept;      /* number of the duplicate */
    bool has_kept; /* there is one */
} start;

static struct {
    bool is_set;
    int fd;       /* for what the process ends with */
    dev_t device; /* the file that it was when it was set */
    ino_t inode;  /* likewise */
} end;

static bool is_file(int fd, dev_t device, ino_t inode)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

static bool is_the_same(int fd)
{
    return start.is_known && is_file(fd, start.device, start.inode);
}

void os_report_start(bool keep)
{
    struct stat status;

    if (fstat(STDERR_FILENO, &status) != 0)
        return;
    start.is_known = true;
    start.device = status.st_dev;
    start.inode = status.st_ino;
    if (keep) {
        start.kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, KEPT_LEAST);
        start.has_kept = start.kept >= 0;
    }
}

/* As much as the file takes. */
static void write_all(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, text, bytes);

        if (written <= 0 && errno != EINTR)
            return;
        text += written > 0 ? written : 0;
        bytes -= written > 0 ? (size_t)written : 0;
    }
}

/* False: there is no such descriptor, -1. */
static bool write_to(int fd, const char *text, size_t bytes)
{
    int state;

    if (fd < 0)
        return false;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    write_all(fd, text, bytes);
    pthread_setcancelstate(state, NULL);
    return true;
}

bool os_report_error(const char *text, size_t bytes)
{
    int fd = -1;

    if (is_the_same(STDERR_FILENO))
        fd = STDERR_FILENO;
    else if (start.has_kept && is_the_same(start.kept))
        fd = start.kept;
    return write_to(fd, text, bytes);
}

int os_report_end_to(int fd)
{
    int before = end.is_set ? end.fd : -1;
    struct stat status;

    end.is_set = false;
    if (fd >= 0 && fstat(fd, &status) == 0) {
        end.fd = fd;
        end.device = status.st_dev;
        end.inode = status.st_ino;
        end.is_set = true;
    }
    return before;
}

bool os_report_end(const char *text, size_t bytes)
{
    if (end.is_set && is_file(end.fd, end.device, end.inode))
        return write_to(end.fd, text, bytes);
    return os_report_error(text, bytes);
}

bool os_report_file(const char *path, const char *text, size_t bytes)
{
    int fd, state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd >= 0) {
        write_all(fd, text, bytes);
        close(fd);
    }
    pthread_setcancelstate(state, NULL);
    return fd >= 0;
}

bool os_absolute_path(const char *path, char *out, size_t bytes)
{
    size_t length = 0;

    if (path[0] != '/') {
        if (getcwd(out, bytes) == NULL)
            return false;
        length = strlen(out);
        if (length + 1 < bytes)
            out[length++] = '/';
    }
    if (length + strlen(path) + 1 > bytes)
        return false;
    memcpy(out + length, path, strlen(path) + 1);
    return true;
}

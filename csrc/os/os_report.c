/* os_report.c - see os_report.h. */
#include "os/os_report.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_LEAST 200 /* the duplicate gets this number or a higher one: few programs look there */

/* Which file a descriptor was. */
struct identity {
    bool is_known; /* it was open */
    dev_t device;
    ino_t inode;
};

static struct {
    struct identity file; /* descriptor 2's */
    int kept;             /* number of the duplicate */
    bool has_kept;        /* there is one */
} start;

static struct {
    struct identity file; /* of fd; known if it is set */
    int fd;               /* for what the process ends with */
} end;

static struct identity identity_of(int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return (struct identity){.is_known = false};
    return (struct identity){.is_known = true, .device = status.st_dev, .inode = status.st_ino};
}

static bool is_still(int fd, const struct identity *file)
{
    struct identity now;

    if (!file->is_known)
        return false;
    now = identity_of(fd);
    return now.is_known && now.device == file->device && now.inode == file->inode;
}

void os_report_start(bool keep)
{
    struct identity file = identity_of(STDERR_FILENO);

    if (!file.is_known)
        return;
    start.file = file;
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

    if (is_still(STDERR_FILENO, &start.file))
        fd = STDERR_FILENO;
    else if (start.has_kept && is_still(start.kept, &start.file))
        fd = start.kept;
    return write_to(fd, text, bytes);
}

int os_report_end_to(int fd)
{
    int before = end.file.is_known ? end.fd : -1;

    end.fd = fd;
    end.file = identity_of(fd); /* unknown for -1 */
    return before;
}

bool os_report_end(const char *text, size_t bytes)
{
    if (is_still(end.fd, &end.file))
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

/* os_publish.h - a file in memory that this process writes and that others only read.
 *
 * What it is: one file without a name in any folder, found by others through this process's
 * descriptors in /proc. It is sealed: its size stays, and nobody can map it for writing or write to
 * it any more, this process by its first mapping excepted (F_SEAL_FUTURE_WRITE, Linux 5.1). A
 * system that cannot do all of that gives no file.
 * A forked child has no mapping of it. Where the C library's fork() was gone around, no handler has
 * told the child so: for this a page lies before the mapping that reads zero in any child
 * (MADV_WIPEONFORK); to look at it costs no system call, which a sandbox might forbid.
 * What it is not: what stands in the file (publish/figures.h). Lock: none, the caller's.
 */
#ifndef OS_OS_PUBLISH_H
#define OS_OS_PUBLISH_H

#include "base/config.h"

struct os_publish {
    int fd;          /* what was opened; -1: there is no file. Others may have closed the number */
    uint64_t device; /* with inode: what the number named when the file was made */
    uint64_t inode;
    char *mark;   /* the page that a child finds wiped, and behind it the file */
    size_t bytes; /* of the file */
};

#define OS_PUBLISH_NONE ((struct os_publish){.fd = -1})

/* A new file of zeroes. pre: whole pages. EOS */
int os_publish_open(struct os_publish *file, const char *name, size_t bytes);
/* The same in a forked child, in the place of its parent's, whose number the new one gets. After an
 * error there is none. EOS */
int os_publish_renew(struct os_publish *file, const char *name);
void os_publish_close(struct os_publish *file);

/* The file's first byte; NULL: there is none, or this is a child that does not know it yet. */
static inline char *os_publish_base(const struct os_publish *file, size_t page_bytes)
{
    return file->fd >= 0 && *(volatile char *)file->mark != 0 ? file->mark + page_bytes : NULL;
}

#endif

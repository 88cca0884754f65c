/* os_file.h - the file whose pages are the frames without an address of their own.
 *
 * What it is: a file in memory without a name, or a file on disk, and two ways to its pages.
 * The first is the descriptor. A program may close descriptors that it does not know (daemons
 * close all of them) and open a file of its own under the same number; to map, or to punch a
 * hole into, whatever has the number now would destroy that file. So the descriptor is kept at
 * a high number, and each use proves that it still names the file that was opened.
 * The second way is for when it does not: the **alias**, a mapping of the whole file without
 * access, made when the file is opened. From a shared mapping mremap makes further ones, and
 * madvise gives its memory back, both without a descriptor. A forked child has no alias, core
 * files leave it out, and where the process has a limit on its addresses that it would use up,
 * there is none: then what needs the file fails with EBADF once the descriptor is gone.
 * What it is not: a record of what is mapped where; the callers keep that.
 *
 * Data structure: struct os_file, in the arena.
 * Invariant: fd >= 0 as long as the file is open, whether or not the number is still ours.
 * Lock: none; all fields but `lost` and `alias` are constant while the file is open.
 */
#ifndef OS_OS_FILE_H
#define OS_OS_FILE_H

#include "base/config.h"

struct os_file {
    int fd;            /* what was opened; -1: there is no file */
    bool is_disk;      /* a file on disk: its blocks are kept when it is cleared */
    _Atomic bool lost; /* the number was found to name something else, or nothing */
    uint64_t device;   /* with inode: what the number named when the file was opened */
    uint64_t inode;
    uint64_t bytes;        /* of the file */
    _Atomic(char *) alias; /* all of it, mapped without access; NULL: there is none */
};

/* How a range of the file is mapped. */
enum os_file_map {
    OS_FILE_SHARED,          /* writes reach the file */
    OS_FILE_SHARED_RESIDENT, /* the same, and every page gets memory now, as far as there is any */
    OS_FILE_PRIVATE,         /* writes stay in this process; the rest follows the file */
};

#define OS_FILE_NONE ((struct os_file){.fd = -1})

/* The same open file under a number out of the way, if the limits allow one; else fd itself. */
int os_fd_moved_up(int fd);
/* A file in memory without a name, of this size, all zero. EOS. */
int os_file_open_memory(struct os_file *file, const char *name, uint64_t bytes);
/* Opens, or makes, a file on disk of exactly this size with all its blocks allocated, and locks
 * it against other arenas. *fresh: it was made now, or was empty. Errors: EOS (errno tells;
 * ESTALE stands for another size, EWOULDBLOCK for another arena's file). */
int os_file_open_disk(struct os_file *file, const char *path, uint64_t bytes, bool *fresh);
/* The descriptor still names the file that was opened. */
bool os_file_is_ours(struct os_file *file);
/* Closes the descriptor if it is still ours, and ends the alias. */
void os_file_close(struct os_file *file);

/* Maps a range of the file at p, in place of what was there.
 * pre: whole pages inside the file; p inside a reservation (unchecked: nobody keeps a list of
 * those). EOS. */
int os_file_map(struct os_file *file, void *p, uint64_t offset, size_t bytes, enum os_file_map how);
/* Gives the memory of a range back to the system; it reads as zero afterwards.
 * pre: whole pages inside the file. EOS. */
int os_file_discard(struct os_file *file, uint64_t offset, uint64_t bytes);
/* Makes a range read zero, without giving the blocks of a file on disk back. Where the system
 * allows no way to it, the file counts as lost and has no alias any more: nothing can be mapped
 * from then on, so nobody sees the old content.
 * pre: whole pages inside the file */
void os_file_clear(struct os_file *file, uint64_t offset, uint64_t bytes);
/* Waits until what was written is on the disk. EOS. */
int os_file_sync(struct os_file *file);
/* Gives the first bytes of the file memory now. EOS. */
int os_file_prefault(struct os_file *file, uint64_t bytes);

/* For a forked child, in which nothing else runs. A mapping of the file stays shared with the
 * parent, for writing too, until one of these has made it the child's own. */

/* The alias is the parent's. */
void os_file_after_fork(struct os_file *file);
/* Writes to a range that is mapped at p stay in this process from now on. Pages that neither
 * process writes go on showing the file. What the system does not allow costs the child the
 * right to write there: its parent's memory is safe in any case. */
void os_file_make_private(struct os_file *file, void *p, uint64_t offset, size_t bytes);
/* The same for a ring, a range that is mapped twice in a row at p: both halves become one copy
 * of what is in the range now, so that they still show each other's writes. */
void os_file_make_private_ring(void *p, size_t bytes);

#endif

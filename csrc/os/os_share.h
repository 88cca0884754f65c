/* os_share.h - what heaps that several processes see ask of the system beside os_file.h: files in
 * memory that keep their size, read-only mappings of them, and signs of life.
 *
 * A **sign of life** is a lock on one byte of a file that its process cannot lose while it lives,
 * and that the system takes away when it ends or runs another program. POSIX record locks are
 * not that: a process loses them with any close of any descriptor of the file. What is used is an
 * OFD lock, which belongs to an open file: the file is opened anew, locked, mapped, and the
 * descriptor is closed. The mapping alone keeps it open: no close of all descriptors reaches it,
 * and a forked child, which would keep it alive, has no such mapping.
 * Between open and close a fork would give the child the descriptor, so the caller sees to it that
 * there is none (arena/arena_fork.c).
 * What it is not: what is in the files (share/table.h). Lock: none.
 */
#ifndef OS_OS_SHARE_H
#define OS_OS_SHARE_H

#include "base/config.h"

/* What a descriptor names. */
struct os_share_file {
    uint64_t device;
    uint64_t inode;
    uint64_t bytes;
};

/* EOS; errno EBADF: not a file that keeps its size (the seals are missing). */
int os_share_look(int fd, struct os_share_file *out);
/* A file in memory without a name in any folder, of this size, all zero. EOS */
int os_share_create(const char *name, uint64_t bytes, int *out);
/* The file of the descriptor, opened anew. EOS; ENOENT: /proc is not there. */
int os_share_reopen(int fd, bool writable, int *out);
/* Takes away the right to change the file's size, and to open it for writing: for those who are not
 * root, and do not have a descriptor already. EOS */
int os_share_seal(int fd, unsigned mode);
void os_share_close(int fd);

/* Maps all of a file. EOS */
int os_share_map(int fd, uint64_t bytes, bool writable, void **out);
void os_share_unmap(void *p, uint64_t bytes);
/* Puts a mapping in the place of another as long, in one step. EOS */
int os_share_move(void *p, uint64_t bytes, void *place);
/* Takes all access to a mapping away. */
void os_share_deny(void *p, uint64_t bytes);
/* A forked child will have no mapping of the range. EOS */
int os_share_no_fork(void *p, uint64_t bytes);
/* Gives the memory of a range back to the system. pre: mapped for writing (unchecked: the system
 * knows, and refuses). EOS */
int os_share_punch(void *p, uint64_t bytes);

/* Locks a byte, by a new open file: the sign, or NULL: another has it (errno EAGAIN), or the system
 * refused. pre: no fork until it returns (unchecked: the caller's lock sees to it) */
void *os_sign_make(int fd, uint64_t byte);
/* Its two steps, for a fork in between: a descriptor that has the lock; and the mapping that keeps
 * it, which closes the descriptor whatever happens. EOS; NULL */
int os_sign_lock(int fd, uint64_t byte, int *out);
void *os_sign_keep(int locked);
void os_sign_end(void *sign);
/* As os_sign_lock, but several may have the lock of such a byte at once. */
int os_sign_lock_shared(int fd, uint64_t byte, int *out);
/* Somebody has the lock of one of these bytes, or it is not to be found out. */
bool os_sign_any_alive(int fd, uint64_t byte, uint64_t nr);
/* False: nobody has the lock. True: somebody has, or it is not to be found out. */
bool os_sign_is_alive(int fd, uint64_t byte);

/* Calls visit with a new descriptor for each file in memory of this name that a process has open,
 * until it says false. EOS: its descriptors are not to be seen. */
int os_share_each_of(int pid, const char *name, bool (*visit)(void *context, int fd),
                     void *context);

#endif

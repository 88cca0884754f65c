/* os_record.h - a file that grows behind a mapping which stays where it is.
 *
 * What it is: bytes that outlive the process, however it ends: what is stored in a shared mapping
 * of a file is the kernel's, and is there after a kill. The file gets its room on the disk before
 * it is used, so that a full disk is an answer, and not a SIGBUS later.
 * What it is not: a descriptor that stays open, which programs close or reuse: to grow, the file
 * is opened again by its name, and proved to be the same.
 *
 * Fork: a child, by whatever call, has neither the mapping nor a 1 in `here`, and must not touch
 * what is mapped. One of vfork() shares both with its parent, as it does all else.
 * Lock: none; the caller has one around each call.
 */
#ifndef OS_OS_RECORD_H
#define OS_OS_RECORD_H

#include "base/config.h"

#include <stdatomic.h>

#define OS_RECORD_PATH_BYTES 4096u

struct os_record {
    char *base;                      /* the first byte of the file; NULL: none is open */
    _Atomic uint32_t *here;          /* 1 in the process that opened it; a page of its own */
    size_t room;                     /* bytes of addresses from base on */
    size_t bytes;                    /* of the file: so many may be touched */
    uint64_t device, inode;          /* which file it is */
    char path[OS_RECORD_PATH_BYTES]; /* its name, from the root */
};

/* Makes a new file with so many bytes, all zero. path: from the root. EOS, also if it exists. */
int os_record_open(struct os_record *record, const char *path, size_t bytes);
/* Gives the file at least so many bytes. EOS: it stays as long as it was.
 * pre: it is open, in this process */
int os_record_grow(struct os_record *record, size_t bytes);
/* Ends the mapping, and shortens the file to so many bytes. In a forked child: only forgets it. */
void os_record_close(struct os_record *record, size_t bytes);

static inline bool os_record_is_here(const struct os_record *record)
{
    return record->base != NULL && atomic_load_explicit(record->here, memory_order_relaxed) != 0;
}

#endif

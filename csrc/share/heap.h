/* heap.h - the heaps that this process has a part in: its own shared arenas and those it attached.
 *
 * What it is: for each heap one mapping of its frames and one of its table, a row with a sign of
 * life, and the operations of protocol.h with addresses in place of offsets. What it is not: the
 * owner's side, which knows blocks (share.h).
 *
 * Data structure: a list of struct pyslab_heap. Invariant: nr_held is the sum of the row's counts.
 * Lock: one of rank SHARE for the list and every row of this process. fork handlers hold it, so
 * that no descriptor of a half-made sign of life comes to a child.
 */
#ifndef SHARE_HEAP_H
#define SHARE_HEAP_H

#include "base/lock.h"
#include "os/os_share.h"
#include "pyslab.h"
#include "share/protocol.h"
#include "share/where.h"

struct pyslab_heap {
    struct share_table table;        /* and in it the mapping of the table's file */
    struct pyslab_heap *next;        /* in the process's list */
    char *base;                      /* of the frames: an own arena's, or a mapping of them */
    int table_fd;                    /* for probes and new signs */
    struct os_share_file table_file; /* what the number must name */
    void *sign;                      /* of life, in row */
    uint32_t row;                    /* this process's */
    bool writable;                   /* base may be written to */
    bool is_own;                     /* this process made the heap */
    bool is_asked;                   /* the program has attached it, and detaches it; else a handle
                                        has led here, and it goes when it is left (left.h) */
    uint32_t looked_ms;              /* os_time_ms when it was last found not to be left, though its
                                        owner is gone (left.h); 0: never */
    int owner_pid;                   /* of an attached one: by whose files it was; or 0 */
    uint64_t nr_held;                /* blocks opened and not closed */
    struct share_opened opened;      /* of an attached heap: where these start */
    int fork_fd;                     /* while a fork is under way: the child's sign, or -1 */
    uint32_t fork_row;               /* and its row */
    void *object; /* the Python object over it, or NULL; only csrc/python uses it */
};

/* What happened to the blocks of a process's heaps; see pyslab_share_stats. */
struct share_events {
    _Atomic uint64_t nr_opens;
    _Atomic uint64_t nr_stale;
    _Atomic uint64_t nr_deaths;
    _Atomic uint64_t punched_bytes;
};

extern struct share_events share_events;

/* Called without locks, by any thread that has closed the last block it held of an attached heap.
 * NULL: nobody is. Set once. */
extern void (*_Atomic share_on_idle)(void);

void share_lock(void);
void share_unlock(void);
/* The lock itself, for lock_assert_held. */
const struct lock *share_mutex(void);

/* Binds to a heap whose table is mapped, and takes a row; own: row 0. EOS, EINVAL, EFORMAT, ELIMIT
 * (no row is free). The caller fills in base, writable and is_own before, and holds the lock. */
int share_heap_enter_locked(struct pyslab_heap *heap, uint32_t first_row, uint32_t end_row);
void share_heap_leave_locked(struct pyslab_heap *heap);
void share_list_add_locked(struct pyslab_heap *heap);
void share_list_remove_locked(struct pyslab_heap *heap);
/* The heap on the list behind this one; NULL: the first. NULL: there are no more. */
struct pyslab_heap *share_heap_next_locked(const struct pyslab_heap *heap);
/* The heap of an id, or whose frames show at p; NULL. */
struct pyslab_heap *share_heap_find_locked(const uint64_t id[2]);
struct pyslab_heap *share_heap_around_locked(const void *p);
/* The table's descriptor if it still names the table's file, else -1. */
int share_heap_fd(const struct pyslab_heap *heap);
/* Clears the rows of dead clients; returns how many. */
uint32_t share_reap_rows_locked(struct pyslab_heap *heap);
/* Is the client of a row alive? context: the heap. */
bool share_row_is_alive(void *context, uint32_t row);

/* The functions of the public header; it has their contracts. asked: see is_asked; once it is true
 * it stays so. */
int share_attach(int heap_fd, int table_fd, bool writable, bool asked, struct pyslab_heap **out);
int share_attach_process(int pid, const uint64_t heap_id[2], bool writable, bool asked,
                         struct pyslab_heap **out);
int share_detach(struct pyslab_heap *heap);
/* EINVAL, EFORKED, EBUSY as pyslab_share_detach, for which heap->object is no reason. */
int share_detach_locked(struct pyslab_heap *heap);
int share_handle_open(const pyslab_handle *handle, pyslab_shared_block *out);
int share_handle_end(const pyslab_handle *handle);
int share_block_close(const pyslab_shared_block *block);
int share_block_pass_on(const pyslab_shared_block *block, uint32_t uses, pyslab_handle *out);
/* The same of the block of a slot. EINVAL: this process does not hold it. pre: slot < nr_slots */
int share_pass_on_locked(struct pyslab_heap *heap, uint32_t slot, uint32_t generation,
                         uint32_t uses, pyslab_handle *out);
int share_heap_reap(struct pyslab_heap *heap, uint64_t *punched);
bool share_heap_owner_is_alive(struct pyslab_heap *heap);

/* For the fork handlers. In the child own heaps are no longer this process's. */
void share_fork_prepare(void);
void share_fork_parent(void);
void share_fork_child(void);

#endif

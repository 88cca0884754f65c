/* fork.h - what forked children have of a shared heap.
 *
 * What it is: the owner keeps what was in use at a fork, and is freed while a child that has
 * inherited it lives, as it is: it is not handed out again, and no byte of it is written. In the
 * child (inherit.c) it is a view of what was inherited, and a heap in the gaps of it.
 * What it is not: a copy. What neither process has written since the fork, the child sees as it is
 * in the parent. With PYSLAB_FORK_SHARE the child has the mapping itself, and no heap.
 *
 * Forks are numbered. Each child, and whoever it forks, has a lock on the byte of its number
 * (os_share.h, signs of life); the kernel tells which numbers are locked, so that there is no list
 * of children. At a fork each frame in use gets the fork's number, unless it has an earlier one,
 * and its frees are diverted (divert.h). Walking objects is not needed: all of a frame counts as in
 * use. A frame loses its number with the first free after the last child that could have it.
 *
 * Data structure: words by frame: its number; bits of the blocks that were freed and are kept; a
 * list of frames with such bits. All are mapped at the first fork.
 * Invariants: a frame is on the list if and only if it has a bit; kept_bytes is the sum of the kept
 * blocks; no child that lives has a number above `newest`.
 * Lock: heap.h's. The numbers are read without it.
 */
#ifndef SHARE_FORK_H
#define SHARE_FORK_H

#include "base/atomic.h"
#include "base/config.h"

#define SHARE_KEPT_WORDS 8u /* bits for the blocks of a frame, one for each 8 bytes */

/* A child may have so many parts of the frames for its own, which are as many mappings. */
#define SHARE_OWN_PARTS 256u

struct share;

struct share_part {
    uint32_t pfn; /* first frame */
    uint32_t nr_pages;
};

struct share_fork {
    _Atomic uint32_t
        *_Atomic number;      /* by frame: the first fork that found it in use; 0: none. NULL until
                                 there was a fork */
    uint64_t *kept;           /* by frame, SHARE_KEPT_WORDS: freed blocks that are kept */
    uint32_t *next;           /* by frame: the list of those that have such */
    uint32_t choice;          /* enum pyslab_fork; constant after the arena's creation */
    uint32_t nr_pages;        /* frames of the heap; constant */
    uint32_t first_kept;      /* the list; PFN_NONE */
    uint32_t nr_forks;        /* number of the last fork; in a child: of its own */
    _Atomic uint32_t newest;  /* last fork whose child may live */
    _Atomic uint32_t look_ms; /* when that was last looked at */
    _Atomic bool is_due;      /* a child has ended since kept blocks were last freed */
    bool is_told;             /* that much is kept: once is enough */
    bool is_collecting;       /* kept blocks are being freed */
    uint64_t nr_kept;         /* blocks */
    uint64_t kept_bytes;      /* of these */
    int fd;                   /* while a fork is under way: the child's sign, or -1 */
    void *sign;               /* in a child: of its life; NULL: it has nothing of its parent's */
    uint32_t nr_own;          /* in a child: parts that are its own */
    struct share_part own[SHARE_OWN_PARTS];
};

/* The fork that a frame's blocks were in use at; 0: none. pre: pfn is of the heap (unchecked: it is
 * looked up on each slow free, of an address that was tested) */
static inline uint32_t share_fork_of(const struct share_fork *fork, uint32_t pfn)
{
    _Atomic uint32_t *number = load_acquire(&fork->number);

    return number != NULL ? load_relaxed(&number[pfn]) : 0;
}

void share_fork_init(struct share_fork *fork, uint32_t nr_pages);
void share_fork_destroy(struct share_fork *fork);

/* What children have from now on, an enum pyslab_fork. EOS */
int share_fork_choose(struct share *share, uint32_t choice);

/* Called once for each heap of which a quarter is kept, under the lock: it may do little. NULL */
extern void (*_Atomic share_fork_on_pile)(void);

/* Around fork(). Begin: a sign of life for the child. Mark: the frames in use; all locks of the
 * arena are held. End: in the parent. Inherit: in the child. */
void share_fork_begin_locked(struct share *share);
void share_fork_mark_locked(struct share *share);
void share_fork_end_locked(struct share *share);
void share_fork_inherit_locked(struct share *share);
/* In the child, when all locks are free again: a heap of its own. */
void share_fork_renew(struct share *share);

/* May a block that is in use be freed now, as far as children go? OK, PAGE_KEPT, EDOUBLE */
int share_fork_ask_locked(struct share *share, const void *p);
/* The block at p was freed and is kept. */
bool share_fork_keeps(struct share *share, const void *p);
/* A child that lives may have the block at p. */
bool share_fork_shows(struct share *share, const void *p);
/* Frees kept blocks that no child has any more; returns their bytes. The caller holds no lock. */
uint64_t share_fork_collect(struct share *share);
/* In a child: gives up what it has inherited, which reads zero from then on. */
void share_fork_drop(struct share *share);

#endif

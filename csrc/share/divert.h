/* divert.h - which frees of a shared heap's blocks come by a path that asks.
 *
 * What it is: the marks that keep a free off its fast path. A slab gets CLASS_LOOKUP as the class
 * byte of its frames, so that frees in it, and no others, miss the fast path. A block of
 * alloc_pages gets PAGE_FLAG_SHOWN in its word. Large blocks always come by kfree_slow, which asks.
 * What it is not: the answer (share.c, fork.c).
 * Invariant: a slab or block is marked while one of its blocks is exported, or its frames may be a
 * forked child's; a free frame has no mark.
 * Lock: heap.h's. Other threads read the marks without it.
 */
#ifndef SHARE_DIVERT_H
#define SHARE_DIVERT_H

#include "share/share.h"

/* The frames of a slab, or of one block that is in none. */
struct share_frames {
    struct kmem_cache *cache; /* NULL: no slab */
    uint32_t pfn;             /* first */
    uint32_t nr;              /* 1 if it is no slab: only the first frame has a record */
};

struct share_frames share_frames_around(const struct share *share, const void *p);
/* Bytes of the live block that starts at p. */
uint64_t share_block_bytes(const struct share *share, const void *p);
void share_divert_locked(struct share *share, const void *p);
/* Takes the marks away, if nothing needs them any more. pre: p is of a block that is not free yet
 * (unchecked: a free frame must not be written to, and has no record to tell) */
void share_divert_end_locked(struct share *share, const void *p);

#endif

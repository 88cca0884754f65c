/* where.h - from any address to the block of a shared heap that it lies in, and to a handle for it.
 *
 * What it is: what sending an array asks. The array may be a view, so its address may lie anywhere
 * in a block; the block may be one of a heap that this process made, or one that it has opened in
 * the heap of another process. What it is not: it opens nothing (heap.h).
 *
 * Data structure: in a heap of this process the class map and the records of frames tell where a
 * block starts. Of a heap that was attached this process has none of these; there an index has, by
 * the frame in which an opened block starts, the block's slot, and a bit, so that the frames before
 * an address are looked through 64 at a time.
 * Invariant (opened_adds_up): a frame has its bit exactly if it has a slot.
 * Lock: heap.h's.
 */
#ifndef SHARE_WHERE_H
#define SHARE_WHERE_H

#include "pyslab.h"

#include <stdbool.h>

/* The blocks of an attached heap that this process holds, by the frames they start in. Only the
 * pages of it that were written to have memory. */
struct share_opened {
    uint32_t *slot;     /* + 1, by frame; 0: no opened block starts there */
    uint64_t *heads;    /* a bit per frame */
    uint32_t nr_frames; /* of the heap */
};

/* Of zeroes. ENOMEM, EOS */
int opened_init(struct share_opened *opened, uint64_t heap_bytes);
/* Of one that was not made it is a no-op. */
void opened_destroy(struct share_opened *opened);
/* pre: offset lies in the heap */
void opened_add(struct share_opened *opened, uint64_t offset, uint32_t slot);
/* A no-op if another slot's block, or none, starts there. */
void opened_remove(struct share_opened *opened, uint64_t offset, uint32_t slot);
/* The slot of the last opened block that starts at the offset or before; SHARE_NONE. */
uint32_t opened_find(const struct share_opened *opened, uint64_t offset);
/* The invariant. */
bool opened_adds_up(const struct share_opened *opened);

/* Makes a handle for the block that has the bytes from p on; offset: of p in it.
 * EPOINTER: p lies in no heap that this process has a part in. EINVAL: it does, but not in a block
 * that can be exported: one of kmalloc of a page and more, in a heap of this process, or one
 * that it has opened; blocks of alloc_pages only if they were exported before, because regions lie
 * in such, too. ELIMIT. */
int share_send(const void *p, uint64_t bytes, uint32_t uses, pyslab_handle *out, uint64_t *offset);
/* Does p lie in a heap that this process has a part in? */
bool share_has(const void *p);
/* The process that made the heap of the handle, as far as this one knows, or 0. That is how the
 * receiver of a handle finds a heap that it has no part in. */
int share_owner_of(const pyslab_handle *handle);

#endif

/* large_debug.h - large blocks of an arena whose text has debug flags for "kmalloc-large".
 *
 * What it is: with Z a red zone from the end of what was asked for to the end of the frames, 64
 * bytes at least; with P poison and a quarantine; with U two stacks. All of it stands in the
 * block's record in mem_map, which no overrun reaches. With any flag ksize is the size that was
 * asked for.
 * What it is not: a left red zone. A large block starts where its frames do.
 *
 * Data structure: page.large, and a ring of the blocks that wait.
 * Invariant: nr_pages == frames of the blocks in the ring <= max_pages; these are counted as
 * large blocks too (shelf_count_large), have tail LARGE_WAITS, and nobody else has.
 * Lock: large_debug.lock for the ring; a block that does not wait is its owner's.
 */
#ifndef KMALLOC_LARGE_DEBUG_H
#define KMALLOC_LARGE_DEBUG_H

#include "base/lock.h"
#include "slab/debug.h"

#define LARGE_WAITS UINT32_MAX /* page.large.tail of a block in the quarantine */

struct kmalloc;

struct large_debug {
    uint32_t flags;            /* enum pyslab_debug_flags; 0: none; constant */
    struct lock lock;          /* guards the rest; its rank is that of a cache */
    struct quarantine waiting; /* blocks; it takes none without P */
    uint64_t nr_pages;         /* of these */
    uint64_t max_pages;        /* constant */
};

void large_debug_init(struct kmalloc *km, uint32_t nr_pages);
void large_debug_destroy(struct kmalloc *km);
/* A block for size bytes; NULL: no memory. */
void *large_debug_alloc(struct kmalloc *km, size_t size, unsigned align_order, uint32_t gfp);
/* Makes a live block one of size bytes, of which new ones read zero if `zero`. False, and nothing
 * has changed: that takes another number of frames. */
bool large_debug_resize(struct kmalloc *km, void *p, struct page *page, size_t size, bool zero);
/* A block is for this many bytes from now on: notes it, and makes the rest red. */
void large_debug_set(struct kmalloc *km, struct page *page, void *p, size_t size);
/* What was asked for; 0: the block waits. */
size_t large_debug_asked(const struct page *page);
/* Looks at the red zone of a live block, and reports. */
void large_debug_examine(struct kmalloc *km, struct page *page, void *p);
/* The same, then has the block wait, or frees it. EDOUBLE: it waits already. */
int large_debug_free(struct kmalloc *km, struct page *page, void *p);
/* Reports the free of p inside a large block; false: it is in none. */
bool large_debug_wrong_free(struct kmalloc *km, const void *p);
/* Frees all that wait; returns how many frames. */
uint64_t large_debug_flush(struct kmalloc *km);
/* Adds the blocks that wait. */
void large_debug_count(struct kmalloc *km, uint64_t *nr, uint64_t *bytes);
/* Looks at all large blocks, reports and repairs. False: something was found; f gets the first. No
 * other thread uses the arena meanwhile. */
bool large_debug_validate(struct kmalloc *km, struct finding *f);

#endif

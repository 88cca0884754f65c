/* frames.h - what every frame of an arena is used for, one stretch after the other.
 *
 * What it is: a walk over all frames, lowest first, that tells stretches of frames of one use: a
 * block in use whole, a free block by what is known of its parts (residency, page.h). Frames that
 * were never handed out are told as the free blocks that they count as.
 * What it is not: totals (the caller's visit adds them up), or what is inside a slab.
 *
 * Invariant: stretches tile the frames of each zone: each begins where the one before it ended.
 * Lock: each zone's while its frames are told. A block that another thread has just taken, and
 * whose record is not written yet, is told as FRAME_UNKNOWN.
 */
#ifndef PAGE_ALLOC_FRAMES_H
#define PAGE_ALLOC_FRAMES_H

#include "page_alloc/page_alloc.h"

/* src/pyslab/_seeing/uses.py has the same in the same order. */
enum frame_use {
    FRAME_UNTOUCHED, /* free; not resident, reads zero */
    FRAME_ZEROED,    /* free; resident and zero */
    FRAME_DIRTY,     /* free; resident with old content */
    FRAME_LISTED,    /* free, on a thread's page list or the shelf */
    FRAME_LEAVING,   /* free, on its way back to the system */
    FRAME_SLAB,
    FRAME_LARGE, /* a large block of kmalloc */
    FRAME_PAGES, /* a block of alloc_pages */
    FRAME_RUN,   /* of alloc_contig or reserve_range: of any length */
    FRAME_UNKNOWN,
    NR_FRAME_USES,
};

struct frame_span {
    uint32_t pfn;       /* first frame */
    uint32_t nr_pages;  /* frames */
    uint32_t block;     /* first frame of the block that they are a part of, or all of */
    uint32_t order;     /* the block's: it has 2**order frames, or fewer if it is of any length */
    enum frame_use use; /* of all of them */
};

/* Calls visit for each stretch. visit takes no lock. */
void frames_walk(struct page_alloc *pa, void (*visit)(void *context, const struct frame_span *span),
                 void *context);

#endif

/* watch.h - frames under a tool that looks for wrong accesses (sanitize/sanitize.h).
 *
 * What it is: frames are closed while they are free, and opened when they are handed out. A watched
 * arena has no page lists and no shelf, so that each block comes by here. Frames that were never
 * handed out are not closed: ASan needs an eighth of the memory to note it, and an arena may be
 * larger than the machine.
 * Invariant: watched_end is 0, or one of the ends that next_end makes of 0; the frames below it are
 * what LeakSanitizer looks at, each of those steps as a root of its own.
 * Lock: none.
 */
#ifndef PAGE_ALLOC_WATCH_H
#define PAGE_ALLOC_WATCH_H

#include "page_alloc/record.h"

/* For frames that are about to be handed out. zeroed: they will read zero. */
void frames_watch_open_slow(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages, bool zeroed);
/* For frames that are about to go to the buddy. */
void frames_watch_close_slow(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages);
/* Before the frames are unmapped. */
void frames_watch_end(struct page_alloc *pa);

static inline void frames_watch_open(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages,
                                     bool zeroed)
{
    if (unlikely(pa->watch != SANITIZE_NONE))
        frames_watch_open_slow(pa, pfn, nr_pages, zeroed);
}

static inline void frames_watch_close(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    if (unlikely(pa->watch != SANITIZE_NONE))
        frames_watch_close_slow(pa, pfn, nr_pages);
}

#endif

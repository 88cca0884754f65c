/* renew.h - a forked child's page allocator over frames that are its parent's.
 *
 * What it is: gives up all that page lists and the shelf hold, and has each free block of the zones
 * renewed (buddy/buddy_renew.h), so that the child has a heap of its own in the gaps of what it has
 * inherited. What it is not: it leaves blocks in use as they are; the keeper sees to them.
 * Lock: takes the zones'. No other thread exists.
 */
#ifndef PAGE_ALLOC_RENEW_H
#define PAGE_ALLOC_RENEW_H

#include "buddy/buddy_renew.h"
#include "page_alloc/page_alloc.h"

/* False: there is no memory for it, and the arena hands out no frames. */
bool page_alloc_renew(struct page_alloc *pa, renew_fn renew, void *context);

#endif

/* hugepage.h - where transparent huge pages are asked for.
 *
 * What it is: advice to the operating system, kept per run of 32 MiB, and the trial that
 * decides whether to ask at all.
 * What it is not: reserved huge pages (hugetlb), which the arena maps itself.
 *
 * The trial. A huge page costs one fault in place of 512: a third of the time where the
 * host has warm memory, seven times as much where a hypervisor must fetch 2 MiB of cold
 * memory first (free page reporting). Nothing but a measurement tells which it is. So an
 * arena starts with 4 KiB pages; when it hands out an untouched block of 4 MiB for the first
 * time, it makes a part of that block resident in both ways, compares the times, and asks for
 * huge pages from then on only if they were cheaper. The processor likes them too: a*b + c*d - a
 * on arrays of 4 to 16 MiB takes two thirds of the time, because it looks up fewer addresses.
 * Arrays. A trial that meets cold memory at that moment says no for good, although arrays are
 * computed on many times after they were touched once. So who makes arrays asks for huge pages
 * under them whatever the trial said (hugepage_want), as NumPy does for its own from 4 MiB up.
 * Runs. Giving back less than 2 MiB of a run makes the kernel refill the hole with the
 * next huge page, so such a run loses its advice until the whole of it has gone back, or until an
 * array is made there.
 * Lock: the zone's lock guards writes of `differs`; the trial is one thread's.
 */
#ifndef PAGE_ALLOC_HUGEPAGE_H
#define PAGE_ALLOC_HUGEPAGE_H

#include "page_alloc/page_alloc.h"

/* Called for a block that comes straight from the buddy and is about to be handed out; its records
 * still tell its residency. No lock held. */
void hugepage_note_block(struct page_alloc *pa, uint32_t pfn, unsigned order);
/* Asks for huge pages in the runs of a block of 4 MiB or more that is about to be handed out for an
 * array. No lock held. pre: nr_pages > 0; the frames are the caller's */
void hugepage_want(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages);
/* Called for a free block that was taken out of the buddy and is about to go to the system. */
void hugepage_note_purge_locked(struct page_alloc *pa, uint32_t pfn, unsigned order);

#endif

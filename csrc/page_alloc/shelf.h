/* shelf.h - large blocks that were freed a moment ago, kept whole for the next request.
 *
 * What it is: up to eight runs of frames of one arena, of any length from 64 KiB on, which wait as
 * they were freed: not merged, and still in memory. A request for exactly as many frames takes one
 * with an exchange of one word: no lock, no split, no page fault.
 * What it is not: a cache of a thread. Any thread takes from the shelf what any other put there,
 * and gives all of it to the buddy where that may serve a request: before memory is taken that was
 * never used (shelf_yield_locked), before a run is searched for, when memory is short.
 * So nothing is made resident, or refused, for the sake of what lies here.
 *
 * Data structure: eight words, each 0 or a block's first frame, its length, and whether it was put
 * there in this interval of the purge (purge.h). And one count of kmalloc's large blocks and their
 * frames: those on the shelf stay in it, so that a block which goes there and comes back changes no
 * count, which would be an atomic step each; who asks has them subtracted (shelf_count_large).
 * Invariant (shelf_check): a block on the shelf is one of the NORMAL zone, heads its frames in
 * state PCP with PAGE_FLAG_RUN and its length, and is there once; it is at most 1/64 of the zone,
 * and at most 64 MiB. To the statistics it is like a block on a page list.
 * Lock: none; whoever changes a word from a block to 0 has the block. shelf_yield_locked and
 * shelf_drain_locked hold the zone's, for the buddy.
 */
#ifndef PAGE_ALLOC_SHELF_H
#define PAGE_ALLOC_SHELF_H

#include "page_alloc/page_alloc.h"

/* Before frames of this zone are taken as a block of this order: if the buddy would have to use
 * memory that is not resident, what the shelf has goes to the buddy first. */
void shelf_yield_locked(struct page_alloc *pa, struct zone *zone, unsigned order);
/* Gives the whole shelf to the buddy; true if there was anything. */
bool shelf_drain_locked(struct page_alloc *pa, struct zone *zone);
bool shelf_drain(struct page_alloc *pa);
/* Ends an interval: what was put on the shelf before it began goes to the buddy. Returns how many
 * frames these are: nobody has needed them for an interval. */
uint32_t shelf_end_interval(struct page_alloc *pa);
/* Frames on the shelf. */
uint64_t shelf_pages(const struct page_alloc *pa);
/* The invariant, but for the records in a forked child. Quiescence. */
bool shelf_check(const struct page_alloc *pa, struct finding *f);

#endif

/* request.h - one request for frames on its way through the zones. Not for other layers.
 *
 * What it is: what is wanted (struct request), the walk over the zonelist that every step
 * of the slow path repeats, and the slow path itself, as page_alloc.c sees it.
 */
#ifndef PAGE_ALLOC_REQUEST_H
#define PAGE_ALLOC_REQUEST_H

#include "page_alloc/page_alloc.h"
#include "page_alloc/watermark.h"

struct request {
    uint32_t nr_pages; /* frames to keep of the block */
    unsigned order;    /* of the block; smallest that holds nr_pages if any_run */
    uint32_t gfp;
    unsigned state;    /* enum pyslab_page_state the head gets */
    bool any_run;      /* not a block: any run of frames that fits what follows */
    uint32_t align;    /* of the run, frames */
    uint32_t nocross;  /* no multiple of it inside the run; 0: anywhere */
    uint32_t first;    /* the run lies between here */
    uint32_t end;      /* and here */
};

/* Counts frames as used, before they are; false: the limit forbids it. */
bool pages_charge(struct page_alloc *pa, uint32_t nr_pages);
/* As many of nr blocks as the limit allows; how many. */
uint32_t pages_charge_some(struct page_alloc *pa, uint32_t nr, unsigned order);
void pages_uncharge(struct page_alloc *pa, uint32_t nr_pages);
/* After a charge that came true. */
void pages_note_peak(struct page_alloc *pa);

/* From the highest zone that the access allows, or the next lower one that may give it. */
uint32_t zonelist_take(struct page_alloc *pa, const struct request *request,
                       const struct access *access);
/* The steps between "not above the low mark" and "no". No lock held. */
uint32_t request_take_slow(struct page_alloc *pa, const struct request *request);

/* Asks every shrinker once at this priority (12: lightly, 0: for all it has); objects
 * that went. *give_up is set when one of them ends the request. */
uint64_t shrinkers_run(struct page_alloc *pa, unsigned priority, bool *give_up);
void shrinkers_init(struct page_alloc *pa);
/* Unregisters all. */
void shrinkers_destroy(struct page_alloc *pa);

#endif

/* request.h - one request for frames on its way through the zones.
 *
 * What it is: what is wanted, filled in by the file that the caller came to, read by the files
 * that serve it. What it is not: what was got; that is a frame number.
 * Lock: none; a request is on its caller's stack.
 */
#ifndef PAGE_ALLOC_REQUEST_H
#define PAGE_ALLOC_REQUEST_H

#include "base/config.h"

struct request {
    uint32_t nr_pages; /* frames to keep of the block */
    unsigned order;    /* of the block; of the smallest that holds nr_pages if any_run */
    uint32_t gfp;      /* what the caller may do to get it, as the mask says it */
    unsigned state;    /* enum pyslab_page_state the head gets */
    uint32_t highest;  /* index of the highest zone it may use: mostly what gfp says */
    uint32_t lowest;   /* index of the lowest zone it may use */
    bool any_run;      /* not a block: any run of frames that fits what follows */
    uint32_t align;    /* the run starts at a multiple of so many frames */
    uint32_t nocross;  /* and no multiple of so many lies inside it; 0: some may */
    uint32_t first;    /* no frame of the run lies before this one */
    uint32_t end;      /* nor this one, or one behind it, in the run */
};

#endif

/* init_on.c - see init_on.h. */
#include "page_alloc/init_on.h"

#include "page_alloc/pcp.h"
#include "page_alloc/watch.h"

/* From here on the memory goes back to the system instead of being written to: a program may have
 * asked for much more than it used. */
#define WIPE_DISCARD_PAGES 512u

void page_alloc_set_init(struct page_alloc *pa, uint32_t init)
{
    CHECK(page_alloc_used(pa) == 0 && (init & ~(INIT_ON_ALLOC | INIT_ON_FREE)) == 0);
    pa->init = init;
    pcp_set_up(pa);
}

void frames_wipe_slow(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    bool discarded;

    frames_watch_open(pa, pfn, nr_pages, true); /* a block may have ends that are closed */
    discarded = nr_pages >= WIPE_DISCARD_PAGES &&
                frames_discard(&pa->map, pfn, nr_pages) == PYSLAB_OK;
    if (!discarded)
        frames_clear(&pa->map, pfn, nr_pages);
}

/* used.c - the arena's peak of frames in use, started anew. See used.h. */
#include "page_alloc/used.h"

/* Sets it to zero first, so that a peak that another thread raises meanwhile is not lost. */
void page_alloc_reset_peak(struct page_alloc *pa)
{
    uint64_t peak = 0, used;

    store_relaxed(&pa->peak_used_pages, 0);
    used = page_alloc_used(pa);
    while (peak < used && !atomic_compare_exchange_weak(&pa->peak_used_pages, &peak, used))
        continue;
}

/* page_alloc.h - the only door to page frames.
 *
 * What it is: blocks by order, exact runs of frames, gfp semantics, the slow path when
 * memory is short, and per-thread page lists (pcp) in front of the buddy.
 * What it is not: a keeper of what is inside a block. The state in page->word (ALLOC,
 * LARGE, SLAB) is set by whoever takes it.
 *
 * Data structure: zones over one frame map; struct pcp, a stack of frame numbers for
 * each order in PCP_ORDERS, in the thread's slot.
 * Invariant, at quiescence: managed == free + on page lists + in blocks handed out.
 * Lock: the zone's lock for the buddy. A pcp is its thread's alone.
 *
 * Fast path: page_alloc and page_free of an order with a page list: pop or push, no
 * lock. Everything else is page_alloc_slow.
 */
#ifndef PAGE_ALLOC_PAGE_ALLOC_H
#define PAGE_ALLOC_PAGE_ALLOC_H

#include "buddy/buddy.h"
#include "page_alloc/gfp.h"
#include "thread/thread.h"

#define NR_PCP_LISTS 5u     /* orders 0, 1, 2, 3 and 9, as in Linux */
#define PCP_HUGE_ORDER 9u   /* 2 MiB: the block a huge page fills */
#define PCP_HUGE_LIST 4u    /* its place among the lists */
#define PCP_CAPACITY 128u   /* blocks of order 0: 512 KiB; see pcp.c for the others */

struct pcp_list {
    _Atomic uint32_t nr;          /* frame numbers on the stack; others read it */
    uint32_t high;                /* at most so many; 0: the order has no list */
    uint32_t batch;               /* moved to or from the buddy at once; <= high */
    uint32_t frame[PCP_CAPACITY]; /* stack: the youngest is last */
};

struct pcp {
    uint32_t drain_epoch; /* of page_alloc when this thread last drained */
    struct pcp_list list[NR_PCP_LISTS];
};

/* See purge.c. */
struct purge {
    uint32_t interval_ms;             /* of the working set; PURGE_NEVER: no purging; constant */
    _Atomic uint32_t interval_start;  /* os_time_ms when the current interval began */
    bool fixed;                       /* the memory cannot go back (hugetlb, mlock); constant */
};

/* See hugepage.h. */
enum hugepages_state { HUGEPAGES_OFF, HUGEPAGES_UNTRIED, HUGEPAGES_TRYING, HUGEPAGES_ON };

struct hugepages {
    _Atomic uint32_t state; /* enum hugepages_state */
    uint8_t *small_runs;    /* per run: its advice was taken back; process-local heap */
    uint32_t nr_runs;       /* entries of it; 0: no huge pages wanted; constant */
};

struct page_alloc {
    struct frame_map map;
    struct thread_domain *domain;     /* where the pcps are */
    uint32_t nr_zones;                /* constant */
    uint32_t pcp_high[NR_PCP_LISTS];  /* what each new pcp gets; constant */
    uint32_t pcp_batch[NR_PCP_LISTS]; /* likewise */
    struct zone zone[MAX_NR_ZONES];
    bool (*reclaim)(void *context);   /* an upper layer frees blocks; true: some came back */
    void *reclaim_context;
    _Atomic uint32_t drain_epoch;     /* a thread behind it drains at its next exchange */
    _Atomic uint32_t nr_isolated;     /* free blocks on their way to the operating system */
    _Atomic uint32_t nr_returns;      /* blocks that were, and are back */
    _Atomic uint64_t alloc_failures;  /* requests that found no memory */
    _Atomic uint64_t pages_cleared;   /* frames cleared for GFP_ZERO */
    _Atomic uint64_t pages_known_zero; /* frames that needed no clearing */
    _Atomic uint64_t pages_released;  /* frames given back to the operating system */
    struct purge purge;
    struct hugepages huge;
};

/* pre: map is initialised; domain is where the caller lets threads keep their pcps.
 * The whole map becomes one zone. */
void page_alloc_init(struct page_alloc *pa, const struct frame_map *map,
                     struct thread_domain *domain, unsigned max_order);
void page_alloc_destroy(struct page_alloc *pa);
/* Called without locks when memory is short, before a request fails. */
void page_alloc_set_reclaim(struct page_alloc *pa, bool (*reclaim)(void *), void *context);

/* Place of an order among the page lists; NR_PCP_LISTS if it has none. */
static always_inline unsigned pcp_index(unsigned order)
{
    if (likely(order < PCP_HUGE_LIST))
        return order;
    return order == PCP_HUGE_ORDER ? PCP_HUGE_LIST : NR_PCP_LISTS;
}

static inline unsigned pcp_order(unsigned index)
{
    return index == PCP_HUGE_LIST ? PCP_HUGE_ORDER : index;
}

uint32_t page_alloc_slow(struct page_alloc *pa, unsigned order, uint32_t gfp);
void page_free_slow(struct page_alloc *pa, uint32_t pfn, unsigned order);

/* A block of 2**order frames in state ALLOC with one reference, or PFN_NONE. For layers
 * that count a failure themselves, when nothing else helps. */
static always_inline uint32_t page_alloc_uncounted(struct page_alloc *pa, unsigned order, uint32_t gfp)
{
    unsigned index = pcp_index(order);
    struct pcp *pcp;
    struct pcp_list *list;
    struct page *page;
    uint32_t nr, pfn;

    if (unlikely((gfp & ~GFP_FAST_BITS) != 0 || index == NR_PCP_LISTS) ||
        unlikely(!thread_has_domain(pa->domain)))
        return page_alloc_slow(pa, order, gfp);
    pcp = thread_slot_loaded(THREAD_SLOT_PCP);
    list = &pcp->list[index];
    nr = load_relaxed(&list->nr);
    if (unlikely(nr == 0))
        return page_alloc_slow(pa, order, gfp);
    pfn = list->frame[nr - 1];
    store_relaxed(&list->nr, nr - 1);
    page = pfn_to_page(&pa->map, pfn);
    store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_ALLOC, order, 0));
    store_relaxed(&page->refcount, 1);
    return pfn;
}

/* The same for callers: a failure is counted. */
static always_inline uint32_t page_alloc_block(struct page_alloc *pa, unsigned order, uint32_t gfp)
{
    uint32_t pfn = page_alloc_uncounted(pa, order, gfp);

    if (unlikely(pfn == PFN_NONE))
        add_relaxed(&pa->alloc_failures, 1);
    return pfn;
}

/* Takes back a block of 2**order frames, whatever state its owner gave it. */
static always_inline void page_free_block(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    unsigned index = pcp_index(order);
    struct pcp *pcp;
    struct pcp_list *list;
    uint32_t nr;

    if (unlikely(index == NR_PCP_LISTS || !thread_has_domain(pa->domain))) {
        page_free_slow(pa, pfn, order);
        return;
    }
    pcp = thread_slot_loaded(THREAD_SLOT_PCP);
    list = &pcp->list[index];
    nr = load_relaxed(&list->nr);
    if (unlikely(nr >= list->high)) {
        page_free_slow(pa, pfn, order);
        return;
    }
    store_relaxed(&pfn_to_page(&pa->map, pfn)->word, PAGE_WORD(PYSLAB_PAGE_PCP, order, 0));
    list->frame[nr] = pfn;
    store_relaxed(&list->nr, nr + 1);
}

/* nr_pages frames aligned to 2**align_order frames, in state LARGE, or PFN_NONE; the
 * caller counts a failure. */
uint32_t page_alloc_exact(struct page_alloc *pa, uint32_t nr_pages, unsigned align_order,
                          uint32_t gfp);
/* Any part of a block from page_alloc_exact; the caller keeps its record right. */
void page_free_range(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages);

/* Drops a reference to an ALLOC block; the last one frees it. EINVAL: no such frame,
 * or another order; EPOINTER: no block of alloc_pages starts there; EDOUBLE: free. */
int page_put(struct page_alloc *pa, uint32_t pfn, unsigned order);
/* Adds a reference. Errors as page_put. */
int page_get(struct page_alloc *pa, uint32_t pfn);

/* The frame lies in a free block. For wording an error: racy while others allocate. */
bool page_is_free(const struct page_alloc *pa, uint32_t pfn);

/* Gives this thread's page lists to the buddy; true if there was anything. */
bool pcp_drain(struct page_alloc *pa);
/* Asks every thread to do so at its next exchange with the buddy or a barn. */
void page_alloc_request_drain(struct page_alloc *pa);
/* Frames on all threads' page lists; takes the registry lock. */
uint64_t pcp_total_pages(struct page_alloc *pa);
/* --- purge.c ------------------------------------------------------------ */

#define PURGE_NEVER UINT32_MAX

/* delay_ms: see purge.c. fixed: the memory cannot go back. */
void page_alloc_set_purge(struct page_alloc *pa, uint32_t delay_ms, bool fixed);
/* Lets hugepage.h's trial take place. ENOMEM */
int page_alloc_set_hugepages(struct page_alloc *pa);
/* Ends the interval if it is over: purges what was surplus in it, and asks every thread
 * to drain. For slow paths; no lock held. */
void page_alloc_tick(struct page_alloc *pa);
/* Gives all free resident frames to the operating system; returns how many. */
uint64_t page_alloc_release(struct page_alloc *pa);

/* Recounts every zone and page list. Quiescence: no other thread in the arena. */
bool page_alloc_check(struct page_alloc *pa, struct finding *f);

#endif

/* page_alloc.h - the only door to page frames.
 *
 * What it is: blocks by order, exact and contiguous runs of frames, gfp semantics with
 * zonelist and watermarks, the slow path when memory is short (shrinkers, the
 * out-of-memory callback), and per-thread page lists (pcp) in front of the buddy.
 * What it is not: a keeper of what is inside a block. The state in page->word (ALLOC,
 * LARGE, SLAB) is set by whoever takes it. It computes no watermarks: they come with
 * the zones' options.
 *
 * Data structure: zones over one frame map, lowest first; struct pcp, for each zone a
 * stack of frame numbers for each order that has a list, in the thread's slot.
 * Invariant, at quiescence: managed == free + on page lists + in blocks handed out;
 * zone->used_pages == managed - free - isolated.
 * Lock: the zone's lock for the buddy. A pcp is its thread's alone.
 *
 * Fast path: a block of the NORMAL zone of an order with a page list: pop or push, no
 * lock, and no watermark: what is on a list has passed it. Everything else is
 * page_alloc_slow, which follows the kernel's steps (reclaim.c).
 */
#ifndef PAGE_ALLOC_PAGE_ALLOC_H
#define PAGE_ALLOC_PAGE_ALLOC_H

#include "buddy/buddy.h"
#include "page_alloc/gfp.h"
#include "page_alloc/usage.h"
#include "thread/thread.h"

#define NR_PCP_LISTS 5u   /* orders 0, 1, 2, 3 and 9, as in Linux */
#define PCP_HUGE_ORDER 9u /* 2 MiB: the block a huge page fills */
#define PCP_HUGE_LIST 4u  /* its place among the lists */
#define PCP_CAPACITY 128u /* blocks of order 0: 512 KiB; see pcp.c for the others */
#define LIMIT_NONE UINT64_MAX

struct pcp_list {
    _Atomic uint32_t nr;          /* frame numbers on the stack; others read it */
    uint32_t high;                /* at most so many; 0: the order has no list */
    uint32_t batch;               /* moved to or from the buddy at once; <= high */
    uint32_t alloc_word;          /* page->word of a block of this list in use; constant */
    uint32_t frame[PCP_CAPACITY]; /* stack: the youngest is last */
};

/* The lists of one zone. */
struct pcp_set {
    struct pcp_list list[NR_PCP_LISTS];
};

struct pcp {
    uint32_t drain_epoch; /* of page_alloc when this thread last drained */
    bool in_reclaim;      /* this thread runs a callback: no reclaim within reclaim */
    bool gave_up;         /* a callback ended this thread's last slow request */
    struct pcp_set set[]; /* by place (pcp_place): the NORMAL zone's first */
};

/* See purge.c. */
struct purge {
    uint32_t interval_ms;            /* of the working set; PURGE_NEVER: no purging; constant */
    _Atomic uint32_t interval_start; /* os_time_ms when the current interval began */
    bool fixed;                      /* the memory cannot go back (hugetlb, mlock); constant */
};

/* See hugepage.h. */
enum hugepages_state { HUGEPAGES_OFF, HUGEPAGES_UNTRIED, HUGEPAGES_TRYING, HUGEPAGES_ON };

struct hugepages {
    _Atomic uint32_t state; /* enum hugepages_state */
    uint8_t *small_runs;    /* per run: its advice was taken back; process-local heap */
    uint32_t nr_runs;       /* entries of it; 0: no huge pages wanted; constant */
};

/* See reclaim.c. */
struct reclaim {
    bool (*upper)(void *context); /* an upper layer frees blocks; true: some came back */
    void *upper_context;
    int (*_Atomic oom)(size_t nbytes, uint32_t zone, void *context); /* asked before "no"; NULL */
    void *_Atomic oom_context;                                       /* set before oom is */
    struct lock shrinkers_lock;      /* guards the list and the pins */
    struct shrinker *shrinkers;      /* list; see shrinker.h */
    _Atomic uint32_t kswapd_wanted;  /* background reclaim was woken and has not run */
    _Atomic uint32_t kswapd_skip;    /* wakes to let pass: its last runs found nothing */
    _Atomic uint32_t kswapd_backoff; /* how many to let pass after the next such run */
    _Atomic uint64_t events[PYSLAB_NR_VM_EVENTS];
};

struct page_alloc {
    struct frame_map map;
    struct thread_domain *domain; /* where the pcps are */
    uint32_t nr_zones;            /* constant */
    uint32_t max_order;           /* of the largest block; constant */
    uint32_t normal;              /* index of the zone of the fast path; constant */
    uint8_t gfp_zone[16];         /* highest zone by a mask's low four bits; constant */
    uint32_t pcp_high[MAX_NR_ZONES][NR_PCP_LISTS];  /* what each new pcp gets; constant */
    uint32_t pcp_batch[MAX_NR_ZONES][NR_PCP_LISTS]; /* likewise */
    struct zone zone[MAX_NR_ZONES];
    uint32_t open_end;                 /* frames from here on have no access yet (see
                                         page_alloc_close); their zone's lock; PFN_NONE */
    bool forked;                       /* a child's copy: high frames are the parent's */
    bool best_fit;                     /* large requests go to the shortest resident run that
                                         fits, also where a larger block is free; set before
                                         the first allocation */
    _Atomic uint64_t peak_used_pages;  /* most frames outside the buddy at once */
    struct lock limit_lock;            /* held around a take while a limit is set */
    _Atomic uint64_t limit_pages;      /* at most so many frames outside; LIMIT_NONE */
    _Atomic uint32_t drain_epoch;      /* a thread behind it drains at its next exchange */
    _Atomic uint32_t nr_isolated;      /* free blocks on their way to the operating system */
    _Atomic uint32_t nr_returns;       /* blocks that were, and are back */
    _Atomic uint64_t alloc_failures;   /* requests that found no memory */
    _Atomic uint64_t pages_cleared;    /* frames cleared for GFP_ZERO */
    _Atomic uint64_t pages_known_zero; /* frames that needed no clearing */
    _Atomic uint64_t pages_released;   /* frames given back to the operating system */
    struct usage *usage;               /* what callers have: own_usage, or another arena's
                                         whose side this one is; constant */
    struct usage own_usage;
    struct purge purge;
    struct hugepages huge;
    struct reclaim reclaim;
};

/* pre: map is initialised; domain is where the caller lets threads keep their pcps.
 * zones describe the whole map, as page_alloc_zones_valid wants them; none: the map is one
 * NORMAL zone without reserves. */
void page_alloc_init(struct page_alloc *pa, const struct frame_map *map,
                     struct thread_domain *domain, unsigned max_order,
                     const pyslab_zone_options *zones, uint32_t nr_zones);
/* nr_pages frames in all, types ascending, marks ascending. */
bool page_alloc_zones_valid(const pyslab_zone_options *zones, uint32_t nr_zones, uint64_t nr_pages);
/* Frames that have an address: those of the zones below HIGHMEM. */
uint32_t page_alloc_mapped_pages(const pyslab_zone_options *zones, uint32_t nr_zones);
void page_alloc_destroy(struct page_alloc *pa);
/* Called without locks when memory is short, before a request fails. */
void page_alloc_set_reclaim(struct page_alloc *pa, bool (*reclaim)(void *), void *context);

/* Takes the access to all frames away; blocks get it when they are first handed out, and with
 * them an eighth more than the arena had: what runs past its end in a small heap is stopped.
 * pre: one zone, nothing handed out. EOS */
int page_alloc_close(struct page_alloc *pa);
/* Gives access up to the end of these frames, which were just taken. EOS */
int page_alloc_open_locked(struct page_alloc *pa, uint32_t end);

/* Gives frames back to the buddy that could not get it. */
void page_alloc_shut_locked(struct page_alloc *pa, struct zone *zone, uint32_t pfn,
                            uint32_t nr_pages);

/* The frames from pfn on may be handed out; no: page_alloc_shut_locked. */
static inline bool frames_open_locked(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages)
{
    return likely(pfn + nr_pages <= pa->open_end) ||
           page_alloc_open_locked(pa, pfn + nr_pages) == PYSLAB_OK;
}

static inline void vm_event(struct page_alloc *pa, enum pyslab_vm_event event, uint64_t nr)
{
    add_relaxed(&pa->reclaim.events[event], nr);
}

/* pre: gfp_valid */
static inline uint32_t gfp_zone(const struct page_alloc *pa, uint32_t gfp)
{
    return pa->gfp_zone[gfp & GFP_ZONE_TABLE_BITS];
}

/* Frames outside the buddy, in all zones. */
static inline uint64_t page_alloc_used(const struct page_alloc *pa)
{
    uint64_t used = load_relaxed(&pa->zone[0].used_pages);

    for (uint32_t i = 1; i < pa->nr_zones; i++)
        used += load_relaxed(&pa->zone[i].used_pages);
    return used;
}

static inline struct zone *page_alloc_zone_of(struct page_alloc *pa, uint32_t pfn)
{
    struct zone *zone = pa->zone;

    while (pfn >= zone->end_pfn)
        zone++;
    return zone;
}

/* Where a zone's lists are in a pcp: the NORMAL zone's first, the others by index. */
static inline unsigned pcp_place(const struct page_alloc *pa, uint32_t zone)
{
    if (likely(zone == pa->normal))
        return 0;
    return zone < pa->normal ? zone + 1 : zone;
}

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

/* Takes the youngest block. pre: the list has one. */
static always_inline uint32_t pcp_pop(struct page_alloc *pa, struct pcp_list *list)
{
    uint32_t nr = load_relaxed(&list->nr) - 1;
    uint32_t pfn = list->frame[nr];
    struct page *page = pfn_to_page(&pa->map, pfn);

    store_relaxed(&list->nr, nr);
    store_relaxed(&page->word, list->alloc_word);
    store_relaxed(&page->refcount, 1);
    return pfn;
}

#define PAGE_WORD_TO_PCP ((uint32_t)PYSLAB_PAGE_PCP - (uint32_t)PYSLAB_PAGE_ALLOC)

/* pre: the list has room, and nr blocks; the block is of its order and zone. */
static always_inline void pcp_push(struct page_alloc *pa, struct pcp_list *list, uint32_t nr,
                                   uint32_t pfn)
{
    store_relaxed(&pfn_to_page(&pa->map, pfn)->word, list->alloc_word + PAGE_WORD_TO_PCP);
    list->frame[nr] = pfn;
    store_relaxed(&list->nr, nr + 1);
}

/* The fast path: PFN_NONE where it does not lead. */
static always_inline uint32_t page_alloc_listed(struct page_alloc *pa, unsigned order, uint32_t gfp)
{
    unsigned index = pcp_index(order);
    struct pcp *pcp;
    struct pcp_list *list;

    if (unlikely((gfp & ~GFP_FAST_BITS) != 0 || index == NR_PCP_LISTS) ||
        unlikely(!thread_has_domain(pa->domain)))
        return PFN_NONE;
    pcp = thread_slot_loaded(THREAD_SLOT_PCP);
    list = &pcp->set[0].list[index];
    if (unlikely(load_relaxed(&list->nr) == 0))
        return PFN_NONE;
    return pcp_pop(pa, list);
}

/* A block of 2**order frames in state ALLOC with one reference, or PFN_NONE. For layers
 * that count a failure themselves, when nothing else helps, and what callers have. */
static always_inline uint32_t page_alloc_uncounted(struct page_alloc *pa, unsigned order,
                                                   uint32_t gfp)
{
    uint32_t pfn = page_alloc_listed(pa, order, gfp);

    return likely(pfn != PFN_NONE) ? pfn : page_alloc_slow(pa, order, gfp);
}

/* page_alloc_slow for callers: a failure is counted, and what they get. */
uint32_t page_alloc_block_slow(struct page_alloc *pa, unsigned order, uint32_t gfp);

/* The same as page_alloc_uncounted for callers. */
static always_inline uint32_t page_alloc_block(struct page_alloc *pa, unsigned order, uint32_t gfp)
{
    uint32_t pfn = page_alloc_listed(pa, order, gfp);

    return likely(pfn != PFN_NONE) ? pfn : page_alloc_block_slow(pa, order, gfp);
}

/* The block at pfn is in a caller's hands now. */
static inline void page_count_alloc(struct page_alloc *pa, uint32_t pfn)
{
    usage_add(pa->usage, (uint64_t)page_block_pages(pfn_to_page(&pa->map, pfn)) << PAGE_SHIFT, 1);
}

/* Takes back a block of 2**order frames, whatever state its owner gave it. */
static always_inline void page_free_block(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    struct page *page = pfn_to_page(&pa->map, pfn);
    unsigned index = pcp_index(order);
    struct pcp *pcp;
    struct pcp_list *list;
    uint32_t nr;

    if (unlikely(index == NR_PCP_LISTS || !thread_has_domain(pa->domain))) {
        page_free_slow(pa, pfn, order);
        return;
    }
    pcp = thread_slot_loaded(THREAD_SLOT_PCP);
    list = &pcp->set[0].list[index];
    nr = load_relaxed(&list->nr);
    if (unlikely(nr >= list->high) ||
        unlikely(((load_relaxed(&page->word) ^ list->alloc_word) & PAGE_ZONE_MASK) != 0)) {
        page_free_slow(pa, pfn, order);
        return;
    }
    pcp_push(pa, list, nr, pfn);
}

/* As page_alloc_uncounted, from zones without addresses only, whatever the mask says. */
uint32_t page_alloc_high(struct page_alloc *pa, unsigned order, uint32_t gfp);
/* nr_pages frames aligned to 2**align_order frames, in state LARGE, or PFN_NONE; the
 * caller counts a failure. */
uint32_t page_alloc_exact(struct page_alloc *pa, uint32_t nr_pages, unsigned align_order,
                          uint32_t gfp);
/* A run of nr_pages frames of any length: aligned to align frames, not across a multiple
 * of nocross frames (powers of two, or 0). PFN_NONE; the caller counts. state: LARGE, or
 * ALLOC, with one reference, for page_put with page_order. */
uint32_t page_alloc_contig(struct page_alloc *pa, uint32_t nr_pages, uint32_t align,
                           uint32_t nocross, uint32_t gfp, enum pyslab_page_state state);
/* Exactly these frames, within one zone, likewise; PFN_NONE if not all are free. */
uint32_t page_reserve_range(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages,
                            enum pyslab_page_state state);
/* Takes the frames from pfn on, if all are free, for the block in the caller's hands that ends
 * there; the caller keeps its record right. */
bool page_extend(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages);
/* Up to nr blocks of one frame; returns how many. */
uint32_t page_alloc_bulk(struct page_alloc *pa, uint32_t gfp, uint32_t nr, uint32_t *pfn);
/* Any part of a block from page_alloc_exact; the caller keeps its record right. */
void page_free_range(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages);

/* Drops a reference to an ALLOC block; the last one frees it. EINVAL: no such frame,
 * or another order; EPOINTER: no block of alloc_pages starts there; EDOUBLE: free;
 * EFORKED: a high frame, in a forked child. */
int page_put(struct page_alloc *pa, uint32_t pfn, unsigned order);
/* Adds a reference. Errors as page_put. */
int page_get(struct page_alloc *pa, uint32_t pfn);

/* Makes single frames of a block. Errors as page_put; EBUSY: more than one reference;
 * EINVAL: a GFP_COMP block. */
int page_split(struct page_alloc *pa, uint32_t pfn, unsigned order);

/* The frame lies in a free block. For wording an error: racy while others allocate. */
bool page_is_free(const struct page_alloc *pa, uint32_t pfn);

/* Gives this thread's page lists to the buddy; true if there was anything. */
bool pcp_drain(struct page_alloc *pa);
/* Asks every thread to do so at its next exchange with the buddy or a barn. */
void page_alloc_request_drain(struct page_alloc *pa);
/* peak_used_pages counts from what is used now. */
void page_alloc_reset_peak(struct page_alloc *pa);
/* Frames on all threads' page lists, by zone; takes the registry lock. */
void pcp_count_pages(struct page_alloc *pa, uint64_t nr_pages[MAX_NR_ZONES]);

/* Calls visit for the head of each block below the zones' frontiers, until it says false;
 * what the last call said. Quiescence: no other thread in the arena. */
bool page_alloc_each_block(struct page_alloc *pa,
                           bool (*visit)(void *context, uint32_t pfn, const struct page *page),
                           void *context);

/* --- shrinker.c, reclaim.c ---------------------------------------------- */

/* After a failure: a callback ended the request, so a smaller one must not be tried. */
bool page_alloc_gave_up(struct page_alloc *pa);

/* Errors: EINVAL, ENOMEM. */
int shrinker_register(struct page_alloc *pa, const pyslab_shrinker_options *options,
                      struct shrinker **out);
void shrinker_unregister(struct shrinker *shrinker);

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

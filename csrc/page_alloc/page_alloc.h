/* page_alloc.h - the only door to page frames.
 *
 * What it is: what the layers above call: blocks by order, exact and contiguous runs of frames,
 * gfp semantics with zonelist and watermarks, the slow path when memory is short (shrinkers, the
 * out-of-memory callback), and per-thread page lists (pcp) in front of the buddy.
 * What it is not: a keeper of what is inside a block. The state in the block's word (ALLOC, LARGE,
 * SLAB) is set by whoever takes it. It computes no watermarks: they come with the zones' options.
 * What only files of this folder call is in the folder's other headers, one a subject; the record
 * that all of them share is in record.h.
 *
 * Terms: a watermark is a number of free frames that a zone keeps from a request; the zonelist is
 * the order in which a request tries zones, from the highest it may use down; a block is managed
 * by a zone whether it is free or not; it is isolated while it is out of the buddy to be given back
 * to the system (purge.h).
 * Invariants, at quiescence: managed == free + on page lists + in blocks handed out; at any time
 * under a zone's lock: used_pages == managed - free - isolated (zone_counts_add_up, recount.h).
 * Lock: the zone's lock for the buddy. A pcp is its thread's alone.
 *
 * Fast path: a block of the NORMAL zone of an order with a page list: pop or push, no lock, and no
 * watermark: what is on a list has passed it. Everything else is page_alloc_slow, which follows
 * the kernel's steps (reclaim.c).
 */
#ifndef PAGE_ALLOC_PAGE_ALLOC_H
#define PAGE_ALLOC_PAGE_ALLOC_H

#include "page_alloc/gfp.h"
#include "page_alloc/pcp_list.h"
#include "page_alloc/record.h"

/* --- set-up: zones.c, access.c, init_on.c, pcp.c ------------------------------- */

/* domain is where the caller lets threads keep their page lists. zones describe the whole map;
 * none: the map is one NORMAL zone without reserves. pre: page_alloc_zones_valid. */
void page_alloc_init(struct page_alloc *pa, const struct frame_map *map,
                     struct thread_domain *domain, unsigned max_order,
                     const pyslab_zone_options *zones, uint32_t nr_zones);
/* nr_pages frames in all, types ascending, marks ascending. */
bool page_alloc_zones_valid(const pyslab_zone_options *zones, uint32_t nr_zones, uint64_t nr_pages);
/* Frames that have an address: those of the zones below HIGHMEM. */
uint32_t page_alloc_mapped_pages(const pyslab_zone_options *zones, uint32_t nr_zones);
void page_alloc_destroy(struct page_alloc *pa);

/* Takes away the access to all frames. Blocks get it when they are first handed out, and with
 * them come frames for an eighth more than could be touched before: so a program that runs past
 * the end of a small heap is stopped. pre: one zone, nothing handed out. EOS */
int page_alloc_close(struct page_alloc *pa);

/* init: INIT_ON_ALLOC, INIT_ON_FREE (init_on.h). pre: nothing handed out */
void page_alloc_set_init(struct page_alloc *pa, uint32_t init);
/* From now on blocks go to the buddy at once, and caches made later have no sheaves, so that each
 * step is seen. pre: nothing handed out */
void page_alloc_set_uncached(struct page_alloc *pa);

/* --- counts: validate.c, used.c ------------------------------------------------ */

static inline void vm_event(struct page_alloc *pa, enum pyslab_vm_event event, uint64_t nr)
{
    add_relaxed(&pa->reclaim.events[event], nr);
}

/* Index of the highest zone that a request with this mask may use. pre: gfp_valid */
static inline uint32_t gfp_zone(const struct page_alloc *pa, uint32_t gfp)
{
    CHECK(gfp_valid(gfp));
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

/* The zone of a frame. pre: pfn < map.nr_pages */
static inline struct zone *page_alloc_zone_of(struct page_alloc *pa, uint32_t pfn)
{
    struct zone *zone = pa->zone;

    CHECK(pfn < pa->map.nr_pages);
    while (pfn >= zone->end_pfn)
        zone++;
    return zone;
}

/* Starts peak_used_pages anew, from what is used now. */
void page_alloc_reset_peak(struct page_alloc *pa);
/* Frames on all threads' page lists, and on the shelf, by zone; takes the registry lock. */
void pcp_count_pages(struct page_alloc *pa, uint64_t nr_pages[MAX_NR_ZONES]);
/* The same for a caller that holds it. */
void pcp_count_pages_locked(struct page_alloc *pa, uint64_t nr_pages[MAX_NR_ZONES]);

/* Calls visit for the head of each block below the zones' frontiers, until it says false;
 * what the last call said. Quiescence: no other thread in the arena. */
bool page_alloc_each_block(struct page_alloc *pa,
                           bool (*visit)(void *context, uint32_t pfn, const struct page *page),
                           void *context);

/* Recounts every zone and page list. Quiescence: no other thread in the arena. */
bool page_alloc_check(struct page_alloc *pa, struct finding *f);

/* --- blocks of 2**order frames: blocks.c, free.c ------------------------------- */

/* What page_alloc_uncounted and page_free_block do where their fast paths do not lead. */
uint32_t page_alloc_slow(struct page_alloc *pa, unsigned order, uint32_t gfp);
void page_free_slow(struct page_alloc *pa, uint32_t pfn, unsigned order);

/* The fast path: a block from the page list of the NORMAL zone. PFN_NONE if the list is empty, the
 * order has none, or the mask asks for more than that. */
static always_inline uint32_t page_alloc_listed(struct page_alloc *pa, unsigned order, uint32_t gfp)
{
    struct pcp *pcp;
    struct pcp_list *list;

    if (unlikely((gfp & ~GFP_FAST_BITS) != 0 || !pcp_has_list(order)) ||
        unlikely(!thread_has_domain(pa->domain)))
        return PFN_NONE;
    pcp = thread_slot_loaded(THREAD_SLOT_PCP);
    list = pcp_list_at(&pcp->set[0], order);
    if (unlikely(load_relaxed(&list->nr) == 0))
        return PFN_NONE;
    return pcp_pop(pa, list);
}

/* A block of 2**order frames in state ALLOC with one reference, or PFN_NONE. For layers that
 * count failures and what their callers have (usage.h) themselves. */
static always_inline uint32_t page_alloc_uncounted(struct page_alloc *pa, unsigned order,
                                                   uint32_t gfp)
{
    uint32_t pfn = page_alloc_listed(pa, order, gfp);

    return likely(pfn != PFN_NONE) ? pfn : page_alloc_slow(pa, order, gfp);
}

/* page_alloc_slow, and counts a failure in alloc_failures, or what the caller gets. */
uint32_t page_alloc_block_slow(struct page_alloc *pa, unsigned order, uint32_t gfp);

/* The same as page_alloc_uncounted, counted. */
static always_inline uint32_t page_alloc_block(struct page_alloc *pa, unsigned order, uint32_t gfp)
{
    uint32_t pfn = page_alloc_listed(pa, order, gfp);

    return likely(pfn != PFN_NONE) ? pfn : page_alloc_block_slow(pa, order, gfp);
}

/* What names the block at pfn among all allocations of the arena: its address, or what no address
 * is. */
static inline uintptr_t page_key(const struct page_alloc *pa, uint32_t pfn)
{
    uintptr_t offset = (uintptr_t)pfn << PAGE_SHIFT;

    return pfn_has_address(&pa->map, pfn) ? (uintptr_t)pa->map.base + offset
                                          : offset | (uintptr_t)1 << 63;
}

/* Counts the block at pfn as in a caller's hands. */
static inline void page_count_alloc(struct page_alloc *pa, uint32_t pfn)
{
    if (usage_is_counted(pa->usage))
        usage_count_alloc(pa->usage, page_key(pa, pfn),
                          (uint64_t)page_block_pages(pfn_to_page(&pa->map, pfn)) << PAGE_SHIFT);
}

/* Takes back a block of 2**order frames, whatever state its owner gave it.
 * pre: it heads a block in the caller's hands (unchecked: buddy_free_locked looks at it). */
static always_inline void page_free_block(struct page_alloc *pa, uint32_t pfn, unsigned order)
{
    struct page *page = pfn_to_page(&pa->map, pfn);
    struct pcp *pcp;
    struct pcp_list *list;
    uint32_t nr;

    if (unlikely(!pcp_has_list(order) || !thread_has_domain(pa->domain))) {
        page_free_slow(pa, pfn, order);
        return;
    }
    pcp = thread_slot_loaded(THREAD_SLOT_PCP);
    list = pcp_list_at(&pcp->set[0], order);
    nr = load_relaxed(&list->nr);
    if (unlikely(nr >= list->high) ||
        unlikely(!page_words_same_zone(load_relaxed(&page->word), list->alloc_word))) {
        page_free_slow(pa, pfn, order);
        return;
    }
    pcp_push(pa, list, nr, pfn);
}

/* As page_alloc_uncounted, from zones without addresses only, whatever the mask says. */
uint32_t page_alloc_high(struct page_alloc *pa, unsigned order, uint32_t gfp);

/* Up to nr blocks of one frame; returns how many. */
uint32_t page_alloc_bulk(struct page_alloc *pa, uint32_t gfp, uint32_t nr, uint32_t *pfn);

/* --- runs of any length: runs.c, free.c ----------------------------------------- */

/* nr_pages frames at the start of a block of at least 2**align_order frames, in state LARGE, or
 * PFN_NONE; the caller counts a failure. As frame 0 of an arena is aligned to its largest block
 * in memory, so is the address, as far as the largest block. */
uint32_t page_alloc_exact(struct page_alloc *pa, uint32_t nr_pages, unsigned align_order,
                          uint32_t gfp);
/* A run of nr_pages frames of any length: aligned to align frames, not across a multiple of
 * nocross frames (powers of two, or 0). Addresses count, to any alignment; frame numbers only
 * where frames have no address. PFN_NONE; the caller counts. state: LARGE, or ALLOC, with one
 * reference, for page_put with page_order. */
uint32_t page_alloc_contig(struct page_alloc *pa, uint32_t nr_pages, uint32_t align,
                           uint32_t nocross, uint32_t gfp, enum pyslab_page_state state);
/* Exactly these frames, within one zone, likewise; PFN_NONE if not all are free. */
uint32_t page_reserve_range(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages,
                            enum pyslab_page_state state);
/* Takes the frames from pfn on, if all are free, for the block in the caller's hands that ends
 * there; the caller keeps its record right. */
bool page_extend(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages);
/* Any part of a block from page_alloc_exact; the caller keeps its record right. */
void page_free_range(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages);

/* --- large blocks freed a moment ago: shelf.c ------------------------------------- */

/* A block of exactly so many frames in state LARGE, as it was freed; PFN_NONE if there is none, or
 * the mask asks for more. */
uint32_t shelf_take(struct page_alloc *pa, uint32_t nr_pages, uint32_t gfp);
/* The shelf may have this LARGE block, which is in the caller's hands. */
bool shelf_suits(const struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages);
/* Keeps it as it is for the next request. pre: shelf_suits; its record says nr_pages */
void shelf_put(struct page_alloc *pa, uint32_t pfn, uint32_t nr_pages);

/* Large blocks in callers' hands. */
struct large_count {
    uint64_t nr;
    uint64_t nr_pages; /* frames of these */
};

struct large_count shelf_count_large(const struct page_alloc *pa);

#define SHELF_LARGE(nr_blocks, nr_pages) ((uint64_t)(nr_blocks) << 32 | (nr_pages))

/* Frames have become large blocks, or more of one. Not for a block from the shelf. */
static inline void shelf_add_large(struct page_alloc *pa, uint32_t nr_blocks, uint32_t nr_pages)
{
    add_relaxed(&pa->shelf.nr_large, SHELF_LARGE(nr_blocks, nr_pages));
}

/* So many large blocks and frames of these are counted, so that they may go. */
static inline bool large_is_counted(const struct page_alloc *pa, uint32_t nr_blocks,
                                    uint32_t nr_pages)
{
    uint64_t all = load_relaxed(&pa->shelf.nr_large);

    return all >> 32 >= nr_blocks && (uint32_t)all >= nr_pages;
}

/* They are none any more. Not for a block that the shelf has taken. */
static inline void shelf_sub_large(struct page_alloc *pa, uint32_t nr_blocks, uint32_t nr_pages)
{
    CHECK(large_is_counted(pa, nr_blocks, nr_pages));
    sub_relaxed(&pa->shelf.nr_large, SHELF_LARGE(nr_blocks, nr_pages));
}

/* --- blocks that others hold ------------------------------------------------------ */

#define PAGE_KEPT 1 /* the keeper frees the block later: the caller has given it away */

/* May the block at p be freed now? OK; PAGE_KEPT; EDOUBLE: it was given away before. */
static inline int page_keeps(const struct page_alloc *pa, const void *p)
{
    return likely(pa->keeper.ask == NULL) ? PYSLAB_OK : pa->keeper.ask(pa->keeper.context, p);
}

/* Others may hold the block at p, so that no part of it may go, and none be added. */
static inline bool page_is_shown(const struct page_alloc *pa, const void *p)
{
    return unlikely(pa->keeper.ask != NULL) && pa->keeper.shows(pa->keeper.context, p);
}

/* --- references: refs.c ----------------------------------------------------------- */

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

/* --- when memory is short: reclaim.c, shrinker.c ----------------------------------- */

/* Lets the slow path call reclaim, without a lock of the core, before a request fails, with the
 * request's frames; in the background with 0. */
void page_alloc_set_reclaim(struct page_alloc *pa, bool (*reclaim)(void *, uint32_t),
                            void *context);
/* After a failure: a callback ended the request, so a smaller one must not be tried. */
bool page_alloc_gave_up(struct page_alloc *pa);

/* Errors: EINVAL, ENOMEM. */
int shrinker_register(struct page_alloc *pa, const pyslab_shrinker_options *options,
                      struct shrinker **out);
void shrinker_unregister(struct shrinker *shrinker);

/* --- giving memory back: pcp.c, purge.c, release.c, hugepage.c ----------------------- */

/* Gives this thread's page lists and the shelf to the buddy; true if there was anything. */
bool pcp_drain(struct page_alloc *pa);

/* Asks every thread to drain its page lists at its next exchange with the buddy or a barn. */
static inline void page_alloc_request_drain(struct page_alloc *pa)
{
    add_relaxed(&pa->drain_epoch, 1);
}

#define PURGE_NEVER UINT32_MAX

/* delay_ms: how soon what is not needed goes back (purge.c). fixed: the memory cannot go back. */
void page_alloc_set_purge(struct page_alloc *pa, uint32_t delay_ms, bool fixed);
/* Ends the interval of the working set if it is over: purges what was surplus in it, and asks
 * every thread to drain. For slow paths; no lock held. */
void page_alloc_tick(struct page_alloc *pa);
/* The part of a tick that lets the arena show its figures; true: the interval is over. */
bool page_alloc_look(struct page_alloc *pa);
/* Has an allocation become due as a sample every so often, as page_alloc_tick sees it; the first
 * one is due at once. Before the first allocation. */
void page_alloc_set_sample(struct page_alloc *pa, uint32_t interval_ms);
/* For a thread that waits for that time: how many milliseconds are left of the interval; and the
 * same work as page_alloc_tick without telling that thread of it. pre: not PURGE_NEVER */
uint32_t page_alloc_interval_left(const struct page_alloc *pa);
void page_alloc_end_interval(struct page_alloc *pa);
/* Frames that are free and hold old content. Takes the zones' locks. */
uint64_t page_alloc_dirty(struct page_alloc *pa);
/* Gives all free resident frames to the operating system; returns how many. */
uint64_t page_alloc_release(struct page_alloc *pa);
/* Lets the trial of hugepage.h take place. ENOMEM */
int page_alloc_set_hugepages(struct page_alloc *pa);

#endif

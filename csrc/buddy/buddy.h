/* buddy.h - the binary buddy allocator of one zone.
 *
 * What it is: blocks of 2^order frames, split on demand and merged when both halves
 * are free, in a zone whose start and length need not be powers of two.
 * What it is not: thread-safe by itself (its callers hold zone->lock), or a judge of
 * who may have the memory (page_alloc is).
 *
 * Data structure: two free lists per order: `dirty`, blocks with old content at least
 * in part, and `clean`, blocks that read zero. A bit map per
 * kind says which orders have blocks, so that the search is a shift and a count of
 * trailing zeros. Frames from `frontier` to the zone's end have never been used and
 * are on no list: aligned blocks are carved from there when the lists run out, no larger
 * than needed, so that an untouched arena costs no metadata.
 * Placement: resident blocks first, untouched ones last. A split keeps the lower half,
 * or the resident one where the halves differ. A freed block goes to the head of its
 * list, or to the tail when its parent's buddy is free too and a merge is likely.
 * Residency: a merge of unlike halves is MIXED and the halves' records keep their own
 * state, so a later split gets it back exactly. Each head counts its dirty frames.
 * Invariant: free_pages == sum over lists of nr << order, dirty_pages == sum over lists
 * of nr_dirty, and no two free buddies of the same order < max_order exist.
 * Cost: O(orders) per operation.
 * Lock: zone->lock guards every field of struct zone after set-up, and the records of
 * the zone's free blocks.
 */
#ifndef BUDDY_BUDDY_H
#define BUDDY_BUDDY_H

#include "base/lock.h"
#include "page/page.h"

enum free_kind {
    FREE_DIRTY, /* some frame of it is dirty */
    FREE_CLEAN, /* all of it reads zero */
    NR_FREE_KINDS,
};

struct free_area {
    struct index_list list[NR_FREE_KINDS]; /* heads of free blocks */
};

/* No pointers: pfns and counts only. */
struct zone {
    struct lock lock;                    /* guards all below */
    char name[16];                       /* "NORMAL"; constant */
    uint32_t type;                       /* enum pyslab_zone_type; constant */
    uint32_t index;                      /* place in the arena's zone array; constant */
    uint32_t start_pfn;                  /* first frame; constant */
    uint32_t end_pfn;                    /* one past the last frame; constant */
    uint32_t max_order;                  /* largest block; constant */
    uint32_t frontier;                   /* frames from here to end_pfn are on no list */
    uint32_t records_end;                /* frames from here on have records that cannot be
                                            written yet; never below frontier */
    enum residency fresh;                /* what is known of frames from frontier on; constant */
    uint32_t free_pages;                 /* frames on the lists */
    uint32_t dirty_pages;                /* of these, resident ones */
    uint32_t min_dirty_pages;            /* fewest of them since page_alloc last asked */
    uint32_t used_orders;                /* bit n: such a block was taken since then */
    uint32_t hot_orders;                 /* the same of the time before */
    uint32_t free_orders[NR_FREE_KINDS]; /* bit o: list of order o is not empty */
    struct free_area free_area[NR_ORDERS];
    /* What page_alloc keeps here. */
    uint32_t watermark[PYSLAB_NR_MARKS];   /* frames; constant */
    uint32_t lowmem_reserve[MAX_NR_ZONES]; /* frames, by the index of the highest zone that a
                                              request may use; constant */
    uint32_t batch, high_min, high_max;    /* of the page lists, frames; constant */
    _Atomic uint32_t used_pages;           /* frames outside the buddy; others read it */
    uint32_t isolated_pages;               /* of neither: on their way to the system */
    bool torn;                             /* a forked child's: what other threads of the parent
                                              had just taken may have no record of its own */
    uint64_t nr_allocs;                    /* blocks taken since creation */
    uint64_t nr_frees;                     /* blocks given back */
    uint64_t pages_allocated;              /* their frames */
    uint64_t pages_freed;                  /* likewise */
    uint64_t nr_fallbacks;                 /* blocks of requests that preferred a higher zone */
    _Atomic uint64_t nr_stalls;            /* direct reclaims of requests for this zone */
};

void zone_init(struct zone *zone, const char *name, uint32_t index, uint32_t start_pfn,
               uint32_t nr_pages, unsigned max_order);
void zone_destroy(struct zone *zone);
/* For an arena whose records are closed (frame_map_close), before its first block: opens those of
 * the zone's first ZONE_RECORDS_STEP frames. More are opened as the frontier moves. EOS */
#define ZONE_RECORDS_STEP 32768u /* frames; a mebibyte of records */
int zone_open_first_records(struct zone *zone, const struct frame_map *map);

static inline uint32_t zone_managed_pages(const struct zone *zone)
{
    return zone->end_pfn - zone->start_pfn;
}

/* Frames nobody uses: listed ones and those beyond the frontier. */
static inline uint32_t zone_free_pages(const struct zone *zone)
{
    return zone->free_pages + (zone->end_pfn - zone->frontier);
}

/* A block of this order, or PFN_NONE. Its records still tell its residency. */
uint32_t buddy_alloc_locked(struct zone *zone, const struct frame_map *map, unsigned order);

/* nr_pages frames at the start of a block of this order; the frames behind them go
 * back at once. pre: 0 < nr_pages <= 1 << order. */
uint32_t buddy_alloc_exact_locked(struct zone *zone, const struct frame_map *map, unsigned order,
                                  uint32_t nr_pages);

/* Takes a free block that is resident at least in part, from the largest order that has
 * one and not below min_order, a hot one only if all are; split down while it is larger than
 * max_pages, if that leaves at least min_order. PFN_NONE if there is none. */
uint32_t buddy_take_dirty_locked(struct zone *zone, const struct frame_map *map, unsigned min_order,
                                 uint32_t max_pages, unsigned *order);

/* pre: the block is in the caller's hands and aligned to its size. */
void buddy_free_locked(struct zone *zone, const struct frame_map *map, uint32_t pfn, unsigned order,
                       enum residency state);

/* Any run of frames in the caller's hands, as the largest aligned blocks. */
void buddy_free_range_locked(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                             uint32_t nr_pages, enum residency state);

/* Free blocks of one order, those beyond the frontier included. */
uint64_t buddy_nr_free_locked(const struct zone *zone, unsigned order);

/* The largest order that buddy_alloc_locked would satisfy now; -1 if none. */
int buddy_largest_order_locked(const struct zone *zone);

/* Recount from scratch: tiling, lists, bit maps, counters, missed merges. */
bool buddy_check_locked(const struct zone *zone, const struct frame_map *map, struct finding *f);

#endif

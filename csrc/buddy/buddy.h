/* buddy.h - the binary buddy allocator of one zone.
 *
 * What it is: blocks of 2**order frames, split on demand and merged when both halves are free, in
 * a zone whose start and length need not be powers of two. The two halves of a block are called
 * each other's buddies.
 * What it is not: thread-safe by itself (its callers hold zone->lock), or a judge of who may have
 * the memory (page_alloc is).
 *
 * Data structure: two free lists for each order: `dirty` has the blocks of which some frame holds
 * what its last owner wrote, `clean` those that read zero. A bit map for each of the two kinds
 * says which orders have blocks, so that the search is a shift and a count of trailing zeros.
 * The frontier is the first frame that was never handed out. The frames from there to the zone's
 * end are on no list: aligned blocks are carved from the frontier when the lists run out, no
 * larger than needed, so that an untouched arena costs no metadata.
 * Placement: resident blocks first, untouched ones last. A split goes on with the lower half, or
 * with the resident one where the halves differ. A freed block goes to the head of its list, or
 * to the tail when the buddy of its parent is free too: then a merge is likely, and the block is
 * better left alone.
 * Residency (page.h) survives splits and merges: a merge of unlike halves is MIXED and the halves'
 * records keep their own state, so a later split gets it back exactly. Each head of a free block
 * counts its dirty frames.
 *
 * Invariants, with the functions of buddy_check.c that hold them:
 * blocks tile the frames from start_pfn to the frontier (blocks_tile_zone);
 * free_pages == sum over the lists of nr << order, and dirty_pages == sum over the listed blocks
 * of nr_dirty (free_counts_add_up); bit o of free_orders[kind] is set if and only if list o of
 * that kind has a block (list_is_sound); no two buddies of one order below max_order are both
 * free (free_block_is_sound).
 * Cost: O(orders) per operation.
 * Lock: zone->lock guards every field of struct zone after set-up, and the records of the zone's
 * free blocks.
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
    enum residency fresh;                /* residency of frames from frontier on; constant */
    uint32_t free_pages;                 /* frames on the lists */
    uint32_t dirty_pages;                /* frames on the lists that are dirty */
    uint32_t min_dirty_pages;            /* the fewest there were since this interval of purge.c
                                            began: so many were not needed all the time */
    uint32_t used_orders;                /* bit o: a block of order o was taken in this interval */
    uint32_t hot_orders;                 /* bit o: one was taken in the interval before this */
    uint32_t free_orders[NR_FREE_KINDS]; /* bit o: list of order o is not empty */
    struct free_area free_area[NR_ORDERS];
    /* What page_alloc keeps here: */
    uint32_t watermark[PYSLAB_NR_MARKS];   /* free frames that a request must leave in the zone,
                                              by the mark that holds for it; constant */
    uint32_t lowmem_reserve[MAX_NR_ZONES]; /* free frames that it must leave besides, by the index
                                              of the highest zone it may use: who could go to a
                                              higher zone must leave more here; constant */
    uint32_t batch;                        /* frames a page list moves at once; constant */
    uint32_t high_min, high_max;           /* frames a page list may hold; constant */
    _Atomic uint32_t used_pages;           /* frames outside the buddy; others read it */
    uint32_t isolated_pages;               /* free frames that are being given back to the system,
                                              and so are in the buddy as little as in use */
    bool torn;                             /* this is a forked child's copy: blocks that other
                                              threads of the parent had just taken may have no
                                              record of their own */
    uint64_t nr_allocs;                    /* blocks taken since creation */
    uint64_t nr_frees;                     /* blocks given back */
    uint64_t pages_allocated;              /* frames of the blocks taken */
    uint64_t pages_freed;                  /* frames of the blocks given back */
    uint64_t nr_fallbacks;                 /* blocks of requests that preferred a higher zone */
    _Atomic uint64_t nr_stalls;            /* direct reclaims of requests for this zone */
};

/* pre: nr_pages > 0, max_order <= MAX_ORDER */
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

/* Order of the largest aligned block that starts at pfn and ends within the zone. */
static inline unsigned frontier_order(const struct zone *zone, uint32_t pfn)
{
    unsigned order = min_uint(ctz32(pfn), zone->max_order);

    return min_uint(order, ilog2(zone->end_pfn - pfn));
}

/* A block of this order, or PFN_NONE. Its records still tell its residency. */
uint32_t buddy_alloc_locked(struct zone *zone, const struct frame_map *map, unsigned order);

/* nr_pages frames at the start of a block of this order; the frames behind them go
 * back at once. pre: 0 < nr_pages <= 1 << order. */
uint32_t buddy_alloc_exact_locked(struct zone *zone, const struct frame_map *map, unsigned order,
                                  uint32_t nr_pages);

/* Takes a dirty free block, of the largest order that has one; of an order that hot_orders names
 * only if all have been named. A block of more than max_pages is split down, but no block of less
 * than min_order is taken or made. PFN_NONE if there is none. */
uint32_t buddy_take_dirty_locked(struct zone *zone, const struct frame_map *map, unsigned min_order,
                                 uint32_t max_pages, unsigned *order);

/* pre: the block is in the caller's hands and aligned to its size. */
void buddy_free_locked(struct zone *zone, const struct frame_map *map, uint32_t pfn, unsigned order,
                       enum residency state);

/* Any run of frames of the zone, freed as the largest aligned blocks.
 * pre: they are in the caller's hands (checked block by block: none is free). */
void buddy_free_range_locked(struct zone *zone, const struct frame_map *map, uint32_t pfn,
                             uint32_t nr_pages, enum residency state);

/* Free blocks of one order, those beyond the frontier included. */
uint64_t buddy_nr_free_locked(const struct zone *zone, unsigned order);

/* The largest order that buddy_alloc_locked would satisfy now; -1 if none. */
int buddy_largest_order_locked(const struct zone *zone);

/* Recounts the zone from scratch: tiling, lists, bit maps, counters, missed merges. For a quiet
 * zone: blocks in use must have their records, which their owners write after they took them. */
bool buddy_check_locked(const struct zone *zone, const struct frame_map *map, struct finding *f);

/* The same while other threads, or the caller, have blocks in hand that have no record yet. What
 * is free is held to the same; of a block in use only that it has no free block within. */
bool buddy_check_busy_locked(const struct zone *zone, const struct frame_map *map,
                             struct finding *f);

#endif

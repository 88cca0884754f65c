/* page_map.h - what an arena's frames are used for: stretch by stretch, or summed up in cells.
 *
 * What it is: the walk of page_alloc/frames.h with what the caches know of their slabs: whose slab
 * it is, and how many of its objects are out. Cells are runs of 2**order frames, with exact shares.
 * What it is not: a picture. src/pyslab/_seeing draws.
 *
 * Data structure: arrays of the caller's. An array of stretches with as many places as there are
 * frames is long enough.
 * Invariant: the frames of a cell by use add up to those that it has; free frames by order are what
 * the buddy counts (buddy_nr_free_locked), while no other thread is in the arena.
 * Lock: none held by the caller; each zone's is taken in turn. A slab's figures are read without
 * its cache's lock: they are a moment old if other threads are at work.
 */
#ifndef ARENA_PAGE_MAP_H
#define ARENA_PAGE_MAP_H

#include "arena/arena.h"

#include "page_alloc/frames.h"

/* A stretch of frames. Eight words: Python reads them as such. */
struct page_map_span {
    uint32_t pfn;        /* first frame */
    uint32_t nr_pages;   /* frames */
    uint32_t block;      /* first frame of the block that they are a part of */
    uint32_t order;      /* of that block */
    uint32_t use;        /* enum frame_use */
    uint32_t cache;      /* id of the cache whose slab it is; 0: it is no slab */
    uint32_t nr_inuse;   /* objects of the slab that are not free in it */
    uint32_t nr_objects; /* objects of the slab */
};

/* A run of frames. Words likewise. */
struct page_map_cell {
    uint32_t nr_pages[NR_FRAME_USES]; /* frames by use */
    uint32_t cache;                   /* id of the cache with most frames here; 0: there is none */
    uint32_t cache_pages;             /* and its frames */
    uint32_t fill;                    /* how full its frames of slabs are: objects that are not
                                         free, in thousandths of all */
};

_Static_assert(sizeof(struct page_map_span) == 8 * sizeof(uint32_t), "eight words");
_Static_assert(sizeof(struct page_map_cell) == (NR_FRAME_USES + 3) * sizeof(uint32_t), "words");

struct page_map {
    uint32_t start, end;         /* frames to tell of */
    uint32_t order;              /* of a cell */
    uint32_t nr_spans;           /* written: stretches found; both arrays may be NULL */
    struct page_map_span *spans; /* room for end - start */
    struct page_map_cell *cells; /* zeroed; one for each 2**order frames from start on */
    uint64_t nr_free[MAX_NR_ZONES][NR_ORDERS]; /* written: free blocks of the whole arena */
    /* What follows is of the cell that the walk is in. */
    uint32_t cell;                 /* its number, from 1 on; 0: none yet */
    uint64_t fill;                 /* of its slabs' frames, in thousandths of a frame */
    uint64_t by_cache[MAX_CACHES]; /* cell << 32 | frames there, by id of the cache */
    struct pyslab_arena *arena;    /* whose frames these are */
};

/* pre: start, order and the arrays are set, the rest is zero; start < end <= nr_pages of the arena,
 * and order <= MAX_ORDER + 4 */
void page_map_read(struct pyslab_arena *arena, struct page_map *map);

#endif

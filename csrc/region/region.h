/* region.h - bump allocation: many small objects that go together.
 *
 * What it is: memory that is handed out by moving a pointer, and given back all at once
 * (reset, destroy) or down to a mark (rewind). Functions registered with on_exit, and child
 * regions, end in reverse order, before any memory goes.
 * What it is not: thread-safe. A region and its children have one owner at a time; regions
 * of different owners share nothing. It frees no single object, and kfree of one is an
 * EPOINTER: its memory is page blocks, in which no allocation of kmalloc starts.
 *
 * Data structure: a chain of page blocks in the order of their use, through the links of
 * their records in mem_map, so that nothing a user overruns is the region's own. Objects come
 * from the current block: it is bumped, that is, the bytes at `cur` are handed out and `cur` moves
 * behind them. The blocks behind the current one are spare, left by a rewind. Each new block is
 * as large as all before it together, up to REGION_MAX_ORDER. Objects of more than
 * REGION_LARGE_BYTES, or aligned to more than a page, have a block of their own, on a
 * second chain, youngest first. Marks and ends are stacks on the process-local heap.
 * Invariants, after every call (region_adds_up):
 * - region_chain_adds_up: nr_blocks and block_pages are the blocks of the first chain and their
 *   frames; start <= cur <= end are in the current block, which is in the chain;
 *   passed_bytes <= the bytes of the blocks before it;
 * - region_large_adds_up: nr_large and large_pages are those of the second chain;
 * - region_stacks_are_ordered: serials rise from the oldest mark, and end, to the youngest.
 * Lock: region_set.lock guards the list of an arena's regions; a region has none: its owner
 * makes one call at a time.
 */
#ifndef REGION_REGION_H
#define REGION_REGION_H

#include "base/lock.h"
#include "page_alloc/page_alloc.h"

#include <stddef.h>

#define REGION_ALIGN ((size_t)16)             /* of every object; a power of two */
#define REGION_LARGE_BYTES ((size_t)64 << 10) /* larger objects have their own block */
#define REGION_MAX_ORDER 9u                   /* of a grown block: 2 MiB, a page list's order */
#define REGION_POISON 0xaa                    /* unused bytes, at check level 1 */

struct arena_debug;
struct region_debug;

/* What to do before memory goes: a function, or the end of a child. */
struct region_end {
    struct region_end *below; /* registered before; NULL: none */
    struct region_end *above; /* registered after */
    uint64_t serial;          /* of the region when it was registered */
    pyslab_region_exit fn;    /* the function; NULL: this is the end of a child */
    void *context;            /* passed to fn */
    struct region *child;     /* the child; NULL: this is a function */
};

/* Where a region was when a mark was made. */
struct region_mark {
    uint64_t serial;     /* of the region then: no two marks of it have the same */
    char *cur;           /* the region's fields of these names, as they were then */
    size_t passed_bytes; /* likewise */
    uint32_t block;      /* likewise */
    uint32_t large;      /* likewise */
    uint32_t nr_notes;   /* region_debug_nr, likewise */
};

struct region_set {
    struct lock lock;          /* guards the list */
    struct region *regions;    /* list of all, children included */
    struct page_alloc *pages;  /* where the memory comes from */
    struct arena_debug *debug; /* which debug flags its regions have, and what becomes of finds */
};

struct region {
#if PYSLAB_CHECK_LEVEL >= 1
    pyslab_region_head no_head; /* NULL: clients bump nothing that is checked */
#endif
    char *cur;                    /* next byte to hand out; aligned to REGION_ALIGN */
    char *end;                    /* end of the current block */
    char *start;                  /* start of the current block; NULL: there is none yet */
    struct region_set *set;       /* the list it is on; constant */
    struct region *next;          /* on that list, under its lock */
    struct region *prev;          /* likewise */
    struct region *parent;        /* NULL: none; constant */
    struct region_end *in_parent; /* the parent's record of this child; constant */
    struct region_end *ends;      /* stack of functions and children, youngest first */
    struct region_mark *marks;    /* stack of the live marks, oldest first */
    uint32_t nr_marks;            /* on that stack */
    uint32_t max_marks;           /* for how many it has room */
    uint64_t serial;              /* counts marks, ends and touches */
    uint64_t changed;             /* serial of the last end or touch that is in force */
    uint64_t mark_base;           /* a mark's number is this plus its serial; constant */
    uint32_t first;               /* first block of the chain, or PFN_NONE */
    uint32_t block;               /* the current block, or PFN_NONE: none is in use yet */
    uint32_t large;               /* block of the youngest large object, or PFN_NONE */
    uint32_t nr_busy;             /* ends and slow allocations that are running, here and in
                                     children: callbacks may come in meanwhile */
    uint32_t nr_blocks;           /* blocks of the chain */
    uint32_t nr_large;            /* large objects */
    uint64_t block_pages;         /* frames of the chain */
    uint64_t large_pages;         /* frames of large objects */
    size_t passed_bytes;          /* bumped in the blocks before the current one */
    struct region_debug *debug;   /* see region_debug.h; NULL: it has no debug flags; constant */
};

void region_set_init(struct region_set *set, struct page_alloc *pages, struct arena_debug *debug);
/* Deletes the records of regions that still exist. Their ends are not called, and their frames
 * are not given back: the arena unmaps them. */
void region_set_destroy(struct region_set *set);

/* The functions of the public header; it has their contracts. */
int region_create(struct region_set *set, size_t size_hint, struct region **out);
int region_create_child(struct region *parent, struct region **out);
int region_on_exit(struct region *region, pyslab_region_exit fn, void *context);
uint64_t region_mark(struct region *region);
int region_rewind(struct region *region, uint64_t mark);
int region_reset(struct region *region);
int region_destroy(struct region *region);
void region_stats(const struct region *region, pyslab_region_stats *out);

/* Whether rewind would accept it. */
bool region_mark_is_live(const struct region *region, uint64_t mark);
/* Calls the ends as a rewind to that mark does, or as a reset for mark 0, but keeps the memory:
 * what was handed out is not handed out again before the next rewind or reset. */
int region_rewind_keeping(struct region *region, uint64_t mark);
/* Makes the next mark another one than the last, even if nothing is allocated between them. */
static inline void region_touch(struct region *region)
{
    region->changed = ++region->serial;
}

/* Allocates what the fast path could not: any size and alignment. zero: GFP_ZERO or 0. */
void *region_alloc_slow(struct region *region, size_t size, size_t align, uint32_t zero);

#if PYSLAB_CHECK_LEVEL >= 1
/* Ends the process if somebody has written to memory that was not handed out. */
void region_check_unused(const char *p, size_t size);
#else
static always_inline void region_check_unused(const char *p, size_t size)
{
    (void)p, (void)size;
}
#endif

/* Hands out size bytes aligned to REGION_ALIGN. A size of 0 goes to the slow path, which is why
 * the compare is with size - 1. cur and end are both aligned, so a size that fits also fits when
 * it is rounded up. A size that the compiler knows costs five instructions. */
static always_inline void *region_alloc(struct region *region, size_t size)
{
    char *p = region->cur;

    if (__builtin_constant_p(size) && size - 1 < PAGE_SIZE) { /* no sum can overflow */
        size_t step = (size + REGION_ALIGN - 1) & ~(REGION_ALIGN - 1);

        if (likely((uintptr_t)p + step <= (uintptr_t)region->end)) {
            region->cur = p + step;
            region_check_unused(p, size);
            return p;
        }
    } else if (likely(size - 1 < (size_t)(region->end - p))) {
        region->cur = p + ((size + REGION_ALIGN - 1) & ~(REGION_ALIGN - 1));
        region_check_unused(p, size);
        return p;
    }
    return region_alloc_slow(region, size, REGION_ALIGN, 0);
}

void *region_alloc_aligned(struct region *region, size_t size, size_t align);
void *region_alloc_zeroed(struct region *region, size_t size, size_t align);

/* Recounts one region: the invariants above. For its owner. */
bool region_adds_up(const struct region *region, struct finding *f);
/* Recounts every region. Quiescence: no other thread in the arena. */
bool region_check(struct region_set *set, struct finding *f);

#endif

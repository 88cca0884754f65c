/* record.h - struct page_alloc, the record of one arena's page allocator.
 *
 * What it is: all that the files of page_alloc/ keep, in one place, because the fast paths that
 * page_alloc.h inlines into other layers read it. Which file looks after which part is said there.
 * What it is not: an interface. Other layers use the functions of page_alloc.h; they read fields
 * that are constant, or counters, and write none but those that a function tells them to.
 *
 * Data structure: zones over one frame map, lowest first; struct pcp, in each thread's slot of the
 * arena's domain: for each zone a stack of frame numbers for each order that has a page list; and
 * the shelf, which all threads share.
 * Lock: each field says it. A pcp is its thread's alone.
 */
#ifndef PAGE_ALLOC_RECORD_H
#define PAGE_ALLOC_RECORD_H

#include "buddy/buddy.h"
#include "page_alloc/fault_attr.h"
#include "page_alloc/usage.h"
#include "sanitize/sanitize.h"
#include "thread/thread.h"

#define NR_PCP_LISTS 10u      /* orders 0 to 9 */
#define PCP_CAPACITY 128u     /* blocks of order 0: 512 KiB; see pcp.c for the others */
#define PCP_CAPACITY_REST 32u /* blocks of any other order */
#define LIMIT_NONE UINT64_MAX

struct pcp_list {
    _Atomic uint32_t nr; /* frame numbers on the stack; others read it */
    uint32_t high;       /* at most so many blocks; 0: the order has no list */
    uint32_t batch;      /* blocks moved to or from the buddy at once; <= high */
    uint32_t alloc_word; /* page->word of a block of this list in use; constant */
    uint32_t frame[];    /* stack: the youngest is last */
};

#define PCP_LIST_BYTES(capacity) (sizeof(struct pcp_list) + (capacity) * sizeof(uint32_t))

/* The lists of one zone, one behind the other; that of order 0, which is the longest, is the last
 * (pcp_list_at). */
struct pcp_set {
    _Alignas(16) unsigned char bytes[(NR_PCP_LISTS - 1) * PCP_LIST_BYTES(PCP_CAPACITY_REST) +
                                     PCP_LIST_BYTES(PCP_CAPACITY)];
};

/* One thread's page lists. */
struct pcp {
    uint32_t drain_epoch; /* page_alloc's when this thread last gave all to the buddy */
    bool in_reclaim;      /* this thread runs a callback: no reclaim within reclaim */
    bool gave_up;         /* a callback ended this thread's last slow request */
    struct pcp_set set[]; /* by place (pcp_place): first the NORMAL zone's */
};

#define SHELF_SLOTS 8u

/* See shelf.h. */
struct shelf {
    _Alignas(64) _Atomic uint64_t slot[SHELF_SLOTS]; /* a block each (SHELF_WORD); 0: none */
    _Atomic uint32_t nr_puts;                        /* about how many blocks were put there */
    /* Large blocks in callers' hands and on the shelf, times 2**32, plus their frames: one word,
     * and a block that only goes to the shelf and comes back leaves it alone. */
    _Atomic uint64_t nr_large;
};

/* See purge.c. */
struct purge {
    uint32_t interval_ms;            /* of the working set; PURGE_NEVER: no purging; constant */
    _Atomic uint32_t interval_start; /* os_time_ms when the current interval began */
    _Atomic uint32_t traded;         /* frames in this interval (zone_trade) */
    bool fixed;                      /* the memory cannot go back to the system (hugetlb, mlock);
                                        constant */
    void (*note)(void *context);     /* called by each tick, for the arena's own thread
                                        (arena/background.h); NULL: there is none; constant */
    void *note_context;              /* its argument; constant */
};

/* Called by a tick once the time has come: the arena shows its figures to other processes
 * (arena/arena_publish.h). */
struct show {
    void (*call)(void *context, uint32_t now_ms); /* NULL: it does not */
    void *context;                                /* its first argument */
    _Atomic uint32_t due_ms;                      /* os_time_ms of that time */
};

/* Of KFENCE (slab/fence.h): when an allocation is to be looked at more closely. */
struct sample {
    uint32_t interval_ms;      /* 0: never; constant once an allocation may be made */
    _Atomic uint32_t start_ms; /* os_time_ms when the last one became due */
    _Atomic bool due;          /* the next one of the wanted cache is to be a sample */
    _Atomic uint32_t wanted;   /* id of that cache; 0: not chosen yet; UINT32_MAX: any */
};

/* See hugepage.h. */
enum hugepages_state { HUGEPAGES_OFF, HUGEPAGES_UNTRIED, HUGEPAGES_TRYING, HUGEPAGES_ON };

struct hugepages {
    _Atomic uint32_t state;   /* enum hugepages_state */
    _Atomic uint8_t *differs; /* a byte for each run of 32 MiB: 1: its advice is the opposite of
                                 the arena's; process-local heap */
    uint32_t nr_runs;         /* runs; 0: no huge pages wanted; constant */
};

/* See reclaim.c. */
struct reclaim {
    /* An upper layer frees blocks; true: some came back. nr_short: frames of a request that fails
     * otherwise; 0: none does yet. */
    bool (*upper)(void *context, uint32_t nr_short);
    void *upper_context;
    /* The out-of-memory callback: asked before a request fails; NULL: there is none. */
    int (*_Atomic oom)(size_t nbytes, uint32_t zone, void *context);
    void *_Atomic oom_context;       /* its last argument; written before oom is */
    struct lock shrinkers_lock;      /* guards the list and the pins */
    struct shrinker *shrinkers;      /* list; see shrinker.c */
    _Atomic uint32_t kswapd_wanted;  /* 1: background reclaim was woken and has not run */
    _Atomic uint32_t kswapd_skip;    /* wakes still to ignore, because the last run got nothing */
    _Atomic uint32_t kswapd_backoff; /* wakes that were to be ignored after that run */
    _Atomic uint64_t events[PYSLAB_NR_VM_EVENTS]; /* what vmstat() tells */
};

/* Asked before a block is freed that others may hold. See page_keeps. */
struct keeper {
    int (*ask)(void *context, const void *p);    /* NULL: nobody else sees the frames; constant */
    bool (*shows)(void *context, const void *p); /* others may hold the block at p */
    void *context;                               /* the first argument of both; constant */
};

#define INIT_ON_ALLOC 1u /* bits of page_alloc.init */
#define INIT_ON_FREE 2u

struct page_alloc {
    struct frame_map map;         /* the frames, and their records */
    struct thread_domain *domain; /* where the pcps are */
    uint32_t nr_zones;            /* constant */
    uint32_t max_order;           /* of the largest block; constant */
    uint32_t normal;              /* index of the zone of the fast path; constant */
    uint8_t gfp_zone[16];         /* highest zone by a mask's low four bits; constant */
    uint32_t pcp_high[MAX_NR_ZONES][NR_PCP_LISTS];  /* what each new pcp gets; constant */
    uint32_t pcp_batch[MAX_NR_ZONES][NR_PCP_LISTS]; /* likewise */
    struct zone zone[MAX_NR_ZONES];                 /* nr_zones of them, lowest first */
    uint32_t open_end;                 /* frames from here on may not be touched yet (access.c);
                                          PFN_NONE: all may; their zone's lock */
    bool forked;                       /* this is a forked child's copy: the frames of high memory
                                          are the parent's */
    enum sanitize_mode watch;          /* the tool that watches the frames; NONE if they
                                          are shared: others use them, too; constant */
    _Atomic uint32_t watched_end;      /* frames below are roots of LeakSanitizer: watch.h */
    uint32_t init;                     /* INIT_ON_ALLOC, INIT_ON_FREE: init_on.h; constant */
    bool uncached;                     /* threads keep no blocks and no objects, and the shelf is
                                          empty; constant */
    bool best_fit;                     /* large requests go to the shortest resident run that
                                         fits, also where a larger block is free; set
                                         before the first allocation */
    _Atomic uint64_t peak_used_pages;  /* most frames outside the buddy at once */
    struct lock limit_lock;            /* held around a take while a limit is set */
    _Atomic uint64_t limit_pages;      /* at most so many frames outside; LIMIT_NONE */
    _Atomic uint32_t drain_epoch;      /* a thread behind it drains at its next exchange */
    _Atomic uint32_t nr_isolated;      /* free blocks that purge.c has taken out of the buddy */
    _Atomic uint32_t nr_returns;       /* blocks that it has put back, ever */
    _Atomic uint64_t alloc_failures;   /* requests that found no memory */
    _Atomic uint64_t pages_cleared;    /* frames cleared for GFP_ZERO */
    _Atomic uint64_t pages_known_zero; /* frames that needed no clearing */
    _Atomic uint64_t pages_released;   /* frames given back to the operating system */
    struct usage *usage;               /* what callers have: own_usage, or another arena's
                                         whose side this one is; constant */
    struct usage own_usage;            /* while an arena is nobody's side */
    const struct fault_watch *faults;  /* what is made to fail: own_faults, or that other's */
    struct fault_watch own_faults;
    struct shelf shelf;     /* large blocks freed a moment ago: shelf.h */
    struct purge purge;     /* giving memory back: purge.c */
    struct sample sample;   /* looked at with the same clock */
    struct show show;       /* likewise */
    struct hugepages huge;  /* asking for huge pages: hugepage.c */
    struct keeper keeper;   /* who may hold blocks that their owner frees */
    struct reclaim reclaim; /* when memory is short: reclaim.c, shrinker.c */
};

/* Each block is looked at on its way to a caller and back. */
static inline bool blocks_are_looked_at(const struct page_alloc *pa)
{
    return pa->watch != SANITIZE_NONE || pa->init != 0;
}

/* Each block goes to the buddy and comes from there: no page list and no shelf may keep one. */
static inline bool blocks_are_not_kept(const struct page_alloc *pa)
{
    return blocks_are_looked_at(pa) || pa->uncached;
}

#endif

/* figures.h - the layout of the file in which a process publishes its arenas' figures.
 *
 * What it is: what `pyslab top` reads (src/pyslab/_top/figures.py), of this process or another: a
 * file in memory named PUBLISH_NAME, found through the process's descriptors in /proc. A header,
 * and a place for each of PUBLISH_ARENAS arenas with its zones and caches, and the call sites of a
 * tracked one. All numbers are of this machine's byte order; all times are nanoseconds of its
 * monotonic clock.
 * What it is not: a way in. A reader checks all that it reads: the writer may be hostile, or dying.
 *
 * Bounds. The size is fixed. Arenas beyond the first PUBLISH_ARENAS are counted in nr_unplaced. Of
 * an arena's caches those that were never used are left out, and counted; of the others the first
 * PUBLISH_CACHES by id are there, and nr_caches counts all. Zones all have a place. Of call sites
 * with live memory the PUBLISH_SITES with the most bytes are there, each with the PUBLISH_FRAMES
 * innermost calls, of which at most PUBLISH_C_FRAMES are C's if Python's are known.
 *
 * No torn picture. While a place is written its `sequence` is odd. Each picture has the sum of its
 * other words in `sum`. A reader copies the place, and takes the copy if it is of one even sequence
 * at its beginning and its end, and the sum is right.
 * Invariant: an even sequence means that sum is the sum of the words behind it.
 *
 * Version: PUBLISH_VERSION, of the header and of all; a reader refuses others. What is added goes
 * into `reserved` words where that is enough.
 */
#ifndef PUBLISH_FIGURES_H
#define PUBLISH_FIGURES_H

#include "base/config.h"

#define PUBLISH_NAME "pyslab-figures"
#define PUBLISH_MAGIC 0x31706f7462617370u /* "psabtop1" */
#define PUBLISH_VERSION 2u
#define PUBLISH_ARENAS 16u
#define PUBLISH_CACHES 192u
#define PUBLISH_ZONES 5u
#define PUBLISH_SITES 16u
#define PUBLISH_FRAMES 8u
#define PUBLISH_C_FRAMES 3u

struct publish_header {
    _Atomic uint64_t magic;        /* PUBLISH_MAGIC; written last of the constant ones */
    uint64_t version;              /* PUBLISH_VERSION; constant */
    uint64_t file_bytes;           /* constant, like the next five */
    uint64_t arenas_offset;        /* of the first struct publish_arena */
    uint64_t arena_bytes;          /* from one to the next */
    uint64_t nr_arenas;            /* PUBLISH_ARENAS */
    uint64_t process;              /* the writer's id, as it sees it itself */
    uint64_t made_ns;              /* when the file was made */
    _Atomic uint64_t nr_unplaced;  /* arenas alive that found no place */
    _Atomic uint64_t nr_published; /* pictures written, of all arenas */
    uint64_t reserved[6];          /* 0 */
};

struct publish_zone {
    uint64_t type;            /* enum pyslab_zone_type */
    uint64_t managed_pages;   /* frames */
    uint64_t free_pages;      /* in the buddy */
    uint64_t dirty_pages;     /* of these with old content */
    uint64_t pcp_pages;       /* on threads' page lists and the shelf */
    uint64_t watermark[3];    /* min, low, high */
    uint64_t nr_allocs;       /* blocks taken from the buddy, ever */
    uint64_t nr_frees;        /* and given back */
    uint64_t pages_allocated; /* frames of the blocks taken */
    uint64_t nr_fallbacks;    /* blocks for requests that preferred a higher zone */
    uint64_t nr_stalls;       /* direct reclaims */
    uint64_t reserved[3];     /* 0 */
};

struct publish_cache {
    char name[32];           /* ends with NUL */
    uint32_t object_size;    /* bytes asked for */
    uint32_t stride;         /* bytes from one object to the next */
    uint32_t objects;        /* of a slab */
    uint32_t slab_order;     /* frames of a slab: 1 << slab_order */
    uint64_t nr_full;        /* slabs */
    uint64_t nr_partial;     /* slabs */
    uint64_t nr_empty;       /* slabs */
    uint64_t live_objects;   /* in callers' hands */
    uint64_t cached_objects; /* free, in sheaves, the barn or reserves */
    uint64_t total_allocs;   /* objects handed out, ever */
};

/* A call on the way to an allocation. */
struct publish_frame {
    uint64_t address;  /* C: where the call returns to; Python: 0 */
    uint64_t line;     /* Python: in the file, from 1; C: 0 */
    char file[72];     /* Python: its path, or the end of a longer one; ends with NUL */
    char function[40]; /* Python: its name, or the beginning of a longer one; ends with NUL */
};

/* A place from which memory was allocated. */
struct publish_site {
    uint64_t number;    /* of the place, in its process */
    uint64_t bytes;     /* of what is live */
    uint64_t count;     /* live allocations */
    uint64_t nr_allocs; /* allocations ever */
    uint64_t nr_frames; /* places used in frame[]; 0: the calls are not known */
    uint64_t reserved;  /* 0 */
    struct publish_frame frame[PUBLISH_FRAMES]; /* the innermost call first */
};

enum publish_arena_flags {
    PUBLISH_ARENA_MALLOC = 1,  /* the malloc library's */
    PUBLISH_ARENA_SIDE = 2,    /* high memory for another arena's vmalloc */
    PUBLISH_ARENA_SHARED = 4,  /* other processes may hold its blocks */
    PUBLISH_ARENA_TRACKED = 8, /* each allocation is noted with its place */
    PUBLISH_ARENA_FORKED = 16, /* a forked child's copy */
};

/* Words, so that they can be summed up. */
struct publish_picture {
    uint64_t number;         /* of the arena in its process, from 1 on; 0: nobody's place */
    uint64_t flags;          /* enum publish_arena_flags */
    uint64_t made_ns;        /* when the arena was made */
    uint64_t written_ns;     /* when this was written */
    uint64_t took_ns;        /* and how long that took */
    uint64_t size_bytes;     /* of all frames */
    uint64_t limit_bytes;    /* 0: none */
    uint64_t peak_pages;     /* most frames outside the buddy at once */
    uint64_t slab_pages;     /* frames of slabs */
    uint64_t large_pages;    /* frames of large blocks */
    uint64_t nr_large;       /* large blocks */
    uint64_t pages_released; /* frames given back to the system, ever */
    uint64_t alloc_failures; /* requests that found no memory */
    uint64_t nr_zones;       /* places used in zone[] */
    uint64_t nr_caches;      /* of the arena */
    uint64_t nr_unused;      /* of these never used, and so left out */
    uint64_t nr_shown;       /* places used in cache[] */
    uint64_t nr_threads;     /* that have used the arena */
    uint64_t nr_sites;       /* call sites with live memory */
    uint64_t nr_sites_shown; /* places used in site[] */
    uint64_t reserved[4];    /* 0 */
    struct publish_zone zone[PUBLISH_ZONES];
    struct publish_cache cache[PUBLISH_CACHES];
    struct publish_site site[PUBLISH_SITES];
};

struct publish_arena {
    _Atomic uint64_t sequence; /* odd while the rest is written */
    _Atomic uint64_t sum;      /* of the picture's words, those of the caches and sites shown */
    struct publish_picture picture;
};

_Static_assert(sizeof(struct publish_header) == 16 * 8, "what the reader takes it for");
_Static_assert(sizeof(struct publish_zone) == 16 * 8, "likewise");
_Static_assert(sizeof(struct publish_cache) == 96, "likewise");
_Static_assert(sizeof(struct publish_frame) == 128, "likewise");
_Static_assert(sizeof(struct publish_site) == 6 * 8 + 8 * 128, "likewise");
_Static_assert(offsetof(struct publish_picture, zone) == 24 * 8, "likewise");
_Static_assert(PUBLISH_ZONES == PYSLAB_NR_ZONE_TYPES, "an arena has at most one of each kind");

#endif

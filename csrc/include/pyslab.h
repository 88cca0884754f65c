/* pyslab.h - the public C interface of pyslab, and the source of the cffi cdef.
 *
 * What it is: the only header a client includes. Every function may be called
 * from any thread, without the GIL, unless its comment asks for quiescence.
 * What it is not: a place for logic. csrc/api/ checks arguments, the layers work.
 *
 * Errors: functions that return `int` give 0 or a negative `enum pyslab_error`;
 * functions that return a pointer give NULL, and functions that return a page
 * frame number give PYSLAB_PFN_NONE. Sizes are bytes unless the name says pages.
 *
 * The build runs this file through `cc -E -P -DPYSLAB_CDEF` to make the cdef,
 * so its body holds declarations only.
 */
#ifndef PYSLAB_H
#define PYSLAB_H

#ifndef PYSLAB_CDEF
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#endif

typedef struct pyslab_arena pyslab_arena;     /* one arena: zones, caches, kmalloc */
typedef struct kmem_cache pyslab_kmem_cache;  /* objects of one size in one arena */
typedef struct mempool pyslab_mempool;        /* a reserve of objects of one cache */
typedef struct region pyslab_region;          /* objects that go together */

enum pyslab_limits {
    PYSLAB_PAGE_SHIFT = 12,     /* an arena frame is 4 KiB on every host */
    PYSLAB_MAX_ORDER = 20,      /* largest max_order an arena may ask for: 4 GiB */
    PYSLAB_DEFAULT_ORDER = 18,  /* default max_order: 1 GiB blocks */
    PYSLAB_NAME_MAX = 32,       /* bytes of a cache name, its NUL included */
    PYSLAB_ZERO_SIZE = 16,      /* the address kmalloc(0) returns, never memory */
};

enum pyslab_purge {
    PYSLAB_PURGE_DEFAULT_MS = 1000,   /* what a purge_delay_ms of 0 means */
    PYSLAB_PURGE_NEVER = 0xffffffff,  /* a purge_delay_ms that never comes */
};

/* Kinds of zones, lowest first, as the kernel orders them. Frames of HIGHMEM and MOVABLE
 * zones have no address. */
enum pyslab_zone_type {
    PYSLAB_ZONE_DMA = 0,
    PYSLAB_ZONE_DMA32 = 1,
    PYSLAB_ZONE_NORMAL = 2,
    PYSLAB_ZONE_HIGHMEM = 3,
    PYSLAB_ZONE_MOVABLE = 4,
    PYSLAB_NR_ZONE_TYPES = 5,
};

enum pyslab_zone_mark {
    PYSLAB_MARK_MIN = 0,   /* below it only reserves are left */
    PYSLAB_MARK_LOW = 1,   /* below it background reclaim is woken */
    PYSLAB_MARK_HIGH = 2,  /* which then works up to here */
    PYSLAB_MARK_PROMO = 3,
    PYSLAB_NR_MARKS = 4,
};

enum pyslab_pfn {
    PYSLAB_PFN_NONE = 0xffffffff,  /* no frame */
};

/* Bits and values as in Linux 6.12 gfp_types.h. */
enum pyslab_gfp {
    PYSLAB_GFP_DMA = 0x1,
    PYSLAB_GFP_HIGHMEM = 0x2,
    PYSLAB_GFP_DMA32 = 0x4,
    PYSLAB_GFP_MOVABLE = 0x8,
    PYSLAB_GFP_RECLAIMABLE = 0x10,
    PYSLAB_GFP_HIGH = 0x20,
    PYSLAB_GFP_IO = 0x40,
    PYSLAB_GFP_FS = 0x80,
    PYSLAB_GFP_ZERO = 0x100,
    PYSLAB_GFP_DIRECT_RECLAIM = 0x400,
    PYSLAB_GFP_KSWAPD_RECLAIM = 0x800,
    PYSLAB_GFP_WRITE = 0x1000,
    PYSLAB_GFP_NOWARN = 0x2000,
    PYSLAB_GFP_RETRY_MAYFAIL = 0x4000,
    PYSLAB_GFP_NOFAIL = 0x8000,
    PYSLAB_GFP_NORETRY = 0x10000,
    PYSLAB_GFP_MEMALLOC = 0x20000,
    PYSLAB_GFP_COMP = 0x40000,
    PYSLAB_GFP_NOMEMALLOC = 0x80000,
    PYSLAB_GFP_KERNEL = 0xcc0,
    PYSLAB_GFP_ATOMIC = 0x820,
    PYSLAB_GFP_NOWAIT = 0x2800,
    PYSLAB_GFP_HIGHUSER = 0xcc2,
};

enum pyslab_error {
    PYSLAB_OK = 0,
    PYSLAB_ENOMEM = -1,     /* no block of this size is free */
    PYSLAB_EINVAL = -2,     /* an argument is outside its documented range */
    PYSLAB_EPOINTER = -3,   /* not the start of a live allocation of this arena */
    PYSLAB_EDOUBLE = -4,    /* the object or block is free already */
    PYSLAB_ECORRUPT = -5,   /* metadata disagrees with itself */
    PYSLAB_EBUSY = -6,      /* objects are still live */
    PYSLAB_EOS = -7,        /* the operating system refused; see errno */
    PYSLAB_ELIMIT = -8,     /* larger than this machine's memory, without overcommit */
    PYSLAB_ECACHE = -9,     /* the object belongs to another cache */
    PYSLAB_EFORKED = -10,   /* shared frames belong to the parent process */
    PYSLAB_EMAPS = -11,     /* the budget of memory mappings is used up */
};

/* Flags of a cache; the bits are the kernel's. */
enum pyslab_slab_flags {
    PYSLAB_SLAB_HWCACHE_ALIGN = 0x2000,  /* to 64 bytes, less for objects below 33 */
    PYSLAB_SLAB_CACHE_DMA = 0x4000,      /* its slabs lie in the DMA zone */
};

enum pyslab_hugepages {
    PYSLAB_HUGEPAGES_NO = 0,
    PYSLAB_HUGEPAGES_TRY = 1,      /* transparent huge pages on large runs */
    PYSLAB_HUGEPAGES_REQUIRE = 2,  /* reserved huge pages (hugetlb) or an error */
};

enum pyslab_kmalloc_classes {
    PYSLAB_CLASSES_FINE = 0,   /* four classes per doubling, 16 B to 256 KiB */
    PYSLAB_CLASSES_LINUX = 1,  /* the kernel's thirteen, 8 B to 8 KiB */
};

enum pyslab_page_state {
    PYSLAB_PAGE_UNLISTED = 0,  /* never used, or inside a larger block */
    PYSLAB_PAGE_BUDDY = 1,     /* head of a free block */
    PYSLAB_PAGE_PCP = 2,       /* head of a block on a per-thread page list */
    PYSLAB_PAGE_ALLOC = 3,     /* head of a block from alloc_pages */
    PYSLAB_PAGE_LARGE = 4,     /* head of a large kmalloc block */
    PYSLAB_PAGE_SLAB = 5,      /* head of a slab */
    PYSLAB_PAGE_ISOLATED = 6,  /* head of a free block while it goes back to the OS */
};

/* One zone of an arena. Zones follow one another without gaps, from frame 0 on and in the
 * order of their types. Numbers are frames. */
typedef struct pyslab_zone_options {
    uint32_t type;               /* enum pyslab_zone_type */
    uint32_t nr_pages;           /* > 0 */
    uint32_t watermark[4];       /* by enum pyslab_zone_mark; not decreasing */
    uint32_t lowmem_reserve[5];  /* kept from requests that may use the zone of this index */
    uint32_t batch;              /* page lists: moved at once, > 0 */
    uint32_t high_min;           /* page lists: kept at least */
    uint32_t high_max;           /* page lists: kept at most, in the kernel */
} pyslab_zone_options;

typedef struct pyslab_arena_options {
    uint32_t struct_size;      /* sizeof(pyslab_arena_options) of the caller */
    uint32_t max_order;        /* largest buddy block, 0..PYSLAB_MAX_ORDER */
    uint64_t size_bytes;       /* rounded up to whole frames */
    uint32_t overcommit;       /* non-zero: may be larger than physical memory */
    uint32_t hugepages;        /* enum pyslab_hugepages */
    uint32_t kmalloc_classes;  /* enum pyslab_kmalloc_classes */
    uint32_t purge_delay_ms;   /* surplus memory goes back so soon; 0: after 1000 ms */
    uint32_t prefault;         /* non-zero: make every frame resident at creation */
    uint32_t mlock;            /* non-zero: keep every frame in physical memory */
    const pyslab_zone_options *zones;  /* nr_zones of them, of size_bytes together */
    uint32_t nr_zones;         /* 0: one NORMAL zone without reserves */
    const char *highmem_path;  /* file on disk for the high zones; NULL: memory */
} pyslab_arena_options;

typedef struct pyslab_zone_stats {
    uint32_t struct_size;        /* sizeof(pyslab_zone_stats) of the library */
    uint32_t type;               /* enum pyslab_zone_type */
    uint32_t start_pfn;
    uint32_t nr_pages;           /* frames it manages */
    uint32_t watermark[4];       /* by enum pyslab_zone_mark */
    uint32_t lowmem_reserve[5];  /* by index of the highest zone a request may use */
    uint32_t batch;              /* of the page lists, frames */
    uint32_t high_min;
    uint32_t high_max;
    uint32_t has_address;        /* zero for high memory */
    uint64_t free_pages;         /* in the buddy */
    uint64_t dirty_free_pages;   /* of these, resident with old content */
    uint64_t pcp_pages;          /* on threads' page lists */
    uint64_t pages_allocated;    /* frames taken from the buddy since creation */
    uint64_t pages_freed;        /* frames given back to it */
    uint64_t nr_fallbacks;       /* blocks for requests that would rather have had a higher zone */
    uint64_t nr_stalls;          /* direct reclaims of requests for this zone */
} pyslab_zone_stats;

/* What the slow path did, counted since creation. */
enum pyslab_vm_event {
    PYSLAB_VM_KSWAPD_WAKE = 0,     /* background reclaim was woken */
    PYSLAB_VM_MIN_RETRY = 1,       /* retries at the min mark */
    PYSLAB_VM_PCP_DRAIN = 2,       /* page lists emptied for want of memory */
    PYSLAB_VM_DIRECT_RECLAIM = 3,  /* passes of direct reclaim */
    PYSLAB_VM_PGSTEAL_DIRECT = 4,  /* frames that came back in them */
    PYSLAB_VM_SLABS_SCANNED = 5,   /* objects that shrinkers were asked to scan */
    PYSLAB_VM_RECLAIM_RETRY = 6,   /* retries after direct reclaim */
    PYSLAB_VM_PAGEOUTRUN = 7,      /* passes of background reclaim */
    PYSLAB_VM_PGSTEAL_KSWAPD = 8,  /* frames that came back in them */
    PYSLAB_VM_OOM_CALL = 9,        /* calls of the out-of-memory callback */
    PYSLAB_VM_ALLOC_FAIL = 10,     /* requests that failed for good */
    PYSLAB_VM_LIMIT_HIT = 11,      /* refusals by the arena's limit */
    PYSLAB_NR_VM_EVENTS = 12,
};

typedef struct window pyslab_window;  /* slots of address space for high frames */

/* One area of virtually contiguous memory. */
typedef struct pyslab_vm_area {
    uint32_t struct_size;  /* sizeof(pyslab_vm_area) of the library */
    uint32_t nr_pages;     /* frames */
    uint32_t nr_copies;    /* 2: a ring, mapped twice in a row */
    uint32_t nr_blocks;    /* blocks that the frames came in */
    uint32_t nr_mappings;  /* of the address space, guards included */
    uint32_t is_map;       /* vmap: the frames are others' */
    uint64_t address;
} pyslab_vm_area;

typedef struct pyslab_vm_stats {
    uint32_t struct_size;  /* sizeof(pyslab_vm_stats) of the library */
    uint32_t reserved;
    uint64_t nr_areas;     /* in use */
    uint64_t nr_pages;     /* their frames */
    uint64_t nr_mappings;  /* of areas in use and of freed ones not yet unmapped */
    uint64_t lazy_pages;   /* addresses freed and not yet unmapped */
    uint64_t budget;       /* mappings that all arenas of the process may have */
} pyslab_vm_stats;

typedef struct shrinker pyslab_shrinker;  /* a registered one */

enum pyslab_shrink {
    PYSLAB_SHRINK_BATCH = 128,  /* objects to scan at once where batch is 0 */
    PYSLAB_SHRINK_SEEKS = 2,    /* the usual cost of an object */
};

/* A cache outside the allocator that can give memory back. Both functions run in the
 * thread that is short of memory, without any lock of the core, and may allocate and
 * free; what they allocate may use the reserves and starts no further reclaim. */
typedef struct pyslab_shrinker_options {
    uint32_t struct_size;  /* sizeof(pyslab_shrinker_options) of the caller */
    uint32_t seeks;        /* what an object costs to make again; 0: nothing */
    uint64_t batch;        /* objects per call of scan; 0: PYSLAB_SHRINK_BATCH */
    uint64_t (*count)(void *context);               /* objects that could go; UINT64_MAX: give
                                                       the request up */
    int64_t (*scan)(uint64_t nr, void *context);    /* frees up to nr; how many went; -1:
                                                       no more now, -2: give the request up */
    void (*release)(void *context);                 /* NULL, or: nobody runs it any more */
    void *context;
} pyslab_shrinker_options;

typedef struct pyslab_arena_stats {
    uint32_t struct_size;       /* sizeof(pyslab_arena_stats) of the library */
    uint32_t nr_caches;         /* kmem_caches, kmalloc's included */
    uint64_t size_bytes;        /* bytes of the arena's frames */
    uint64_t managed_pages;     /* frames the zones hand out */
    uint64_t free_pages;        /* frames in buddy lists */
    uint64_t pcp_pages;         /* frames on per-thread page lists */
    uint64_t slab_pages;        /* frames of slabs */
    uint64_t large_pages;       /* frames of large kmalloc blocks */
    uint64_t block_pages;       /* frames handed out by alloc_pages */
    uint64_t peak_used_pages;   /* most frames outside the buddy at once */
    uint64_t dirty_free_pages;  /* free frames that hold old content, and so are resident */
    uint64_t metadata_bytes;    /* mem_map and class map in full, descriptors in use */
    uint64_t heap_bytes;        /* process-local memory of sheaves and tables */
    uint64_t live_objects;      /* slab objects in callers' hands */
    uint64_t live_object_bytes; /* the same in bytes, rounded to the object size */
    uint64_t total_objects;     /* slab objects handed out since creation */
    uint64_t cached_objects;    /* free objects in sheaves and barns */
    uint64_t large_count;       /* large kmalloc blocks in callers' hands */
    uint64_t page_allocs;       /* blocks taken from the buddy since creation */
    uint64_t page_frees;        /* blocks given back to it */
    uint64_t alloc_failures;    /* requests that found no memory */
    uint64_t pages_cleared;     /* frames cleared by memset for GFP_ZERO */
    uint64_t pages_known_zero;  /* frames asked zero that needed no memset */
    uint64_t pages_released;    /* frames given back to the operating system */
} pyslab_arena_stats;

/* Puts an object into its constructed state; 0, or non-zero to make the allocation fail.
 * Runs once for each object when its slab is made, without any lock of the core. */
typedef int (*pyslab_ctor)(void *object, void *context);
/* Undoes it, once for each object, when its slab goes. */
typedef void (*pyslab_dtor)(void *object, void *context);

typedef struct pyslab_cache_options {
    uint32_t struct_size;  /* sizeof(pyslab_cache_options) of the caller */
    uint32_t flags;        /* enum pyslab_slab_flags */
    size_t align;          /* 0 (8 bytes) or a power of two up to a page */
    pyslab_ctor ctor;      /* or NULL; callers must free objects in constructed state */
    pyslab_dtor dtor;      /* or NULL */
    void *context;         /* passed to both */
} pyslab_cache_options;

typedef struct sheaf pyslab_sheaf;  /* a prefilled one: objects set aside for one user */

typedef struct pyslab_cache_stats {
    char name[32];              /* PYSLAB_NAME_MAX */
    uint32_t object_size;       /* bytes asked for at creation */
    uint32_t stride;            /* bytes from one object to the next */
    uint32_t align;             /* bytes */
    uint32_t slab_order;        /* a slab is 2**slab_order frames */
    uint32_t objects_per_slab;
    uint32_t sheaf_capacity;    /* objects a sheaf holds; 0: the cache has none */
    uint64_t nr_full;           /* slabs with no free object */
    uint64_t nr_partial;        /* slabs with some */
    uint64_t nr_empty;          /* slabs with nothing but */
    uint64_t live_objects;      /* in callers' hands */
    uint64_t cached_objects;    /* free, in sheaves and the barn */
    uint64_t total_allocs;      /* objects handed out since creation */
    uint64_t supply_sheaf;      /* of these, without an exchange */
    uint64_t supply_swap;       /* exchanges of main and spare */
    uint64_t supply_barn;       /* full sheaves taken from the barn */
    uint64_t supply_partial;    /* refills' visits to a partial slab */
    uint64_t supply_empty;      /* ... to an empty slab */
    uint64_t supply_buddy;      /* slabs bought from the buddy */
} pyslab_cache_stats;

typedef struct pyslab_mempool_stats {
    uint32_t min_nr;           /* objects that the reserve is for */
    uint32_t curr_nr;          /* objects in it now */
    uint64_t nr_outstanding;   /* objects of the pool in callers' hands */
    uint64_t nr_from_reserve;  /* allocations that the reserve served */
} pyslab_mempool_stats;

/* Called before a region's memory goes. It may allocate from the region; every other call
 * on it, or on a region around it, is an EBUSY meanwhile. */
typedef void (*pyslab_region_exit)(void *context);

typedef struct pyslab_region_stats {
    uint64_t used_bytes;      /* handed out and not given back, with padding; large objects by frames */
    uint64_t reserved_bytes;  /* of its frames, large objects' included */
    uint32_t nr_blocks;       /* page blocks that objects share */
    uint32_t nr_large;        /* objects that have frames of their own */
} pyslab_region_stats;

/* --- arena -------------------------------------------------------------- */

/* Makes an arena. *out is written on success only. Errors: EINVAL, ELIMIT, EOS. */
int pyslab_arena_create(const pyslab_arena_options *options, pyslab_arena **out);
/* Unmaps everything. Quiescence: no thread may be inside a call on this arena,
 * and nothing allocated from it may be used again. */
void pyslab_arena_destroy(pyslab_arena *arena);
/* Recounts every layer from scratch; 0 or ECORRUPT with the finding in message.
 * Quiescence: no other thread may be inside a call on this arena. */
int pyslab_arena_validate(pyslab_arena *arena, char *message, size_t message_bytes);
/* Takes a snapshot. Exact when no other thread is inside a call on this arena. */
void pyslab_arena_stats_read(pyslab_arena *arena, pyslab_arena_stats *out);
/* Drains the calling thread's caches, barns and empty slabs, and gives free
 * resident frames back to the operating system. Returns bytes given back. */
uint64_t pyslab_arena_release_unused(pyslab_arena *arena);
/* Of the zone with this index, lowest first; EINVAL past the end. */
int pyslab_arena_zone_stats(pyslab_arena *arena, uint32_t zone, pyslab_zone_stats *out);
/* Writes up to nr counters, by enum pyslab_vm_event; returns how many there are. */
uint32_t pyslab_arena_vm_events(pyslab_arena *arena, uint64_t *counts, uint32_t nr);
/* At most so many bytes outside the buddy, in whole frames; 0: no limit. It may be below what is in use:
 * then requests fail until enough has come back. */
void pyslab_arena_set_limit(pyslab_arena *arena, uint64_t bytes);
uint64_t pyslab_arena_limit(const pyslab_arena *arena);
/* Bytes outside the buddy now: in callers' hands, in slabs, on page lists. */
uint64_t pyslab_arena_used(const pyslab_arena *arena);
/* What to do when a request of nbytes that may use zones up to this index would fail:
 * positive to try again (at most 16 times in a row), 0 to fail, negative to give the request
 * up: nothing smaller is tried in its place. NULL: fail. What the callback itself allocates
 * may use the reserves and starts no reclaim. */
void pyslab_arena_set_oom(pyslab_arena *arena,
                          int (*oom)(size_t nbytes, uint32_t zone, void *context),
                          void *context);
/* Errors: EINVAL, ENOMEM. */
int pyslab_register_shrinker(pyslab_arena *arena, const pyslab_shrinker_options *options,
                             pyslab_shrinker **out);
/* Does not wait for a run in another thread: release tells when the last is over. */
void pyslab_unregister_shrinker(pyslab_shrinker *shrinker);
/* Writes the count of free blocks per order, 0..max_order, at most nr of them;
 * returns how many orders the zone has. zone counts from 0. EINVAL: no such zone. */
int pyslab_arena_buddyinfo(pyslab_arena *arena, uint32_t zone, uint64_t *nr_free, uint32_t nr);
/* Base address of the arena's directly mapped frames, and its length in bytes. */
void *pyslab_arena_base(const pyslab_arena *arena);
uint64_t pyslab_arena_size(const pyslab_arena *arena);
uint32_t pyslab_arena_max_order(const pyslab_arena *arena);

/* --- kmalloc ------------------------------------------------------------ */

/* At least size bytes, aligned to 16 (the class's largest power-of-two divisor,
 * at most a page, or a page for large sizes; 8-byte objects of the linux classes
 * to 8). size 0 gives PYSLAB_ZERO_SIZE. NULL: no memory, or a bad gfp. */
void *pyslab_kmalloc(pyslab_arena *arena, size_t size, uint32_t gfp);
void *pyslab_kzalloc(pyslab_arena *arena, size_t size, uint32_t gfp);
/* align: any power of two up to the largest block. */
void *pyslab_kmalloc_aligned(pyslab_arena *arena, size_t size, size_t align, uint32_t gfp);
/* Resizes, in place where it fits; NULL leaves p as it was. p may be NULL.
 * With GFP_ZERO every call on the block must carry it; bytes beyond the old
 * usable size are then zero. */
void *pyslab_krealloc(pyslab_arena *arena, void *p, size_t size, uint32_t gfp);
/* Usable bytes at p; 0 for NULL, PYSLAB_ZERO_SIZE and anything not live. */
size_t pyslab_ksize(pyslab_arena *arena, const void *p);
/* Errors: EPOINTER, EDOUBLE; the arena is unchanged then. NULL is a no-op. */
int pyslab_kfree(pyslab_arena *arena, void *p);
/* Bytes kmalloc(size) would reserve: the class size, or whole frames. */
size_t pyslab_kmalloc_size_roundup(const pyslab_arena *arena, size_t size);
/* pyslab_kmem_cache_prealloc of the size class that serves size. EINVAL: none does. */
int pyslab_kmalloc_prealloc(pyslab_arena *arena, size_t size, size_t nr);

/* --- page frames -------------------------------------------------------- */

/* The index of the highest zone that a gfp mask allows; EINVAL for two zones at once. */
int pyslab_gfp_zone(const pyslab_arena *arena, uint32_t gfp);
/* A block of 2**order frames, aligned to its size. */
uint32_t pyslab_alloc_pages(pyslab_arena *arena, uint32_t order, uint32_t gfp);
/* Drops one reference; the last one frees. order must be the block's. */
int pyslab_free_pages(pyslab_arena *arena, uint32_t pfn, uint32_t order);
/* The same by address. */
void *pyslab_get_free_pages(pyslab_arena *arena, uint32_t order, uint32_t gfp);
int pyslab_free_pages_address(pyslab_arena *arena, void *p, uint32_t order);
/* Up to nr single frames at once; returns how many there were. */
uint32_t pyslab_alloc_pages_bulk(pyslab_arena *arena, uint32_t gfp, uint32_t nr, uint32_t *pfn);
/* Whole frames for this many bytes and no more, as large blocks of kmalloc are: freed
 * with kfree. */
void *pyslab_alloc_pages_exact(pyslab_arena *arena, size_t size, uint32_t gfp);
/* A run of nr_pages frames, of any length, aligned to align frames and not crossing a
 * multiple of nocross frames (powers of two; 0: any); freed with kfree. */
void *pyslab_alloc_contig(pyslab_arena *arena, uint32_t nr_pages, uint32_t align,
                          uint32_t nocross, uint32_t gfp);
/* Takes exactly these frames, if all are free; freed with kfree. NULL: not to be had. */
void *pyslab_reserve_range(pyslab_arena *arena, uint32_t pfn, uint32_t nr_pages);
/* The same two as blocks of alloc_pages, for high memory too: freed with
 * pyslab_put_page(arena, first frame). */
uint32_t pyslab_alloc_run(pyslab_arena *arena, uint32_t nr_pages, uint32_t align,
                          uint32_t nocross, uint32_t gfp);
uint32_t pyslab_reserve_run(pyslab_arena *arena, uint32_t pfn, uint32_t nr_pages);
/* Frames of an allocated block; 0 if pfn is not the head of one. */
uint32_t pyslab_page_nr_pages(const pyslab_arena *arena, uint32_t pfn);
/* Makes 2**order blocks of one frame, one reference each, of a block with one reference.
 * Errors as free_pages; EBUSY with more references; EINVAL for a GFP_COMP block. */
int pyslab_split_page(pyslab_arena *arena, uint32_t pfn, uint32_t order);
int pyslab_get_page(pyslab_arena *arena, uint32_t pfn);
int pyslab_put_page(pyslab_arena *arena, uint32_t pfn);
/* References on an allocated block; 0 if pfn is not the head of one. */
uint32_t pyslab_page_count(const pyslab_arena *arena, uint32_t pfn);
uint32_t pyslab_page_order(const pyslab_arena *arena, uint32_t pfn);
/* enum pyslab_page_state of the block headed by pfn. */
uint32_t pyslab_page_state(const pyslab_arena *arena, uint32_t pfn);
/* Address of a directly mapped frame; NULL if it has none. */
void *pyslab_page_address(const pyslab_arena *arena, uint32_t pfn);
uint32_t pyslab_page_to_zone(const pyslab_arena *arena, uint32_t pfn);
uint32_t pyslab_virt_to_pfn(const pyslab_arena *arena, const void *p);

/* --- vmalloc ------------------------------------------------------------ */

/* Whole frames of high memory behind contiguous addresses, with a guard page at both
 * ends; an arena without high zones makes one of its own size at the first call, outside
 * its limit. NULL: no memory, or the mappings' budget is used up. Freed with vfree. */
void *pyslab_vmalloc(pyslab_arena *arena, size_t size, uint32_t gfp);
void *pyslab_vzalloc(pyslab_arena *arena, size_t size, uint32_t gfp);
/* The blocks of alloc_pages that start at these frames, in this order, one behind the
 * other; a block may come twice. They must be high memory; each gets a reference. */
void *pyslab_vmap(pyslab_arena *arena, const uint32_t *pfn, uint32_t nr);
/* size bytes (whole frames), mapped twice in a row. */
void *pyslab_vm_ring(pyslab_arena *arena, size_t size, uint32_t gfp);
/* Ends any of these. Errors: EPOINTER, EFORKED. NULL is a no-op. */
int pyslab_vfree(pyslab_arena *arena, void *p);
int pyslab_vunmap(pyslab_arena *arena, void *p);
/* Bytes at p; 0 if no area starts there. */
size_t pyslab_vsize(pyslab_arena *arena, const void *p);
/* kmalloc without much trying for more than a page, then vmalloc. */
void *pyslab_kvmalloc(pyslab_arena *arena, size_t size, uint32_t gfp);
int pyslab_kvfree(pyslab_arena *arena, void *p);
/* The area with this index, in no order; EINVAL past the end. */
int pyslab_arena_vm_area(pyslab_arena *arena, uint32_t index, pyslab_vm_area *out);
void pyslab_arena_vm_stats(pyslab_arena *arena, pyslab_vm_stats *out);
/* Address space in nr_slots slots of 2**order frames each, in which high frames are made
 * visible. It keeps no record of what is where, and is the caller's to guard. Errors:
 * EINVAL, EOS, ENOMEM. */
int pyslab_window_create(pyslab_arena *arena, uint32_t nr_slots, uint32_t order,
                         pyslab_window **out);
/* Maps the aligned run of 2**order frames that holds frame pfn into a slot, whatever was in
 * it; the address of the frame, NULL on an error. Frames with an address, or that the
 * arena does not have, stay inaccessible in it. One system call. */
void *pyslab_window_map(pyslab_window *window, uint32_t slot, uint32_t pfn);
/* Makes nr slots inaccessible. Errors: EINVAL, EOS. */
int pyslab_window_unmap(pyslab_window *window, uint32_t slot, uint32_t nr);
/* Before the arena goes. NULL is a no-op. */
void pyslab_window_destroy(pyslab_window *window);
/* Waits until the file behind the high zones is on the disk; 0 at once without one. EOS. */
int pyslab_arena_flush(pyslab_arena *arena);

/* --- kmem_cache --------------------------------------------------------- */

/* size 1..256 KiB; options may be NULL. Errors: EINVAL, ENOMEM, ELIMIT (too many). */
int pyslab_kmem_cache_create(pyslab_arena *arena, const char *name, size_t size,
                             const pyslab_cache_options *options, pyslab_kmem_cache **out);
void *pyslab_kmem_cache_alloc(pyslab_kmem_cache *cache, uint32_t gfp);
/* Errors: EPOINTER, EDOUBLE, ECACHE (pyslab_kmem_cache_of tells which). */
int pyslab_kmem_cache_free(pyslab_kmem_cache *cache, void *p);
/* All or nothing: returns nr or 0. */
size_t pyslab_kmem_cache_alloc_bulk(pyslab_kmem_cache *cache, uint32_t gfp, size_t nr, void **p);
/* Frees each; returns how many were freed before the first error, nr if none. */
size_t pyslab_kmem_cache_free_bulk(pyslab_kmem_cache *cache, size_t nr, void **p);
/* Sets nr objects aside, so that the next nr calls of alloc_from_sheaf cannot fail;
 * NULL without memory. The sheaf is the caller's: one thread at a time. */
pyslab_sheaf *pyslab_kmem_cache_prefill_sheaf(pyslab_kmem_cache *cache, uint32_t gfp, size_t nr);
/* NULL once the sheaf is used up. */
void *pyslab_kmem_cache_alloc_from_sheaf(pyslab_kmem_cache *cache, pyslab_sheaf *sheaf);
/* Gives back what is left, and the sheaf. */
void pyslab_kmem_cache_return_sheaf(pyslab_kmem_cache *cache, pyslab_sheaf *sheaf);
/* The cache that a live object belongs to; NULL if p is none. */
pyslab_kmem_cache *pyslab_kmem_cache_of(pyslab_arena *arena, const void *p);
const char *pyslab_kmem_cache_name(const pyslab_kmem_cache *cache);
/* Writes the addresses of up to nr live objects; returns how many there are. Objects in
 * threads' sheaves count as free. Quiescence as for destroy. */
size_t pyslab_kmem_cache_live_objects(pyslab_kmem_cache *cache, void **p, size_t nr);
/* Gives empty slabs back to the buddy, the caller's sheaves and the barn drained
 * first, and sorts partial slabs so that the fullest are used first; returns how many
 * frames went back. */
uint64_t pyslab_kmem_cache_shrink(pyslab_kmem_cache *cache);
/* Buys slabs for nr more objects, which lie on the empty list. Trimming and reaping leave
 * the cache that many slabs more from now on; shrink, release_unused and memory pressure
 * take them. ENOMEM: there is not so much, and nothing has changed. */
int pyslab_kmem_cache_prealloc(pyslab_kmem_cache *cache, size_t nr);
/* EBUSY while objects are live or a mempool is over the cache, which stays usable then.
 * Quiescence: no other thread may be inside a call on this cache. */
int pyslab_kmem_cache_destroy(pyslab_kmem_cache *cache);
void pyslab_kmem_cache_stats(pyslab_kmem_cache *cache, pyslab_cache_stats *out);
/* Statistics of the cache with this index, 0..nr_caches-1; EINVAL past the end. */
int pyslab_arena_cache_stats(pyslab_arena *arena, uint32_t index, pyslab_cache_stats *out);

/* --- mempool ------------------------------------------------------------ */

/* A pool over the cache with min_nr >= 1 objects in reserve. Its own objects go back to
 * it, not to the cache. Errors: EINVAL; ENOMEM: min_nr objects are not to be had. */
int pyslab_mempool_create(pyslab_kmem_cache *cache, size_t min_nr, pyslab_mempool **out);
/* From the cache without reclaim; then with it, if gfp has DIRECT_RECLAIM; then from the
 * reserve. NULL only if that is empty too, or for a bad gfp. Never asks on_oom. */
void *pyslab_mempool_alloc(pyslab_mempool *pool, uint32_t gfp);
/* To the reserve while it is short of min_nr, else to the cache. NULL is a no-op. Errors:
 * EPOINTER (also when the pool has no object out), EDOUBLE, ECACHE. */
int pyslab_mempool_free(pyslab_mempool *pool, void *p);
/* A larger reserve is filled at once: ENOMEM leaves it as it was. A smaller one gives the
 * rest back and cannot fail. EINVAL: min_nr is 0. */
int pyslab_mempool_resize(pyslab_mempool *pool, size_t min_nr);
/* Gives the reserve back. EBUSY while objects of the pool are out.
 * Quiescence: no other thread may be inside a call on this pool. */
int pyslab_mempool_destroy(pyslab_mempool *pool);
void pyslab_mempool_stats_read(pyslab_mempool *pool, pyslab_mempool_stats *out);

/* --- regions ------------------------------------------------------------ */

/* A region and its children have one owner at a time: calls on them are not thread-safe.
 * Its memory is page blocks (block_pages in the statistics): kfree of an object is an
 * EPOINTER. EBUSY: in the middle of a call on the region or a child of it. */

/* size_hint bytes are had at once: ENOMEM. 0: the first block comes with the first object. */
int pyslab_region_create(pyslab_arena *arena, size_t size_hint, pyslab_region **out);
/* A region that ends with its parent at the latest: at its rewind to an earlier mark, its
 * reset or destroy. Errors: EINVAL, ENOMEM, EBUSY. */
int pyslab_region_create_child(pyslab_region *region, pyslab_region **out);
/* size bytes aligned to 16. 0 gives PYSLAB_ZERO_SIZE. NULL: no memory; nothing has changed. */
void *pyslab_region_alloc(pyslab_region *region, size_t size);
/* align: a power of two up to the largest block. */
void *pyslab_region_alloc_aligned(pyslab_region *region, size_t size, size_t align);
void *pyslab_region_zalloc(pyslab_region *region, size_t size);
/* Where the region is now, for rewind: never 0, and of no other region. Two marks without a
 * call between them are one. 0: no memory, or busy. */
uint64_t pyslab_region_mark(pyslab_region *region);
/* Gives back what came after the mark, which stays valid. EINVAL: it is not a mark of this
 * region, or lies behind a rewind to an earlier one or a reset. EBUSY */
int pyslab_region_rewind(pyslab_region *region, uint64_t mark);
/* Gives everything back; the blocks stay with the region. EBUSY */
int pyslab_region_reset(pyslab_region *region);
/* Has fn(context) called when the region is rewound behind this point, reset or destroyed;
 * what was registered last is called first. Errors: EINVAL, ENOMEM, EBUSY. */
int pyslab_region_on_exit(pyslab_region *region, pyslab_region_exit fn, void *context);
/* Ends the region and its children. NULL is a no-op. EBUSY. An arena that is destroyed ends
 * its regions without calling anything. */
int pyslab_region_destroy(pyslab_region *region);
void pyslab_region_stats_read(const pyslab_region *region, pyslab_region_stats *out);

/* --- the library -------------------------------------------------------- */

/* A sentence for an error code, never NULL. */
const char *pyslab_strerror(int error);
/* Bytes of physical memory that an arena without overcommit may have. */
uint64_t pyslab_physical_bytes(void);

#ifndef PYSLAB_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif

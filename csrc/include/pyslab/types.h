/* types.h - the constants and types of pyslab.h.
 *
 * What it is not: a header to include by itself; pyslab.h is. Declarations only, because the
 * cdef is made of them.
 *
 * What is here is ABI: a value keeps its meaning and a field its place. Structs that carry
 * their size, and those that functions fill, grow at the end; the others do not change.
 */
#ifndef PYSLAB_TYPES_H
#define PYSLAB_TYPES_H

#ifdef PYSLAB_CDEF
#define PYSLAB_WIDE
#else
#define PYSLAB_WIDE __extension__ /* of an enum with a value beyond int */
#endif

#ifdef PYSLAB_CORE /* whose names for them have no prefix */
#define PYSLAB_TAG(name) name
#else
#define PYSLAB_TAG(name) pyslab_##name
#endif

typedef struct pyslab_failing pyslab_failing;            /* calls that are made to fail */
typedef struct pyslab_heap pyslab_heap;                  /* a heap that this process may see */
typedef struct pyslab_arena pyslab_arena;                /* one arena: zones, caches, kmalloc */
typedef struct PYSLAB_TAG(kmem_cache) pyslab_kmem_cache; /* objects of one size in one arena */
typedef struct PYSLAB_TAG(sheaf) pyslab_sheaf;           /* objects set aside for one user */
typedef struct PYSLAB_TAG(mempool) pyslab_mempool;       /* a reserve of objects of one cache */
typedef struct PYSLAB_TAG(region) pyslab_region;         /* objects that go together */
typedef struct PYSLAB_TAG(window) pyslab_window;         /* address space for high frames */
typedef struct PYSLAB_TAG(shrinker) pyslab_shrinker;     /* a registered one */

enum pyslab_limits {
    PYSLAB_PAGE_SHIFT = 12,    /* an arena frame is 4 KiB on every host */
    PYSLAB_MAX_ORDER = 20,     /* largest max_order an arena may ask for: 4 GiB */
    PYSLAB_DEFAULT_ORDER = 18, /* default max_order: 1 GiB blocks */
    PYSLAB_NAME_MAX = 32,      /* bytes of a cache name, its NUL included */
    PYSLAB_ZERO_SIZE = 16,     /* the address kmalloc(0) returns, never memory */
    PYSLAB_REGION_ALIGN = 16,  /* of every object of a region */
};

PYSLAB_WIDE enum pyslab_purge {
    PYSLAB_PURGE_DEFAULT_MS = 1000,  /* what a purge_delay_ms of 0 means */
    PYSLAB_PURGE_NEVER = 0xffffffff, /* a purge_delay_ms that never comes */
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
    PYSLAB_MARK_PROMO = 3, /* the kernel's, for tiers of memory; nothing is done at it here */
    PYSLAB_NR_MARKS = 4,
};

PYSLAB_WIDE enum pyslab_pfn {
    PYSLAB_PFN_NONE = 0xffffffff, /* no frame */
};

/* What a request asks for; bits and values as in Linux 6.12 gfp_types.h. RECLAIMABLE, IO, FS and
 * WRITE are accepted and change nothing. */
enum pyslab_gfp {
    PYSLAB_GFP_DMA = 0x1,     /* from the DMA zone, if there is one */
    PYSLAB_GFP_HIGHMEM = 0x2, /* HIGHMEM will do, or any lower zone */
    PYSLAB_GFP_DMA32 = 0x4,   /* from DMA32, if there is one, or lower */
    PYSLAB_GFP_MOVABLE = 0x8, /* with HIGHMEM: MOVABLE will do, or any lower zone */
    PYSLAB_GFP_RECLAIMABLE = 0x10,
    PYSLAB_GFP_HIGH = 0x20, /* may use half of the reserve below the min mark */
    PYSLAB_GFP_IO = 0x40,
    PYSLAB_GFP_FS = 0x80,
    PYSLAB_GFP_ZERO = 0x100,           /* the memory reads zero */
    PYSLAB_GFP_DIRECT_RECLAIM = 0x400, /* the caller may wait, and reclaim memory itself */
    PYSLAB_GFP_KSWAPD_RECLAIM = 0x800, /* background reclaim may be woken */
    PYSLAB_GFP_WRITE = 0x1000,
    PYSLAB_GFP_NOWARN = 0x2000,        /* a failure is expected */
    PYSLAB_GFP_RETRY_MAYFAIL = 0x4000, /* try long, then fail */
    PYSLAB_GFP_NOFAIL = 0x8000,        /* wait until there is memory; two frames at most */
    PYSLAB_GFP_NORETRY = 0x10000,      /* one pass of reclaim, then fail */
    PYSLAB_GFP_MEMALLOC = 0x20000,     /* may take the last frame */
    PYSLAB_GFP_COMP = 0x40000,         /* the block stays whole: no pyslab_split_page */
    PYSLAB_GFP_NOMEMALLOC = 0x80000,   /* MEMALLOC does not count, nor that it cannot wait */
    PYSLAB_GFP_KERNEL = 0xcc0,         /* the usual one: may wait */
    PYSLAB_GFP_ATOMIC = 0x820,         /* HIGH, and may not wait */
    PYSLAB_GFP_NOWAIT = 0x2800,        /* may not wait */
    PYSLAB_GFP_HIGHUSER = 0xcc2,       /* KERNEL with HIGHMEM */
};

enum pyslab_error {
    PYSLAB_OK = 0,
    PYSLAB_ENOMEM = -1,   /* no block of this size is free */
    PYSLAB_EINVAL = -2,   /* an argument is outside its documented range */
    PYSLAB_EPOINTER = -3, /* not the start of a live allocation of this arena */
    PYSLAB_EDOUBLE = -4,  /* the object or block is free already */
    PYSLAB_ECORRUPT = -5, /* the arena's records contradict each other */
    PYSLAB_EBUSY = -6,    /* objects are live, or others have a reference */
    PYSLAB_EOS = -7,      /* the operating system refused; see errno */
    PYSLAB_ELIMIT = -8,   /* larger than this machine's memory, without overcommit */
    PYSLAB_ECACHE = -9,   /* the object belongs to another cache */
    PYSLAB_EFORKED = -10, /* frames of high memory belong to the parent process */
    PYSLAB_EMAPS = -11,   /* the budget of memory mappings is used up */
    PYSLAB_ESTALE = -12,  /* the block of the handle is gone, or the handle was used */
    PYSLAB_EFORMAT = -13, /* made by another version, or build, of pyslab */
};

/* Flags of a cache; the bits are the kernel's. */
enum pyslab_slab_flags {
    PYSLAB_SLAB_HWCACHE_ALIGN = 0x2000, /* to 64 bytes, less for objects below 33 */
    PYSLAB_SLAB_CACHE_DMA = 0x4000,     /* its slabs lie in the DMA zone */
};

/* What the caches of an arena check, with the kernel's letters. A cache with any of them is slower
 * and its objects take more room; one without pays nothing. In an arena's text the letters stand
 * first, then, after commas, the names of caches that they are for, in which a last `*` stands for
 * any end; without names they are for all. Regions go by the name "region", kmalloc's blocks above
 * its caches by "kmalloc-large", areas of vmalloc by "vmalloc". Frames have none yet. */
enum pyslab_debug_flags {
    PYSLAB_DEBUG_CHECKS = 1,  /* F: a wrong free is reported, with what is known of the object */
    PYSLAB_DEBUG_REDZONE = 2, /* Z: bytes before the object, and behind what was asked for */
    PYSLAB_DEBUG_POISON = 4,  /* P: a free object is filled, and waits before it is used again */
    PYSLAB_DEBUG_USER = 8,    /* U: the stacks of its allocation and of its free are kept */
};

/* What a check found. */
enum pyslab_corruption_kind {
    PYSLAB_CORRUPTION_LEFT_REDZONE = 1,  /* written to before the object's start */
    PYSLAB_CORRUPTION_RIGHT_REDZONE = 2, /* written to behind its end */
    PYSLAB_CORRUPTION_POISON = 3,        /* written to after it was freed */
    PYSLAB_CORRUPTION_PADDING = 4,       /* written to behind the last object of a slab */
    PYSLAB_CORRUPTION_DOUBLE_FREE = 5,   /* the object is free already */
    PYSLAB_CORRUPTION_INVALID_FREE = 6,  /* freed by another address than its start */
    PYSLAB_CORRUPTION_WRONG_CACHE = 7,   /* freed to another cache than its own */
    /* These two are caught at the access itself, by KFENCE (see kfence_sample_ms). */
    PYSLAB_CORRUPTION_OUT_OF_BOUNDS = 8,  /* an access before the object, or behind it */
    PYSLAB_CORRUPTION_USE_AFTER_FREE = 9, /* an access to it after its free */
};

/* What a thread was doing when it was caught. */
enum pyslab_access {
    PYSLAB_ACCESS_NONE = 0, /* it was not caught in the act */
    PYSLAB_ACCESS_READ = 1,
    PYSLAB_ACCESS_WRITE = 2,
    PYSLAB_ACCESS_UNKNOWN = 3, /* one of them: the processor does not tell */
};

/* Options of an arena's KFENCE. */
PYSLAB_WIDE enum pyslab_kfence {
    PYSLAB_KFENCE_SAMPLE_MS = 100, /* the usual time between samples, as the kernel's */
    PYSLAB_KFENCE_OBJECTS = 255,   /* and number of objects */
    PYSLAB_KFENCE_MAX_OBJECTS = 65535,
    PYSLAB_KFENCE_OFF = 0xffffffff, /* a kfence_sample_ms that never comes */
};

enum pyslab_hugepages {
    PYSLAB_HUGEPAGES_NO = 0,
    PYSLAB_HUGEPAGES_TRY = 1,     /* transparent huge pages on large runs */
    PYSLAB_HUGEPAGES_REQUIRE = 2, /* reserved huge pages (hugetlb) or an error */
};

/* Whether other processes may map an arena's frames, those that have an address. */
enum pyslab_share {
    PYSLAB_SHARE_NO = 0,
    PYSLAB_SHARE_READ = 1,  /* to read blocks that are exported to them */
    PYSLAB_SHARE_WRITE = 2, /* to write to them, too, if they ask for it */
};

/* What a forked child has of its parent's shared arena. */
enum pyslab_fork {
    PYSLAB_FORK_VIEW = 0,   /* a private view of what was in use, and a heap of its own beside */
    PYSLAB_FORK_REFUSE = 1, /* nothing: to touch a block there ends the child (SIGSEGV), and the
                               parent need not keep anything for it */
    PYSLAB_FORK_SHARE = 2,  /* the blocks themselves: each sees what the other writes. The child
                               allocates nothing there */
};

enum pyslab_kmalloc_classes {
    PYSLAB_CLASSES_FINE = 0,  /* four classes per doubling, 16 B to 256 KiB */
    PYSLAB_CLASSES_LINUX = 1, /* the kernel's thirteen, 8 B to 8 KiB */
};

enum pyslab_page_state {
    PYSLAB_PAGE_UNLISTED = 0, /* never used, or inside a larger block */
    PYSLAB_PAGE_BUDDY = 1,    /* head of a free block */
    PYSLAB_PAGE_PCP = 2,      /* head of a block on a per-thread page list */
    PYSLAB_PAGE_ALLOC = 3,    /* head of a block from alloc_pages */
    PYSLAB_PAGE_LARGE = 4,    /* head of a large kmalloc block */
    PYSLAB_PAGE_SLAB = 5,     /* head of a slab */
    PYSLAB_PAGE_ISOLATED = 6, /* head of a free block while it goes back to the OS */
};

/* One zone of an arena. Zones follow one another without gaps, from frame 0 on and in the
 * order of their types. Numbers are frames. */
typedef struct pyslab_zone_options {
    uint32_t type;              /* enum pyslab_zone_type */
    uint32_t nr_pages;          /* > 0 */
    uint32_t watermark[4];      /* by enum pyslab_zone_mark; not decreasing */
    uint32_t lowmem_reserve[5]; /* kept from requests that may use the zone of this index */
    uint32_t batch;             /* page lists: moved at once, > 0 */
    uint32_t high_min;          /* page lists: kept at least */
    uint32_t high_max;          /* page lists: kept at most, in the kernel */
} pyslab_zone_options;

/* The kernel's boot options init_on_alloc and init_on_free, for an arena. */
enum pyslab_init {
    PYSLAB_INIT_DEFAULT = 0, /* as PYSLAB_INIT_ON_ALLOC=1, PYSLAB_INIT_ON_FREE=1 in the environment
                                say */
    PYSLAB_INIT_NO = 1,
    PYSLAB_INIT_YES = 2,
};

/* What kmalloc and caches hand out lies beside a frame without access. See docs/debugging.md. */
enum pyslab_guard {
    PYSLAB_GUARD_DEFAULT = 0, /* as PYSLAB_GUARD=all or =below in the environment says */
    PYSLAB_GUARD_NO = 1,
    PYSLAB_GUARD_ALL = 2,   /* each allocation ends at one, so that an overrun stops at once */
    PYSLAB_GUARD_BELOW = 3, /* each begins behind one: for underruns */
};

typedef struct pyslab_arena_options {
    uint32_t struct_size;             /* sizeof(pyslab_arena_options) of the caller */
    uint32_t max_order;               /* largest buddy block, 0 (a frame)..PYSLAB_MAX_ORDER */
    uint64_t size_bytes;              /* rounded up to whole frames */
    uint32_t overcommit;              /* non-zero: may be larger than physical memory */
    uint32_t hugepages;               /* enum pyslab_hugepages */
    uint32_t kmalloc_classes;         /* enum pyslab_kmalloc_classes */
    uint32_t purge_delay_ms;          /* surplus memory goes back so soon; 0: after 1000 ms */
    uint32_t prefault;                /* non-zero: make every frame resident at creation */
    uint32_t mlock;                   /* non-zero: keep every frame in physical memory */
    const pyslab_zone_options *zones; /* nr_zones of them, of size_bytes together */
    uint32_t nr_zones;                /* 0: one NORMAL zone without reserves */
    const char *highmem_path;         /* file on disk for the high zones; NULL: memory */
    uint32_t background_purge;        /* non-zero: a thread gives memory back in idle time, too */
    const char *debug;                /* such as "FZPU" or "FZ,kmalloc-64,inode*" (see enum
                                         pyslab_debug_flags); NULL: what PYSLAB_DEBUG in the
                                         environment says; "": nothing */
    uint32_t shared;                  /* enum pyslab_share: whether other processes may see it */
    uint32_t fork;                    /* enum pyslab_fork: what a forked child sees of it then */
    uint32_t transit_ttl_s;           /* shared: a handle that nobody has opened ends so many
                                         seconds after it was made, if its maker is dead; 0: 600 */
    uint64_t max_transit_bytes;       /* shared: blocks that are on their way, sent and not opened,
                                         at most; 0: a quarter of the arena, or one block */
    uint32_t init_on_alloc;           /* enum pyslab_init: all that is allocated reads zero */
    uint32_t init_on_free;            /* enum pyslab_init: what is freed is zeroed at once */
    uint32_t uncached;                /* non-zero: no sheaves, no page lists, no shelf, so that each
                                         call is seen in the slabs and the buddy at once; slow */
    uint32_t guard;                   /* enum pyslab_guard */
    uint32_t kfence_sample_ms;        /* about so often an object comes from between guard pages;
                                         0: what PYSLAB_KFENCE in the environment says;
                                         PYSLAB_KFENCE_OFF: never */
    uint32_t kfence_objects;          /* so many at once, at most; 0: PYSLAB_KFENCE_OBJECTS */
} pyslab_arena_options;

typedef struct pyslab_zone_stats {
    uint32_t struct_size; /* sizeof(pyslab_zone_stats) of the library */
    uint32_t type;        /* enum pyslab_zone_type */
    uint32_t start_pfn;
    uint32_t nr_pages;          /* frames it manages */
    uint32_t watermark[4];      /* by enum pyslab_zone_mark */
    uint32_t lowmem_reserve[5]; /* by index of the highest zone a request may use */
    uint32_t batch;             /* of the page lists, frames */
    uint32_t high_min;
    uint32_t high_max;
    uint32_t has_address;      /* zero for high memory */
    uint64_t free_pages;       /* in the buddy */
    uint64_t dirty_free_pages; /* of these, resident with old content */
    uint64_t pcp_pages;        /* on threads' page lists */
    uint64_t pages_allocated;  /* frames taken from the buddy since creation */
    uint64_t pages_freed;      /* frames given back to it */
    uint64_t nr_fallbacks;     /* blocks for requests that would rather have had a higher zone */
    uint64_t nr_stalls;        /* direct reclaims of requests for this zone */
} pyslab_zone_stats;

/* What the slow path did, counted since creation. */
enum pyslab_vm_event {
    PYSLAB_VM_KSWAPD_WAKE = 0,    /* background reclaim was woken */
    PYSLAB_VM_MIN_RETRY = 1,      /* retries at the min mark */
    PYSLAB_VM_PCP_DRAIN = 2,      /* page lists emptied for want of memory */
    PYSLAB_VM_DIRECT_RECLAIM = 3, /* passes of direct reclaim */
    PYSLAB_VM_PGSTEAL_DIRECT = 4, /* frames that came back in them */
    PYSLAB_VM_SLABS_SCANNED = 5,  /* objects that shrinkers were asked to scan */
    PYSLAB_VM_RECLAIM_RETRY = 6,  /* retries after direct reclaim */
    PYSLAB_VM_PAGEOUTRUN = 7,     /* passes of background reclaim */
    PYSLAB_VM_PGSTEAL_KSWAPD = 8, /* frames that came back in them */
    PYSLAB_VM_OOM_CALL = 9,       /* calls of the out-of-memory callback */
    PYSLAB_VM_ALLOC_FAIL = 10,    /* requests that failed for good */
    PYSLAB_VM_LIMIT_HIT = 11,     /* refusals by the arena's limit */
    PYSLAB_NR_VM_EVENTS = 12,
};

/* One area of virtually contiguous memory. */
typedef struct pyslab_vm_area {
    uint32_t struct_size; /* sizeof(pyslab_vm_area) of the library */
    uint32_t nr_pages;    /* frames */
    uint32_t nr_copies;   /* 2: a ring, mapped twice in a row */
    uint32_t nr_blocks;   /* blocks that the frames came in */
    uint32_t nr_mappings; /* of the address space, guards included */
    uint32_t is_map;      /* vmap: the frames are others' */
    uint64_t address;
} pyslab_vm_area;

typedef struct pyslab_vm_stats {
    uint32_t struct_size; /* sizeof(pyslab_vm_stats) of the library */
    uint32_t reserved;
    uint64_t nr_areas;    /* in use */
    uint64_t nr_pages;    /* their frames */
    uint64_t nr_mappings; /* of areas in use and of freed ones not yet unmapped */
    uint64_t lazy_pages;  /* addresses freed and not yet unmapped */
    uint64_t budget;      /* mappings that all arenas of the process may have */
} pyslab_vm_stats;

enum pyslab_shrink {
    PYSLAB_SHRINK_BATCH = 128, /* objects to scan at once where batch is 0 */
    PYSLAB_SHRINK_SEEKS = 2,   /* what making an object again usually costs */
};

/* A cache outside the allocator that can give memory back. Both functions run in the
 * thread that is short of memory, without any lock of the core, and may allocate and
 * free; what they allocate may use the reserves and starts no further reclaim. */
typedef struct pyslab_shrinker_options {
    uint32_t struct_size; /* sizeof(pyslab_shrinker_options) of the caller */
    uint32_t seeks;       /* what an object costs to make again; 0: nothing */
    uint64_t batch;       /* objects per call of scan; 0: PYSLAB_SHRINK_BATCH */
    /* Tells how many objects could go; UINT64_MAX gives the request up. */
    uint64_t (*count)(void *context);
    /* Frees up to nr and tells how many went; -1: no more now, -2 gives the request up. */
    int64_t (*scan)(uint64_t nr, void *context);
    /* Called once when the shrinker is unregistered and no thread runs it any more; or NULL. */
    void (*release)(void *context);
    void *context; /* passed to all three */
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
    uint64_t metadata_bytes;    /* mem_map and class map in full, descriptors in use;
                                   not the words for free bits */
    uint64_t heap_bytes;        /* of sheaves and tables, of all arenas of the process */
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
    uint32_t struct_size; /* sizeof(pyslab_cache_options) of the caller */
    uint32_t flags;       /* enum pyslab_slab_flags */
    size_t align;         /* 0 (8 bytes) or a power of two up to a page */
    pyslab_ctor ctor;     /* or NULL; callers must free objects in constructed state */
    pyslab_dtor dtor;     /* or NULL */
    void *context;        /* passed to both */
    uint32_t debug_flags; /* enum pyslab_debug_flags, besides those that the arena has for it */
} pyslab_cache_options;

typedef struct pyslab_cache_stats {
    char name[32];        /* PYSLAB_NAME_MAX */
    uint32_t object_size; /* bytes asked for at creation */
    uint32_t stride;      /* bytes from one object to the next */
    uint32_t align;       /* bytes */
    uint32_t slab_order;  /* a slab is 2**slab_order frames */
    uint32_t objects_per_slab;
    uint32_t sheaf_capacity; /* objects a sheaf holds; 0: the cache has none */
    uint64_t nr_full;        /* slabs with no free object */
    uint64_t nr_partial;     /* slabs with some */
    uint64_t nr_empty;       /* slabs with nothing but */
    uint64_t live_objects;   /* in callers' hands */
    uint64_t cached_objects; /* free, in sheaves and the barn */
    uint64_t total_allocs;   /* objects handed out since creation */
    uint64_t supply_sheaf;   /* of these, without an exchange */
    uint64_t supply_swap;    /* exchanges of main and spare */
    uint64_t supply_barn;    /* full sheaves taken from the barn */
    uint64_t supply_partial; /* partial slabs that objects were taken from */
    uint64_t supply_empty;   /* empty slabs that objects were taken from */
    uint64_t supply_buddy;   /* slabs bought from the buddy */
} pyslab_cache_stats;

/* Something that was found. It lasts while its handler runs, and so does what it points to. */
typedef struct pyslab_corruption {
    uint32_t struct_size;      /* sizeof(pyslab_corruption) of the library */
    uint32_t kind;             /* enum pyslab_corruption_kind */
    char cache[32];            /* its name; or "kmalloc-large", "region" and
                                  its address, "no object" */
    const void *object;        /* its start; NULL: the address lies in no object */
    size_t object_size;        /* bytes that were asked for, as far as that is known */
    const void *address;       /* the first byte that is wrong, or what was to be freed */
    int64_t offset;            /* of address from the object's start */
    size_t nr_bytes;           /* that are wrong; 0 where a free is */
    uint8_t expected;          /* what the first of them should hold */
    uint8_t found;             /* and what it holds */
    uint16_t access;           /* enum pyslab_access. If it is not NONE, the handler is called in a
                                  signal handler: it may not allocate, and take no lock */
    uint32_t allocated_at;     /* stack of the object's last allocation; 0: not known */
    uint32_t freed_at;         /* and of its last free */
    const unsigned char *dump; /* copy of the bytes around the address, for a hexdump */
    const void *dump_at;       /* address of the first of them */
    size_t dump_bytes;         /* how many there are; 0: none */
} pyslab_corruption;

/* Called with what was found, in the thread that found it, without any lock of the core. If it
 * returns, the object is not used again, and the call goes on: a free that found something has
 * freed the object for its caller. */
typedef void (*pyslab_on_corruption)(const pyslab_corruption *, void *);

typedef struct pyslab_debug_stats {
    uint32_t struct_size;   /* sizeof(pyslab_debug_stats) of the library */
    uint32_t flags;         /* enum pyslab_debug_flags of the arena's text */
    uint64_t nr_found;      /* corruptions that were reported */
    uint64_t nr_repaired;   /* of these, objects that were made whole again */
    uint64_t nr_retired;    /* and objects that are not used again */
    uint64_t nr_waiting;    /* freed objects in the quarantine */
    uint64_t waiting_bytes; /* of these */
    uint64_t nr_guarded;    /* allocations beside a frame without access (enum pyslab_guard) */
    uint64_t nr_unguarded;  /* and those for which there was no mapping left, or no memory */
} pyslab_debug_stats;

typedef struct pyslab_kfence_stats {
    uint32_t struct_size;   /* sizeof(pyslab_kfence_stats) of the library */
    uint32_t sample_ms;     /* time between samples; 0: the arena has no KFENCE */
    uint64_t nr_objects;    /* that the pool has room for */
    uint64_t nr_live;       /* of these, in callers' hands */
    uint64_t nr_allocs;     /* objects that were handed out since creation */
    uint64_t nr_frees;      /* and freed */
    uint64_t nr_found;      /* faults that were reported, at frees and at accesses */
    uint64_t skipped_full;  /* samples that found no free object */
    uint64_t skipped_known; /* and that were left to other callers, because the pool was nearly full
                               and had an object of this one */
} pyslab_kfence_stats;

typedef struct pyslab_mempool_stats {
    uint32_t min_nr;          /* objects that the reserve is for */
    uint32_t curr_nr;         /* objects in it now */
    uint64_t nr_outstanding;  /* objects of the pool in callers' hands */
    uint64_t nr_from_reserve; /* allocations that the reserve served */
} pyslab_mempool_stats;

/* The first fields of every region. In a client pyslab_region_alloc() is inline and moves cur
 * itself. Both are NULL in builds with checks, so that every call comes to the library there. */
typedef struct pyslab_region_head {
    char *cur; /* next byte, aligned to PYSLAB_REGION_ALIGN */
    char *end; /* of the block */
} pyslab_region_head;

/* Called before a region's memory goes. It may allocate from the region; every other call
 * on it, or on a region around it, is an EBUSY meanwhile. */
typedef void (*pyslab_region_exit)(void *context);

/* Which calls are made to fail, and how often: see pyslab_failing_begin. All zero but struct_size:
 * every one. */
typedef struct pyslab_failing_options {
    uint32_t struct_size; /* sizeof(pyslab_failing_options) of the caller */
    uint32_t probability; /* of failing, in millionths; 0: certain */
    uint64_t nth;         /* only the nth call, counted from 1; the other rules do not count */
    uint64_t interval;    /* one call in so many; 0, 1: each */
    uint64_t times;       /* at most so many failures; 0: any number */
    uint64_t space_bytes; /* so many bytes are handed out before any call fails */
    uint64_t seed;        /* of the generator behind probability */
    uint32_t this_thread; /* 1: calls of the calling thread only */
    uint32_t reserved;    /* zero */
    const char *cache;    /* only objects of caches of this name, or of names that begin with
                                 what is before a star; NULL: all allocations */
} pyslab_failing_options;

typedef struct pyslab_failing_stats {
    uint32_t struct_size; /* sizeof(pyslab_failing_stats) of the library */
    uint32_t nr_arenas;   /* of the process, now */
    uint64_t nr_calls;    /* that the rules were about */
    uint64_t nr_failures; /* that were made to fail */
} pyslab_failing_stats;

/* What is passed to another process so that it may open a block: plain bytes, good for as many
 * opens as it was made for. */
typedef struct pyslab_handle {
    uint64_t heap_id[2]; /* which heap the block is in */
    uint64_t id;         /* random */
    uint32_t ticket;     /* where the table of the heap has it */
    uint32_t tail;       /* bytes at the end of the block that its maker did not ask for, if it says
                            so: for the receiver to heed */
} pyslab_handle;

enum pyslab_uses {
    PYSLAB_USES_PINNED = 0xffff, /* any number, as long as the maker of the handle has the block */
};

/* A block of another process's heap (or of one of this process's own) that this one holds. */
typedef struct pyslab_shared_block {
    pyslab_heap *heap;
    void *address; /* where this process sees it */
    uint64_t bytes;
    uint32_t slot; /* in the heap's table */
    uint32_t generation;
    uint32_t writable; /* non-zero: it may be written to */
    uint32_t reserved;
} pyslab_shared_block;

typedef struct pyslab_share_stats {
    uint32_t struct_size;         /* sizeof(pyslab_share_stats) of the library */
    uint32_t nr_clients;          /* other processes that have attached the heap */
    uint64_t heap_id[2];          /* the heap's name in handles */
    uint64_t nr_exported;         /* blocks that have a slot now */
    uint64_t nr_in_transit;       /* handles that are not used up */
    uint64_t nr_deferred;         /* blocks that were freed while others held them */
    uint64_t deferred_bytes;      /* of these */
    uint64_t nr_exports;          /* blocks that were given a slot since creation */
    uint64_t nr_taken_back;       /* deferred blocks that were freed in the end */
    uint64_t nr_opens;            /* by this process, in all heaps: handles opened */
    uint64_t nr_stale;            /* handles that were stale */
    uint64_t nr_deaths;           /* dead clients that this process has cleared up after */
    uint64_t taken_back_bytes;    /* of the blocks of nr_taken_back */
    uint64_t transit_bytes;       /* blocks on their way, which max_transit_bytes is about */
    uint64_t max_transit_bytes;   /* as the option says */
    uint64_t nr_refused;          /* exports that would have passed max_transit_bytes */
    uint64_t nr_expired;          /* handles ended by age, or for want of memory */
    uint64_t punched_bytes;       /* by this process: memory of dead owners that went back */
    uint64_t nr_fork_deferred;    /* blocks that were freed while a forked child has them */
    uint64_t fork_deferred_bytes; /* of these */
} pyslab_share_stats;

typedef struct pyslab_region_stats {
    uint64_t used_bytes; /* handed out and not given back, with padding; large objects by frames */
    uint64_t reserved_bytes; /* of its frames, large objects' included */
    uint32_t nr_blocks;      /* page blocks that objects share */
    uint32_t nr_large;       /* objects that have frames of their own */
} pyslab_region_stats;

#endif

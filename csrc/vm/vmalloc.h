/* vmalloc.h - contiguous addresses over scattered frames.
 *
 * What it is: vmalloc (frames of its own), vmap (frames of others, any of them twice) and
 * the mirrored ring (its own frames, mapped twice in a row), over frames of high memory: a
 * private anonymous page cannot be mapped a second time, a page of a file can.
 * What it is not: a way to more memory, or cheap: every scattered piece is a mapping of
 * its own, of which a process has vm.max_map_count (65,530 by default).
 *
 * Data structure: struct vm_area, process-local: the blocks behind it in the order of
 * their frames, and its place in a hash by address. A guard page lies at both ends.
 * Lazy unmapping: vfree returns the frames at once and keeps the addresses, as they are,
 * on a list; the next area of the same length takes them over, and when the list holds
 * more than fls(nr_cpus) * 32 MiB, mappings run short, or the freed areas of all arenas have
 * an eighth of the budget, all of it is unmapped (purged).
 * Until then a stray pointer still reaches the old frames, as in the kernel.
 * Invariant (vm_adds_up_locked), whenever the lock is free: nr_mappings == sum over the areas
 * in the table and on the lazy list of area->nr_mappings; nr_areas, nr_pages, nr_hashed and
 * lazy_pages are the sums that their names say. Over all arenas of the process the mappings,
 * those of areas that are being made included, stay within the budget.
 * Lock: vm->lock guards the table and the lazy list; it is not held while frames are taken,
 * mapped or returned.
 */
#ifndef VM_VMALLOC_H
#define VM_VMALLOC_H

#include "page_alloc/page_alloc.h"

#define VM_HASH_SIZE 256u

struct arena_debug;

struct vm_block {
    uint32_t pfn;      /* first frame */
    uint32_t nr_pages; /* of the block */
    uint32_t order;    /* as page_put wants it */
};

struct vm_area {
    struct vm_area *next;  /* in its hash chain, or on the lazy list */
    char *base;            /* first byte behind the guard page */
    uint32_t nr_pages;     /* frames mapped once; a ring has twice as many addresses */
    uint32_t nr_copies;    /* 2 for a ring, else 1 */
    uint32_t nr_mappings;  /* as counted against the budget */
    uint32_t nr_blocks;    /* entries of block; 0 once the frames are returned */
    uint32_t tail;         /* red bytes at the end (vm_debug.h); 0 without debug flags */
    uint32_t allocated_at; /* stack; 0: not known */
    bool is_map; /* made by vmap: the blocks are not its own, it has a reference to each */
    struct vm_block block[]; /* nr_blocks of them, in the order in which they are mapped */
};

struct vm {
    struct lock lock;          /* guards all below */
    struct page_alloc *pages;  /* constant */
    struct arena_debug *debug; /* see vm_debug.h; constant */
    uint32_t debug_flags;      /* likewise; 0: areas have none */
    struct vm_area *hash[VM_HASH_SIZE];
    uint32_t nr_hashed[VM_HASH_SIZE]; /* areas in each chain */
    struct vm_area *lazy;             /* freed areas that are still mapped, the youngest first */
    uint64_t lazy_pages;              /* pages of addresses that these take */
    uint64_t lazy_max_pages;          /* with more than so many, all are unmapped; constant */
    uint64_t nr_areas;                /* in the table */
    uint64_t nr_pages;                /* frames of these */
    uint64_t nr_mappings;             /* of the areas in the table and on the lazy list */
};

/* Bytes of addresses between an area's guard pages. */
static inline size_t vm_area_bytes(const struct vm_area *area)
{
    return ((size_t)area->nr_pages * area->nr_copies) << PAGE_SHIFT;
}

/* The hash chain of an area that starts at p. */
static inline uint32_t vm_hash_index(const void *p)
{
    return ((uintptr_t)p >> PAGE_SHIFT) % VM_HASH_SIZE;
}

void vm_init(struct vm *vm, struct page_alloc *pages);
/* Unmaps everything. Frames are not returned to the zones, which the arena ends next. */
void vm_destroy(struct vm *vm);

/* Whole frames for this many bytes. Errors: EINVAL, ENOMEM, EMAPS, EOS, EFORKED. */
int vm_alloc(struct vm *vm, size_t bytes, uint32_t gfp, void **out);
/* The same, mapped a second time right behind the first.
 * pre: bytes are whole pages */
int vm_ring(struct vm *vm, size_t bytes, uint32_t gfp, void **out);
/* Maps the frames of blocks of alloc_pages, in this order, and takes a reference to each block.
 * A block may be listed more than once. Errors: as above; EINVAL for frames that have an address,
 * EPOINTER or EDOUBLE where no block starts, ELIMIT for more frames than an arena may have. */
int vm_map(struct vm *vm, const uint32_t *pfns, uint32_t nr, void **out);
/* Ends an area of any of the three. Errors: EPOINTER, EFORKED. */
int vm_free(struct vm *vm, void *p);
/* Bytes at p that the caller may use, the second copy of a ring included; 0 if no area starts
 * there. */
size_t vm_size(struct vm *vm, const void *p);
/* Unmaps all freed areas; returns how many mappings that were. */
uint64_t vm_purge(struct vm *vm);
/* Describes the area with this index, in no particular order; false: there are not so many. */
bool vm_area_info(struct vm *vm, uint32_t index, pyslab_vm_area *out);
/* Writes the first frame and the length of up to nr blocks that are mapped, two words each; returns
 * how many there are. vmap may map one more than once. */
uint32_t vm_list_blocks(struct vm *vm, uint32_t *words, uint32_t nr);
void vm_stats(struct vm *vm, pyslab_vm_stats *out);
/* Recounts areas, frames and mappings. Takes the lock; other threads may be at work. */
bool vm_check(struct vm *vm, struct finding *f);

#endif

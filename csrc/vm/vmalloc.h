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
 * Invariant: nr_mappings == sum over areas, lazy ones included, of area->nr_mappings;
 * over all arenas of the process it stays within the budget.
 * Lock: vm->lock guards the table and the lazy list; none while frames are bought,
 * mapped or returned.
 */
#ifndef VM_VMALLOC_H
#define VM_VMALLOC_H

#include "page_alloc/page_alloc.h"

#define VM_HASH_SIZE 256u

struct vm_block {
    uint32_t pfn;      /* first frame */
    uint32_t nr_pages; /* of the block */
    uint32_t order;    /* as page_put wants it */
};

struct vm_area {
    struct vm_area *next; /* in its hash chain, or on the lazy list */
    char *base;           /* first byte behind the guard page */
    uint32_t nr_pages;    /* frames mapped once; a ring has twice as many addresses */
    uint32_t nr_copies;   /* 2 for a ring, else 1 */
    uint32_t nr_mappings; /* as counted against the budget */
    uint32_t nr_blocks;   /* entries of block; 0 once the frames are returned */
    bool is_map;          /* vmap: the frames are others', held by a reference */
    struct vm_block block[];
};

struct vm {
    struct lock lock;         /* guards all below */
    struct page_alloc *pages; /* constant */
    struct vm_area *hash[VM_HASH_SIZE];
    uint32_t nr_hashed[VM_HASH_SIZE]; /* areas in each chain */
    struct vm_area *lazy;             /* freed areas, the youngest first */
    uint64_t lazy_pages;              /* addresses of these */
    uint64_t lazy_max_pages;          /* more are purged; constant */
    uint64_t nr_areas;                /* in use */
    uint64_t nr_pages;                /* their frames */
    uint64_t nr_mappings;             /* of areas in use and lazy ones */
};

void vm_init(struct vm *vm, struct page_alloc *pages);
/* Unmaps everything; frames are not returned: their zone goes too. */
void vm_destroy(struct vm *vm);

/* Whole frames for this many bytes. Errors: EINVAL, ENOMEM, EMAPS, EOS, EFORKED. */
int vm_alloc(struct vm *vm, size_t bytes, uint32_t gfp, void **out);
/* The same, mapped a second time right behind the first. pre: bytes are whole pages. */
int vm_ring(struct vm *vm, size_t bytes, uint32_t gfp, void **out);
/* The frames of these blocks of alloc_pages, in this order; a reference is taken on each.
 * Errors: as above; EINVAL for frames with an address, EPOINTER, EDOUBLE for no block,
 * ELIMIT for more than an arena may have: a block may be there twice. */
int vm_map(struct vm *vm, const uint32_t *pfns, uint32_t nr, void **out);
/* Ends any of the three. Errors: EPOINTER, EDOUBLE, EFORKED. */
int vm_free(struct vm *vm, void *p);
/* Bytes at p, the second copy of a ring included; 0 if no area starts there. */
size_t vm_size(struct vm *vm, const void *p);
/* Unmaps what is freed; returns mappings that went. */
uint64_t vm_purge(struct vm *vm);
/* The area with this index, in no order; false past the end. */
bool vm_area_info(struct vm *vm, uint32_t index, pyslab_vm_area *out);
void vm_stats(struct vm *vm, pyslab_vm_stats *out);
/* Areas and mappings, recounted. */
bool vm_check(struct vm *vm, struct finding *f);

#endif

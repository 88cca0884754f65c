/* kmalloc.h - memory by the byte: kmalloc, kzalloc, krealloc, ksize, kfree.
 *
 * What it is: size classes over the slab caches with ids 1 .. nr, and whole frames for
 * what is larger or could not get a slab. GFP_DMA has caches of its own, as in the kernel;
 * GFP_HIGHMEM is dropped, because what kmalloc gives has an address.
 * What it is not: a keeper of sizes: what an address is, the frame class map tells.
 *
 * Data structure: struct size_classes, and the caches of slab_alloc.
 * Invariant: classes[pfn(p)] of a live p is a cache's class byte, or CLASS_LARGE with
 * p at the start of frame pfn(p).
 * Lock: none of its own.
 */
#ifndef KMALLOC_KMALLOC_H
#define KMALLOC_KMALLOC_H

#include "kmalloc/size_class.h"
#include "slab/slab.h"

struct kmalloc {
    struct slab_alloc slabs;     /* first: its secret is on the hot line */
    struct size_classes classes; /* constant */
    /* By class, of an arena with a DMA zone: made when GFP_DMA first asks for one. */
    _Atomic(struct kmem_cache *) dma_cache[MAX_SIZE_CLASSES];
    _Atomic uint64_t nr_large;    /* large blocks alive */
    _Atomic uint64_t large_pages; /* their frames */
};

/* Makes the caches. pre: descs as slab_alloc_init asks. ENOMEM */
int kmalloc_init(struct kmalloc *km, struct page_alloc *pages, struct cache_desc *descs,
                 uint32_t geometry);
void kmalloc_destroy(struct kmalloc *km);

void *kmalloc_slow(struct kmalloc *km, size_t size, uint32_t gfp);
int kfree_slow(struct kmalloc *km, void *p);

static always_inline void *kmalloc_alloc(struct kmalloc *km, size_t size, uint32_t gfp)
{
    if (likely(size <= SIZE_CLASS_SMALL_MAX && (gfp & ~GFP_FAST_BITS) == 0 &&
               thread_has_domain(km->slabs.domain))) {
        size_t class = km->classes.small[(size + 7) >> SIZE_CLASS_SMALL_SHIFT];
        void *p = sheaf_pop(sheaf_table_loaded(), class);

        if (likely(p != NULL))
            return p;
    }
    return kmalloc_slow(km, size, gfp);
}

/* Errors: EPOINTER, EDOUBLE. */
static always_inline int kmalloc_free(struct kmalloc *km, void *p)
{
    const struct frame_map *map = &km->slabs.map;
    size_t offset = (uintptr_t)p - (uintptr_t)map->base;

    if (likely(offset < map->bytes && thread_has_domain(km->slabs.domain))) {
        size_t class = map->classes[offset >> PAGE_SHIFT];

        if (likely(sheaf_push(km->slabs.secret, sheaf_table_loaded(), class, offset, p)))
            return PYSLAB_OK;
    }
    return kfree_slow(km, p);
}

void *kmalloc_zeroed(struct kmalloc *km, size_t size, uint32_t gfp);
void *kmalloc_aligned(struct kmalloc *km, size_t size, size_t align, uint32_t gfp);
void *kmalloc_resize(struct kmalloc *km, void *p, size_t size, uint32_t gfp);
/* Has a large block, p, take the frames behind it until it holds size bytes; false: they are
 * not free, and nothing has changed. */
bool kmalloc_grow_large(struct kmalloc *km, void *p, size_t size);
/* cache_prealloc of the cache that serves size. EINVAL: no class does. ENOMEM */
int kmalloc_prealloc(struct kmalloc *km, size_t size, size_t nr);
/* Usable bytes; 0 for what is not live. */
size_t kmalloc_usable(struct kmalloc *km, const void *p);
/* Frames from page_alloc_contig or page_reserve_range (PFN_NONE: NULL) as a large block. */
void *kmalloc_adopt_run(struct kmalloc *km, uint32_t pfn);
/* Whole frames, whatever the size; kmalloc_free frees them. */
void *kmalloc_exact_pages(struct kmalloc *km, size_t size, uint32_t gfp);
size_t kmalloc_roundup(const struct kmalloc *km, size_t size);

/* Every class's cache has the class's size; large blocks match the class map. */
bool kmalloc_check(struct kmalloc *km, struct finding *f);

#endif

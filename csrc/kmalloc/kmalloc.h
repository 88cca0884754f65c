/* kmalloc.h - memory by the byte: kmalloc, kzalloc, krealloc, ksize, kfree.
 *
 * What it is: size classes, each served by the slab cache whose id is the class's number, and
 * whole frames (a large block) for what is larger than all classes, or could not get a slab.
 * Requests with GFP_DMA have caches of their own, as in the kernel. GFP_HIGHMEM is ignored, because
 * what kmalloc gives must have an address.
 * What it is not: it keeps no size with a block. What lies at an address follows from the frame
 * class map (page.h), which has a byte per frame, and from the records of slabs and large blocks.
 *
 * Data structure: struct size_classes, and the caches of slab_alloc.
 * Invariant (large_adds_up, and slab_cache_of for the caches): the class byte of the frame in which
 * a live p lies is that of a cache; or it is CLASS_LARGE, and p is the start of the frame, and no
 * frame behind it in the block has a class byte.
 * Lock: none of its own. A large block belongs to whoever has it; the shelf counts them (shelf.h).
 */
#ifndef KMALLOC_KMALLOC_H
#define KMALLOC_KMALLOC_H

#include "kmalloc/large_debug.h"
#include "kmalloc/size_class.h"
#include "slab/slab.h"

struct kmalloc {
    struct slab_alloc slabs;     /* first, so that its secret is in the line the fast paths read */
    struct size_classes classes; /* constant */
    /* By class, in the DMA zone; each is made when a request with GFP_DMA first needs it. */
    _Atomic(struct kmem_cache *) dma_cache[MAX_SIZE_CLASSES];
    struct large_debug large_debug;
};

/* Makes a cache for each class. guard: enum pyslab_guard. pre: descs is as slab_alloc_init wants
 * it. ENOMEM */
int kmalloc_init(struct kmalloc *km, struct page_alloc *pages, struct cache_desc *descs,
                 uint32_t geometry, const char *debug, uint32_t guard);
void kmalloc_destroy(struct kmalloc *km);

/* What kmalloc_alloc and kmalloc_free do when the main sheaf cannot serve them. */
void *kmalloc_slow(struct kmalloc *km, size_t size, uint32_t gfp);
int kfree_slow(struct kmalloc *km, void *p);

/* An object from the thread's main sheaf, without a look at anything else; NULL: kmalloc_slow may
 * still have one. */
static always_inline void *kmalloc_pop(struct kmalloc *km, size_t size, uint32_t gfp)
{
    if (likely(size <= SIZE_CLASS_SMALL_MAX && (gfp & ~GFP_FAST_BITS) == 0 &&
               thread_has_domain(km->slabs.domain)))
        return sheaf_pop(sheaf_table_loaded(),
                         km->classes.small[(size + 7) >> SIZE_CLASS_SMALL_SHIFT]);
    return NULL;
}

static always_inline void *kmalloc_alloc(struct kmalloc *km, size_t size, uint32_t gfp)
{
    void *p = kmalloc_pop(km, size, gfp);

    return likely(p != NULL) ? p : kmalloc_slow(km, size, gfp);
}

/* Errors: EPOINTER, EDOUBLE. */
static always_inline int kmalloc_free(struct kmalloc *km, void *p)
{
    const struct frame_map *map = &km->slabs.map;
    size_t offset = (uintptr_t)p - (uintptr_t)map->base;

    if (likely(offset < map->bytes && thread_has_domain(km->slabs.domain))) {
        size_t class = frame_class(map->classes, offset >> PAGE_SHIFT);

        if (likely(sheaf_push(km->slabs.secret, sheaf_table_loaded(), class, offset, p)))
            return PYSLAB_OK;
    }
    return kfree_slow(km, p);
}

/* A large block of the shelf (page_alloc/shelf.h), whose usable bytes are size in whole frames;
 * NULL: kmalloc_slow decides. pre: size is more than any class has */
void *kmalloc_unshelve(struct kmalloc *km, size_t size);
/* Frees a large block that the shelf may have; its usable bytes. 0: it is none, and nothing has
 * happened; kmalloc_free decides. */
size_t kmalloc_shelve(struct kmalloc *km, void *p);

void *kmalloc_zeroed(struct kmalloc *km, size_t size, uint32_t gfp);
void *kmalloc_aligned(struct kmalloc *km, size_t size, size_t align, uint32_t gfp);
void *kmalloc_resize(struct kmalloc *km, void *p, size_t size, uint32_t gfp);
/* Makes the large block p as large as size bytes, in place, by taking the frames behind it. False,
 * and nothing has changed, if these are not free or p is no large block. */
bool kmalloc_grow_large(struct kmalloc *km, void *p, size_t size);
/* cache_prealloc of the cache that serves size. EINVAL: there is no such class. ENOMEM */
int kmalloc_prealloc(struct kmalloc *km, size_t size, size_t nr);
/* How many bytes the caller may use at p; 0 if p is nothing that kmalloc has handed out. */
size_t kmalloc_usable(struct kmalloc *km, const void *p);
/* Writes zero to all of those bytes, in a way that no compiler leaves out. */
void kmalloc_clear(struct kmalloc *km, void *p);
/* Makes a large block of frames from page_alloc_contig or page_reserve_range; NULL if these gave
 * PFN_NONE. */
void *kmalloc_adopt_run(struct kmalloc *km, uint32_t pfn);
/* Frees the frames of a large block that is not in a caller's hands any more. */
void kmalloc_give_large(struct kmalloc *km, void *p, struct page *page);
/* A large block even where a class would do; kmalloc_free frees it. */
void *kmalloc_exact_pages(struct kmalloc *km, size_t size, uint32_t gfp);
/* The usable bytes that a request of this size gets. */
size_t kmalloc_roundup(const struct kmalloc *km, size_t size);

/* Recounts: each class has a cache of its size, the large blocks are those of the class map, and
 * as many as are counted. No other thread may use the arena meanwhile. */
bool kmalloc_check(struct kmalloc *km, struct finding *f);

#endif

/* api.c - the functions of pyslab.h for arenas, kmalloc, page frames and caches: argument checks
 * and error codes. What it is not: the work, which the layers below do. Lock: none. */
#include "arena/arena_failing.h"

#include "api/copy_struct.h"
#include "os/os.h"
#include "slab/fence.h"

#include <stdio.h>

/* --- arena -------------------------------------------------------------- */

int pyslab_arena_create(const pyslab_arena_options *options, pyslab_arena **out)
{
    pyslab_arena_options whole;

    if (options == NULL || out == NULL ||
        !copy_struct_in(&whole, sizeof whole, options, options->struct_size,
                        UP_TO(pyslab_arena_options, highmem_path)))
        return PYSLAB_EINVAL;
    whole.struct_size = sizeof whole;
    if (arena_creation_fails())
        return PYSLAB_ENOMEM;
    return arena_create(&whole, out);
}

int pyslab_arena_destroy(pyslab_arena *arena)
{
    return arena == NULL ? PYSLAB_OK : arena_destroy_sole(arena);
}

pyslab_arena *pyslab_default_arena(void)
{
    return arena_default();
}

void pyslab_arena_get(pyslab_arena *arena)
{
    arena_get(arena);
}

int pyslab_arena_put(pyslab_arena *arena)
{
    return arena_put(arena);
}

int pyslab_arena_validate(pyslab_arena *arena, char *message, size_t message_bytes)
{
    struct finding finding = {{0}};

    if (arena_check(arena, &finding))
        return PYSLAB_OK;
    if (message != NULL)
        snprintf(message, message_bytes, "%s", finding.text);
    return PYSLAB_ECORRUPT;
}

void pyslab_arena_stats_read(pyslab_arena *arena, pyslab_arena_stats *out)
{
    arena_stats(arena, out);
}

uint64_t pyslab_arena_release_unused(pyslab_arena *arena)
{
    return arena_release_unused(arena);
}

int pyslab_arena_buddyinfo(pyslab_arena *arena, uint32_t zone, uint64_t *nr_free, uint32_t nr)
{
    struct zone *z;

    if (zone >= arena->pages.nr_zones)
        return PYSLAB_EINVAL;
    z = &arena->pages.zone[zone];
    lock_acquire(&z->lock);
    for (unsigned order = 0; order <= z->max_order && order < nr; order++)
        nr_free[order] = buddy_nr_free_locked(z, order);
    lock_release(&z->lock);
    return (int)z->max_order + 1;
}

void *pyslab_arena_base(const pyslab_arena *arena)
{
    return arena->pages.map.base;
}

uint64_t pyslab_arena_size(const pyslab_arena *arena)
{
    return arena->bytes;
}

uint32_t pyslab_arena_max_order(const pyslab_arena *arena)
{
    return arena->pages.max_order;
}

/* --- zones and reclaim -------------------------------------------------- */

int pyslab_arena_zone_stats(pyslab_arena *arena, uint32_t zone, pyslab_zone_stats *out)
{
    return arena_zone_stats(arena, zone, out);
}

uint32_t pyslab_arena_vm_events(pyslab_arena *arena, uint64_t *counts, uint32_t nr)
{
    for (uint32_t i = 0; i < nr && i < PYSLAB_NR_VM_EVENTS; i++)
        counts[i] = load_relaxed(&arena->pages.reclaim.events[i]);
    return PYSLAB_NR_VM_EVENTS;
}

void pyslab_arena_set_limit(pyslab_arena *arena, uint64_t bytes)
{
    store_relaxed(&arena->limit_bytes, bytes);
    store_relaxed(&arena->pages.limit_pages, bytes == 0 ? LIMIT_NONE : bytes >> PAGE_SHIFT);
}

uint64_t pyslab_arena_limit(const pyslab_arena *arena)
{
    return load_relaxed(&arena->limit_bytes);
}

uint64_t pyslab_arena_used(const pyslab_arena *arena)
{
    return page_alloc_used(&arena->pages) << PAGE_SHIFT;
}

void pyslab_arena_set_oom(pyslab_arena *arena,
                          int (*oom)(size_t nbytes, uint32_t zone, void *context), void *context)
{
    atomic_store(&arena->pages.reclaim.oom_context, context);
    atomic_store(&arena->pages.reclaim.oom, oom);
}

int pyslab_register_shrinker(pyslab_arena *arena, const pyslab_shrinker_options *options,
                             pyslab_shrinker **out)
{
    pyslab_shrinker_options whole;

    if (options == NULL || out == NULL ||
        !copy_struct_in(&whole, sizeof whole, options, options->struct_size,
                        UP_TO(pyslab_shrinker_options, context)))
        return PYSLAB_EINVAL;
    whole.struct_size = sizeof whole;
    return shrinker_register(&arena->pages, &whole, out);
}

void pyslab_unregister_shrinker(pyslab_shrinker *shrinker)
{
    if (shrinker != NULL)
        shrinker_unregister(shrinker);
}

/* --- kmalloc ------------------------------------------------------------ */

void *pyslab_kmalloc(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return kmalloc_alloc(&arena->kmalloc, size, gfp);
}

void *pyslab_kzalloc(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return kmalloc_zeroed(&arena->kmalloc, size, gfp);
}

void *pyslab_kmalloc_aligned(pyslab_arena *arena, size_t size, size_t align, uint32_t gfp)
{
    return kmalloc_aligned(&arena->kmalloc, size, align, gfp);
}

void *pyslab_krealloc(pyslab_arena *arena, void *p, size_t size, uint32_t gfp)
{
    return kmalloc_resize(&arena->kmalloc, p, size, gfp);
}

size_t pyslab_ksize(pyslab_arena *arena, const void *p)
{
    return kmalloc_usable(&arena->kmalloc, p);
}

int pyslab_kfree(pyslab_arena *arena, void *p)
{
    return kmalloc_free(&arena->kmalloc, p);
}

size_t pyslab_kmalloc_size_roundup(const pyslab_arena *arena, size_t size)
{
    return kmalloc_roundup(&arena->kmalloc, size);
}

/* --- page frames -------------------------------------------------------- */

/* The record of a frame that heads an allocated block; NULL for any other frame. */
static const struct page *allocated_page(const pyslab_arena *arena, uint32_t pfn)
{
    const struct page *page;

    if (pfn >= arena->pages.map.nr_pages)
        return NULL;
    page = pfn_to_page(&arena->pages.map, pfn);
    return page_state(page) == PYSLAB_PAGE_ALLOC ? page : NULL;
}

int pyslab_gfp_zone(const pyslab_arena *arena, uint32_t gfp)
{
    return gfp_valid(gfp) ? (int)gfp_zone(&arena->pages, gfp) : PYSLAB_EINVAL;
}

uint32_t pyslab_alloc_pages_bulk(pyslab_arena *arena, uint32_t gfp, uint32_t nr, uint32_t *pfn)
{
    return page_alloc_bulk(&arena->pages, gfp, nr, pfn);
}

void *pyslab_alloc_pages_exact(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return kmalloc_exact_pages(&arena->kmalloc, size, gfp);
}

void *pyslab_alloc_contig(pyslab_arena *arena, uint32_t nr_pages, uint32_t align, uint32_t nocross,
                          uint32_t gfp)
{
    return kmalloc_adopt_run(&arena->kmalloc,
                             page_alloc_contig(&arena->pages, nr_pages, align, nocross,
                                               gfp & ~GFP_HIGH_BITS, PYSLAB_PAGE_LARGE));
}

void *pyslab_reserve_range(pyslab_arena *arena, uint32_t pfn, uint32_t nr_pages)
{
    if (!pfn_has_address(&arena->pages.map, pfn))
        return NULL;
    return kmalloc_adopt_run(&arena->kmalloc,
                             page_reserve_range(&arena->pages, pfn, nr_pages, PYSLAB_PAGE_LARGE));
}

uint32_t pyslab_alloc_run(pyslab_arena *arena, uint32_t nr_pages, uint32_t align, uint32_t nocross,
                          uint32_t gfp)
{
    return page_alloc_contig(&arena->pages, nr_pages, align, nocross, gfp, PYSLAB_PAGE_ALLOC);
}

uint32_t pyslab_reserve_run(pyslab_arena *arena, uint32_t pfn, uint32_t nr_pages)
{
    return page_reserve_range(&arena->pages, pfn, nr_pages, PYSLAB_PAGE_ALLOC);
}

uint32_t pyslab_page_nr_pages(const pyslab_arena *arena, uint32_t pfn)
{
    const struct page *page = allocated_page(arena, pfn);

    return page != NULL ? page_block_pages(page) : 0;
}

int pyslab_split_page(pyslab_arena *arena, uint32_t pfn, uint32_t order)
{
    return page_split(&arena->pages, pfn, order);
}

uint32_t pyslab_alloc_pages(pyslab_arena *arena, uint32_t order, uint32_t gfp)
{
    return page_alloc_block(&arena->pages, order, gfp);
}

int pyslab_free_pages(pyslab_arena *arena, uint32_t pfn, uint32_t order)
{
    return page_put(&arena->pages, pfn, order);
}

void *pyslab_get_free_pages(pyslab_arena *arena, uint32_t order, uint32_t gfp)
{
    uint32_t pfn = page_alloc_block(&arena->pages, order, gfp & ~GFP_HIGH_BITS);

    return pfn == PFN_NONE ? NULL : pfn_to_virt(&arena->pages.map, pfn);
}

int pyslab_free_pages_address(pyslab_arena *arena, void *p, uint32_t order)
{
    if (((uintptr_t)p & (PAGE_SIZE - 1)) != 0)
        return PYSLAB_EPOINTER;
    return page_put(&arena->pages, virt_to_pfn(&arena->pages.map, p), order);
}

int pyslab_get_page(pyslab_arena *arena, uint32_t pfn)
{
    return page_get(&arena->pages, pfn);
}

int pyslab_put_page(pyslab_arena *arena, uint32_t pfn)
{
    return page_put(&arena->pages, pfn, pyslab_page_order(arena, pfn));
}

uint32_t pyslab_page_count(const pyslab_arena *arena, uint32_t pfn)
{
    const struct page *page = allocated_page(arena, pfn);

    return page != NULL ? load_relaxed(&page->refcount) : 0;
}

uint32_t pyslab_page_order(const pyslab_arena *arena, uint32_t pfn)
{
    return pfn < arena->pages.map.nr_pages ? page_order(pfn_to_page(&arena->pages.map, pfn)) : 0;
}

uint32_t pyslab_page_state(const pyslab_arena *arena, uint32_t pfn)
{
    return pfn < arena->pages.map.nr_pages ? page_state(pfn_to_page(&arena->pages.map, pfn))
                                           : (uint32_t)PYSLAB_PAGE_UNLISTED;
}

void *pyslab_page_address(const pyslab_arena *arena, uint32_t pfn)
{
    return pfn_has_address(&arena->pages.map, pfn) ? pfn_to_virt(&arena->pages.map, pfn) : NULL;
}

uint32_t pyslab_page_to_zone(const pyslab_arena *arena, uint32_t pfn)
{
    struct page_alloc *pages = &((struct pyslab_arena *)(uintptr_t)arena)->pages;

    return pfn < pages->map.nr_pages ? page_alloc_zone_of(pages, pfn)->index : 0;
}

uint32_t pyslab_virt_to_pfn(const pyslab_arena *arena, const void *p)
{
    return virt_to_pfn(&arena->pages.map, p);
}

/* --- kmem_cache --------------------------------------------------------- */

int pyslab_kmem_cache_create(pyslab_arena *arena, const char *name, size_t size,
                             const pyslab_cache_options *options, pyslab_kmem_cache **out)
{
    pyslab_cache_options whole;

    if (options == NULL)
        return cache_create(&arena->kmalloc.slabs, name, size, NULL, out);
    if (!copy_struct_in(&whole, sizeof whole, options, options->struct_size,
                        UP_TO(pyslab_cache_options, context)))
        return PYSLAB_EINVAL;
    whole.struct_size = sizeof whole;
    return cache_create(&arena->kmalloc.slabs, name, size, &whole, out);
}

void *pyslab_kmem_cache_alloc(pyslab_kmem_cache *cache, uint32_t gfp)
{
    return cache_alloc(cache, gfp);
}

int pyslab_kmem_cache_free(pyslab_kmem_cache *cache, void *p)
{
    return cache_free(cache, p);
}

size_t pyslab_kmem_cache_alloc_bulk(pyslab_kmem_cache *cache, uint32_t gfp, size_t nr, void **p)
{
    return cache_alloc_bulk(cache, gfp, nr, p);
}

size_t pyslab_kmem_cache_free_bulk(pyslab_kmem_cache *cache, size_t nr, void **p)
{
    size_t done = 0;

    while (done < nr && pyslab_kmem_cache_free(cache, p[done]) == PYSLAB_OK)
        done++;
    return done;
}

pyslab_sheaf *pyslab_kmem_cache_prefill_sheaf(pyslab_kmem_cache *cache, uint32_t gfp, size_t nr)
{
    return cache_prefill(cache, gfp, nr);
}

void *pyslab_kmem_cache_alloc_from_sheaf(pyslab_kmem_cache *cache, pyslab_sheaf *sheaf)
{
    return cache_alloc_prefilled(cache, sheaf);
}

void pyslab_kmem_cache_return_sheaf(pyslab_kmem_cache *cache, pyslab_sheaf *sheaf)
{
    if (sheaf != NULL)
        cache_return_prefilled(cache, sheaf);
}

pyslab_kmem_cache *pyslab_kmem_cache_of(pyslab_arena *arena, const void *p)
{
    struct kmem_cache *cache = slab_cache_of(&arena->kmalloc.slabs, p);

    if (cache == NULL)
        cache = guarded_cache_of(&arena->kmalloc.slabs, p);
    else if (object_is_marked(cache, (void *)(uintptr_t)p))
        return NULL;
    return cache != NULL ? cache : fence_cache_of(&arena->kmalloc.slabs, p);
}

const char *pyslab_kmem_cache_name(const pyslab_kmem_cache *cache)
{
    return cache->desc->name;
}

size_t pyslab_kmem_cache_live_objects(pyslab_kmem_cache *cache, void **p, size_t nr)
{
    return cache_live_objects(cache, p, nr);
}

uint64_t pyslab_kmem_cache_shrink(pyslab_kmem_cache *cache)
{
    return cache_shrink(cache);
}

int pyslab_kmem_cache_destroy(pyslab_kmem_cache *cache)
{
    return cache_destroy(cache);
}

void pyslab_kmem_cache_stats(pyslab_kmem_cache *cache, pyslab_cache_stats *out)
{
    cache_stats(cache, out);
}

int pyslab_arena_cache_stats(pyslab_arena *arena, uint32_t index, pyslab_cache_stats *out)
{
    struct kmem_cache *cache;
    uint32_t id = 1;

    while ((cache = cache_pin_next(&arena->kmalloc.slabs, &id)) != NULL) {
        if (index-- == 0)
            cache_stats(cache, out);
        cache_unpin(cache);
        if (index == UINT32_MAX)
            return PYSLAB_OK;
    }
    return PYSLAB_EINVAL;
}

/* --- the library -------------------------------------------------------- */

const char *pyslab_strerror(int error)
{
    switch (error) {
    case PYSLAB_OK:
        return "no error";
    case PYSLAB_ENOMEM:
        return "no block of this size is free";
    case PYSLAB_EINVAL:
        return "an argument is outside its documented range";
    case PYSLAB_EPOINTER:
        return "not the start of a live allocation of this arena";
    case PYSLAB_EDOUBLE:
        return "already free";
    case PYSLAB_ECORRUPT:
        return "the metadata disagrees with itself";
    case PYSLAB_EBUSY:
        return "still in use";
    case PYSLAB_EOS:
        return "the operating system refused";
    case PYSLAB_EFORKED:
        return "the frames belong to the parent process";
    case PYSLAB_EMAPS:
        return "the budget of memory mappings (vm.max_map_count) is used up";
    case PYSLAB_ESTALE:
        return "the block of the handle is gone, or the handle was used";
    case PYSLAB_EFORMAT:
        return "made by another version, or build, of pyslab";
    case PYSLAB_ECACHE:
        return "the object belongs to another cache";
    case PYSLAB_ELIMIT:
        return "over a limit of the library or the machine";
    default:
        return "unknown error";
    }
}

uint64_t pyslab_physical_bytes(void)
{
    return os_physical_bytes();
}

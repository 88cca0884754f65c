/* api_profile.c - see api_profile.h: each function is the table's own, and a word to the profile
 * and to the recorder. Memory counts with the bytes that were asked for. Order of the text: notes;
 * kmalloc; frames; vmalloc; caches and mempools; the table. */
#include "api/api_profile.h"

#include "api/api_table.h"
#include "arena/arena.h"
#include "profile/profile.h"
#include "profile/recorded.h"
#include "slab/mempool.h"

/* --- notes -------------------------------------------------------------- */

static _Atomic bool is_profiled;

/* What kmalloc gives for no bytes is no block. */
static bool is_block(const void *p)
{
    return p != NULL && p != (const void *)(uintptr_t)PYSLAB_ZERO_SIZE;
}

/* Memory at p was handed out, if it was. */
static void note_profile(const void *p, size_t size)
{
    if (p != NULL && size != 0 && load_relaxed(&is_profiled))
        profile_alloc_anew(p, size);
}

static void *note_alloc(void *p, size_t size)
{
    note_profile(p, size);
    if (p != NULL && size != 0)
        recorded_alloc(p, size);
    return p;
}

/* n objects of size bytes; p is NULL where the product is none. */
static void *note_array(void *p, size_t n, size_t size)
{
    return note_alloc(p, n * size);
}

/* Memory at p goes back. */
static void note_free(const void *p)
{
    profile_free(p);
    if (is_block(p))
        recorded_free(p);
}

/* A block that is being resized. */
struct resizing {
    void *old;                    /* NULL: there is none */
    uint64_t begun;               /* the recorder's */
    bool sampled;                 /* it is one of the profile's samples: */
    struct profile_moving moving; /* this one */
};

static struct resizing note_resizing(void *p)
{
    struct resizing it = {.old = p, .begun = recorded_resizing(p)};

    it.sampled = p != NULL && profile_may_have(p) && profile_detach(p, &it.moving);
    return it;
}

static void *note_resized(const struct resizing *it, void *p, size_t size)
{
    if (it->sampled && p == NULL && size != 0)
        profile_attach(it->old, &it->moving);
    else if (it->sampled)
        profile_gone(&it->moving);
    note_profile(p, size);
    recorded_resized(it->begun, is_block(it->old) ? it->old : NULL, p, size);
    return p;
}

/* --- kmalloc ------------------------------------------------------------ */

static void *profiled_kmalloc(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return note_alloc(pyslab_kmalloc(arena, size, gfp), size);
}

static void *profiled_kzalloc(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return note_alloc(pyslab_kzalloc(arena, size, gfp), size);
}

static void *profiled_kmalloc_aligned(pyslab_arena *arena, size_t size, size_t align, uint32_t gfp)
{
    return note_alloc(pyslab_kmalloc_aligned(arena, size, align, gfp), size);
}

static void *profiled_kmalloc_array(pyslab_arena *arena, size_t n, size_t size, uint32_t gfp)
{
    return note_array(pyslab_kmalloc_array(arena, n, size, gfp), n, size);
}

static void *profiled_kcalloc(pyslab_arena *arena, size_t n, size_t size, uint32_t gfp)
{
    return note_array(pyslab_kcalloc(arena, n, size, gfp), n, size);
}

static void *profiled_kmemdup(pyslab_arena *arena, const void *src, size_t size, uint32_t gfp)
{
    return note_alloc(pyslab_kmemdup(arena, src, size, gfp), size);
}

static void *profiled_krealloc(pyslab_arena *arena, void *p, size_t size, uint32_t gfp)
{
    struct resizing it = note_resizing(p);

    return note_resized(&it, pyslab_krealloc(arena, p, size, gfp), size);
}

/* A product that does not fit is refused as a size that no arena has. */
static void *profiled_krealloc_array(pyslab_arena *arena, void *p, size_t n, size_t size,
                                     uint32_t gfp)
{
    size_t bytes;

    return profiled_krealloc(arena, p, __builtin_mul_overflow(n, size, &bytes) ? SIZE_MAX : bytes,
                             gfp);
}

static int profiled_kfree(pyslab_arena *arena, void *p)
{
    note_free(p);
    return pyslab_kfree(arena, p);
}

static int profiled_kfree_sensitive(pyslab_arena *arena, void *p)
{
    note_free(p);
    return pyslab_kfree_sensitive(arena, p);
}

/* --- page frames -------------------------------------------------------- */

/* The address under which a block is known; NULL: no frame. */
static void *place_of(const pyslab_arena *arena, uint32_t pfn)
{
    const struct frame_map *map = &arena->pages.map;

    return pfn < map->nr_pages ? pfn_to_place(map, pfn) : NULL;
}

static uint32_t note_frames(const pyslab_arena *arena, uint32_t pfn, uint64_t nr_pages)
{
    (void)note_alloc(place_of(arena, pfn), nr_pages << PAGE_SHIFT);
    return pfn;
}

/* A reference is about to go, perhaps the last one. */
static void note_put(const pyslab_arena *arena, uint32_t pfn)
{
    if (pyslab_page_count(arena, pfn) == 1)
        note_free(place_of(arena, pfn));
}

static uint32_t profiled_alloc_pages(pyslab_arena *arena, uint32_t order, uint32_t gfp)
{
    return note_frames(arena, pyslab_alloc_pages(arena, order, gfp), UINT64_C(1) << order);
}

static uint32_t profiled_alloc_pages_bulk(pyslab_arena *arena, uint32_t gfp, uint32_t nr,
                                          uint32_t *pfn)
{
    uint32_t got = pyslab_alloc_pages_bulk(arena, gfp, nr, pfn);

    for (uint32_t i = 0; i < got; i++)
        note_frames(arena, pfn[i], 1);
    return got;
}

static uint32_t profiled_alloc_run(pyslab_arena *arena, uint32_t nr_pages, uint32_t align,
                                   uint32_t nocross, uint32_t gfp)
{
    return note_frames(arena, pyslab_alloc_run(arena, nr_pages, align, nocross, gfp), nr_pages);
}

static void *profiled_get_free_pages(pyslab_arena *arena, uint32_t order, uint32_t gfp)
{
    return note_alloc(pyslab_get_free_pages(arena, order, gfp), (size_t)PAGE_SIZE << order);
}

static void *profiled_alloc_pages_exact(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return note_alloc(pyslab_alloc_pages_exact(arena, size, gfp), size);
}

static void *profiled_alloc_contig(pyslab_arena *arena, uint32_t nr_pages, uint32_t align,
                                   uint32_t nocross, uint32_t gfp)
{
    return note_alloc(pyslab_alloc_contig(arena, nr_pages, align, nocross, gfp),
                      (size_t)nr_pages << PAGE_SHIFT);
}

static int profiled_free_pages(pyslab_arena *arena, uint32_t pfn, uint32_t order)
{
    note_put(arena, pfn);
    return pyslab_free_pages(arena, pfn, order);
}

static int profiled_free_pages_address(pyslab_arena *arena, void *p, uint32_t order)
{
    note_put(arena, pyslab_virt_to_pfn(arena, p));
    return pyslab_free_pages_address(arena, p, order);
}

static int profiled_put_page(pyslab_arena *arena, uint32_t pfn)
{
    note_put(arena, pfn);
    return pyslab_put_page(arena, pfn);
}

/* --- vmalloc ------------------------------------------------------------ */

static void *profiled_vmalloc(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return note_alloc(pyslab_vmalloc(arena, size, gfp), size);
}

static void *profiled_vzalloc(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return note_alloc(pyslab_vzalloc(arena, size, gfp), size);
}

static void *profiled_vm_ring(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return note_alloc(pyslab_vm_ring(arena, size, gfp), size);
}

static void *profiled_kvmalloc(pyslab_arena *arena, size_t size, uint32_t gfp)
{
    return note_alloc(pyslab_kvmalloc(arena, size, gfp), size);
}

static int profiled_vfree(pyslab_arena *arena, void *p)
{
    note_free(p);
    return pyslab_vfree(arena, p);
}

static int profiled_kvfree(pyslab_arena *arena, void *p)
{
    note_free(p);
    return pyslab_kvfree(arena, p);
}

/* --- caches and mempools -------------------------------------------------- */

static void *note_object(const struct kmem_cache *cache, void *p)
{
    return note_alloc(p, cache->desc->object_size);
}

static void *profiled_kmem_cache_alloc(pyslab_kmem_cache *cache, uint32_t gfp)
{
    return note_object(cache, pyslab_kmem_cache_alloc(cache, gfp));
}

static void *profiled_kmem_cache_alloc_from_sheaf(pyslab_kmem_cache *cache, pyslab_sheaf *sheaf)
{
    return note_object(cache, pyslab_kmem_cache_alloc_from_sheaf(cache, sheaf));
}

static size_t profiled_kmem_cache_alloc_bulk(pyslab_kmem_cache *cache, uint32_t gfp, size_t nr,
                                             void **p)
{
    size_t got = pyslab_kmem_cache_alloc_bulk(cache, gfp, nr, p);

    for (size_t i = 0; i < got; i++)
        note_object(cache, p[i]);
    return got;
}

static int profiled_kmem_cache_free(pyslab_kmem_cache *cache, void *p)
{
    note_free(p);
    return pyslab_kmem_cache_free(cache, p);
}

static size_t profiled_kmem_cache_free_bulk(pyslab_kmem_cache *cache, size_t nr, void **p)
{
    for (size_t i = 0; i < nr; i++)
        note_free(p[i]);
    return pyslab_kmem_cache_free_bulk(cache, nr, p);
}

static void *profiled_mempool_alloc(pyslab_mempool *pool, uint32_t gfp)
{
    return note_object(pool->cache, pyslab_mempool_alloc(pool, gfp));
}

static int profiled_mempool_free(pyslab_mempool *pool, void *p)
{
    note_free(p);
    return pyslab_mempool_free(pool, p);
}

/* --- the table ---------------------------------------------------------- */

#define SET(name)                                                                                  \
    __atomic_store_n(&api_table.name, on ? profiled_##name : pyslab_##name, __ATOMIC_RELAXED)

void api_profile_set(bool profiled, bool recorded)
{
    bool on = profiled || recorded;

    store_relaxed(&is_profiled, profiled);
    SET(kmalloc);
    SET(kzalloc);
    SET(kmalloc_aligned);
    SET(kmalloc_array);
    SET(kcalloc);
    SET(kmemdup);
    SET(krealloc);
    SET(krealloc_array);
    SET(kfree);
    SET(kfree_sensitive);
    SET(alloc_pages);
    SET(alloc_pages_bulk);
    SET(alloc_run);
    SET(get_free_pages);
    SET(alloc_pages_exact);
    SET(alloc_contig);
    SET(free_pages);
    SET(free_pages_address);
    SET(put_page);
    SET(vmalloc);
    SET(vzalloc);
    SET(vm_ring);
    SET(kvmalloc);
    SET(vfree);
    SET(kvfree);
    SET(kmem_cache_alloc);
    SET(kmem_cache_alloc_from_sheaf);
    SET(kmem_cache_alloc_bulk);
    SET(kmem_cache_free);
    SET(kmem_cache_free_bulk);
    SET(mempool_alloc);
    SET(mempool_free);
}

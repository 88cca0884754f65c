/* kmalloc.c - what kmalloc.h does not inline: set-up, allocation, size, free, resize, in this
 * order. What it is not: the recount (kmalloc_check.c). */
#include "kmalloc/kmalloc.h"

#include "slab/fence.h"

#include <stdio.h>
#include <string.h>

#define ZERO_SIZE_PTR ((void *)(uintptr_t)PYSLAB_ZERO_SIZE)
#define SLAB_ARENA_SHARE 64u /* the slabs of a class are at most this part of the arena */

/* --- set-up ------------------------------------------------------------- */

/* The largest class of an arena. In a small one a single slab of the big classes would be too much
 * of it; it does without them, and serves their sizes as large blocks. */
static size_t max_class_bytes(const struct page_alloc *pages, bool debug)
{
    size_t share = ((size_t)pages->map.nr_pages << PAGE_SHIFT) / SLAB_ARENA_SHARE;
    size_t bytes = share >= PAGE_SIZE << SLAB_LARGEST_ORDER ? SIZE_CLASS_MAX : share / 4;

    if (bytes < SIZE_CLASS_SMALL_MAX)
        bytes = SIZE_CLASS_SMALL_MAX;
    /* An object must fit a block of the buddy, and so must what debugging puts around it: as much
     * before it as it is aligned to, and less than twice the right red zone. */
    while (bytes + (debug ? bytes + PAGE_SIZE / 4 : 0) > PAGE_SIZE << pages->max_order)
        bytes /= 2;
    return bytes;
}

static int class_cache_create(struct kmalloc *km, unsigned class, const char *prefix,
                              uint32_t flags, struct kmem_cache **out)
{
    uint32_t size = km->classes.size[class];
    pyslab_cache_options options = {.struct_size = sizeof options,
                                    .flags = flags,
                                    .align = km->slabs.debug.keyed
                                                 ? DEBUG_WORD_BYTES
                                                 : (size_t)1 << min_uint(ctz32(size), PAGE_SHIFT)};
    bool whole = size >= 1024 && size % 1024 == 0;
    char name[PYSLAB_NAME_MAX];

    snprintf(name, sizeof name, "%skmalloc-%u%s", prefix, whole ? size / 1024 : size,
             whole ? "k" : "");
    return cache_create(&km->slabs, name, size, &options, out);
}

int kmalloc_init(struct kmalloc *km, struct page_alloc *pages, struct cache_desc *descs,
                 uint32_t geometry, const char *debug, uint32_t guard)
{
    int error = slab_alloc_init(&km->slabs, pages, descs, debug);

    if (error == PYSLAB_OK)
        guarded_init(&km->slabs, guard);
    large_debug_init(km, pages->map.nr_pages);
    size_classes_init(&km->classes, geometry, max_class_bytes(pages, km->slabs.debug.any));
    for (unsigned class = 1; error == PYSLAB_OK && class <= km->classes.nr; class++) {
        struct kmem_cache *cache;

        error = class_cache_create(km, class, "", 0, &cache);
        CHECK(error != PYSLAB_OK || cache->id == class);
    }
    return error;
}

void kmalloc_destroy(struct kmalloc *km)
{
    guarded_destroy(&km->slabs);
    slab_alloc_destroy(&km->slabs);
    large_debug_destroy(km);
}

/* --- large blocks, as level 2 walks them -------------------------------------- */

/* The invariant of kmalloc.h, for the large block at pfn: its head is entered as one, and nothing
 * starts in the frames behind it. */
static bool large_adds_up(const struct frame_map *map, uint32_t pfn)
{
    const struct page *page = pfn_to_page(map, pfn);
    uint32_t nr_pages = load_relaxed(&page->large.nr_pages);

    if (page_state(page) != PYSLAB_PAGE_LARGE || frame_class(map->classes, pfn) != CLASS_LARGE ||
        nr_pages == 0 || nr_pages > map->nr_pages - pfn)
        return false;
    for (uint32_t i = 1; i < nr_pages; i++)
        if (frame_class(map->classes, pfn + i) != CLASS_NONE)
            return false;
    return true;
}

/* --- allocation of large blocks ------------------------------------------------ */

/* Enters frames in the class map that are a large block by their record, and in the count. */
static void *hand_out_large(struct kmalloc *km, uint32_t pfn, uint32_t nr_pages)
{
    struct page_alloc *pages = km->slabs.pages;

    CHECK(nr_pages == load_relaxed(&pfn_to_page(&pages->map, pfn)->large.nr_pages));
    frame_class_set(&pages->map, pfn, CLASS_LARGE);
    usage_add(pages->usage, page_key(pages, pfn), (uint64_t)nr_pages << PAGE_SHIFT);
    CHECK_WALK(large_adds_up(&pages->map, pfn));
    return pfn_to_virt(&pages->map, pfn);
}

/* The same for frames that are not counted yet. */
static void *adopt_large(struct kmalloc *km, uint32_t pfn)
{
    uint32_t nr_pages = load_relaxed(&pfn_to_page(&km->slabs.map, pfn)->large.nr_pages);

    shelf_add_large(km->slabs.pages, 1, nr_pages);
    return hand_out_large(km, pfn, nr_pages);
}

/* A large block whose last frame is not used up to its end, so that what lies behind the size bytes
 * can be closed for the tool that watches the arena. */
static slow_path void *alloc_watched_large(struct kmalloc *km, size_t size, unsigned align_order,
                                           uint32_t gfp)
{
    struct page_alloc *pages = km->slabs.pages;
    uint32_t nr_pages = (uint32_t)bytes_to_pages(size) + 1;
    uint32_t pfn = page_alloc_exact(pages, nr_pages, align_order, gfp);
    char *p;

    if (pfn == PFN_NONE)
        return NULL;
    p = adopt_large(km, pfn);
    sanitize_close(pages->watch, p + size, ((size_t)nr_pages << PAGE_SHIFT) - size);
    return p;
}

/* A large block for size bytes: of one block of the buddy, if size is one and threads keep lists of
 * that order; else of exactly as many frames as size needs. */
static void *alloc_large(struct kmalloc *km, size_t size, unsigned align_order, uint32_t gfp)
{
    struct page_alloc *pages = km->slabs.pages;
    uint64_t nr_pages = bytes_to_pages(size);
    struct page *page;
    unsigned order;
    uint32_t pfn;

    if (nr_pages > pages->map.nr_pages)
        return NULL;
    if (unlikely(km->large_debug.flags != 0))
        return large_debug_alloc(km, size, align_order, gfp);
    if (pages->watch != SANITIZE_NONE)
        return alloc_watched_large(km, size, align_order, gfp);
    pfn = align_order == 0 && nr_pages != 0 ? shelf_take(pages, (uint32_t)nr_pages, gfp) : PFN_NONE;
    if (pfn != PFN_NONE)
        return hand_out_large(km, pfn, (uint32_t)nr_pages);
    order = order_for_pages(nr_pages);
    if (nr_pages == 1u << order && align_order <= order && pcp_has_list(order)) {
        pfn = page_alloc_uncounted(pages, order, gfp);
        if (pfn == PFN_NONE)
            return NULL;
        page = pfn_to_page(&pages->map, pfn);
        store_relaxed(&page->large.nr_pages, (uint32_t)nr_pages);
        store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_LARGE, order, page_zone(page)));
    } else {
        pfn = page_alloc_exact(pages, (uint32_t)nr_pages, align_order, gfp);
        if (pfn == PFN_NONE)
            return NULL;
    }
    return adopt_large(km, pfn);
}

/* An arena with a tool or debug flags keeps none of its large blocks on the shelf. */
void *kmalloc_unshelve(struct kmalloc *km, size_t size)
{
    struct page_alloc *pages = km->slabs.pages;
    uint32_t nr_pages, pfn;

    CHECK(size > CACHE_MAX_OBJECT);
    if (size > km->slabs.map.bytes || guard_is_on(&km->slabs.guard) ||
        load_relaxed(&pages->faults->nr) != 0)
        return NULL;
    nr_pages = (uint32_t)bytes_to_pages(size);
    pfn = shelf_take(pages, nr_pages, PYSLAB_GFP_KERNEL);
    return pfn != PFN_NONE ? hand_out_large(km, pfn, nr_pages) : NULL;
}

/* --- allocation --------------------------------------------------------- */

/* Returns p; counts a failed allocation if it is NULL. */
static void *count_failure(struct kmalloc *km, void *p)
{
    if (p == NULL)
        add_relaxed(&km->slabs.pages->alloc_failures, 1);
    return p;
}

void *kmalloc_adopt_run(struct kmalloc *km, uint32_t pfn)
{
    struct page *page = pfn_to_page(&km->slabs.pages->map, pfn);
    void *p;

    if (pfn == PFN_NONE)
        return count_failure(km, NULL);
    p = adopt_large(km, pfn);
    if (unlikely(km->large_debug.flags != 0))
        large_debug_set(km, page, p, (size_t)load_relaxed(&page->large.nr_pages) << PAGE_SHIFT);
    return p;
}

/* This request is made to fail (fault_attr.h). class: 0 for a large block, which is of
 * no cache. */
static inline bool request_fails(const struct kmalloc *km, unsigned class, size_t size,
                                 uint32_t gfp)
{
    const char *cache = class != 0 ? km->slabs.caches[class]->desc->name : NULL;

    return should_fail(km->slabs.pages->faults, cache, size, gfp);
}

/* The request's flags without those that choose zones of frames that have no address. */
static uint32_t addressable(uint32_t gfp)
{
    return gfp & ~(GFP_SLAB_BUG_BITS | (uint32_t)PYSLAB_GFP_MOVABLE);
}

void *kmalloc_exact_pages(struct kmalloc *km, size_t size, uint32_t gfp)
{
    if (!gfp_valid(gfp) || size == 0 || request_fails(km, 0, size, gfp))
        return count_failure(km, NULL);
    return count_failure(km, alloc_large(km, size, 0, addressable(gfp)));
}

/* The cache of a class in the DMA zone, which is made if it is not there; NULL without memory. */
static slow_path struct kmem_cache *dma_cache(struct kmalloc *km, unsigned class)
{
    struct kmem_cache *cache = atomic_load(&km->dma_cache[class]), *made;

    if (cache != NULL)
        return cache;
    if (class_cache_create(km, class, "dma-", PYSLAB_SLAB_CACHE_DMA, &made) != PYSLAB_OK)
        return NULL;
    if (atomic_compare_exchange_strong(&km->dma_cache[class], &cache, made))
        return made;
    (void)cache_destroy(made);
    return cache;
}

/* From this thread's main sheaf of any class; NULL if it is empty. pre: thread_has_domain of the
 * arena (unchecked: see thread_slot_loaded) */
static inline void *pop_class(struct kmalloc *km, unsigned class)
{
    struct sheaf_table *table = sheaf_table_loaded();
    void *p = sheaf_pop(table, class);

    if (unlikely(table->slot[class].nr_allocs % SHEAF_LOOK_EVERY == 0) && p != NULL)
        page_alloc_tick(km->slabs.pages);
    return p;
}

/* An object of a class. If a slab for it cannot be bought, a large block instead: smaller blocks
 * than a slab's may still be free. */
static void *alloc_class(struct kmalloc *km, unsigned class, size_t size, uint32_t gfp)
{
    struct page_alloc *pages = km->slabs.pages;
    bool dma = (gfp & PYSLAB_GFP_DMA) != 0 && gfp_zone(pages, gfp) != pages->normal;
    struct kmem_cache *cache;
    void *p = NULL;

    if (likely(!dma) && thread_has_domain(km->slabs.domain))
        p = pop_class(km, class);
    cache = p != NULL || !dma ? km->slabs.caches[class] : dma_cache(km, class);
    if (p == NULL && cache != NULL)
        p = cache_alloc_sized(cache, gfp, size);
    if (p == NULL) {
        bool smaller_may_do = cache == NULL || cache->desc->slab_order != 0;

        if (cache != NULL && page_alloc_gave_up(pages))
            return NULL;
        return smaller_may_do ? alloc_large(km, size, 0, gfp) : NULL;
    }
    if ((gfp & PYSLAB_GFP_ZERO) != 0)
        memset(p, 0,
               cache->debug != NULL || fence_has(&km->slabs, p) ? size : km->classes.size[class]);
    if (unlikely(cache->watch != SANITIZE_NONE))
        sanitize_object_trim(cache->watch, p, km->classes.size[class], size);
    return p;
}

slow_path void *kmalloc_slow(struct kmalloc *km, size_t size, uint32_t gfp)
{
    unsigned class = size_class_of(&km->classes, size);
    void *p;

    /* The fast path tries the classes up to 8 KiB only; here the main sheaf of any is tried. */
    if (likely(class != 0 && (gfp & ~GFP_FAST_BITS) == 0 && thread_has_domain(km->slabs.domain))) {
        p = pop_class(km, class);
        if (likely(p != NULL))
            return p;
    }
    if (!gfp_valid(gfp))
        return count_failure(km, NULL);
    if (size == 0)
        return ZERO_SIZE_PTR;
    if (request_fails(km, class, size, gfp))
        return count_failure(km, NULL);
    gfp = addressable(gfp);
    if (guard_is_on(&km->slabs.guard) &&
        (p = guarded_alloc(&km->slabs, class, size, 1, gfp)) != NULL)
        return p;
    return count_failure(km, class != 0 ? alloc_class(km, class, size, gfp)
                                        : alloc_large(km, size, 0, gfp));
}

void *kmalloc_zeroed(struct kmalloc *km, size_t size, uint32_t gfp)
{
    unsigned class = size_class_of(&km->classes, size);

    gfp &= ~(uint32_t)PYSLAB_GFP_ZERO;
    if (class != 0) {
        void *p = thread_has_domain(km->slabs.domain) ? pop_class(km, class) : NULL;

        if (likely(p != NULL && (gfp & ~GFP_FAST_BITS) == 0))
            return memset(p, 0, km->classes.size[class]);
        if (p != NULL)
            (void)kmalloc_free(km, p);
    }
    return kmalloc_slow(km, size, gfp | PYSLAB_GFP_ZERO);
}

void *kmalloc_aligned(struct kmalloc *km, size_t size, size_t align, uint32_t gfp)
{
    unsigned class;
    void *p;

    if (!is_power_of_two(align) || !gfp_valid(gfp))
        return count_failure(km, NULL);
    if (size == 0)
        return ZERO_SIZE_PTR;
    class = size_class_aligned(&km->classes, size, align);
    if (request_fails(km, class, size, gfp))
        return count_failure(km, NULL);
    gfp = addressable(gfp);
    if (guard_is_on(&km->slabs.guard) &&
        (p = guarded_alloc(&km->slabs, class, size, align, gfp)) != NULL)
        return p;
    return count_failure(
        km, class != 0
                ? alloc_class(km, class, size, gfp)
                : alloc_large(km, size, align > PAGE_SIZE ? ilog2(align) - PAGE_SHIFT : 0, gfp));
}

int kmalloc_prealloc(struct kmalloc *km, size_t size, size_t nr)
{
    unsigned class = size_class_of(&km->classes, size);

    return class == 0 ? PYSLAB_EINVAL : cache_prealloc(km->slabs.caches[class], nr);
}

/* --- size --------------------------------------------------------------- */

/* A large block starts at p, which lies in this frame. */
static bool is_large(const struct kmalloc *km, const void *p, uint32_t pfn)
{
    return pfn != PFN_NONE && frame_class(km->slabs.pages->map.classes, pfn) == CLASS_LARGE &&
           ((uintptr_t)p & (PAGE_SIZE - 1)) == 0;
}

/* The record of the large block that starts at p; NULL if none does. */
static struct page *large_page(struct kmalloc *km, const void *p)
{
    const struct frame_map *map = &km->slabs.pages->map;
    uint32_t pfn = virt_to_pfn(map, p);

    return is_large(km, p, pfn) ? pfn_to_page(map, pfn) : NULL;
}

/* Of these bytes at p, those that the tool that watches the arena lets the caller use. */
static size_t open_bytes(const struct kmalloc *km, const void *p, size_t bytes)
{
    enum sanitize_mode watch = km->slabs.pages->watch;

    return likely(watch == SANITIZE_NONE) ? bytes : sanitize_open_bytes(watch, p, bytes);
}

size_t kmalloc_usable(struct kmalloc *km, const void *p)
{
    const struct page *page = large_page(km, p);
    struct kmem_cache *cache;

    if (fence_has(&km->slabs, p))
        return fence_usable(&km->slabs, p);
    if (page != NULL)
        return km->large_debug.flags != 0
                   ? large_debug_asked(page)
                   : open_bytes(km, p, (size_t)load_relaxed(&page->large.nr_pages) << PAGE_SHIFT);
    cache = slab_cache_of(&km->slabs, p);
    if (cache == NULL)
        return guarded_usable(&km->slabs, p);
    if (cache->debug != NULL)
        return debug_usable(cache, p);
    return object_is_marked(cache, (void *)(uintptr_t)p)
               ? 0
               : open_bytes(km, p, cache->desc->object_size);
}

void kmalloc_clear(struct kmalloc *km, void *p)
{
    size_t usable = kmalloc_usable(km, p);

    if (usable == 0)
        return;
    sanitize_open(km->slabs.pages->watch, p, usable, true);
    memset(p, 0, usable);
    /* For the compiler this reads the bytes, so that the writes before it cannot be dead. */
    __asm__ volatile("" : : "r"(p) : "memory");
}

size_t kmalloc_roundup(const struct kmalloc *km, size_t size)
{
    unsigned class = size_class_of(&km->classes, size);

    if (class != 0 || size == 0)
        return km->classes.size[class];
    return size > SIZE_MAX - PAGE_SIZE ? SIZE_MAX : (size_t)bytes_to_pages(size) << PAGE_SHIFT;
}

/* --- free --------------------------------------------------------------- */

void kmalloc_give_large(struct kmalloc *km, void *p, struct page *page)
{
    struct page_alloc *pages = km->slabs.pages;
    uint32_t pfn = virt_to_pfn(&pages->map, p);
    uint32_t nr_pages = load_relaxed(&page->large.nr_pages);
    unsigned order = order_for_pages(nr_pages);

    CHECK_WALK(large_adds_up(&pages->map, pfn));
    frame_class_set(&pages->map, pfn, CLASS_NONE);
    if (likely(km->large_debug.flags == 0) && shelf_suits(pages, pfn, nr_pages)) {
        shelf_put(pages, pfn, nr_pages);
        return;
    }
    shelf_sub_large(pages, 1, nr_pages);
    /* What was trimmed or grown may have a block's length without being aligned as one. */
    if (nr_pages == 1u << order && (pfn & (nr_pages - 1)) == 0)
        page_free_block(pages, pfn, order);
    else
        page_free_range(pages, pfn, nr_pages);
}

size_t kmalloc_shelve(struct kmalloc *km, void *p)
{
    struct page_alloc *pages = km->slabs.pages;
    uint32_t pfn = virt_to_pfn(&pages->map, p), nr_pages;

    if (!is_large(km, p, pfn) || km->large_debug.flags != 0 || pages->keeper.ask != NULL)
        return 0;
    nr_pages = load_relaxed(&pfn_to_page(&pages->map, pfn)->large.nr_pages);
    if (!shelf_suits(pages, pfn, nr_pages))
        return 0;
    usage_sub(pages->usage, (uintptr_t)p, (uint64_t)nr_pages << PAGE_SHIFT);
    frame_class_set(&pages->map, pfn, CLASS_NONE);
    shelf_put(pages, pfn, nr_pages);
    return (size_t)nr_pages << PAGE_SHIFT;
}

/* Errors: EDOUBLE, only in an arena with debug flags for large blocks. */
static int free_large(struct kmalloc *km, void *p, struct page *page)
{
    uint64_t nr_pages = load_relaxed(&page->large.nr_pages);

    if (unlikely(km->large_debug.flags != 0))
        return large_debug_free(km, page, p);
    usage_sub(km->slabs.pages->usage, (uintptr_t)p, nr_pages << PAGE_SHIFT);
    kmalloc_give_large(km, p, page);
    return PYSLAB_OK;
}

slow_path int kfree_slow(struct kmalloc *km, void *p)
{
    struct page *page;
    struct kmem_cache *cache;
    uint32_t pfn;
    int error;

    if (p == NULL || p == ZERO_SIZE_PTR)
        return PYSLAB_OK;
    if (fence_has(&km->slabs, p))
        return fence_free(&km->slabs, NULL, p);
    page = large_page(km, p);
    if (page != NULL) {
        int kept = page_keeps(km->slabs.pages, p);

        if (kept == PYSLAB_OK)
            return free_large(km, p, page);
        return kept == PAGE_KEPT ? PYSLAB_OK : kept;
    }
    cache = slab_cache_of(&km->slabs, p);
    if (cache != NULL)
        return cache_free_object(cache, p);
    if (guarded_free(&km->slabs, NULL, p, &error))
        return error;
    if (large_debug_wrong_free(km, p))
        return PYSLAB_EPOINTER;
    pfn = virt_to_pfn(&km->slabs.pages->map, p);
    return debug_wrong_free(
        &km->slabs, NULL, p,
        pfn != PFN_NONE && page_is_free(km->slabs.pages, pfn) ? PYSLAB_EDOUBLE : PYSLAB_EPOINTER);
}

/* --- resize ------------------------------------------------------------- */

/* A large block keeps its first frames and gives back the others. */
static void trim_large(struct kmalloc *km, void *p, struct page *page, size_t size)
{
    struct page_alloc *pages = km->slabs.pages;
    uint32_t keep = (uint32_t)bytes_to_pages(size);
    uint32_t nr_pages = load_relaxed(&page->large.nr_pages);

    if (keep == nr_pages)
        return;
    store_relaxed(&page->large.nr_pages, keep);
    shelf_sub_large(pages, 0, nr_pages - keep);
    usage_grow(pages->usage, (uintptr_t)p, -((int64_t)(nr_pages - keep) << PAGE_SHIFT));
    CHECK_WALK(large_adds_up(&pages->map, virt_to_pfn(&pages->map, p)));
    page_free_range(pages, virt_to_pfn(&pages->map, p) + keep, nr_pages - keep);
}

bool kmalloc_grow_large(struct kmalloc *km, void *p, size_t size)
{
    struct page_alloc *pages = km->slabs.pages;
    struct page *page = large_page(km, p);
    uint64_t wanted = bytes_to_pages(size);
    uint32_t nr_pages, extra;

    if (page == NULL || wanted > pages->map.nr_pages)
        return false;
    if (km->large_debug.flags != 0)
        return size <= large_debug_asked(page);
    nr_pages = load_relaxed(&page->large.nr_pages);
    if (wanted <= nr_pages)
        return true;
    if (page_is_shown(pages, p))
        return false;
    extra = (uint32_t)wanted - nr_pages;
    if (!page_extend(pages, virt_to_pfn(&pages->map, p) + nr_pages, extra))
        return false;
    store_relaxed(&page->large.nr_pages, nr_pages + extra);
    shelf_add_large(pages, 0, extra);
    usage_grow(pages->usage, (uintptr_t)p, (int64_t)extra << PAGE_SHIFT);
    CHECK_WALK(large_adds_up(&pages->map, virt_to_pfn(&pages->map, p)));
    return true;
}

/* Resizes by allocating anew, copying, and freeing the old block. */
static void *move_block(struct kmalloc *km, void *p, size_t old_size, size_t size, uint32_t gfp)
{
    void *moved = (gfp & PYSLAB_GFP_ZERO) != 0
                      ? kmalloc_zeroed(km, size, gfp & ~(uint32_t)PYSLAB_GFP_ZERO)
                      : kmalloc_alloc(km, size, gfp);

    if (moved == NULL)
        return NULL;
    memcpy(moved, p, old_size < size ? old_size : size);
    (void)kmalloc_free(km, p);
    return moved;
}

void *kmalloc_resize(struct kmalloc *km, void *p, size_t size, uint32_t gfp)
{
    struct kmem_cache *cache;
    size_t usable;
    struct page *page;

    if (p == NULL || p == ZERO_SIZE_PTR)
        return (gfp & PYSLAB_GFP_ZERO) != 0 ? kmalloc_zeroed(km, size, gfp)
                                            : kmalloc_alloc(km, size, gfp);
    usable = kmalloc_usable(km, p);
    if (usable == 0 || !gfp_valid(gfp))
        return NULL;
    if (size == 0) {
        (void)kmalloc_free(km, p);
        return ZERO_SIZE_PTR;
    }
    if (size <= usable && guarded_shrink(&km->slabs, p, size))
        return p;
    page = large_page(km, p);
    if (unlikely(page != NULL && km->large_debug.flags != 0))
        return large_debug_resize(km, p, page, size, (gfp & PYSLAB_GFP_ZERO) != 0)
                   ? p
                   : move_block(km, p, usable, size, gfp);
    cache = km->slabs.debug.any ? slab_cache_of(&km->slabs, p) : NULL;
    if (cache != NULL && cache->debug != NULL) {
        (void)debug_examine(cache, p, NULL);
        if (debug_resize(cache, p, size, (gfp & PYSLAB_GFP_ZERO) != 0))
            return p;
    } else if (unlikely(km->slabs.pages->watch != SANITIZE_NONE)) {
        /* The caller's part of the old block is not known here: all of it is copied. */
        sanitize_open(km->slabs.pages->watch, p, usable, true);
        return move_block(km, p, usable, size, gfp);
    }
    if (size > usable)
        return move_block(km, p, usable, size, gfp);
    if (page != NULL && !page_is_shown(km->slabs.pages, p))
        trim_large(km, p, page, size);
    return p;
}

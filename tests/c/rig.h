/* rig.h - small arenas for the tests: a layer with the real layers below it.
 *
 * struct page_rig is page_alloc over real memory; struct slab_rig adds the slab caches;
 * rig_arena makes a whole arena through the public header. Each *_end validates first.
 * Not here: anything a single test file needs alone.
 */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "arena/arena.h"
#include "check.h"
#include "os/os.h"
#include "os/os_heap.h"

#define KERNEL ((uint32_t)PYSLAB_GFP_KERNEL)
#define ZEROED ((uint32_t)(PYSLAB_GFP_KERNEL | PYSLAB_GFP_ZERO))
#define MIB ((size_t)1 << 20)
#define KIB ((size_t)1 << 10)

/* Reports a recount's finding with its text. */
static inline void rig_expect_check(bool ok, const struct finding *f)
{
    if (!ok && check_nr_failures < 10)
        fprintf(stderr, "recount: %s\n", f->text);
    EXPECT(ok);
}

static inline void *rig_map(size_t bytes, size_t align)
{
    size_t page = os_page_bytes(); /* may be larger than a frame: csrc/os/os_pretend.c */
    void *p = NULL;

    bytes = (size_t)align_up(bytes, page);
    if (align < page)
        align = page;
    if (os_reserve(bytes, align, &p) != PYSLAB_OK || os_commit(p, bytes, true) != PYSLAB_OK)
        abort();
    return p;
}

static inline bool rig_is_filled(const void *p, size_t bytes, unsigned char byte)
{
    const unsigned char *at = p;

    return bytes == 0 || (at[0] == byte && memcmp(at, at + 1, bytes - 1) == 0);
}

/* --- one zone, whose frames have records but no memory -------------------- */

/* Its lock is held from zone_rig_begin to zone_rig_end, as the buddy's callers hold it. */
struct zone_rig {
    struct frame_map map;
    struct zone zone;
};

static inline void zone_rig_begin(struct zone_rig *rig, uint32_t start, uint32_t nr,
                                  unsigned max_order)
{
    uint32_t frames = start + nr;

    frame_map_init(&rig->map, NULL, frames, rig_map(frame_map_bytes(frames), PAGE_SIZE));
    zone_init(&rig->zone, "TEST", 1, start, nr, max_order);
    lock_acquire(&rig->zone.lock);
}

static inline void zone_rig_check(struct zone_rig *rig)
{
    struct finding f = {{0}};

    rig_expect_check(buddy_check_locked(&rig->zone, &rig->map, &f), &f);
    rig_expect_check(buddy_check_busy_locked(&rig->zone, &rig->map, &f), &f);
}

/* Sets the state of the block's record, as the buddy's callers do for the blocks they get. */
static inline uint32_t zone_rig_alloc(struct zone_rig *rig, unsigned order)
{
    uint32_t pfn = buddy_alloc_locked(&rig->zone, &rig->map, order);

    if (pfn != PFN_NONE)
        store_relaxed(&rig->map.pages[pfn].word, PAGE_WORD(PYSLAB_PAGE_ALLOC, order, 1));
    return pfn;
}

static inline void zone_rig_free(struct zone_rig *rig, uint32_t pfn, unsigned order)
{
    buddy_free_locked(&rig->zone, &rig->map, pfn, order, RESIDENCY_DIRTY);
}

static inline void zone_rig_end(struct zone_rig *rig)
{
    zone_rig_check(rig);
    lock_release(&rig->zone.lock);
    zone_destroy(&rig->zone);
    os_release(rig->map.classes, frame_map_bytes(rig->map.nr_pages));
}

/* --- page_alloc --------------------------------------------------------- */

struct page_rig {
    struct page_alloc pa;
    struct thread_domain domain;
    void *metadata;
};

static inline void page_rig_begin(struct page_rig *rig, uint32_t nr_pages, unsigned max_order)
{
    size_t bytes = (size_t)nr_pages << PAGE_SHIFT;
    struct frame_map map;

    rig->metadata = rig_map(frame_map_bytes(nr_pages), PAGE_SIZE);
    frame_map_init(&map, rig_map(bytes, PAGE_SIZE << min_uint(max_order, 14)), nr_pages,
                   rig->metadata);
    thread_domain_init(&rig->domain);
    memset(&rig->pa, 0, sizeof rig->pa); /* the arena's is zero too, where nothing is set */
    page_alloc_init(&rig->pa, &map, &rig->domain, max_order, NULL, 0);
}

static inline void page_rig_check(struct page_rig *rig)
{
    struct finding f = {{0}};

    rig_expect_check(page_alloc_check(&rig->pa, &f), &f);
}

/* Frames in the buddy of the only zone. */
static inline uint64_t page_rig_free(struct page_rig *rig)
{
    return zone_free_pages(&rig->pa.zone[0]);
}

/* Frames on the page lists of all threads and zones. */
static inline uint64_t rig_pcp_pages(struct page_alloc *pa)
{
    uint64_t nr_pages[MAX_NR_ZONES], total = 0;

    pcp_count_pages(pa, nr_pages);
    for (uint32_t i = 0; i < pa->nr_zones; i++)
        total += nr_pages[i];
    return total;
}

static inline void page_rig_unmap(struct page_rig *rig)
{
    size_t bytes = (size_t)rig->pa.map.nr_pages << PAGE_SHIFT;

    page_alloc_destroy(&rig->pa);
    os_release(rig->pa.map.base, bytes);
    os_release(rig->metadata, frame_map_bytes(rig->pa.map.nr_pages));
}

/* Everything must have been given back. */
static inline void page_rig_end(struct page_rig *rig)
{
    page_rig_check(rig);
    pcp_drain(&rig->pa);
    page_rig_check(rig);
    EXPECT_EQ(page_rig_free(rig), rig->pa.map.nr_pages);
    thread_domain_destroy(&rig->domain);
    page_rig_unmap(rig);
}

/* --- slab --------------------------------------------------------------- */

struct slab_rig {
    struct page_rig pages;
    struct slab_alloc sa;
    struct cache_desc *descs;
};

static inline bool slab_rig_reclaim(void *context, uint32_t nr_short)
{
    (void)nr_short;
    return slab_reclaim(context) != 0;
}

static inline void slab_rig_begin(struct slab_rig *rig, uint32_t nr_pages, unsigned max_order)
{
    page_rig_begin(&rig->pages, nr_pages, max_order);
    rig->descs = calloc(MAX_CACHES, sizeof *rig->descs);
    if (rig->descs == NULL ||
        slab_alloc_init(&rig->sa, &rig->pages.pa, rig->descs, "") != PYSLAB_OK)
        abort();
    page_alloc_set_reclaim(&rig->pages.pa, slab_rig_reclaim, &rig->sa);
}

static inline void slab_rig_check(struct slab_rig *rig)
{
    struct finding f = {{0}};

    rig_expect_check(slab_check(&rig->sa, &f), &f);
    page_rig_check(&rig->pages);
}

static inline int rig_cache_create(struct slab_alloc *sa, const char *name, size_t size,
                                   size_t align, struct kmem_cache **out)
{
    pyslab_cache_options options = {.struct_size = sizeof options, .align = align};

    return cache_create(sa, name, size, &options, out);
}

static inline struct kmem_cache *slab_rig_cache(struct slab_rig *rig, size_t size, size_t align)
{
    struct kmem_cache *cache = NULL;

    if (rig_cache_create(&rig->sa, "test", size, align, &cache) != PYSLAB_OK)
        abort();
    return cache;
}

static inline pyslab_cache_stats slab_rig_stats(struct kmem_cache *cache)
{
    pyslab_cache_stats stats;

    cache_stats(cache, &stats);
    return stats;
}

/* Objects may be live still; they go with the rig. */
static inline void slab_rig_end(struct slab_rig *rig)
{
    slab_rig_check(rig);
    thread_domain_destroy(&rig->pages.domain);
    slab_alloc_destroy(&rig->sa);
    page_rig_unmap(&rig->pages);
    free(rig->descs);
}

/* --- arena -------------------------------------------------------------- */

static inline pyslab_arena_options rig_options(size_t bytes, unsigned max_order)
{
    return (pyslab_arena_options){
        .struct_size = sizeof(pyslab_arena_options), .max_order = max_order, .size_bytes = bytes};
}

static inline pyslab_arena *rig_arena_of(const pyslab_arena_options *options)
{
    pyslab_arena *arena = NULL;

    if (pyslab_arena_create(options, &arena) != PYSLAB_OK)
        abort();
    return arena;
}

static inline pyslab_arena *rig_arena(size_t bytes, unsigned max_order)
{
    pyslab_arena_options options = rig_options(bytes, max_order);

    return rig_arena_of(&options);
}

static inline void rig_validate(pyslab_arena *arena)
{
    char message[256] = "";
    int error = pyslab_arena_validate(arena, message, sizeof message);

    if (error != PYSLAB_OK && check_nr_failures < 10)
        fprintf(stderr, "validate: %s\n", message);
    EXPECT_EQ(error, PYSLAB_OK);
}

static inline pyslab_arena_stats rig_stats(pyslab_arena *arena)
{
    pyslab_arena_stats stats;

    pyslab_arena_stats_read(arena, &stats);
    return stats;
}

static inline void rig_end(pyslab_arena *arena)
{
    rig_validate(arena);
    pyslab_arena_destroy(arena);
}

#endif

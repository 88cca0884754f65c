/* arena.c - making and unmaking an arena. What it is not: references (arena_life.c), figures
 * (arena_stats.c). Lock: none of its own; nobody else knows an arena that is being made. */
#include "arena/arena.h"

#include "arena/arena_fork.h"
#include "os/os.h"
#include "os/os_heap.h"
#include "slab/fence.h"
#include "vm/vm_debug.h"

#include <errno.h>
#include <string.h>

#define MIN_ARENA_ALIGN ((size_t)2 << 20) /* of an arena at least as large */

/* --- options ------------------------------------------------------------ */

/* The page size of the mapping: its length is a multiple. */
static size_t arena_granule(const pyslab_arena_options *options)
{
    if (options->hugepages == PYSLAB_HUGEPAGES_REQUIRE && os_hugepage_bytes() != 0)
        return os_hugepage_bytes();
    return os_page_bytes();
}

/* The sizes of zones are used as they are, without rounding. Frames of high memory are mapped
 * one by one, so there can be none where a host page is larger than a frame. */
static int zones_check(const pyslab_arena_options *options)
{
    uint64_t mapped;

    if (options->nr_zones == 0)
        return PYSLAB_OK;
    if (options->size_bytes % PAGE_SIZE != 0 ||
        !page_alloc_zones_valid(options->zones, options->nr_zones,
                                options->size_bytes >> PAGE_SHIFT))
        return PYSLAB_EINVAL;
    mapped = (uint64_t)page_alloc_mapped_pages(options->zones, options->nr_zones) << PAGE_SHIFT;
    if (mapped % arena_granule(options) != 0 ||
        (mapped != options->size_bytes && os_page_bytes() > PAGE_SIZE))
        return PYSLAB_EINVAL;
    return PYSLAB_OK;
}

static int options_check(const pyslab_arena_options *options)
{
    if (options->struct_size != sizeof *options || options->size_bytes == 0 ||
        options->max_order > MAX_ORDER || options->hugepages > PYSLAB_HUGEPAGES_REQUIRE ||
        options->kmalloc_classes > PYSLAB_CLASSES_LINUX || options->shared > PYSLAB_SHARE_WRITE ||
        options->fork > PYSLAB_FORK_SHARE || options->init_on_alloc > PYSLAB_INIT_YES ||
        options->init_on_free > PYSLAB_INIT_YES || options->guard > PYSLAB_GUARD_BELOW)
        return PYSLAB_EINVAL;
    if (options->shared != PYSLAB_SHARE_NO &&
        (options->hugepages != PYSLAB_HUGEPAGES_NO || os_page_bytes() > PAGE_SIZE))
        return PYSLAB_EINVAL;
    /* Guards lie between frames, access is a matter of pages. */
    if (options->guard >= PYSLAB_GUARD_ALL && os_page_bytes() > PAGE_SIZE)
        return PYSLAB_EINVAL;
    if (options->background_purge != 0 && options->purge_delay_ms == PURGE_NEVER)
        return PYSLAB_EINVAL;
    if (options->size_bytes > (uint64_t)MAX_ARENA_PAGES << PAGE_SHIFT)
        return PYSLAB_ELIMIT;
    if (!options->overcommit && options->size_bytes > os_physical_bytes())
        return PYSLAB_ELIMIT;
    return zones_check(options);
}

static size_t arena_bytes(const pyslab_arena_options *options)
{
    return (size_t)align_up(options->size_bytes, arena_granule(options));
}

/* Without zones every frame has an address. */
static size_t arena_mapped_bytes(const pyslab_arena_options *options)
{
    if (options->nr_zones == 0)
        return arena_bytes(options);
    return (size_t)page_alloc_mapped_pages(options->zones, options->nr_zones) << PAGE_SHIFT;
}

/* The base is aligned to the largest block, so that address and pfn agree on it. */
static size_t arena_align(size_t bytes, unsigned max_order)
{
    unsigned order = min_uint(order_for_pages(bytes >> PAGE_SHIFT), max_order);
    size_t align = PAGE_SIZE << order, page = os_page_bytes();

    if (align < page)
        align = page;
    return bytes >= MIN_ARENA_ALIGN && align < MIN_ARENA_ALIGN ? MIN_ARENA_ALIGN : align;
}

/* --- memory ------------------------------------------------------------- */

/* The frames of a shared arena show a file in memory, which has a table beside it. */
static int commit_shared(struct pyslab_arena *arena, const pyslab_arena_options *options,
                         char *base)
{
    int error = os_file_open_memory(&arena->low, "pyslab-heap", arena->mapped_bytes);

    if (error == PYSLAB_OK)
        error = os_file_map(&arena->low, base, 0, arena->mapped_bytes, OS_FILE_SHARED);
    if (error == PYSLAB_OK)
        error = share_create(&arena->kmalloc, &arena->low, base, options, &arena->share);
    if (error == PYSLAB_OK)
        error = share_fork_choose(arena->share, options->fork);
    return error;
}

static int commit_frames(struct pyslab_arena *arena, const pyslab_arena_options *options,
                         char *base)
{
    int error;

    if (options->shared != PYSLAB_SHARE_NO)
        error = commit_shared(arena, options, base);
    else if (options->hugepages == PYSLAB_HUGEPAGES_REQUIRE)
        error = os_commit_hugetlb(base, arena->mapped_bytes);
    else
        error = os_commit(base, arena->mapped_bytes, options->overcommit != 0);
    if (error != PYSLAB_OK)
        return error;
    /* No huge pages until a trial has shown that they pay (page_alloc/hugepage.h). */
    if (options->hugepages != PYSLAB_HUGEPAGES_REQUIRE)
        os_advise_hugepages(base, arena->mapped_bytes, false);
    if (options->mlock != 0)
        error = os_lock_memory(base, arena->mapped_bytes);
    if (error == PYSLAB_OK && options->prefault != 0)
        error = os_prefault(base, arena->mapped_bytes);
    return error;
}

/* Opens the file of the frames without an address. *fresh: all of it reads zero. */
static int open_high_file(struct pyslab_arena *arena, const pyslab_arena_options *options,
                          bool *fresh)
{
    uint64_t bytes = arena->bytes - arena->mapped_bytes;
    int error;

    *fresh = true;
    if (bytes == 0)
        return PYSLAB_OK;
    if (options->highmem_path != NULL)
        return os_file_open_disk(&arena->high, options->highmem_path, bytes, fresh);
    error = os_file_open_memory(&arena->high, "pyslab-highmem", bytes);
    if (error == PYSLAB_OK && (options->prefault != 0 || options->mlock != 0))
        error = os_file_prefault(&arena->high, bytes);
    return error;
}

/* Unmaps the frames after an error. errno stays: it tells the caller what went wrong. */
static void unmap_frames(struct pyslab_arena *arena, void *base)
{
    int saved = errno;

    share_destroy(arena->share);
    os_release(base, arena->mapped_bytes);
    os_file_close(&arena->low);
    os_file_close(&arena->high);
    errno = saved;
}

static int map_frames(struct pyslab_arena *arena, const pyslab_arena_options *options, void **base,
                      bool *high_is_fresh)
{
    size_t bytes = arena->mapped_bytes;
    int error = os_reserve(bytes, arena_align(bytes, options->max_order), base);

    if (error != PYSLAB_OK)
        return error;
    arena->high = OS_FILE_NONE;
    arena->low = OS_FILE_NONE;
    error = commit_frames(arena, options, *base);
    if (error == PYSLAB_OK)
        error = open_high_file(arena, options, high_is_fresh);
    if (error != PYSLAB_OK)
        unmap_frames(arena, *base);
    return error;
}

static size_t descs_bytes(void)
{
    return (size_t)align_up(MAX_CACHES * sizeof(struct cache_desc), os_page_bytes());
}

/* Addresses without access behind the metadata. The system mostly places a mapping right below
 * the one before, so that the frames would begin where the metadata ends, and a write that runs
 * past the one would damage the other. */
#define METADATA_GUARD ((size_t)2 << 20)

static int map_metadata(struct pyslab_arena *arena, uint32_t nr_pages)
{
    size_t bytes = (size_t)align_up(descs_bytes() + frame_map_bytes(nr_pages), os_page_bytes());
    size_t reserved = bytes + METADATA_GUARD;
    int error = os_reserve(reserved, os_page_bytes(), &arena->metadata);

    if (error != PYSLAB_OK)
        return error;
    error = os_commit(arena->metadata, bytes, true);
    if (error != PYSLAB_OK) {
        os_release(arena->metadata, reserved);
        return error;
    }
    os_advise_hugepages(arena->metadata, bytes, false);
    os_dump((char *)arena->metadata + bytes, METADATA_GUARD, false);
    arena->metadata_bytes = reserved;
    return PYSLAB_OK;
}

/* --- create and destroy ------------------------------------------------- */

/* What others were sent and have not opened goes last. */
static bool arena_reclaim(void *context, uint32_t nr_short)
{
    struct pyslab_arena *arena = context;
    uint64_t nr_large = large_debug_flush(&arena->kmalloc) + guarded_flush(&arena->kmalloc.slabs);
    uint64_t nr_back = arena->share != NULL ? share_collect(arena->share) : 0;

    if (slab_reclaim(&arena->kmalloc.slabs) != 0 || nr_back != 0 || nr_large != 0)
        return true;
    return arena->share != NULL && nr_short != 0 &&
           share_collect_sent(arena->share, (uint64_t)nr_short << PAGE_SHIFT) != 0;
}

/* Tells the zones what the content of frames is before their first use. */
static void set_fresh(struct page_alloc *pages, const pyslab_arena_options *options,
                      bool high_is_fresh)
{
    bool resident = options->prefault != 0 || options->mlock != 0;

    for (uint32_t i = 0; i < pages->nr_zones; i++) {
        struct zone *zone = &pages->zone[i];

        if (resident)
            zone->fresh = RESIDENCY_ZEROED;
        if (zone->type >= PYSLAB_ZONE_HIGHMEM && !high_is_fresh)
            zone->fresh = RESIDENCY_DIRTY;
    }
}

/* Closes what a large arena does not need yet: a zone opens the records of its frames, and takes
 * the frames into core dumps, as it comes to use them (buddy/buddy.h). A small arena has it all,
 * with fewer mappings. */
static int close_records(struct page_alloc *pages, const pyslab_arena_options *options)
{
    bool resident = options->prefault != 0 || options->mlock != 0 ||
                    options->hugepages == PYSLAB_HUGEPAGES_REQUIRE;
    int error = PYSLAB_OK;

    if (resident || pages->map.nr_pages <= ZONE_RECORDS_STEP)
        return PYSLAB_OK;
    error = frame_map_close(&pages->map);
    for (uint32_t i = 0; i < pages->nr_zones && error == PYSLAB_OK; i++)
        error = zone_open_first_records(&pages->zone[i], &pages->map);
    return error;
}

/* Where the frames and their records are. */
static void make_map(struct pyslab_arena *arena, void *base, struct frame_map *map)
{
    frame_map_init(map, base, (uint32_t)(arena->bytes >> PAGE_SHIFT),
                   (char *)arena->metadata + descs_bytes());
    frame_map_set_high(map, (uint32_t)(arena->mapped_bytes >> PAGE_SHIFT),
                       arena->high.fd >= 0 ? &arena->high : NULL);
    map->low = arena->low.fd >= 0 ? &arena->low : NULL;
}

/* The bit if the option, or with DEFAULT the environment, wants it; else 0. */
static uint32_t init_bit(uint32_t option, const char *variable, uint32_t bit)
{
    char text[2];

    if (option == PYSLAB_INIT_DEFAULT && os_environment(variable, text, sizeof text))
        option = strcmp(text, "1") == 0 ? PYSLAB_INIT_YES : PYSLAB_INIT_NO;
    return option == PYSLAB_INIT_YES ? bit : 0;
}

/* ALL or BELOW, else NO: other processes that use blocks of a shared arena know no guards, and
 * larger host pages can have none. */
static uint32_t guard_mode(const pyslab_arena_options *options)
{
    char text[8];

    if (options->guard != PYSLAB_GUARD_DEFAULT || options->shared != PYSLAB_SHARE_NO ||
        os_page_bytes() > PAGE_SIZE || !os_environment("PYSLAB_GUARD", text, sizeof text))
        return options->shared == PYSLAB_SHARE_NO ? options->guard : PYSLAB_GUARD_NO;
    if (strcmp(text, "below") == 0)
        return PYSLAB_GUARD_BELOW;
    return strcmp(text, "all") == 0 ? PYSLAB_GUARD_ALL : PYSLAB_GUARD_NO;
}

/* What becomes of frames' content: before their first use, and between two owners. */
static void set_content(struct page_alloc *pages, const pyslab_arena_options *options,
                        bool high_is_fresh)
{
    page_alloc_set_init(pages,
                        init_bit(options->init_on_alloc, "PYSLAB_INIT_ON_ALLOC", INIT_ON_ALLOC) |
                            init_bit(options->init_on_free, "PYSLAB_INIT_ON_FREE", INIT_ON_FREE));
    set_fresh(pages, options, high_is_fresh);
}

/* The option that stands for such a bit, whatever the environment says. */
static uint32_t init_option(const struct page_alloc *pages, uint32_t bit)
{
    return (pages->init & bit) != 0 ? PYSLAB_INIT_YES : PYSLAB_INIT_NO;
}

static void start_pages(struct pyslab_arena *arena, const pyslab_arena_options *options,
                        const struct frame_map *map, bool high_is_fresh)
{
    struct page_alloc *pages = &arena->pages;
    uint32_t delay_ms = options->purge_delay_ms;

    page_alloc_init(pages, map, &arena->domain, options->max_order, options->zones,
                    options->nr_zones);
    set_content(pages, options, high_is_fresh);
    page_alloc_set_purge(pages, delay_ms != 0 ? delay_ms : (uint32_t)PYSLAB_PURGE_DEFAULT_MS,
                         options->mlock != 0 || options->hugepages == PYSLAB_HUGEPAGES_REQUIRE);
    if (options->uncached != 0)
        page_alloc_set_uncached(pages);
}

static int kmalloc_start(struct pyslab_arena *arena, const pyslab_arena_options *options)
{
    int error = kmalloc_init(&arena->kmalloc, &arena->pages, arena->metadata,
                             options->kmalloc_classes, options->debug, guard_mode(options));

    return error == PYSLAB_OK ? fence_start(&arena->kmalloc.slabs, options) : error;
}

static int arena_set_up(struct pyslab_arena *arena, const pyslab_arena_options *options, void *base,
                        bool high_is_fresh)
{
    struct frame_map map;
    int error = map_metadata(arena, (uint32_t)(arena->bytes >> PAGE_SHIFT));

    if (error != PYSLAB_OK)
        return error;
    make_map(arena, base, &map);
    thread_domain_init(&arena->domain);
    start_pages(arena, options, &map, high_is_fresh);
    error = close_records(&arena->pages, options);
    if (error == PYSLAB_OK && options->hugepages == PYSLAB_HUGEPAGES_TRY)
        error = page_alloc_set_hugepages(&arena->pages);
    if (error == PYSLAB_OK)
        error = kmalloc_start(arena, options);
    if (error != PYSLAB_OK) {
        kmalloc_destroy(&arena->kmalloc);
        page_alloc_destroy(&arena->pages);
        os_release(arena->metadata, arena->metadata_bytes);
        return error;
    }
    if (arena->share != NULL)
        share_start(arena->share);
    page_alloc_set_reclaim(&arena->pages, arena_reclaim, arena);
    vm_init(&arena->vm, &arena->pages);
    vm_debug_start(&arena->vm, &arena->kmalloc.slabs.debug);
    region_set_init(&arena->regions, &arena->pages, &arena->kmalloc.slabs.debug);
    if (options->background_purge != 0 && !arena->pages.purge.fixed)
        background_enable(&arena->background, arena);
    return PYSLAB_OK;
}

/* At check level 2, while no other thread can be in the arena. A forked child's copy misses what
 * other threads of its parent had in hand. */
static void arena_recount(struct pyslab_arena *arena)
{
    struct finding f = {{0}};

    CHECK_RECOUNT(1, arena->pages.forked || arena_check(arena, &f), &f);
}

int arena_init(struct pyslab_arena *arena, const pyslab_arena_options *options)
{
    void *base;
    bool high_is_fresh;
    int error = options_check(options);

    CHECK(arena->bytes == 0 && arena->metadata == NULL);
    if (error != PYSLAB_OK)
        return error;
    arena->bytes = arena_bytes(options);
    arena->mapped_bytes = arena_mapped_bytes(options);
    arena->hugepages = options->hugepages;
    arena->purge_delay_ms = options->purge_delay_ms;
    error = map_frames(arena, options, &base, &high_is_fresh);
    if (error == PYSLAB_OK) {
        error = arena_set_up(arena, options, base, high_is_fresh);
        if (error != PYSLAB_OK)
            unmap_frames(arena, base);
    }
    if (error != PYSLAB_OK) {
        memset(arena, 0, sizeof *arena);
        return error;
    }
    arena_recount(arena);
    arena_list_add(arena);
    return PYSLAB_OK;
}

int arena_create(const pyslab_arena_options *options, struct pyslab_arena **out)
{
    struct pyslab_arena *arena = os_heap_alloc(sizeof *arena);
    int error;

    if (arena == NULL)
        return PYSLAB_ENOMEM;
    error = arena_init(arena, options);
    if (error != PYSLAB_OK) {
        os_heap_free(arena, sizeof *arena);
        return error;
    }
    store_relaxed(&arena->nr_refs, 1);
    *out = arena;
    return PYSLAB_OK;
}

void arena_destroy(struct pyslab_arena *arena)
{
    void *base = arena->pages.map.base;

    background_end(&arena->background);
    arena_recount(arena);
    if (load_relaxed(&arena->side) != NULL)
        arena_destroy(load_relaxed(&arena->side));
    arena_list_remove(arena);
    fault_attrs_forget(&arena->pages.own_faults);
    vm_destroy(&arena->vm);
    region_set_destroy(&arena->regions);
    usage_untrack(&arena->pages.own_usage, &arena->domain);
    thread_domain_destroy(&arena->domain);
    kmalloc_destroy(&arena->kmalloc);
    page_alloc_destroy(&arena->pages);
    os_release(arena->metadata, arena->metadata_bytes);
    unmap_frames(arena, base);
    os_heap_free(arena, sizeof *arena);
}

uint64_t arena_release_unused(struct pyslab_arena *arena)
{
    struct pyslab_arena *side = atomic_load(&arena->side);
    uint64_t released = side != NULL ? arena_release_unused(side) : 0;

    vm_purge(&arena->vm);
    if (arena->share != NULL)
        (void)share_collect(arena->share);
    large_debug_flush(&arena->kmalloc);
    guarded_flush(&arena->kmalloc.slabs);
    slab_reclaim(&arena->kmalloc.slabs);
    return released + (page_alloc_release(&arena->pages) << PAGE_SHIFT);
}

slow_path void arena_look(struct pyslab_arena *arena)
{
    struct pyslab_arena *side = atomic_load_explicit(&arena->side, memory_order_acquire);

    if (unlikely(page_alloc_look(&arena->pages))) {
        slab_trim_plain(&arena->kmalloc.slabs);
        page_alloc_tick(&arena->pages);
    }
    if (unlikely(side != NULL))
        page_alloc_tick(&side->pages);
}

/* --- high memory for vmalloc where an arena has none -------------------- */

#define SIDE_LOW_PAGES 1u /* every arena needs a zone with addresses: here it is one frame */

static int side_create(const struct pyslab_arena *arena, struct pyslab_arena **out)
{
    const struct page_alloc *pages = &arena->pages;
    const pyslab_zone_options zones[] = {
        {.type = PYSLAB_ZONE_NORMAL, .nr_pages = SIDE_LOW_PAGES, .batch = 1},
        {.type = PYSLAB_ZONE_HIGHMEM, .nr_pages = pages->map.nr_pages, .batch = 1},
    };
    const pyslab_arena_options options = {
        .struct_size = sizeof options,
        .max_order = pages->max_order,
        .overcommit = 1,
        .size_bytes = (uint64_t)(pages->map.nr_pages + SIDE_LOW_PAGES) << PAGE_SHIFT,
        .zones = zones,
        .nr_zones = 2,
        .debug = "", /* it has no objects */
        .init_on_alloc = init_option(pages, INIT_ON_ALLOC),
        .init_on_free = init_option(pages, INIT_ON_FREE),
        .uncached = pages->uncached,
        .guard = PYSLAB_GUARD_NO,
        .kfence_sample_ms = PYSLAB_KFENCE_OFF,
        .purge_delay_ms = arena->purge_delay_ms};

    return arena_create(&options, out);
}

struct vm *arena_vm(struct pyslab_arena *arena, bool make)
{
    struct pyslab_arena *side = atomic_load(&arena->side), *made;

    if (arena_has_high(arena))
        return &arena->vm;
    if (side != NULL || !make)
        return side != NULL ? &side->vm : NULL;
    if (side_create(arena, &made) != PYSLAB_OK)
        return NULL;
    made->pages.usage = &arena->pages.own_usage;
    made->pages.faults = &arena->pages.own_faults;
    vm_debug_start(&made->vm, &arena->kmalloc.slabs.debug);
    made->pages.purge.note = arena->pages.purge.note; /* the same thread serves both */
    made->pages.purge.note_context = arena->pages.purge.note_context;
    if (atomic_compare_exchange_strong(&arena->side, &side, made))
        return &made->vm;
    arena_destroy(made);
    return &side->vm;
}

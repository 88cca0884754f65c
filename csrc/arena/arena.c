/* arena.c - making and unmaking an arena. */
#include "arena/arena.h"

#include "arena/arena_fork.h"
#include "os/os.h"
#include "os/os_heap.h"

#define MIN_ARENA_ALIGN ((size_t)2 << 20)  /* of an arena at least as large */

/* --- options ------------------------------------------------------------ */

/* Unit of the mapping. */
static size_t arena_granule(const pyslab_arena_options *options)
{
    if (options->hugepages == PYSLAB_HUGEPAGES_REQUIRE && os_hugepage_bytes() != 0)
        return os_hugepage_bytes();
    return os_page_bytes() > PAGE_SIZE ? os_page_bytes() : PAGE_SIZE;
}

/* Zones are taken as they are: nothing is rounded. A frame of a file is mapped alone, which
 * takes host pages no larger than a frame. */
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
        options->kmalloc_classes > PYSLAB_CLASSES_LINUX)
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
    size_t align = PAGE_SIZE << order;

    return bytes >= MIN_ARENA_ALIGN && align < MIN_ARENA_ALIGN ? MIN_ARENA_ALIGN : align;
}

/* --- memory ------------------------------------------------------------- */

static int commit_frames(const struct pyslab_arena *arena, const pyslab_arena_options *options,
                         char *base)
{
    int error;

    if (options->hugepages == PYSLAB_HUGEPAGES_REQUIRE)
        error = os_commit_hugetlb(base, arena->mapped_bytes);
    else
        error = os_commit(base, arena->mapped_bytes, options->overcommit != 0);
    if (error != PYSLAB_OK)
        return error;
    /* Until a trial has shown that they pay (page_alloc/hugepage.h). */
    if (options->hugepages != PYSLAB_HUGEPAGES_REQUIRE)
        os_advise_hugepages(base, arena->mapped_bytes, false);
    if (options->mlock != 0)
        error = os_lock_memory(base, arena->mapped_bytes);
    if (error == PYSLAB_OK && options->prefault != 0)
        error = os_prefault(base, arena->mapped_bytes);
    return error;
}

/* The file of the frames without an address; fd -1 if there are none. */
static int make_high_file(const struct pyslab_arena *arena, const pyslab_arena_options *options,
                          int *fd)
{
    uint64_t bytes = arena->bytes - arena->mapped_bytes;
    int error;

    *fd = -1;
    if (bytes == 0)
        return PYSLAB_OK;
    error = os_memfd_create("pyslab-highmem", bytes, fd);
    if (error == PYSLAB_OK && (options->prefault != 0 || options->mlock != 0))
        error = os_file_prefault(*fd, bytes);
    return error;
}

static void unmap_frames(const struct pyslab_arena *arena, void *base, int high_fd)
{
    os_release(base, arena->mapped_bytes);
    if (high_fd >= 0)
        os_file_close(high_fd);
}

static int map_frames(const struct pyslab_arena *arena, const pyslab_arena_options *options,
                      void **base, int *high_fd)
{
    size_t bytes = arena->mapped_bytes;
    int error = os_reserve(bytes, arena_align(bytes, options->max_order), base);

    if (error != PYSLAB_OK)
        return error;
    *high_fd = -1;
    error = commit_frames(arena, options, *base);
    if (error == PYSLAB_OK)
        error = make_high_file(arena, options, high_fd);
    if (error != PYSLAB_OK)
        unmap_frames(arena, *base, *high_fd);
    return error;
}

static size_t descs_bytes(void)
{
    return (size_t)align_up(MAX_CACHES * sizeof(struct cache_desc), PAGE_SIZE);
}

static int map_metadata(struct pyslab_arena *arena, uint32_t nr_pages)
{
    size_t bytes = (size_t)align_up(descs_bytes() + frame_map_bytes(nr_pages), os_page_bytes());
    int error = os_reserve(bytes, os_page_bytes(), &arena->metadata);

    if (error != PYSLAB_OK)
        return error;
    error = os_commit(arena->metadata, bytes, true);
    if (error != PYSLAB_OK) {
        os_release(arena->metadata, bytes);
        return error;
    }
    os_advise_hugepages(arena->metadata, bytes, false);
    arena->metadata_bytes = bytes;
    return PYSLAB_OK;
}

/* --- create and destroy ------------------------------------------------- */

static bool arena_reclaim(void *context)
{
    struct pyslab_arena *arena = context;

    return slab_reclaim(&arena->kmalloc.slabs) != 0;
}

static int arena_set_up(struct pyslab_arena *arena, const pyslab_arena_options *options,
                        void *base, int high_fd)
{
    uint32_t nr_pages = (uint32_t)(arena->bytes >> PAGE_SHIFT);
    struct frame_map map;
    int error = map_metadata(arena, nr_pages);

    if (error != PYSLAB_OK)
        return error;
    frame_map_init(&map, base, nr_pages, (char *)arena->metadata + descs_bytes());
    frame_map_set_high(&map, (uint32_t)(arena->mapped_bytes >> PAGE_SHIFT), high_fd);
    thread_domain_init(&arena->domain);
    page_alloc_init(&arena->pages, &map, &arena->domain, options->max_order, options->zones,
                    options->nr_zones);
    for (uint32_t i = 0; i < arena->pages.nr_zones; i++)
        if (options->prefault != 0 || options->mlock != 0)
            arena->pages.zone[i].fresh = RESIDENCY_ZEROED;
    page_alloc_set_purge(&arena->pages,
                         options->purge_delay_ms != 0 ? options->purge_delay_ms
                                                      : (uint32_t)PYSLAB_PURGE_DEFAULT_MS,
                         options->mlock != 0 || options->hugepages == PYSLAB_HUGEPAGES_REQUIRE);
    if (options->hugepages == PYSLAB_HUGEPAGES_TRY)
        error = page_alloc_set_hugepages(&arena->pages);
    if (error == PYSLAB_OK)
        error = kmalloc_init(&arena->kmalloc, &arena->pages, arena->metadata,
                             options->kmalloc_classes);
    if (error != PYSLAB_OK) {
        kmalloc_destroy(&arena->kmalloc);
        page_alloc_destroy(&arena->pages);
        os_release(arena->metadata, arena->metadata_bytes);
        return error;
    }
    page_alloc_set_reclaim(&arena->pages, arena_reclaim, arena);
    return PYSLAB_OK;
}

int arena_create(const pyslab_arena_options *options, struct pyslab_arena **out)
{
    struct pyslab_arena *arena;
    void *base;
    int high_fd, error = options_check(options);

    if (error != PYSLAB_OK)
        return error;
    arena = os_heap_alloc(sizeof *arena);
    if (arena == NULL)
        return PYSLAB_ENOMEM;
    arena->bytes = arena_bytes(options);
    arena->mapped_bytes = arena_mapped_bytes(options);
    arena->hugepages = options->hugepages;
    error = map_frames(arena, options, &base, &high_fd);
    if (error == PYSLAB_OK) {
        error = arena_set_up(arena, options, base, high_fd);
        if (error != PYSLAB_OK)
            unmap_frames(arena, base, high_fd);
    }
    if (error != PYSLAB_OK) {
        os_heap_free(arena, sizeof *arena);
        return error;
    }
    arena_list_add(arena);
    *out = arena;
    return PYSLAB_OK;
}

void arena_destroy(struct pyslab_arena *arena)
{
    struct frame_map map = arena->pages.map;

    arena_list_remove(arena);
    thread_domain_destroy(&arena->domain);
    kmalloc_destroy(&arena->kmalloc);
    page_alloc_destroy(&arena->pages);
    os_release(arena->metadata, arena->metadata_bytes);
    unmap_frames(arena, map.base, map.high_fd);
    os_heap_free(arena, sizeof *arena);
}

uint64_t arena_release_unused(struct pyslab_arena *arena)
{
    slab_reclaim(&arena->kmalloc.slabs);
    return page_alloc_release(&arena->pages) << PAGE_SHIFT;
}

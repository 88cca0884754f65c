/* cache_layout.c - where the objects of a cache lie: how far apart, and in slabs of which order.
 *
 * What it is: the kernel's rules for the order of a slab and for alignment, the room for the words
 * of a free object, and for what debugging puts around each (debug.h).
 * What it is not: a walk over slabs (slab.c). Lock: none; a cache that is being made.
 */
#include "slab/slab_internal.h"

#include "os/os.h"

#include <string.h>

/* --- geometry ----------------------------------------------------------- */

#define SLAB_KERNEL_MAX_ORDER 3u                     /* the kernel's slub_max_order */
#define SLAB_KERNEL_STRIDE ((size_t)2 << PAGE_SHIFT) /* its rule holds up to here */
#define SLAB_LARGE_OBJECTS 2u /* per slab, above that; with more, more memory is in partial slabs */

static uint32_t objects_in(unsigned order, size_t stride)
{
    CHECK(stride != 0);
    return (uint32_t)((PAGE_SIZE << order) / stride);
}

/* The smallest order from min to max whose waste is at most 1/fraction; max + 1 if none. */
static unsigned order_with_waste(size_t stride, unsigned min, unsigned max, unsigned fraction)
{
    unsigned order = min;

    while (order <= max && (PAGE_SIZE << order) % stride > (PAGE_SIZE << order) / fraction)
        order++;
    return order;
}

/* The order for a slab of at least min_objects that wastes little; else for one object. */
static unsigned order_within(size_t stride, uint32_t min_objects, unsigned max)
{
    unsigned min = order_for_pages(bytes_to_pages((uint64_t)min_objects * stride));

    for (unsigned fraction = 16; fraction > 1; fraction /= 2) {
        unsigned order = order_with_waste(stride, min, max, fraction);

        if (order <= max)
            return order;
    }
    return order_for_pages(bytes_to_pages(stride));
}

unsigned slab_order_for(size_t stride, unsigned nr_cpus, unsigned max_order)
{
    bool large = stride > SLAB_KERNEL_STRIDE;
    unsigned max = min_uint(large ? SLAB_LARGEST_ORDER : SLAB_KERNEL_MAX_ORDER, max_order);
    uint32_t min_objects = large ? SLAB_LARGE_OBJECTS : 4 * (fls64(nr_cpus) + 1);

    return order_within(stride, min_uint(min_objects, max_uint(objects_in(max, stride), 1)), max);
}

/* --- creation ----------------------------------------------------------- */

/* The kernel's calculate_alignment: a cache line, halved while the object fits a half. */
static size_t hwcache_align(size_t size)
{
    size_t align = CACHE_LINE_BYTES;

    while (size <= align / 2)
        align /= 2;
    return align;
}

static size_t effective_align(size_t size, const pyslab_cache_options *options)
{
    /* The words of a free object are eight bytes each. */
    size_t align = options->align > sizeof(uint64_t) ? options->align : sizeof(uint64_t);

    if ((options->flags & PYSLAB_SLAB_HWCACHE_ALIGN) != 0 && hwcache_align(size) > align)
        align = hwcache_align(size);
    return align;
}

/* Where in a free object its free words lie: behind it, if its constructed state must survive. */
static size_t free_offset_of(size_t size, const pyslab_cache_options *options)
{
    bool constructed = options->ctor != NULL || options->dtor != NULL;

    return constructed ? (size_t)align_up(size, sizeof(uint64_t)) : 0;
}

static size_t stride_of(size_t size, const pyslab_cache_options *options)
{
    size_t free_offset = free_offset_of(size, options);
    size_t bytes = free_offset != 0 ? free_offset + 2 * sizeof(uint64_t) : size;

    return (size_t)align_up(bytes, effective_align(size, options));
}

/* The flags of a cache with this name: its own, and the arena's for it. */
static uint32_t cache_debug_flags(const struct slab_alloc *sa, const char *name,
                                  const pyslab_cache_options *options)
{
    return options->debug_flags | debug_flags_for(&sa->debug, name);
}

/* The stride in a watched arena: with a red zone, unless an object fills the largest block. */
static size_t watched_stride(const struct cache_desc *desc, unsigned max_order)
{
    size_t stride = (size_t)align_up(desc->stride + SANITIZE_RED_BYTES, desc->align);

    return stride <= PAGE_SIZE << max_order ? stride : desc->stride;
}

/* Sets where a cache's objects are. flags: enum pyslab_debug_flags; with any of them no tool
 * watches the cache. */
static void desc_lay_out(const struct slab_alloc *sa, struct cache_desc *desc, size_t size,
                         const pyslab_cache_options *options, uint32_t flags)
{
    struct debug_layout layout;

    desc->align = (uint32_t)effective_align(size, options);
    desc->stride = (uint32_t)stride_of(size, options);
    desc->free_offset = (int32_t)free_offset_of(size, options);
    if (flags == 0) {
        if (sa->pages->watch != SANITIZE_NONE)
            desc->stride = (uint32_t)watched_stride(desc, sa->pages->max_order);
        return;
    }
    layout = debug_layout_of(size, desc->align, flags, sa->debug.keyed);
    desc->front = layout.front;
    desc->stride = layout.stride;
    desc->free_offset = -(int32_t)(layout.gap + DEBUG_WORD_BYTES);
}

static uint32_t objects_per_slab(const struct cache_desc *desc)
{
    uint32_t nr = objects_in(desc->slab_order, desc->stride);

    if (nr > 1 && !rest_can_be_marked(desc, nr))
        nr--;
    return min_uint(nr, SLAB_MAX_OBJECTS);
}

void cache_lay_out(const struct slab_alloc *sa, struct cache_desc *desc, const char *name,
                   size_t size, const pyslab_cache_options *options)
{
    unsigned max_order = sa->pages->max_order;

    memset(desc, 0, sizeof *desc);
    strncpy(desc->name, name, sizeof desc->name - 1);
    desc->object_size = (uint32_t)size;
    desc->flags = options->flags;
    desc_lay_out(sa, desc, size, options, cache_debug_flags(sa, name, options));
    desc->slab_order = slab_order_for(desc->stride, os_nr_cpus(), max_order);
    desc->objects_per_slab = objects_per_slab(desc);
    for (unsigned i = 0; i < NR_SLAB_LISTS; i++)
        index_list_init(&desc->list[i]);
}

#define DEBUG_FLAGS                                                                                \
    ((uint32_t)(PYSLAB_DEBUG_CHECKS | PYSLAB_DEBUG_REDZONE | PYSLAB_DEBUG_POISON |                 \
                PYSLAB_DEBUG_USER))

bool cache_layout_fits(const struct slab_alloc *sa, const char *name, size_t size,
                       const pyslab_cache_options *options)
{
    struct cache_desc trial = {.name = ""};

    desc_lay_out(sa, &trial, size, options, cache_debug_flags(sa, name, options));
    return (options->debug_flags & ~DEBUG_FLAGS) == 0 &&
           bytes_to_pages(trial.stride) <= 1u << sa->pages->max_order;
}

int cache_set_debug(const struct slab_alloc *sa, struct kmem_cache *cache, const char *name,
                    size_t size, const pyslab_cache_options *options)
{
    uint32_t flags = cache_debug_flags(sa, name, options);
    struct debug_layout layout;

    cache->init = cache_is_constructed(cache) ? 0 : sa->pages->init;
    if (flags == 0) {
        cache->watch = sa->pages->watch;
        return PYSLAB_OK;
    }
    layout = debug_layout_of(size, effective_align(size, options), flags, sa->debug.keyed);
    cache->debug = debug_new(sa, layout, flags);
    if (cache->debug == NULL)
        return PYSLAB_ENOMEM;
    cache->debug->plain = sa->debug.keyed && (flags & PYSLAB_DEBUG_REDZONE) != 0 &&
                          (flags & PYSLAB_DEBUG_POISON) != 0 && layout.track_at == 0 &&
                          layout.front == DEBUG_WORD_BYTES && !cache_is_constructed(cache);
    return PYSLAB_OK;
}

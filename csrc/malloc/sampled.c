/* sampled.c - see sampled.h. Not in the library as it is without a profile. */
#ifndef PYSLAB_MALLOC_PROFILED /* as for who only reads this file */
#define PYSLAB_MALLOC_PROFILED 1
#endif

#include "malloc/sampled.h"

#include "malloc/settings.h"

#include <errno.h>
#include <string.h>

/* True: the free of this live block takes a slow path, by its address alone. */
static bool sampled_free_is_slow(const void *p)
{
    const struct frame_map *map = &malloc_arena.kmalloc.slabs.map;
    size_t offset = (uintptr_t)p - (uintptr_t)map->base;

    return malloc_settings.hardened || guard_is_on(&malloc_arena.kmalloc.slabs.guard) ||
           offset >= map->bytes || frame_class(map->classes, offset >> PAGE_SHIFT) == CLASS_LARGE;
}

/* A block whose free does. NULL: there is none. */
static void *take_frames(size_t size, size_t align, uint32_t gfp)
{
    struct kmalloc *km = &malloc_arena.kmalloc;
    void *p;

    if (size == 0 || size > SIZE_CLASS_MAX || align > PAGE_SIZE || malloc_settings.hardened ||
        guard_is_on(&km->slabs.guard))
        return NULL;
    p = kmalloc_exact_pages(km, size, gfp);
    CHECK(p == NULL || sampled_free_is_slow(p));
    return p;
}

static void *take_plain(size_t size, size_t align, bool zero, enum debug_kind kind)
{
    return zero ? heap_zalloc_slow(size) : heap_new_slow(size, align, kind);
}

/* The thread has begun to count, or there is no profile: whether the allocation is a sample. */
static bool is_sample(size_t size)
{
    uint32_t run = profile_thread.run;

    if (profile_thread.busy)
        return false; /* the profile's own */
    profile_thread_renew();
    if (profile_thread.run == 0)
        profile_thread.left = INT64_MAX; /* nothing is sampled until there is a profile */
    return profile_thread.run != 0 && (run != 0 || sampler_takes(&profile_thread, size));
}

static void note(void *p, size_t size)
{
    int saved = errno;

    profile_alloc_slow(p, size);
    sampled_after();
    errno = saved;
}

slow_path void *sampled_alloc(size_t size, size_t align, bool zero, enum debug_kind kind)
{
    uint32_t gfp = PYSLAB_GFP_KERNEL | (zero ? (uint32_t)PYSLAB_GFP_ZERO : 0);
    int saved = errno;
    void *p;

    CHECK(is_power_of_two(align));
    if (!heap_ready() || !is_sample(size))
        return take_plain(size, align, zero, kind);
    p = take_frames(size, align, gfp);
    errno = saved;
    if (p == NULL)
        p = take_plain(size, align, zero, kind);
    if (p == NULL)
        profile_thread_draw(); /* else the next one would be a sample, whatever its size */
    else if (size == 0 || sampled_free_is_slow(p))
        note(p, size);
    return p;
}

slow_path void *sampled_realloc(void *p, size_t size)
{
    void *moved, *apart = NULL;

    if (p == NULL)
        return sampled_alloc(size, MALLOC_ALIGN, false, DEBUG_KIND_MALLOC);
    moved = heap_realloc(p, size);
    if (moved == NULL)
        profile_thread_draw();
    if (moved == NULL || !is_sample(size))
        return moved;
    if (!sampled_free_is_slow(moved))
        apart = take_frames(size, MALLOC_ALIGN, PYSLAB_GFP_KERNEL);
    if (apart != NULL) {
        memcpy(apart, moved, size);
        heap_free(moved);
        moved = apart;
    }
    if (sampled_free_is_slow(moved))
        note(moved, size);
    return moved;
}

slow_path void sampled_gone_slow(void *p)
{
    int saved = errno;

    profile_free_slow(p);
    errno = saved;
}

slow_path bool sampled_detach(void *p, struct profile_moving *moving)
{
    return profile_detach(p, moving);
}

slow_path void sampled_settle(void *p, const struct profile_moving *moving, bool stays)
{
    int saved = errno;

    if (stays)
        profile_attach(p, moving);
    else
        profile_gone(moving);
    errno = saved;
}

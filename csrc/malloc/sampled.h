/* sampled.h - the few allocations that a profile looks at (profile/profile.h), in the build of the
 * malloc library that `pyslab profile` preloads (PYSLAB_MALLOC_PROFILED).
 *
 * What it is: malloc and its relatives count the bytes that are asked for, and hand a sample out in
 * page frames of its own. Its free then takes the slow path by itself, where it is looked for; so
 * the fast path of free, and that of realloc, have nothing to do with the profile.
 * What it is not: in the library as it is without a profile, where all of this is nothing. Calls
 * that the library makes itself are not counted.
 *
 * Cost: a few instructions for an allocation; 4 KiB of memory for a sample, of which there is one
 * in so many bytes as the profile says.
 * Invariant: the frees of all live samples come to sampled_gone (sampled_free_is_slow).
 * Lock: the profile's.
 */
#ifndef MALLOC_SAMPLED_H
#define MALLOC_SAMPLED_H

#include "malloc/heap.h"

#ifdef PYSLAB_MALLOC_PROFILED
#include "profile/profile.h"

struct sampled_resize {
    struct profile_moving moving;
    bool is_sample;
};

/* An allocation of size bytes is to be handed out by sampled_alloc. */
static always_inline bool sampled_takes(size_t size)
{
    return sampler_takes(&profile_thread, size);
}

/* NULL: errno is ENOMEM. pre: align is a power of two */
void *sampled_alloc(size_t size, size_t align, bool zero, enum debug_kind kind);
/* Likewise, as realloc. */
void *sampled_realloc(void *p, size_t size);

/* The slow halves of what follows, and what the profiler has to do after a sample. */
void sampled_gone_slow(void *p);
bool sampled_detach(void *p, struct profile_moving *moving);
void sampled_settle(void *p, const struct profile_moving *moving, bool stays);
void sampled_after(void);

/* A block is about to be freed, or was resized, in a slow path. */
static inline void sampled_gone(void *p)
{
    if (unlikely(profile_may_have(p)))
        sampled_gone_slow(p);
}

static inline struct sampled_resize sampled_resizing(void *p)
{
    struct sampled_resize it = {.is_sample = false};

    if (unlikely(p != NULL && profile_may_have(p)))
        it.is_sample = sampled_detach(p, &it.moving);
    return it;
}

/* stays: the block is as it was. */
static inline void sampled_resized(void *p, const struct sampled_resize *it, bool stays)
{
    if (unlikely(it->is_sample))
        sampled_settle(p, &it->moving, stays);
}
#else
struct sampled_resize {
    char nothing;
};

static always_inline bool sampled_takes(size_t size)
{
    (void)size;
    return false;
}

static inline void *sampled_alloc(size_t size, size_t align, bool zero, enum debug_kind kind)
{
    (void)size;
    (void)align;
    (void)zero;
    (void)kind;
    return NULL;
}

static inline void *sampled_realloc(void *p, size_t size)
{
    (void)p;
    (void)size;
    return NULL;
}

static inline void sampled_gone(void *p)
{
    (void)p;
}

static inline struct sampled_resize sampled_resizing(void *p)
{
    (void)p;
    return (struct sampled_resize){0};
}

static inline void sampled_resized(void *p, const struct sampled_resize *it, bool stays)
{
    (void)p;
    (void)it;
    (void)stays;
}
#endif

#endif

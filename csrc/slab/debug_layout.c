/* debug_layout.c - where the words, zones and tracks of an object lie, and how they are filled.
 *
 * What it is: the layout of debug.h as numbers, and the writing of all that the checks look at.
 * What it is not: the checks (debug_check.c).
 * Lock: cache->lock, or a slab that nobody else knows yet.
 */
#include "slab/debug_plain.h"
#include "stack/depot.h"

#include "os/os_heap.h"

#include <string.h>

/* Words of which so many of the 16 bytes are right were written for that size, and damaged later:
 * there are 2^18 sizes at most, and a wrong one has six right bytes once in 2^35 times. */
#define WORDS_FIT_MIN 6u

struct object_track {
    uint32_t allocated_at; /* stacks; 0: none was kept */
    uint32_t freed_at;
};

/* --- numbers ------------------------------------------------------------ */

struct debug_layout debug_layout_of(size_t size, size_t align, uint32_t flags, bool keyed)
{
    bool zones = (flags & PYSLAB_DEBUG_REDZONE) != 0 && !keyed;
    bool tracks = (flags & PYSLAB_DEBUG_USER) != 0;
    size_t gap = zones ? DEBUG_LEFT_BYTES : 0, track = tracks ? sizeof(struct object_track) : 0;
    size_t front = (size_t)align_up(DEBUG_WORD_BYTES + gap, align);
    size_t behind = (size_t)align_up(size, sizeof(uint64_t)) + (zones ? DEBUG_RIGHT_BYTES : 0);
    size_t stride = (size_t)align_up(front + behind + track, align);

    return (struct debug_layout){.front = (uint32_t)front,
                                 .gap = (uint32_t)gap,
                                 .right_end = (uint32_t)(stride - front - track),
                                 .track_at = tracks ? (uint32_t)(stride - front - track) : 0,
                                 .stride = (uint32_t)stride};
}

struct cache_debug *debug_new(const struct slab_alloc *sa, struct debug_layout layout,
                              uint32_t flags)
{
    struct cache_debug *debug = os_heap_alloc(sizeof *debug);

    if (debug == NULL)
        return NULL;
    debug->flags = flags;
    debug->gap = layout.gap;
    debug->right_end = layout.right_end;
    debug->track_at = layout.track_at;
    debug->keyed = sa->debug.keyed;
    if (layout.track_at != 0)
        stack_start();
    if ((flags & PYSLAB_DEBUG_POISON) != 0)
        waiting_init(&debug->waiting, layout.stride, (uint64_t)sa->map.nr_pages << PAGE_SHIFT);
    return debug;
}

void debug_delete(struct cache_debug *debug)
{
    if (debug == NULL)
        return;
    waiting_destroy(&debug->waiting);
    os_heap_free(debug, sizeof *debug);
}

/* --- an object ---------------------------------------------------------- */

static struct object_track *track_of(const struct kmem_cache *cache, const void *object)
{
    if (cache->debug->track_at == 0)
        return NULL;
    return (struct object_track *)(void *)((char *)(uintptr_t)object + cache->debug->track_at);
}

void *debug_object_around(const struct kmem_cache *cache, const void *p)
{
    const struct cache_desc *desc = cache->desc;
    const struct frame_map *map = &cache->owner->map;
    size_t offset = (size_t)((const char *)p - map->base) & (cache_slab_bytes(desc) - 1);
    uint32_t index = (uint32_t)(((uint64_t)offset * cache->index_mul) >> 32);

    CHECK(slab_cache_around(cache->owner, p) == cache);
    if (index >= desc->objects_per_slab)
        return NULL;
    return (char *)(uintptr_t)p - offset + (size_t)index * desc->stride + desc->front;
}

bool debug_asked(const struct kmem_cache *cache, const void *p, uint64_t *value)
{
    return debug_words_get(cache->secret, debug_words_of(cache, p), p, value) &&
           debug_value_size(*value) <= cache->desc->object_size;
}

/* How many of the 16 bytes of the words at p are what they would be for this value. */
static unsigned words_fit(const struct kmem_cache *cache, const void *p, uint64_t value)
{
    const unsigned char *words = (const unsigned char *)debug_words_of(cache, p);
    unsigned char pair[DEBUG_WORD_BYTES];
    unsigned nr = 0;

    debug_words_set(cache->secret, pair, p, value);
    for (size_t i = 0; i < DEBUG_WORD_BYTES; i++)
        nr += words[i] == pair[i];
    return nr;
}

uint64_t debug_asked_or_guess(const struct kmem_cache *cache, const void *p)
{
    uint64_t value, nr_kinds = cache->debug->keyed ? NR_DEBUG_KINDS : 1;
    uint64_t nr_sizes = (uint64_t)cache->desc->object_size + 1, best = nr_sizes - 1;
    unsigned best_fit = WORDS_FIT_MIN - 1;

    if (likely(debug_asked(cache, p, &value)))
        return value;
    for (uint64_t i = 0; i < nr_kinds * nr_sizes; i++) {
        unsigned fit;

        value = debug_value(i % nr_sizes, (enum debug_kind)(i / nr_sizes));
        fit = words_fit(cache, p, value);
        if (fit > best_fit) {
            best_fit = fit;
            best = value;
        }
    }
    return best;
}

void debug_read_track(const struct kmem_cache *cache, const void *object, pyslab_corruption *out)
{
    const struct object_track *track = track_of(cache, object);

    out->allocated_at = track != NULL ? track->allocated_at : 0;
    out->freed_at = track != NULL ? track->freed_at : 0;
}

void *debug_users_pointer(const struct kmem_cache *cache, void *object)
{
    uint64_t size;

    if (debug_words_get(cache->secret, debug_words_of(cache, object), object, &size) &&
        (size & DEBUG_MOVED) != 0)
        return (char *)object + (size & ~DEBUG_MOVED);
    return object;
}

size_t debug_usable(const struct kmem_cache *cache, const void *p)
{
    /* Words that somebody wrote over are no reason to take the object away. */
    return object_is_marked(cache, (void *)(uintptr_t)p)
               ? 0
               : debug_value_size(debug_asked_or_guess(cache, p));
}

/* What is red before p, but for words: from the place's start on, or if p is not the object's
 * start, from that on. */
static void fill_left(const struct kmem_cache *cache, char *object, char *p, uint64_t pattern)
{
    char *words = debug_words_of(cache, p);

    debug_red_fill(p == object ? object - cache->desc->front : object, words, pattern);
    debug_red_fill(words + DEBUG_WORD_BYTES, p, pattern);
}

void debug_make_live(const struct kmem_cache *cache, void *p, uint64_t value, uint32_t stack)
{
    size_t asked = debug_value_size(value);
    char *object = debug_object_around(cache, p);
    struct object_track *track = track_of(cache, object);

    CHECK(object != NULL && asked <= cache->desc->object_size);
    if (debug_has_zones(cache)) {
        fill_left(cache, object, p, DEBUG_RED_LIVE);
        debug_red_fill((char *)p + asked, object + cache->debug->right_end,
                       debug_red_live_of(cache, p));
    }
    debug_words_set(cache->secret, debug_words_of(cache, p), p, value);
    if (p != object)
        debug_words_set(cache->secret, debug_words_of(cache, object), object,
                        DEBUG_MOVED | (uint64_t)((char *)p - object));
    if (track != NULL)
        *track = (struct object_track){.allocated_at = stack};
}

static void poison(const struct kmem_cache *cache, char *object)
{
    size_t bytes = cache->desc->object_size;

    if (!debug_has_poison(cache)) {
        if ((cache->init & INIT_ON_FREE) != 0)
            memset(object, 0, bytes);
        return;
    }
    memset(object, (int)(debug_poison_of(cache) & 0xff), bytes - 1);
    object[bytes - 1] = (char)debug_poison_end_of(cache);
}

static void set_words(const struct kmem_cache *cache, void *object, uint64_t first)
{
    uint64_t pair[2] = {first, object_key_value(cache->secret, object)};

    memcpy(debug_words_of(cache, object), pair, sizeof pair);
}

void debug_make_free(const struct kmem_cache *cache, void *object, uint32_t stack)
{
    struct object_track *track = track_of(cache, object);
    uint64_t red = debug_red_free_of(cache);

    if (likely(cache->debug->plain)) {
        plain_make_free(cache, object);
        return;
    }
    if (debug_has_zones(cache)) {
        fill_left(cache, object, object, red);
        debug_red_fill((char *)object + cache->desc->object_size,
                       (char *)object + cache->debug->right_end, red);
    }
    poison(cache, object);
    set_words(cache, object, object_key_value(cache->secret, object));
    if (track != NULL)
        track->freed_at = stack;
}

void debug_make_retired(struct kmem_cache *cache, void *object)
{
    set_words(cache, object, ~object_key_value(cache->secret, object));
    cache->debug->nr_retired++;
    add_relaxed(&cache->owner->debug.nr_retired, 1);
}

bool debug_is_retired(const struct kmem_cache *cache, const void *object)
{
    uint64_t key = object_key_value(cache->secret, object), pair[2];

    memcpy(pair, debug_words_of(cache, object), sizeof pair);
    return pair[0] == ~key && pair[1] == key;
}

void debug_slab_init(struct kmem_cache *cache, uint32_t pfn)
{
    const struct cache_desc *desc = cache->desc;
    char *start = pfn_to_virt(&cache->owner->map, pfn);
    size_t used = (size_t)desc->objects_per_slab * desc->stride;

    for (uint32_t i = 0; i < desc->objects_per_slab; i++)
        debug_make_free(cache, start + (size_t)i * desc->stride + desc->front, 0);
    debug_red_fill(start + used, start + cache_slab_bytes(desc), DEBUG_PADDING);
}

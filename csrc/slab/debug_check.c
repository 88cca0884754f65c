/* debug_check.c - is what lies around an object what was written there? One object, or all of a
 * cache.
 *
 * What it is: the checks, and what they know of what they found. debug_walk repairs what it
 * reports, as the kernel does, so that it is reported once.
 * What it is not: what becomes of an object that somebody wrote to (debug_alloc.c).
 * Lock: cache->lock. A walk lets go of it before it reports.
 */
#include "slab/debug_bytes.h"
#include "slab/debug_internal.h"

#include <string.h>

#define WALK_BATCH 8u /* corruptions that a walk gathers before it reports them */

/* --- what was found ----------------------------------------------------- */

static void describe(const struct kmem_cache *cache, const void *object, size_t size,
                     struct debug_found *found)
{
    const struct frame_map *map = &cache->owner->map;
    size_t bytes = cache_slab_bytes(cache->desc);
    const char *at = object != NULL ? object : found->what.address;
    const char *start = at - ((size_t)(at - map->base) & (bytes - 1));

    memcpy(found->what.cache, cache->desc->name, sizeof found->what.cache);
    found->what.object = object;
    found->what.object_size = size;
    if (object != NULL) {
        if (cache->debug != NULL)
            debug_read_track(cache, debug_object_around(cache, object), &found->what);
        found->what.offset = (const char *)found->what.address - (const char *)object;
    }
    if (!cache_is_watched(cache)) /* else its bytes may be closed */
        debug_copy_dump(found, start, start + bytes);
}

void debug_describe_free(const struct kmem_cache *cache, const void *object, const void *p,
                         uint32_t kind, struct debug_found *found)
{
    size_t size = cache->desc->object_size;
    uint64_t value;

    found->what = (pyslab_corruption){.kind = kind, .address = p};
    if (object != NULL && cache->debug != NULL && debug_asked(cache, object, &value))
        size = debug_value_size(value);
    describe(cache, object, size, found);
}

static bool tell(const struct kmem_cache *cache, const void *object, size_t size, uint32_t kind,
                 const struct wrong *wrong, struct debug_found *found)
{
    if (wrong->first == NULL)
        return true;
    found->what = (pyslab_corruption){.kind = kind,
                                      .address = wrong->first,
                                      .nr_bytes = (size_t)(wrong->last - wrong->first) + 1,
                                      .expected = wrong->expected,
                                      .found = (uint8_t)*wrong->first};
    describe(cache, object, size, found);
    return false;
}

/* --- one object --------------------------------------------------------- */

/* The words at these bytes should be this pair. */
static void look_at_words(struct wrong *wrong, const char *words, const unsigned char *pair)
{
    for (size_t i = 0; i < DEBUG_WORD_BYTES; i++)
        if ((unsigned char)words[i] != pair[i])
            note_wrong(wrong, words + i, pair[i]);
}

/* What is red before p, and the words, which should be this pair. */
static struct wrong look_left(const struct kmem_cache *cache, const char *object, const char *p,
                              uint64_t pattern, const uint64_t *pair)
{
    const char *words = debug_words_of(cache, p);
    struct wrong wrong = {0};

    if (debug_has_zones(cache))
        look_at(&wrong, p == object ? object - cache->desc->front : object, words, pattern);
    look_at_words(&wrong, words, (const unsigned char *)pair);
    if (debug_has_zones(cache))
        look_at(&wrong, words + DEBUG_WORD_BYTES, p, pattern);
    return wrong;
}

bool debug_check_live(const struct kmem_cache *cache, const void *p, struct debug_found *found)
{
    const char *object = debug_object_around(cache, p);
    uint64_t value = debug_asked_or_guess(cache, p);
    size_t asked = debug_value_size(value);
    struct wrong wrong;
    uint64_t pair[2];

    CHECK(object != NULL);
    debug_words_set(cache->secret, pair, p, value);
    wrong = look_left(cache, object, p, DEBUG_RED_LIVE, pair);
    if (!tell(cache, p, asked, PYSLAB_CORRUPTION_LEFT_REDZONE, &wrong, found))
        return false;
    if (!debug_has_zones(cache))
        return true;
    look_at(&wrong, (const char *)p + asked, object + cache->debug->right_end,
            debug_red_live_of(cache, p));
    return tell(cache, p, asked, PYSLAB_CORRUPTION_RIGHT_REDZONE, &wrong, found);
}

/* All of the bytes are alike, as the compiler's library compares them: eight and more at once. */
static bool is_filled(const char *p, size_t bytes, char byte)
{
    return bytes == 0 || (p[0] == byte && memcmp(p, p + 1, bytes - 1) == 0);
}

static bool poison_is_whole(const struct kmem_cache *cache, const char *object)
{
    size_t size = cache->desc->object_size;

    return is_filled(object, size - 1, (char)debug_poison_of(cache)) &&
           object[size - 1] == (char)debug_poison_end_of(cache);
}

static bool check_poison(const struct kmem_cache *cache, const char *object,
                         struct debug_found *found)
{
    const char *last = object + cache->desc->object_size - 1;
    struct wrong wrong = {0};

    if (!debug_has_poison(cache) || likely(poison_is_whole(cache, object)))
        return true;
    look_at(&wrong, object, last, debug_poison_of(cache));
    look_at(&wrong, last, last + 1, debug_poison_end_of(cache));
    return tell(cache, object, cache->desc->object_size, PYSLAB_CORRUPTION_POISON, &wrong, found);
}

bool debug_check_free(const struct kmem_cache *cache, const void *object, struct debug_found *found)
{
    size_t size = cache->desc->object_size;
    uint64_t key = object_key_value(cache->secret, object);
    uint64_t red = debug_red_free_of(cache);
    const char *start = object;
    struct wrong wrong;

    wrong = look_left(cache, object, object, red, (uint64_t[]){key, key});
    if (!tell(cache, object, size, PYSLAB_CORRUPTION_LEFT_REDZONE, &wrong, found) ||
        !check_poison(cache, start, found))
        return false;
    if (!debug_has_zones(cache))
        return true;
    look_at(&wrong, start + size, start + cache->debug->right_end, red);
    return tell(cache, object, size, PYSLAB_CORRUPTION_RIGHT_REDZONE, &wrong, found);
}

/* --- all of a cache ----------------------------------------------------- */

/* What one pass has found. */
struct walk {
    struct kmem_cache *cache;
    struct debug_found found[WALK_BATCH];
    uint32_t nr;
};

/* An object, in use for its slab or not: one in use that is marked free waits, or is set aside, or
 * is retired. */
static void walk_object(struct walk *walk, char *object)
{
    struct kmem_cache *cache = walk->cache;
    struct debug_found *found = &walk->found[walk->nr];
    void *p;

    if (debug_is_retired(cache, object))
        return;
    if (object_is_in_slab(cache, object) || object_is_marked(cache, object)) {
        if (debug_check_free(cache, object, found))
            return;
        debug_make_free(cache, object, found->what.freed_at);
    } else {
        p = debug_users_pointer(cache, object);
        if (debug_check_live(cache, p, found))
            return;
        debug_make_live(cache, p, found->what.object_size, found->what.allocated_at);
    }
    add_relaxed(&cache->owner->debug.nr_repaired, 1);
    walk->nr++;
}

static void walk_padding(struct walk *walk, char *start)
{
    const struct cache_desc *desc = walk->cache->desc;
    char *from = start + (size_t)desc->objects_per_slab * desc->stride;
    char *end = start + cache_slab_bytes(desc);
    struct wrong wrong = {0};

    look_at(&wrong, from, end, DEBUG_PADDING);
    if (tell(walk->cache, NULL, 0, PYSLAB_CORRUPTION_PADDING, &wrong, &walk->found[walk->nr]))
        return;
    debug_red_fill(from, end, DEBUG_PADDING);
    add_relaxed(&walk->cache->owner->debug.nr_repaired, 1);
    walk->nr++;
}

static void walk_slab_locked(struct walk *walk, uint32_t pfn)
{
    const struct cache_desc *desc = walk->cache->desc;
    char *start = pfn_to_virt(&walk->cache->owner->map, pfn);

    lock_assert_held(&walk->cache->lock);
    for (uint32_t i = 0; i < desc->objects_per_slab && walk->nr < WALK_BATCH; i++)
        walk_object(walk, start + (size_t)i * desc->stride + desc->front);
    if (walk->nr < WALK_BATCH)
        walk_padding(walk, start);
}

static void walk_lists_locked(struct walk *walk)
{
    struct index_view links = page_links(&walk->cache->owner->map);
    const struct cache_desc *desc = walk->cache->desc;

    lock_assert_held(&walk->cache->lock);
    for (unsigned list = 0; list < NR_SLAB_LISTS; list++)
        for (uint32_t pfn = desc->list[list].first; pfn != INDEX_NONE && walk->nr < WALK_BATCH;
             pfn = index_link_at(links, pfn)->next)
            walk_slab_locked(walk, pfn);
}

uint64_t debug_walk(struct kmem_cache *cache, struct finding *f)
{
    struct walk walk;
    uint64_t nr = 0;

    if (cache->debug == NULL)
        return 0;
    do {
        walk = (struct walk){.cache = cache};
        lock_acquire(&cache->lock);
        walk_lists_locked(&walk);
        lock_release(&cache->lock);
        debug_report_all(&cache->owner->debug, walk.found, walk.nr, f);
        nr += walk.nr;
    } while (walk.nr == WALK_BATCH);
    return nr;
}

uint64_t debug_validate(struct kmem_cache *cache)
{
    return debug_walk(cache, NULL);
}

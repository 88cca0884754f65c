/* fence.c - see fence.h. */
#include "slab/fence.h"

#include "os/os.h"
#include "os/os_report.h"
#include "slab/slab_internal.h"
#include "stack/depot.h"

#include <string.h>

#define VARIABLE "PYSLAB_KFENCE"

/* --- start and end ---------------------------------------------------------- */

/* What the options ask for, or the environment. *sample_ms 0: nothing. EINVAL */
static int read_options(const pyslab_arena_options *options, uint32_t *sample_ms, uint32_t *nr)
{
    char text[64];

    *sample_ms = options->kfence_sample_ms;
    *nr = options->kfence_objects != 0 ? options->kfence_objects : (uint32_t)PYSLAB_KFENCE_OBJECTS;
    if (*nr > PYSLAB_KFENCE_MAX_OBJECTS)
        return PYSLAB_EINVAL;
    if (*sample_ms == PYSLAB_KFENCE_OFF)
        *sample_ms = 0;
    else if (*sample_ms == 0 && os_environment(VARIABLE, text, sizeof text) &&
             !kfence_parse(text, sample_ms, nr)) {
        static const char line[] = "pyslab: " VARIABLE ": not a time and a number of objects\n";

        os_report_start(false);
        (void)os_report_error(line, sizeof line - 1);
    }
    return PYSLAB_OK;
}

static void on_fault(void *context, const pyslab_corruption *found)
{
    struct slab_alloc *sa = context;

    debug_report_fault(&sa->debug, found);
}

int fence_begin(struct slab_alloc *sa, uint32_t sample_ms, uint32_t nr)
{
    sa->kfence = kfence_create(nr, sample_ms, os_random64(), on_fault, sa);
    if (sa->kfence == NULL)
        return PYSLAB_ENOMEM;
    page_alloc_set_sample(sa->pages, sample_ms);
    return PYSLAB_OK;
}

int fence_start(struct slab_alloc *sa, const pyslab_arena_options *options)
{
    uint32_t sample_ms, nr;
    int error = read_options(options, &sample_ms, &nr);
    bool is_asked = options->kfence_sample_ms != 0;

    if (error != PYSLAB_OK || sample_ms == 0 || sa->pages->watch != SANITIZE_NONE)
        return error;
    if (options->shared != PYSLAB_SHARE_NO)
        return is_asked ? PYSLAB_EINVAL : PYSLAB_OK;
    os_report_start(false);
    error = fence_begin(sa, sample_ms, nr);
    return is_asked ? error : PYSLAB_OK;
}

void fence_end(struct slab_alloc *sa)
{
    if (sa->kfence != NULL)
        kfence_destroy(sa->kfence);
    sa->kfence = NULL;
}

/* --- allocation -------------------------------------------------------------- */

static bool can_be_sampled(const struct kmem_cache *cache)
{
    return cache->desc->object_size <= kfence_max_bytes() && cache->zone_gfp == 0 &&
           !cache_is_constructed(cache) && cache->debug == NULL && !cache_is_watched(cache);
}

/* The cache with this id, pinned, if objects of it can be samples; NULL: not. */
static struct kmem_cache *pin_sampled(struct slab_alloc *sa, uint32_t id)
{
    uint32_t next = id;
    struct kmem_cache *cache = cache_pin_next(sa, &next);

    if (cache == NULL || (cache->id == id && can_be_sampled(cache)))
        return cache;
    cache_unpin(cache);
    return NULL;
}

/* Of the caches that can be sampled, the one of the allocation with this number, counting all that
 * the thread has made; *nr_allocs is how many these are. 0: there are not so many. */
static uint32_t cache_of_alloc(struct slab_alloc *sa, const struct sheaf_table *table,
                               uint64_t number, uint64_t *nr_allocs)
{
    *nr_allocs = 0;
    for (uint32_t id = 1; id <= CLASS_MAX; id++) {
        uint64_t nr = table->slot[id].nr_allocs;
        struct kmem_cache *cache;

        if (nr == 0 || (cache = pin_sampled(sa, id)) == NULL)
            continue;
        cache_unpin(cache);
        *nr_allocs += nr;
        if (number < *nr_allocs)
            return id;
    }
    return 0;
}

/* Empties the thread's sheaves of the cache, so that its next allocation takes a slow path. The
 * sheaves stay as large as they have grown, and slabs that become empty stay with the cache: the
 * thread takes the same objects back with its next allocations. */
static void lead_to_slow_path(struct slab_alloc *sa, struct sheaf_table *table, uint32_t id)
{
    struct kmem_cache *cache = pin_sampled(sa, id);
    struct sheaf_slot *slot = &table->slot[id];

    if (cache == NULL)
        return;
    thread_registry_lock(); /* keeps others out of the thread's slots */
    lock_acquire(&cache->lock);
    slab_put_locked(cache, slot->bottom, slot_nr(slot), NULL);
    slot->top = slot->bottom;
    lock_release(&cache->lock);
    if (spare_has_objects(slot))
        sheaf_flush(cache, slot->spare, NULL);
    thread_registry_unlock();
    cache_unpin(cache);
}

/* Chooses the cache that is to be sampled: any allocation that the thread has made may be the one
 * whose cache it is. So sizes that come and go in sheaves, and come to no slow path, have their
 * part, too. Returns its id; UINT32_MAX: any will do. */
static uint32_t choose(struct slab_alloc *sa)
{
    struct sheaf_table *table = sheaf_table_own(sa);
    uint64_t nr_allocs, none;
    uint32_t id = 0;

    if (table != NULL)
        (void)cache_of_alloc(sa, table, UINT64_MAX, &nr_allocs);
    if (table != NULL && nr_allocs != 0)
        id = cache_of_alloc(sa, table, kfence_random_below(sa->kfence, nr_allocs), &none);
    if (id == 0)
        return UINT32_MAX;
    lead_to_slow_path(sa, table, id);
    return id;
}

/* True: the sample is to be of this cache, and nobody else takes it. */
static bool takes_sample(struct kmem_cache *cache)
{
    struct sample *sample = &cache->owner->pages->sample;
    uint32_t wanted = load_relaxed(&sample->wanted);

    if (wanted == 0) {
        wanted = choose(cache->owner);
        store_relaxed(&sample->wanted, wanted);
    }
    return (wanted == cache->id || wanted == UINT32_MAX) && can_be_sampled(cache) &&
           atomic_exchange(&sample->due, false);
}

slow_path void *fence_alloc_slow(struct kmem_cache *cache, size_t asked)
{
    struct slab_alloc *sa = cache->owner;
    struct kfence_request request = {
        .size = asked, .align = cache->desc->align, .owner = cache, .name = cache->desc->name};
    void *p;

    if (asked == 0 || !takes_sample(cache))
        return NULL;
    p = kfence_alloc(sa->kfence, &request);
    if (p == NULL)
        return NULL;
    add_relaxed(&cache->nr_past_allocs, 1);
    add_relaxed(&cache->nr_past_exchanges, 1);
    usage_add(sa->pages->usage, (uintptr_t)p, asked);
    return p;
}

/* --- free --------------------------------------------------------------------- */

static void report(struct slab_alloc *sa, struct debug_found *found)
{
    if (found->what.kind != 0)
        add_relaxed(&sa->kfence->nr_found, 1);
    debug_report(&sa->debug, found, false);
}

slow_path int fence_free(struct slab_alloc *sa, const struct kmem_cache *cache, void *p)
{
    uint32_t stack = stack_save();
    struct kfence_object *object;
    struct debug_found found = {.what = {.kind = 0}};
    int error = kfence_free_begin(sa->kfence, p, cache, &object);

    CHECK(fence_has(sa, p));
    if (error != PYSLAB_OK) {
        kfence_describe(object, p, &found.what);
        found.what.kind = debug_kind_of_free(error);
        report(sa, &found);
        return error;
    }
    if (!kfence_is_whole(sa->kfence, object, &found.what)) {
        const char *page = kfence_page(sa->kfence, object);

        debug_copy_dump(&found, page, page + sa->kfence->page_bytes);
    }
    found.what.freed_at = 0; /* the report is of this free */
    usage_sub(sa->pages->usage, (uintptr_t)p, object->size);
    kfence_free_end(sa->kfence, object, stack);
    report(sa, &found);
    return PYSLAB_OK;
}

/* --- looking -------------------------------------------------------------------- */

size_t fence_usable(struct slab_alloc *sa, const void *p)
{
    const struct kfence_object *object = kfence_find(sa->kfence, p);

    return object != NULL ? object->size : 0;
}

struct kmem_cache *fence_cache_of(struct slab_alloc *sa, const void *p)
{
    const struct kfence_object *object = fence_has(sa, p) ? kfence_find(sa->kfence, p) : NULL;

    return object != NULL ? (struct kmem_cache *)(uintptr_t)object->owner : NULL;
}

size_t fence_live_objects(struct kmem_cache *cache, void **p, size_t nr)
{
    struct kfence *kfence = cache->owner->kfence;

    return kfence != NULL ? kfence_live_objects(kfence, cache, p, nr) : 0;
}

/* debug_alloc.c - allocation and free in a cache with debug flags.
 *
 * What it is: the way of an object from its slab to a caller, to the quarantine, and back; and what
 * becomes of one that somebody wrote to where nobody should: it is reported and retired.
 * What it is not: the checks themselves (debug_check.c), or fast.
 * Lock: cache->lock is taken here, once a call. What was found is reported when it is released.
 */
#include "slab/debug_plain.h"
#include "stack/depot.h"

#include <string.h>

/* The stack of this call; 0 if the cache keeps none. */
static uint32_t stack_of_call(const struct kmem_cache *cache)
{
    return cache->debug->track_at != 0 ? stack_save() : 0;
}

/* --- allocation --------------------------------------------------------- */

/* A free object: the oldest that waits if enough do, or if `any` is set; else one of a slab. */
static void *take_locked(struct kmem_cache *cache, bool any)
{
    struct quarantine *waiting = &cache->debug->waiting;
    void *object = NULL;

    lock_assert_held(&cache->lock);
    if (!waiting_is_ripe(waiting))
        slab_take_locked(cache, &object, 1);
    return object == NULL && (any || waiting_is_ripe(waiting)) ? waiting_pop(waiting) : object;
}

/* What a caller of debug_alloc wants. */
struct request {
    uint64_t value; /* as debug_make_live's */
    size_t align;
    uint32_t stack; /* of the call */
    bool any;       /* memory is short: also an object that has not waited long */
};

/* The short way where there is one, then the long one, which tells what is wrong. */
static inline bool is_free(const struct kmem_cache *cache, const void *object,
                           struct debug_found *found)
{
    return (likely(cache->debug->plain) && likely(plain_is_free(cache, object))) ||
           debug_check_free(cache, object, found);
}

/* NULL: there is none, or the one there was is retired, as found says. */
static void *hand_out_locked(struct kmem_cache *cache, const struct request *request,
                             struct debug_found *found)
{
    void *object = take_locked(cache, request->any), *p;

    lock_assert_held(&cache->lock);
    if (object == NULL)
        return NULL;
    if (unlikely(!is_free(cache, object, found))) {
        debug_make_retired(cache, object);
        return NULL;
    }
    p = (char *)object + (-(uintptr_t)object & (request->align - 1));
    CHECK(p == object || cache->debug->keyed);
    if (likely(cache->debug->plain) && likely(p == object))
        plain_make_live(cache, object, request->value);
    else
        debug_make_live(cache, p, request->value, request->stack);
    if (unlikely((cache->init & INIT_ON_ALLOC) != 0))
        memset(p, 0, debug_value_size(request->value));
    /* Nobody else counts here: a cache with flags has no sheaves. */
    store_relaxed(&cache->nr_past_allocs, load_relaxed(&cache->nr_past_allocs) + 1);
    store_relaxed(&cache->nr_past_exchanges, load_relaxed(&cache->nr_past_exchanges) + 1);
    return p;
}

/* True: there is one more slab. */
static bool buy(struct kmem_cache *cache, uint32_t gfp)
{
    uint32_t pfn = slab_new(cache, gfp);

    if (pfn >= SLAB_REFUSED)
        return false;
    lock_acquire(&cache->lock);
    slab_add_locked(cache, pfn);
    slab_settle_locked(cache, pfn);
    lock_release(&cache->lock);
    return true;
}

void *debug_alloc(struct kmem_cache *cache, uint32_t gfp, uint64_t value, size_t align)
{
    struct request request = {value, align, stack_of_call(cache), false};

    CHECK(debug_value_size(value) <= cache->desc->object_size && is_power_of_two(align));
    for (;;) {
        struct debug_found found;
        bool taken;
        void *p;

        found.what.kind = 0;
        taken = lock_acquire_if_shared(&cache->lock);
        p = hand_out_locked(cache, &request, &found);
        lock_release_if(&cache->lock, taken);
        if (likely(p != NULL))
            return p;
        debug_report(&cache->owner->debug, &found, false);
        if (found.what.kind != 0)
            continue;
        if (request.any)
            return NULL;
        request.any = !buy(cache, gfp);
    }
}

void *debug_alloc_counted(struct kmem_cache *cache, uint32_t gfp, uint64_t value, size_t align)
{
    void *p;

    if (unlikely(load_relaxed(&cache->nr_past_allocs) % SHEAF_LOOK_EVERY == 0))
        page_alloc_tick(cache->owner->pages);
    p = debug_alloc(cache, gfp, value, align);
    if (p != NULL)
        cache_count_alloc(cache, p);
    return p;
}

/* --- free --------------------------------------------------------------- */

/* Retires an object if it was written to, else puts it back to its slab. */
static void leave_locked(struct kmem_cache *cache, void *object, struct slab_batch *batch,
                         struct debug_found *found)
{
    lock_assert_held(&cache->lock);
    if (unlikely(!is_free(cache, object, found)))
        debug_make_retired(cache, object);
    else
        slab_put_locked(cache, &object, 1, batch);
}

/* An object that was just freed waits; if too many do, the oldest leaves. */
static void wait_locked(struct kmem_cache *cache, void *object, struct slab_batch *batch,
                        struct debug_found *found)
{
    struct quarantine *waiting = &cache->debug->waiting;

    lock_assert_held(&cache->lock);
    if (waiting->capacity == 0) {
        slab_put_locked(cache, &object, 1, batch);
        return;
    }
    if (waiting_is_full(waiting))
        leave_locked(cache, waiting_pop(waiting), batch, found);
    waiting_push(waiting, object);
}

/* Why p, in the place of this object, may not be freed; 0: it may, as far as its words tell. */
static uint32_t wrong_free(const struct kmem_cache *cache, void *object, const void *p)
{
    if (object == NULL || (const char *)p < (const char *)object)
        return PYSLAB_CORRUPTION_INVALID_FREE;
    if (object_is_marked(cache, object))
        return p == object ? PYSLAB_CORRUPTION_DOUBLE_FREE : PYSLAB_CORRUPTION_INVALID_FREE;
    return debug_users_pointer(cache, object) == p ? 0 : PYSLAB_CORRUPTION_INVALID_FREE;
}

/* The error of a wrong free of p, or EOK. */
static int wrong_free_error(uint32_t wrong)
{
    if (wrong == 0)
        return PYSLAB_OK;
    return wrong == PYSLAB_CORRUPTION_DOUBLE_FREE ? PYSLAB_EDOUBLE : PYSLAB_EPOINTER;
}

/* p, of this object, is live and whole, with this value; else found says what is wrong, with this
 * error. An object that was written to is retired. */
static int check_freed_locked(struct kmem_cache *cache, void *p, void *object, uint64_t *value,
                              struct debug_found *found)
{
    uint32_t wrong;

    lock_assert_held(&cache->lock);
    if (likely(cache->debug->plain) && likely(plain_is_live(cache, p, object, value)))
        return PYSLAB_OK;
    wrong = wrong_free(cache, object, p);
    if (unlikely(wrong != 0)) {
        debug_describe_free(cache, object, p, wrong, found);
        return wrong_free_error(wrong);
    }
    if (unlikely(!debug_check_live(cache, p, found)))
        debug_make_retired(cache, object);
    else
        (void)debug_asked(cache, p, value);
    return PYSLAB_OK;
}

/* Checks p and fills its object as a free one, which then waits, or with `held` stays in use. */
static int free_and(struct kmem_cache *cache, void *p, bool held, uint64_t *value)
{
    void *object = debug_object_around(cache, p);
    uint32_t stack = stack_of_call(cache);
    struct debug_found found;
    struct slab_batch batch;
    bool taken;
    int error;

    found.what.kind = 0;
    slab_batch_init(&batch);
    taken = lock_acquire_if_shared(&cache->lock);
    error = check_freed_locked(cache, p, object, value, &found);
    if (likely(found.what.kind == 0)) {
        debug_make_free(cache, object, stack);
        if (!held)
            wait_locked(cache, object, &batch, &found);
    }
    lock_release_if(&cache->lock, taken);
    if (unlikely(batch.list.nr != 0))
        slab_batch_free(cache, &batch);
    if (likely(found.what.kind == 0))
        return PYSLAB_OK;
    if (error == PYSLAB_OK || (cache->debug->flags & PYSLAB_DEBUG_CHECKS) != 0)
        debug_report(&cache->owner->debug, &found, false);
    return error;
}

int debug_free(struct kmem_cache *cache, void *p)
{
    uint64_t value;

    CHECK(slab_cache_around(cache->owner, p) == cache);
    return free_and(cache, p, false, &value);
}

int debug_release(struct kmem_cache *cache, void *p)
{
    uint64_t value;

    CHECK(slab_cache_around(cache->owner, p) == cache);
    return free_and(cache, p, true, &value);
}

void debug_free_released(struct kmem_cache *cache, void *p)
{
    struct debug_found found;
    struct slab_batch batch;

    CHECK(object_is_marked(cache, p));
    cache_count_free(cache, p);
    found.what.kind = 0;
    slab_batch_init(&batch);
    lock_acquire(&cache->lock);
    if (!debug_is_retired(cache, p)) { /* by debug_release */
        if (likely(debug_check_free(cache, p, &found)))
            wait_locked(cache, p, &batch, &found);
        else
            debug_make_retired(cache, p);
    }
    lock_release(&cache->lock);
    slab_batch_free(cache, &batch);
    debug_report(&cache->owner->debug, &found, false);
}

int debug_wrong_free(struct slab_alloc *sa, const struct kmem_cache *cache, const void *p,
                     int error)
{
    const struct kmem_cache *owner;
    struct debug_found found = {.what.kind = 0};
    uint32_t flags = sa->debug.flags, kind = debug_kind_of_free(error);
    bool is_watched = sa->pages->watch != SANITIZE_NONE;

    if (likely(!sa->debug.any) && (cache == NULL || cache->debug == NULL) && !is_watched)
        return error;
    owner = slab_cache_around(sa, p);
    if (owner != NULL && owner->debug != NULL)
        flags |= owner->debug->flags;
    if (cache != NULL && cache->debug != NULL)
        flags |= cache->debug->flags;
    if ((flags & PYSLAB_DEBUG_CHECKS) == 0 && !is_watched)
        return error;
    found.what = (pyslab_corruption){.kind = kind, .address = p, .cache = "no object"};
    if (owner != NULL)
        debug_describe_free(owner, debug_object_around(owner, p), p, kind, &found);
    debug_report(&sa->debug, &found, false);
    return error;
}

/* --- in place ----------------------------------------------------------- */

bool debug_resize(struct kmem_cache *cache, void *p, size_t asked, bool zero)
{
    uint32_t stack = stack_of_call(cache);
    size_t old;

    CHECK(!object_is_marked(cache, p));
    if (asked > cache->desc->object_size)
        return false;
    lock_acquire(&cache->lock);
    old = debug_value_size(debug_asked_or_guess(cache, p));
    if (zero && asked > old)
        memset((char *)p + old, 0, asked - old);
    debug_make_live(cache, p, asked, stack);
    lock_release(&cache->lock);
    return true;
}

int debug_examine(struct kmem_cache *cache, const void *p, size_t *asked)
{
    struct debug_found found;
    uint64_t value;
    int error;

    CHECK(slab_cache_around(cache->owner, p) == cache);
    found.what.kind = 0;
    lock_acquire(&cache->lock);
    error = wrong_free_error(wrong_free(cache, debug_object_around(cache, p), p));
    if (likely(error == PYSLAB_OK) && likely(debug_check_live(cache, p, &found))) {
        if (asked != NULL && debug_asked(cache, p, &value))
            *asked = debug_value_size(value);
    } else if (error == PYSLAB_OK) {
        debug_make_live(cache, (void *)(uintptr_t)p, found.what.object_size,
                        found.what.allocated_at);
        add_relaxed(&cache->owner->debug.nr_repaired, 1);
    }
    lock_release(&cache->lock);
    debug_report(&cache->owner->debug, &found, false);
    return error;
}

/* --- the quarantine of a cache ------------------------------------------ */

uint64_t debug_flush(struct kmem_cache *cache)
{
    struct slab_batch batch;
    void *object;

    if (cache->debug == NULL)
        return 0;
    slab_batch_init(&batch);
    do {
        struct debug_found found;

        found.what.kind = 0;
        lock_acquire(&cache->lock);
        object = waiting_pop(&cache->debug->waiting);
        if (object != NULL)
            leave_locked(cache, object, &batch, &found);
        lock_release(&cache->lock);
        debug_report(&cache->owner->debug, &found, false);
    } while (object != NULL);
    return slab_batch_free(cache, &batch);
}

/* The first retired object of a slab; NULL: it has none. */
static void *retired_in_locked(const struct kmem_cache *cache, uint32_t pfn)
{
    const struct cache_desc *desc = cache->desc;
    char *first = (char *)pfn_to_virt(&cache->owner->map, pfn) + desc->front;

    lock_assert_held(&cache->lock);
    for (uint32_t i = 0; i < desc->objects_per_slab; i++)
        if (debug_is_retired(cache, first + (size_t)i * desc->stride))
            return first + (size_t)i * desc->stride;
    return NULL;
}

static void *next_retired_locked(const struct kmem_cache *cache)
{
    struct index_view links = page_links(&cache->owner->map);
    void *object = NULL;

    lock_assert_held(&cache->lock);
    for (unsigned list = 0; list < NR_SLAB_LISTS; list++)
        for (uint32_t pfn = cache->desc->list[list].first; pfn != INDEX_NONE && object == NULL;
             pfn = index_link_at(links, pfn)->next)
            object = retired_in_locked(cache, pfn);
    return object;
}

void debug_release_retired(struct kmem_cache *cache)
{
    void *object;

    if (cache->debug == NULL)
        return;
    lock_acquire(&cache->lock);
    while (cache->debug->nr_retired != 0 && (object = next_retired_locked(cache)) != NULL) {
        debug_make_free(cache, object, 0);
        cache->debug->nr_retired--;
        slab_put_locked(cache, &object, 1, NULL);
    }
    lock_release(&cache->lock);
}

uint64_t debug_nr_held(const struct kmem_cache *cache)
{
    return cache->debug != NULL ? cache->debug->waiting.nr + cache->debug->nr_retired : 0;
}

void debug_count_waiting(struct slab_alloc *sa, uint64_t *nr, uint64_t *bytes)
{
    struct kmem_cache *cache;
    uint32_t id = 1;

    *nr = 0;
    *bytes = 0;
    while ((cache = cache_pin_next(sa, &id)) != NULL) {
        lock_acquire(&cache->lock);
        if (cache->debug != NULL) {
            *nr += cache->debug->waiting.nr;
            *bytes += (uint64_t)cache->debug->waiting.nr * cache->desc->object_size;
        }
        lock_release(&cache->lock);
        cache_unpin(cache);
    }
}

/* Counts first, because somebody else may have p as soon as it is free. */
int debug_free_telling(struct kmem_cache *cache, void *p, uint64_t *value)
{
    void *object;
    bool is_free;
    int error;

    if (likely(!usage_is_counted(cache->owner->pages->usage)))
        return free_and(cache, p, false, value);
    object = debug_object_around(cache, p);
    is_free = object == NULL || object_is_marked(cache, object);
    if (!is_free)
        cache_count_free(cache, p);
    error = free_and(cache, p, false, value);
    if (error != PYSLAB_OK && !is_free)
        cache_count_alloc(cache, p);
    return error;
}

int debug_free_counted(struct kmem_cache *cache, void *p)
{
    uint64_t value;

    return debug_free_telling(cache, p, &value);
}

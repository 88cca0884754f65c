/* guarded_walk.c - what goes through all guarded blocks of an arena: a cache's live objects, and
 * the look at the red bytes. Lock: guard.lock, for one block at a time. */
#include "slab/guarded_internal.h"

#define LOOK_BATCH 8u /* corruptions gathered before they are reported */

struct objects {
    struct kmem_cache *cache;
    void **p;    /* where the addresses go */
    size_t room; /* for so many */
    size_t nr;   /* that were found */
};

static bool note_object(void *context, uint32_t pfn, const struct page *page)
{
    struct objects *objects = context;
    const struct slab_alloc *sa = objects->cache->owner;
    struct block b = block_at(sa, pfn);

    (void)page;
    if (b.page == NULL || state_of(&b) == GUARDED_WAITS || cache_of(sa, &b) != objects->cache)
        return true;
    if (objects->nr < objects->room)
        objects->p[objects->nr] = user_of(&b);
    objects->nr++;
    return true;
}

size_t guarded_objects(struct kmem_cache *cache, void **p, size_t nr)
{
    struct objects objects = {.cache = cache, .p = p, .room = nr};

    if (load_relaxed(&cache->nr_guarded) != 0)
        (void)page_alloc_each_block(cache->owner->pages, note_object, &objects);
    return objects.nr;
}

/* What one pass has found, and made whole again. */
struct look {
    struct slab_alloc *sa;
    struct debug_found found[LOOK_BATCH];
    uint32_t nr;
};

static bool look_at_block(void *context, uint32_t pfn, const struct page *page)
{
    struct look *look = context;
    struct block b = block_at(look->sa, pfn);

    (void)page;
    if (b.page == NULL)
        return true;
    lock_acquire(&look->sa->guard.lock); /* under which a block may not lose its access */
    if (state_of(&b) == GUARDED_LIVE)
        look->nr += !guarded_check_block(look->sa, &b, &look->found[look->nr]);
    lock_release(&look->sa->guard.lock);
    return look->nr < LOOK_BATCH;
}

bool guarded_validate(struct slab_alloc *sa, struct finding *f)
{
    bool ok = true, done;

    if (sa->guard.mode == 0)
        return true;
    do {
        struct look look = {.sa = sa};

        done = page_alloc_each_block(sa->pages, look_at_block, &look);
        add_relaxed(&sa->debug.nr_repaired, look.nr);
        debug_report_all(&sa->debug, look.found, look.nr, f);
        ok &= look.nr == 0;
    } while (!done);
    return ok;
}

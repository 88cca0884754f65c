/* trim.c - giving back what the caches keep where no code of users may run: in the arena's own
 * thread (arena/background.h), and in the middle of calls from Python (arena_look).
 *
 * What it is: barns and surplus empty slabs of all caches without a constructor or destructor.
 * What it is not: slab_trim (cache.c), which also empties the sheaves of the thread that calls it.
 * Lock: the table's for the pin, each cache's for its barn and slabs.
 */
#include "slab/slab_internal.h"

/* cache_pin_next for plain caches. What a cache has of hooks is constant, so that one with hooks is
 * never pinned here: who takes the last pin off runs the code that its maker gave it. */
static struct kmem_cache *pin_next_plain(struct slab_alloc *sa, uint32_t *id)
{
    struct kmem_cache *found = NULL;

    lock_acquire(&sa->lock);
    for (; *id < load_relaxed(&sa->id_limit) && found == NULL; ++*id) {
        struct kmem_cache *cache = sa->caches[*id];

        if (cache != NULL && !cache->dying && !cache_is_constructed(cache))
            found = cache;
    }
    if (found != NULL)
        found->nr_pins++;
    lock_release(&sa->lock);
    return found;
}

uint64_t slab_trim_plain(struct slab_alloc *sa)
{
    struct kmem_cache *cache;
    uint64_t nr_pages = 0;
    uint32_t id = 1;

    while ((cache = pin_next_plain(sa, &id)) != NULL) {
        struct slab_batch batch;

        nr_pages += barn_flush(cache);
        slab_batch_init(&batch);
        lock_acquire(&cache->lock);
        slab_take_empty_locked(cache, slab_surplus_locked(cache), &batch);
        lock_release(&cache->lock);
        nr_pages += slab_batch_free(cache, &batch);
        cache_unpin(cache);
    }
    return nr_pages;
}

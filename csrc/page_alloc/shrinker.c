/* shrinker.c - caches outside the allocator that give memory back when it is short.
 *
 * What it is: the arena's list of shrinkers, and the kernel's do_shrink_slab: how many
 * objects each is asked to scan at a priority, and what is deferred to the next call.
 * What it is not: a decision when to ask (reclaim.c).
 *
 * Invariant: a shrinker is on the list until it is dead and nobody runs it; then its
 * release function is called, once, and it is deleted.
 * Lock: shrinkers_lock guards the list, nr_pins and dead; none while a callback runs.
 */
#include "page_alloc/shrinker.h"

#include "os/os_heap.h"

struct shrinker {
    struct shrinker *next;           /* in the arena's list */
    struct page_alloc *owner;        /* constant */
    pyslab_shrinker_options options; /* constant */
    _Atomic uint64_t nr_deferred;    /* objects left over from earlier calls */
    uint32_t nr_pins;                /* threads that run it, and 1 until it is unregistered */
    bool dead;                       /* unregistered */
};

/* --- the list ----------------------------------------------------------- */

void shrinkers_init(struct page_alloc *pa)
{
    lock_init(&pa->reclaim.shrinkers_lock, LOCK_RANK_SHRINKERS);
}

int shrinker_register(struct page_alloc *pa, const pyslab_shrinker_options *options,
                      struct shrinker **out)
{
    struct shrinker *shrinker;

    if (options->struct_size != sizeof *options || options->count == NULL || options->scan == NULL)
        return PYSLAB_EINVAL;
    shrinker = os_heap_alloc(sizeof *shrinker);
    if (shrinker == NULL)
        return PYSLAB_ENOMEM;
    shrinker->owner = pa;
    shrinker->options = *options;
    if (options->batch == 0)
        shrinker->options.batch = PYSLAB_SHRINK_BATCH;
    shrinker->nr_pins = 1;
    lock_acquire(&pa->reclaim.shrinkers_lock);
    shrinker->next = pa->reclaim.shrinkers;
    pa->reclaim.shrinkers = shrinker;
    lock_release(&pa->reclaim.shrinkers_lock);
    *out = shrinker;
    return PYSLAB_OK;
}

static void unlink_locked(struct shrinker *shrinker)
{
    struct shrinker **at = &shrinker->owner->reclaim.shrinkers;

    lock_assert_held(&shrinker->owner->reclaim.shrinkers_lock);
    while (*at != shrinker)
        at = &(*at)->next;
    *at = shrinker->next;
}

static void shrinker_delete(struct shrinker *shrinker)
{
    if (shrinker->options.release != NULL)
        shrinker->options.release(shrinker->options.context);
    os_heap_free(shrinker, sizeof *shrinker);
}

/* Ends a pin; with the last one the shrinker is deleted. dying: it is unregistered. */
static void shrinker_unpin(struct shrinker *shrinker, bool dying)
{
    struct lock *lock = &shrinker->owner->reclaim.shrinkers_lock;
    bool last;

    lock_acquire(lock);
    shrinker->dead |= dying;
    last = --shrinker->nr_pins == 0;
    if (last)
        unlink_locked(shrinker);
    lock_release(lock);
    if (last)
        shrinker_delete(shrinker);
}

void shrinker_unregister(struct shrinker *shrinker)
{
    shrinker_unpin(shrinker, true);
}

void shrinkers_destroy(struct page_alloc *pa)
{
    while (pa->reclaim.shrinkers != NULL)
        shrinker_unregister(pa->reclaim.shrinkers);
    lock_destroy(&pa->reclaim.shrinkers_lock);
}

/* The next shrinker that is not dead, behind old, whose pin ends (NULL: the first); pinned. */
static struct shrinker *shrinker_pin_next(struct page_alloc *pa, struct shrinker *old)
{
    struct shrinker *found;

    lock_acquire(&pa->reclaim.shrinkers_lock);
    found = old == NULL ? pa->reclaim.shrinkers : old->next;
    while (found != NULL && found->dead)
        found = found->next;
    if (found != NULL)
        found->nr_pins++;
    lock_release(&pa->reclaim.shrinkers_lock);
    if (old != NULL)
        shrinker_unpin(old, false);
    return found;
}

/* --- one run ------------------------------------------------------------ */

/* How many of its freeable objects a shrinker is asked to scan at a priority, without those that
 * were deferred. */
static uint64_t scan_delta(const pyslab_shrinker_options *options, uint64_t freeable,
                           unsigned priority)
{
    return options->seeks != 0 ? (freeable >> priority) * 4 / options->seeks : freeable / 2;
}

static uint64_t shrinker_run(struct page_alloc *pa, struct shrinker *shrinker, unsigned priority,
                             bool *give_up)
{
    const pyslab_shrinker_options *options = &shrinker->options;
    uint64_t freeable = options->count(options->context);
    uint64_t deferred, delta, total, scanned = 0, freed = 0;

    *give_up |= freeable == UINT64_MAX;
    if (freeable == 0 || *give_up)
        return 0;
    if (freeable > UINT64_MAX / 8)
        freeable = UINT64_MAX / 8;
    deferred = atomic_exchange_explicit(&shrinker->nr_deferred, 0, memory_order_relaxed);
    delta = scan_delta(options, freeable, priority);
    total = (deferred >> priority) + delta;
    if (total > 2 * freeable)
        total = 2 * freeable;
    while (total > 0 && (total >= options->batch || total >= freeable)) {
        uint64_t nr = total < options->batch ? total : options->batch;
        int64_t went = options->scan(nr, options->context);

        if (went < 0) {
            *give_up |= went < -1;
            break;
        }
        freed += (uint64_t)went;
        vm_event(pa, PYSLAB_VM_SLABS_SCANNED, nr);
        scanned += nr;
        total -= nr;
    }
    deferred = deferred + delta > scanned ? deferred + delta - scanned : 0;
    atomic_fetch_add_explicit(&shrinker->nr_deferred,
                              deferred < 2 * freeable ? deferred : 2 * freeable,
                              memory_order_relaxed);
    return freed;
}

uint64_t shrinkers_run(struct page_alloc *pa, unsigned priority, bool *give_up)
{
    struct shrinker *shrinker = shrinker_pin_next(pa, NULL);
    uint64_t freed = 0;

    while (shrinker != NULL && !*give_up) {
        freed += shrinker_run(pa, shrinker, priority, give_up);
        if (!*give_up)
            shrinker = shrinker_pin_next(pa, shrinker);
    }
    if (shrinker != NULL)
        shrinker_unpin(shrinker, false);
    return freed;
}

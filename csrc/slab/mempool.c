/* mempool.c - see mempool.h. In this order: set-up, allocation, free, resize and end, fork,
 * recount. */
#include "slab/mempool.h"

#include "os/os_heap.h"
#include "slab/slab_internal.h"

#include <string.h>

/* --- set-up ------------------------------------------------------------- */

/* False for more objects than the arena could ever hold. */
static bool fits_arena(const struct kmem_cache *cache, size_t nr)
{
    return nr <= cache->owner->map.bytes / cache->desc->stride && nr <= UINT32_MAX;
}

/* As many pools of this cache are on the list as the cache counts. */
static bool pools_add_up_locked(const struct kmem_cache *cache)
{
    uint32_t nr = 0;

    lock_assert_held(&cache->owner->lock);
    for (const struct mempool *pool = cache->owner->pools; pool != NULL; pool = pool->next)
        nr += pool->cache == cache;
    return nr == cache->nr_pools;
}

/* Enters the pool in the arena's list, and counts it in its cache. */
static void pool_enter(struct mempool *pool)
{
    struct slab_alloc *sa = pool->cache->owner;

    lock_acquire(&sa->lock);
    pool->next = sa->pools;
    if (pool->next != NULL)
        pool->next->prev = pool;
    sa->pools = pool;
    pool->cache->nr_pools++;
    CHECK_WALK(pools_add_up_locked(pool->cache));
    lock_release(&sa->lock);
}

static void pool_leave(struct mempool *pool)
{
    struct slab_alloc *sa = pool->cache->owner;

    lock_acquire(&sa->lock);
    if (pool->next != NULL)
        pool->next->prev = pool->prev;
    if (pool->prev != NULL)
        pool->prev->next = pool->next;
    else
        sa->pools = pool->next;
    pool->cache->nr_pools--;
    CHECK_WALK(pools_add_up_locked(pool->cache));
    lock_release(&sa->lock);
}

static void pool_delete(struct mempool *pool)
{
    sheaf_delete(pool->reserve);
    condition_destroy(&pool->freed);
    lock_destroy(&pool->lock);
    os_heap_free(pool, sizeof *pool);
}

/* A pool whose reserve is for 0 objects. From now on the cache cannot be destroyed. */
static struct mempool *pool_new(struct kmem_cache *cache)
{
    struct mempool *pool = os_heap_alloc(sizeof *pool);

    if (pool == NULL || (pool->reserve = sheaf_new(0)) == NULL) {
        os_heap_free(pool, sizeof *pool);
        return NULL;
    }
    pool->cache = cache;
    lock_init(&pool->lock, LOCK_RANK_CACHE);
    condition_init(&pool->freed);
    pool_enter(pool);
    return pool;
}

int mempool_create(struct kmem_cache *cache, size_t min_nr, struct mempool **out)
{
    struct mempool *pool;
    int error;

    CHECK(min_nr > 0);
    if (!fits_arena(cache, min_nr) || cache_fails(cache, 0) || (pool = pool_new(cache)) == NULL)
        return PYSLAB_ENOMEM;
    error = mempool_resize(pool, min_nr);
    if (error == PYSLAB_OK)
        *out = pool;
    else
        (void)mempool_destroy(pool);
    return error;
}

uint32_t mempools_of(struct kmem_cache *cache, pyslab_mempool_stats *newest)
{
    struct slab_alloc *sa = cache->owner;
    uint32_t nr = 0;

    lock_acquire(&sa->lock);
    for (struct mempool *pool = sa->pools; pool != NULL; pool = pool->next)
        if (pool->cache == cache && nr++ == 0)
            mempool_stats(pool, newest);
    lock_release(&sa->lock);
    return nr;
}

/* --- allocation --------------------------------------------------------- */

/* The pool's requests to its cache fail early and quietly, and leave alone what the zones keep for
 * emergencies, because the pool has a reserve of its own. The pool clears the object itself, once
 * it has one; to try until there is one (NOFAIL) is up to its caller. */
#define POOL_ADDED_BITS ((uint32_t)(PYSLAB_GFP_NORETRY | PYSLAB_GFP_NOWARN | PYSLAB_GFP_NOMEMALLOC))
#define POOL_OWN_BITS ((uint32_t)(PYSLAB_GFP_ZERO | PYSLAB_GFP_NOFAIL | PYSLAB_GFP_RETRY_MAYFAIL))

/* An object of the cache: first what is to be had without reclaim, then with it if gfp allows. */
static void *take_from_cache(struct mempool *pool, uint32_t gfp)
{
    uint32_t reclaim = gfp & (uint32_t)PYSLAB_GFP_DIRECT_RECLAIM;
    uint32_t flags = (gfp & ~POOL_OWN_BITS) | POOL_ADDED_BITS;
    void *p;

    if (cache_fails(pool->cache, flags))
        return NULL;
    p = cache_alloc_any(pool->cache, flags & ~reclaim);
    return p == NULL && reclaim != 0 ? cache_alloc_any(pool->cache, flags) : p;
}

static void *take_from_reserve(struct mempool *pool)
{
    void *p;

    lock_acquire(&pool->lock);
    p = cache_alloc_prefilled(pool->cache, pool->reserve);
    store_relaxed(&pool->curr_nr, pool->reserve->nr);
    lock_release(&pool->lock);
    if (p != NULL)
        add_relaxed(&pool->nr_from_reserve, 1);
    return p;
}

void *mempool_alloc(struct mempool *pool, uint32_t gfp)
{
    void *p = gfp_valid(gfp) ? take_from_cache(pool, gfp) : NULL;

    if (p == NULL && gfp_valid(gfp))
        p = take_from_reserve(pool);
    if (p == NULL) {
        add_relaxed(&pool->cache->owner->pages->alloc_failures, 1);
        return NULL;
    }
    add_relaxed(&pool->nr_outstanding, 1);
    if ((gfp & PYSLAB_GFP_ZERO) != 0)
        memset(p, 0, pool->cache->desc->object_size);
    return p;
}

/* The fields of the reserve agree with each other; the part of mempool.h's invariant that holds
 * whenever nobody holds the pool's lock. */
static bool reserve_adds_up_locked(const struct mempool *pool)
{
    const struct sheaf *reserve = pool->reserve;

    lock_assert_held(&pool->lock);
    return load_relaxed(&pool->curr_nr) == reserve->nr && reserve->nr <= reserve->capacity &&
           load_relaxed(&pool->min_nr) <= reserve->capacity;
}

bool mempool_wait(struct mempool *pool, uint32_t ms)
{
    bool any;

    lock_acquire(&pool->lock);
    if (pool->reserve->nr == 0)
        condition_wait(&pool->freed, &pool->lock, ms);
    any = pool->reserve->nr != 0;
    lock_release(&pool->lock);
    return any;
}

/* --- free --------------------------------------------------------------- */

/* Errors: EPOINTER, ECACHE, EDOUBLE. */
static int check_object(const struct mempool *pool, void *p)
{
    struct kmem_cache *owner = slab_cache_of(pool->cache->owner, p);

    if (owner != pool->cache)
        return owner != NULL ? PYSLAB_ECACHE : PYSLAB_EPOINTER;
    return object_is_marked(owner, p) ? PYSLAB_EDOUBLE : PYSLAB_OK;
}

/* Takes one off the objects that callers have; false if they have none. */
static bool count_returned(struct mempool *pool)
{
    uint64_t nr = load_relaxed(&pool->nr_outstanding);

    while (nr != 0)
        if (atomic_compare_exchange_weak_explicit(&pool->nr_outstanding, &nr, nr - 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

/* False if the reserve is full. pre: check_object(pool, p) is PYSLAB_OK */
static bool put_into_reserve(struct mempool *pool, void *p)
{
    bool room;

    CHECK(check_object(pool, p) == PYSLAB_OK);
    lock_acquire(&pool->lock);
    room = pool->reserve->nr < load_relaxed(&pool->min_nr);
    if (room) {
        cache_put_prefilled(pool->cache, pool->reserve, p);
        store_relaxed(&pool->curr_nr, pool->reserve->nr);
        condition_wake_one(&pool->freed);
    }
    CHECK(reserve_adds_up_locked(pool));
    lock_release(&pool->lock);
    return room;
}

/* The error of a free of p, which is reported if debug flags ask for that. */
static int check_freed(const struct mempool *pool, void *p)
{
    int error = check_object(pool, p);

    return error != PYSLAB_OK ? debug_wrong_free(pool->cache->owner, pool->cache, p, error)
                              : PYSLAB_OK;
}

/* Looks at the reserve without its lock. If another thread took from the reserve before it handed
 * this object on to here, that is seen. If one takes at this moment, it is missed; but that thread
 * then has an object, whose free will fill the reserve up. */
static int free_counted(struct mempool *pool, void *p)
{
    if (load_relaxed(&pool->curr_nr) < load_relaxed(&pool->min_nr)) {
        int error = check_freed(pool, p);

        if (error == PYSLAB_OK)
            error = page_keeps(pool->cache->owner->pages, p);
        if (error == PYSLAB_OK && pool->cache->debug != NULL)
            (void)debug_examine(pool->cache, p, NULL);
        if (error != PYSLAB_OK || put_into_reserve(pool, p))
            return error == PAGE_KEPT ? PYSLAB_OK : error;
    }
    return cache_free(pool->cache, p);
}

int mempool_free(struct mempool *pool, void *p)
{
    int error;

    CHECK(p != NULL);
    if (!count_returned(pool)) {
        error = check_freed(pool, p);
        return error != PYSLAB_OK
                   ? error
                   : debug_wrong_free(pool->cache->owner, pool->cache, p, PYSLAB_EPOINTER);
    }
    error = free_counted(pool, p);
    if (error != PYSLAB_OK)
        add_relaxed(&pool->nr_outstanding, 1);
    return error;
}

/* --- resize and end ----------------------------------------------------- */

/* Lowers min_nr, and gives back what the reserve has beyond it, without the lock. */
static void reserve_shrink(struct mempool *pool, uint32_t nr)
{
    lock_acquire(&pool->lock);
    store_relaxed(&pool->min_nr, nr);
    while (pool->reserve->nr > nr) {
        void *p = cache_take_prefilled(pool->cache, pool->reserve);

        store_relaxed(&pool->curr_nr, pool->reserve->nr);
        lock_release(&pool->lock);
        cache_put_any(pool->cache, p);
        lock_acquire(&pool->lock);
    }
    condition_wake_all(&pool->freed);
    CHECK(reserve_adds_up_locked(pool));
    lock_release(&pool->lock);
}

/* Takes the objects that are missing before it changes the pool, which is as it was if they are
 * not to be had. */
static int reserve_grow(struct mempool *pool, uint32_t nr)
{
    uint32_t missing = nr - min_uint(load_relaxed(&pool->curr_nr), nr);
    struct sheaf *larger = sheaf_set_aside(pool->cache, PYSLAB_GFP_KERNEL, nr, missing), *old;

    if (larger == NULL)
        return PYSLAB_ENOMEM;
    lock_acquire(&pool->lock);
    old = pool->reserve;
    while (old->nr > 0 && larger->nr < nr)
        larger->object[larger->nr++] = old->object[--old->nr];
    pool->reserve = larger;
    store_relaxed(&pool->min_nr, nr);
    store_relaxed(&pool->curr_nr, larger->nr);
    condition_wake_all(&pool->freed);
    CHECK(reserve_adds_up_locked(pool));
    lock_release(&pool->lock);
    cache_return_prefilled(pool->cache, old);
    return PYSLAB_OK;
}

int mempool_resize(struct mempool *pool, size_t min_nr)
{
    CHECK(min_nr > 0);
    if (!fits_arena(pool->cache, min_nr))
        return PYSLAB_ENOMEM;
    if (min_nr > load_relaxed(&pool->min_nr))
        return reserve_grow(pool, (uint32_t)min_nr);
    reserve_shrink(pool, (uint32_t)min_nr);
    return PYSLAB_OK;
}

void mempool_retire(struct mempool *pool)
{
    reserve_shrink(pool, 0);
}

int mempool_destroy(struct mempool *pool)
{
    if (load_relaxed(&pool->nr_outstanding) != 0)
        return PYSLAB_EBUSY;
    mempool_retire(pool);
    pool_leave(pool);
    pool_delete(pool);
    return PYSLAB_OK;
}

void mempools_discard(struct slab_alloc *sa)
{
    while (sa->pools != NULL) {
        struct mempool *pool = sa->pools;

        sa->pools = pool->next;
        pool_delete(pool);
    }
}

void mempool_stats(struct mempool *pool, pyslab_mempool_stats *out)
{
    lock_acquire(&pool->lock);
    out->min_nr = load_relaxed(&pool->min_nr);
    out->curr_nr = pool->reserve->nr;
    lock_release(&pool->lock);
    out->nr_outstanding = load_relaxed(&pool->nr_outstanding);
    out->nr_from_reserve = load_relaxed(&pool->nr_from_reserve);
}

/* --- fork --------------------------------------------------------------- */

void mempools_each_lock(struct slab_alloc *sa, void (*act)(struct lock *))
{
    lock_assert_held(&sa->lock);
    for (struct mempool *pool = sa->pools; pool != NULL; pool = pool->next)
        act(&pool->lock);
}

void mempools_after_fork(struct slab_alloc *sa)
{
    for (struct mempool *pool = sa->pools; pool != NULL; pool = pool->next)
        condition_init(&pool->freed);
}

/* --- recount ------------------------------------------------------------ */

/* The invariant of mempool.h, which holds while no thread uses the pool. */
static bool pool_adds_up_locked(const struct mempool *pool)
{
    uint32_t min_nr = load_relaxed(&pool->min_nr), curr_nr = load_relaxed(&pool->curr_nr);

    lock_assert_held(&pool->lock);
    return reserve_adds_up_locked(pool) && curr_nr <= min_nr &&
           curr_nr + load_relaxed(&pool->nr_outstanding) >= min_nr;
}

static bool pool_check_locked(const struct mempool *pool, struct finding *f)
{
    const struct sheaf *reserve = pool->reserve;
    const char *name = pool->cache->desc->name;
    uint32_t min_nr = load_relaxed(&pool->min_nr), curr_nr = load_relaxed(&pool->curr_nr);

    lock_assert_held(&pool->lock);
    if (!pool_adds_up_locked(pool))
        return finding_report(f, "mempool of %s: %u of %u in reserve (sheaf: %u of %u), %llu out",
                              name, curr_nr, min_nr, reserve->nr, reserve->capacity,
                              (unsigned long long)load_relaxed(&pool->nr_outstanding));
    for (uint32_t i = 0; i < reserve->nr; i++)
        if (check_object(pool, reserve->object[i]) != PYSLAB_EDOUBLE)
            return finding_report(f, "mempool of %s: %p in reserve is no free object of it", name,
                                  reserve->object[i]);
    return true;
}

bool mempools_check(struct slab_alloc *sa, struct finding *f)
{
    bool ok = true;

    lock_acquire(&sa->lock);
    for (struct mempool *pool = sa->pools; ok && pool != NULL; pool = pool->next) {
        lock_acquire(&pool->lock);
        ok = pool_check_locked(pool, f);
        lock_release(&pool->lock);
    }
    lock_release(&sa->lock);
    return ok;
}

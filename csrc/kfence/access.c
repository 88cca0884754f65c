/* access.c - which object of a pool an access was meant for.
 *
 * What it is: the list of the process's pools, and what the signal handler finds in them.
 * What it is not: the handler (os/os_fault.c), or the report.
 * Data structure: an array of pools. A place that was used stays readable for ever, so that the
 * handler needs no lock. An arena that ends while somebody still uses its memory is not helped.
 * Invariant: the handler is installed if and only if there is a pool (or could not be removed).
 * Lock: one, for changes. The handler takes none.
 */
#include "kfence/kfence.h"
#include "os/os_fault.h"

#include <pthread.h>
#include <string.h>

#define MAX_POOLS 256u

static struct {
    struct lock lock; /* guards changes of pool[] and nr */
    _Atomic(struct kfence *) pool[MAX_POOLS];
    uint32_t nr; /* places of it in use */
} pools;

static pthread_once_t pools_once = PTHREAD_ONCE_INIT;

static void pools_init(void)
{
    lock_init(&pools.lock, LOCK_RANK_FENCE);
}

/* --- explaining ------------------------------------------------------------ */

/* The object with this number, if it was ever handed out. */
static const struct kfence_object *object_used(const struct kfence *k, size_t index)
{
    return index < k->nr && k->object[index].p != NULL ? &k->object[index] : NULL;
}

static size_t distance(const struct kfence_object *object, const char *at)
{
    return at < object->p ? (size_t)(object->p - at) : (size_t)(at - object->p) - object->size;
}

/* Of the objects on both sides of a page without one, which the access was meant for: the nearer
 * one, a live one before a freed one. NULL: neither was ever used. */
static const struct kfence_object *neighbour(const struct kfence *k, size_t page, const char *at)
{
    const struct kfence_object *left = page >= 3 ? object_used(k, (page - 3) / 2) : NULL;
    const struct kfence_object *right = page >= 1 ? object_used(k, (page - 1) / 2) : NULL;
    bool left_live = left != NULL && load_relaxed(&left->state) == KFENCE_LIVE;
    bool right_live = right != NULL && load_relaxed(&right->state) == KFENCE_LIVE;

    if (left == NULL || right == NULL)
        return left != NULL ? left : right;
    if (left_live != right_live)
        return left_live ? left : right;
    return distance(left, at) <= distance(right, at) ? left : right;
}

void kfence_explain(const struct kfence *k, const void *address, uint16_t access,
                    pyslab_corruption *found)
{
    size_t page = ((uintptr_t)address - (uintptr_t)k->base) / k->page_bytes;
    const struct kfence_object *object;

    CHECK(kfence_has(k, address));
    memset(found, 0, sizeof *found);
    found->struct_size = sizeof *found;
    found->access = access;
    found->kind = PYSLAB_CORRUPTION_OUT_OF_BOUNDS;
    if (page >= 2 && page % 2 == 0) {
        object = object_used(k, page / 2 - 1);
        if (object != NULL)
            found->kind = PYSLAB_CORRUPTION_USE_AFTER_FREE;
    } else {
        object = neighbour(k, page, address);
    }
    kfence_describe(object, address, found);
}

static bool on_fault(uintptr_t address, uint16_t access)
{
    for (unsigned i = 0; i < MAX_POOLS; i++) {
        struct kfence *k = load_acquire(&pools.pool[i]);
        pyslab_corruption found;

        if (k == NULL || !kfence_has(k, (const void *)address))
            continue;
        if (access == PYSLAB_ACCESS_NONE)
            return true;
        add_relaxed(&k->nr_found, 1);
        kfence_explain(k, (const void *)address, access, &found);
        k->on_fault(k->context, &found);
        return true;
    }
    return false;
}

/* --- watching -------------------------------------------------------------- */

static bool put_locked(struct kfence *k)
{
    lock_assert_held(&pools.lock);
    for (unsigned i = 0; i < MAX_POOLS; i++)
        if (load_relaxed(&pools.pool[i]) == NULL) {
            store_release(&pools.pool[i], k);
            pools.nr++;
            return true;
        }
    return false;
}

static void take_locked(const struct kfence *k)
{
    lock_assert_held(&pools.lock);
    for (unsigned i = 0; i < MAX_POOLS; i++)
        if (load_relaxed(&pools.pool[i]) == k) {
            store_release(&pools.pool[i], NULL);
            if (--pools.nr == 0)
                os_fault_unwatch();
        }
}

bool kfence_watch(struct kfence *k)
{
    bool watched;

    pthread_once(&pools_once, pools_init);
    lock_acquire(&pools.lock);
    watched = os_fault_watch(on_fault) == PYSLAB_OK && put_locked(k);
    lock_release(&pools.lock);
    return watched;
}

void kfence_unwatch(struct kfence *k)
{
    pthread_once(&pools_once, pools_init);
    lock_acquire(&pools.lock);
    take_locked(k);
    lock_release(&pools.lock);
}

void kfence_fork_prepare(void)
{
    pthread_once(&pools_once, pools_init);
    lock_acquire_for_fork(&pools.lock);
}

void kfence_fork_release(void)
{
    lock_release_after_fork(&pools.lock);
}

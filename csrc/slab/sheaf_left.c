/* sheaf_left.c - the objects that a thread leaves in its main sheaf when it ends.
 *
 * A program that starts a thread for each request would fill a new thread's first sheaves from the
 * slabs, and put their objects back there, for every request. Instead the ending thread leaves its
 * main sheaf in the barn as it is, and the next thread that uses the cache for the first time
 * begins with it.
 * What it is not: the barn's full and empty sheaves, which threads exchange while they work
 * (sheaf.c).
 * Data structure: barn.left, a stack. Invariant (left_adds_up in slab_check.c): each sheaf on it
 * has objects, and none is grown; they are nr_left sheaves with nr_left_objects objects, at most
 * LEFT_MAX_SHEAVES and max_left_objects. Lock: cache->lock.
 */
#include "slab/slab_internal.h"

bool main_leave(struct kmem_cache *cache, struct sheaf_slot *slot)
{
    struct barn *barn = &cache->barn;
    uint32_t nr = slot_nr(slot);
    bool stays;

    if (nr == 0 || nr > cache->max_left_objects || sheaf_is_grown(cache, slot_main(slot)))
        return false;
    CHECK(slot_adds_up(slot));
    CHECK_WALK(objects_are_distinct(slot->bottom, nr));
    lock_acquire(&cache->lock);
    stays = barn->nr_left < LEFT_MAX_SHEAVES &&
            barn->nr_left_objects + nr <= cache->max_left_objects;
    if (stays) {
        sheaf_list_push(&barn->left, &barn->nr_left, slot_detach_main(slot));
        barn->nr_left_objects += nr;
    }
    cache_recount_locked(cache);
    lock_release(&cache->lock);
    return stays;
}

struct sheaf *left_pop(struct kmem_cache *cache)
{
    struct barn *barn = &cache->barn;
    struct sheaf *sheaf = sheaf_list_pop(&barn->left, &barn->nr_left);

    if (sheaf != NULL)
        barn->nr_left_objects -= sheaf->nr;
    return sheaf;
}

struct sheaf *sheaf_first(struct kmem_cache *cache)
{
    struct sheaf *sheaf;

    lock_acquire(&cache->lock);
    sheaf = left_pop(cache);
    lock_release(&cache->lock);
    return sheaf != NULL ? sheaf : sheaf_new(cache->first_capacity);
}

/* at_exit.c - what the library does when the process ends by exit() or by returning from main:
 * it looks for objects that were freed twice, and prints the report that the settings ask for.
 *
 * A double free is found when the object is handed out a second time (heap.h). A program that
 * ends before is found here, in the sheaves of the thread that ends it: each of them is in
 * cache, or small. What was written to after its free is not asked for: nobody will get it.
 * Not here: a process that ends by _exit() or a signal runs none of this.
 */
#include "malloc/hardened.h"
#include "malloc/heap.h"
#include "malloc/settings.h"

/* Turns the keys round; one that is turned already belongs to an object seen before, and what
 * waits in its slab too was freed once more. */
static void turn_keys(const struct kmem_cache *cache, void **objects, void **end, uint64_t from,
                      uint64_t to)
{
    const struct slab_alloc *sa = cache->owner;

    for (; objects < end; objects++) {
        uint64_t *key = object_key(*objects), plain = object_key_value(sa->secret, *objects);

        if (*key == (plain ^ from) && !object_is_listed(cache, *objects))
            *key = plain ^ to;
        else if (from == 0 && (*key == (plain ^ from) || *key == (plain ^ to)))
            misuse_abort("free", *objects, PYSLAB_EDOUBLE);
    }
}

static void turn_slot(const struct kmem_cache *cache, struct sheaf_slot *slot, uint64_t from,
                      uint64_t to)
{
    struct sheaf *spare = slot->spare;

    if (slot->top != NULL)
        turn_keys(cache, slot->bottom, slot->top, from, to);
    if (spare != NULL)
        turn_keys(cache, spare->object, spare->object + spare->nr, from, to);
}

/* Destructors of other libraries go on allocating: the keys must be right afterwards. */
static void check_doubles(void)
{
    struct sheaf_table *table = thread_slot_loaded(THREAD_SLOT_SLAB);
    struct kmalloc *km = &malloc_arena.kmalloc;

    for (unsigned class = 1; table != NULL && class <= km->classes.nr; class++) {
        turn_slot(km->slabs.caches[class], &table->slot[class], 0, 1);
        turn_slot(km->slabs.caches[class], &table->slot[class], 1, 0);
    }
}

__attribute__((destructor)) static void at_exit(void)
{
    if (malloc_arena.pages.map.nr_pages == 0)
        return; /* never used: not to be made now */
    if (malloc_settings.hardened)
        hardened_check_quarantine();
    else
        check_doubles();
    if (malloc_settings.stats)
        heap_report();
}

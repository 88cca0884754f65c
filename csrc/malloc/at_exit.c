/* at_exit.c - what the library does when the process ends by exit() or by returning from main:
 * it looks for objects that were freed twice, and prints the report that the settings ask for.
 *
 * A double free is found when malloc would hand the object out a second time (heap.h). If the
 * program ends before that, it is found here: an object that is on the sheaves of the ending
 * thread twice, or on one of them and free in its slab too. Only these are looked at because
 * they are few, and mostly in the CPU's cache. Writes to free objects are not looked for:
 * no part of the program will get them any more.
 * What it is not: for a process that ends by _exit() or a signal; none of this runs then.
 *
 * Data structure: the keys of the objects themselves. A first pass over each sheaf changes each
 * object's key by one bit; an object whose key is changed already is there twice. A second pass
 * changes them back.
 * Lock: none; the sheaves are the thread's own.
 */
#include "malloc/hardened.h"
#include "malloc/heap.h"
#include "malloc/settings.h"

#include <stdlib.h>

/* Changes the keys of the objects up to end, from the one form (plain ^ from) to the other. In the
 * first pass (from is 0) an object whose key was changed already, or that is free in its slab,
 * ends the process. */
static void turn_keys(const struct kmem_cache *cache, void **objects, void **end, uint64_t from,
                      uint64_t to)
{
    const struct slab_alloc *sa = cache->owner;

    for (; objects < end; objects++) {
        uint64_t *key = object_key(*objects), plain = object_key_value(sa->secret, *objects);

        if (*key == (plain ^ from) && !object_is_in_slab(cache, *objects))
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

/* Other libraries' destructors allocate after this, so that the keys must be right again. */
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
        return; /* the program never allocated: no arena is made for this */
    if (malloc_settings.hardened)
        hardened_check_all();
    else if (!guarded_validate(&malloc_arena.kmalloc.slabs, NULL))
        abort(); /* what was found has been told */
    else
        check_doubles();
    if (malloc_settings.stats)
        heap_report();
}

/* index.c - the hash table of index.h. What it is not: a table of small blocks (chunk.c).
 * Lock: none; see index.h. */
#include "pool/index.h"

#include "pool/pool_check.h"

#define SLOTS_MIN 8u
#define GOLDEN_RATIO 0x9e3779b97f4a7c15u /* Fibonacci hashing: Knuth, TAOCP 3, 6.4 */

static size_t slot_of(const struct index *index, uintptr_t address)
{
    return (size_t)(((uint64_t)address * GOLDEN_RATIO) >> index->shift);
}

/* One more entry leaves a quarter of the slots free. */
static bool has_room(const struct index *index)
{
    return index->nr_used < index->nr_slots - index->nr_slots / 4;
}

/* Memory for the slots, zeroed: kmalloc's, or vmalloc's if it is more than the largest page
 * block. */
static struct index_entry *slots_take(pyslab_arena *arena, size_t nr)
{
    size_t bytes = nr * sizeof(struct index_entry);

    if (bytes >> PYSLAB_PAGE_SHIFT > (size_t)1 << pyslab_arena_max_order(arena))
        return pyslab_vzalloc(arena, bytes, PYSLAB_GFP_KERNEL);
    return pyslab_kzalloc(arena, bytes, PYSLAB_GFP_KERNEL);
}

bool index_reserve(struct index *index, pyslab_arena *arena)
{
    while (!has_room(index)) {
        struct index old = *index, new = {.nr_slots = old.nr_slots ? old.nr_slots * 2 : SLOTS_MIN};

        new.shift = (uint32_t)(64 - __builtin_ctzll(new.nr_slots));
        new.slots = slots_take(arena, new.nr_slots);
        if (new.slots == NULL)
            return false;
        if (index->nr_slots != old.nr_slots) { /* a callback has made the table larger */
            index_destroy(&new, arena);
            continue;
        }
        old = *index;
        *index = new;
        for (size_t i = 0; i < old.nr_slots; i++)
            if (old.slots[i].address != 0)
                index_insert(index, old.slots[i].address, old.slots[i].value);
        index_destroy(&old, arena);
    }
    return true;
}

void index_insert(struct index *index, uintptr_t address, size_t value)
{
    size_t i = slot_of(index, address);

    CHECK(address != 0 && has_room(index) && index_find(index, address) == NULL);
    while (index->slots[i].address != 0)
        i = (i + 1) & (index->nr_slots - 1);
    index->slots[i] = (struct index_entry){.address = address, .value = value};
    index->nr_used++;
}

struct index_entry *index_find(const struct index *index, uintptr_t address)
{
    if (index->nr_used == 0 || address == 0)
        return NULL;
    for (size_t i = slot_of(index, address);; i = (i + 1) & (index->nr_slots - 1)) {
        if (index->slots[i].address == address)
            return &index->slots[i];
        if (index->slots[i].address == 0)
            return NULL;
    }
}

/* Moves the entries behind the hole back, so that a search that passes the hole still finds them.
 * An entry may move to the hole unless its search begins behind it. */
void index_remove(struct index *index, struct index_entry *entry)
{
    size_t mask = index->nr_slots - 1;
    size_t hole = (size_t)(entry - index->slots);

    for (size_t i = (hole + 1) & mask; index->slots[i].address != 0; i = (i + 1) & mask) {
        size_t home = slot_of(index, index->slots[i].address);

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            index->slots[hole] = index->slots[i];
            hole = i;
        }
    }
    index->slots[hole].address = 0;
    index->nr_used--;
}

void index_destroy(struct index *index, pyslab_arena *arena)
{
    if (index->slots != NULL)
        pyslab_kvfree(arena, index->slots);
}

/* outside_block.c - the table of outside_block.h. Lock: the GIL. */
#include "python/numpy/outside_block.h"

#include "python/call/gil.h"
#include "python/numpy/array_critical.h"

#include "base/bits.h"

#define FIRST_LISTS 64u /* a power of two, as every later length */

static struct {
    struct outside_block **list; /* nr_lists of them; NULL before the first block */
    size_t nr_lists;             /* a power of two, or 0 */
    size_t nr;                   /* blocks */
} outside;

bool outside_adds_up(void)
{
    size_t nr = 0;

    for (size_t i = 0; i < outside.nr_lists; i++)
        for (const struct outside_block *block = outside.list[i]; block != NULL;
             block = block->next)
            nr++;
    return nr == outside.nr;
}

/* Blocks are 16 bytes apart at least. The multiplication spreads the addresses of large ones,
 * which differ in a few bits alone. */
static struct outside_block **list_of(struct outside_block **list, size_t nr_lists, const void *p)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u;

    return &list[(mixed >> 32) & (nr_lists - 1)];
}

/* Makes room for one more block. False: the table stays as it is; that is an error only if there
 * is none yet. */
static bool table_grow(void)
{
    size_t nr_lists = outside.nr_lists == 0 ? FIRST_LISTS : 2 * outside.nr_lists;
    struct outside_block **list = PyMem_Calloc(nr_lists, sizeof *list);

    if (list == NULL)
        return false;
    for (size_t i = 0; i < outside.nr_lists; i++)
        while (outside.list[i] != NULL) {
            struct outside_block *block = outside.list[i];
            struct outside_block **to = list_of(list, nr_lists, block->p);

            outside.list[i] = block->next;
            block->next = *to;
            *to = block;
        }
    PyMem_Free(outside.list);
    outside.list = list;
    outside.nr_lists = nr_lists;
    return true;
}

static void block_link(struct outside_block *block)
{
    struct outside_block **list = list_of(outside.list, outside.nr_lists, block->p);

    block->next = *list;
    *list = block;
    outside.nr++;
    block->arena->nr_outside[block->source]++;
    block->arena->outside_bytes[block->source] += block->nbytes;
    CHECK_WALK(outside_adds_up());
}

static void block_unlink(struct outside_block *block)
{
    struct outside_block **at = list_of(outside.list, outside.nr_lists, block->p);

    while (*at != block)
        at = &(*at)->next;
    *at = block->next;
    outside.nr--;
    block->arena->nr_outside[block->source]--;
    block->arena->outside_bytes[block->source] -= block->nbytes;
    CHECK_WALK(outside_adds_up());
}

struct outside_block *outside_find(const void *p)
{
    struct outside_block *block = NULL;

    gil_assert_held();
    array_critical_begin();
    if (outside.nr != 0)
        block = *list_of(outside.list, outside.nr_lists, p);
    while (block != NULL && block->p != p)
        block = block->next;
    array_critical_end();
    return block;
}

/* Room for one more. False: there is no table, and no memory for one. */
static bool table_reserve(void)
{
    return outside.nr < outside.nr_lists || table_grow() || outside.list != NULL;
}

bool outside_add(ArenaObject *arena, void *p, size_t nbytes, enum outside_source source)
{
    struct outside_block *block = PyMem_Malloc(sizeof *block);
    bool room;

    CHECK(outside_find(p) == NULL);
    if (block == NULL)
        return false;
    *block = (struct outside_block){.arena = arena, .p = p, .nbytes = nbytes, .source = source};
    array_critical_begin();
    room = table_reserve();
    if (room)
        block_link(block);
    array_critical_end();
    if (!room)
        PyMem_Free(block);
    return room;
}

void outside_remove(struct outside_block *block)
{
    array_critical_begin();
    block_unlink(block);
    array_critical_end();
    PyMem_Free(block);
}

void outside_move(struct outside_block *block, void *p, size_t nbytes)
{
    CHECK(block->source == OUTSIDE_NUMPY);
    array_critical_begin();
    block_unlink(block);
    block->p = p;
    block->nbytes = nbytes;
    block_link(block);
    array_critical_end();
}

/* kill_world.c - see kill_world.h. */
#include "kill_world.h"

#include "kill_points.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct world world;

/* The library's source of random numbers: the same in each run. */
uint64_t os_random64(void);
uint64_t os_random64(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15u;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void *shared_zeroes(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        abort();
    return p;
}

void world_make(void)
{
    uint64_t heap_bytes = (uint64_t)WORLD_PAGES * WORLD_PAGE;

    memset(&world, 0, sizeof world);
    world.heap = shared_zeroes(heap_bytes);
    share_table_format(&world.table,
                       shared_zeroes(share_table_bytes(share_table_slots(heap_bytes))), heap_bytes,
                       0, 0, 0, TRANSIT_S);
    for (uint32_t row = 0; row < NR_CLIENTS; row++)
        share_row_enter(&world.table, row);
    share_export(&world.table, 3, 3 * WORLD_PAGE, WORLD_PAGE, &world.block);
    block_fill(&world.block);
}

void world_end(void)
{
    munmap(world.table.base, world.table.bytes);
    munmap(world.heap, (size_t)WORLD_PAGES * WORLD_PAGE);
}

/* --- blocks --------------------------------------------------------------------- */

static unsigned char pattern_of(const struct share_block *block)
{
    return (unsigned char)(block->slot * 16 + block->generation + 1);
}

void block_fill(const struct share_block *block)
{
    memset(world.heap + block->offset, pattern_of(block), block->bytes);
}

bool block_is_whole(const struct share_block *block)
{
    for (uint64_t i = 0; i < block->bytes; i++)
        if ((unsigned char)world.heap[block->offset + i] != pattern_of(block))
            return false;
    return true;
}

bool heap_is_zero(void)
{
    for (uint64_t i = 0; i < (uint64_t)WORLD_PAGES * WORLD_PAGE; i++)
        if (world.heap[i] != 0)
            return false;
    return true;
}

int world_open(uint32_t row, const struct share_key *key)
{
    struct share_block out;
    int error = share_open(&world.table, row, key, &out);

    return error != PYSLAB_OK || block_is_whole(&out) ? error : PYSLAB_ECORRUPT;
}

struct share_key world_ticket(uint32_t row, uint32_t uses)
{
    struct share_key key;

    if (share_ticket_make(&world.table, row, world.block.slot, world.block.generation, uses, NOW_S,
                          &key) != PYSLAB_OK)
        abort();
    return key;
}

/* --- after a death ---------------------------------------------------------------- */

bool world_alive(void *context, uint32_t row)
{
    (void)context;
    return row >= NR_CLIENTS || !world.dead[row];
}

void world_reap(void)
{
    for (uint32_t row = 0; row < NR_CLIENTS; row++)
        if (world.dead[row])
            share_row_clear(&world.table, row);
    share_tickets_expire(&world.table, world.table.nr_slots, ANY_TIME, world_alive, NULL);
}

void world_inherit(void)
{
    bool live[WORLD_PAGES] = {false};

    for (uint32_t i = 0; i < world.table.nr_slots; i++)
        if (!share_retire(&world.table, i))
            live[world.table.slots[i].offset / WORLD_PAGE] = true;
    for (unsigned page = 0; page < WORLD_PAGES; page++) {
        if (live[page])
            continue;
        point_store();
        memset(world.heap + (size_t)page * WORLD_PAGE, 0, WORLD_PAGE);
    }
}

unsigned world_left(void)
{
    unsigned nr = 0;

    for (uint32_t i = 0; i < world.table.nr_slots; i++)
        nr += share_slot_state(world.table.slots[i].word) != SHARE_SLOT_FREE;
    for (uint32_t i = 0; i < world.table.nr_tickets; i++)
        nr += share_ticket_state(world.table.tickets[i].word) != SHARE_TICKET_FREE;
    for (uint32_t row = 0; row < NR_CLIENTS; row++)
        for (uint32_t slot = 0; slot < world.table.nr_slots; slot++)
            nr += *share_count(&world.table, row, slot) != 0;
    return nr;
}

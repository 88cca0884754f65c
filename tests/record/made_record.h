/* made_record.h - a record file that a test makes, event by event, in memory, and its reading.
 * What it is not: csrc/record/'s own writer: what it writes is what format.h says. Included once.
 */
#ifndef RECORD_MADE_RECORD_H
#define RECORD_MADE_RECORD_H

#include "check.h"

#include "record/plan.h"

#include <stdbool.h>

#define MOST_BLOCKS 40
#define NR_THREADS 3

/* A file in the making. Threads fill blocks of their own, as the recorder's do. */
struct made {
    struct record_block blocks[MOST_BLOCKS];
    size_t nr_blocks;
    bool has_old_tags; /* as in versions 1 and 2; set by the test */
    struct record_block *current[NR_THREADS];
    size_t at[NR_THREADS];
    uint64_t ticks[NR_THREADS], address[NR_THREADS];
    bool has_region[NR_THREADS][RECORD_REGIONS]; /* of the block */
    uint64_t regions[NR_THREADS][RECORD_REGIONS];
    uint32_t nr[NR_THREADS]; /* of the thread's next block */
};

static struct made made;

static void make_head(uint64_t id)
{
    struct record_head *head = (void *)&made.blocks[0];

    memset(&made, 0, sizeof made);
    memcpy(head->magic, RECORD_MAGIC, 8);
    head->version = RECORD_VERSION;
    head->block_bytes = RECORD_BLOCK_BYTES;
    head->id = id;
    strcpy(head->command, "made by a test");
    head->sum = record_head_sum(head);
    made.nr_blocks = 1;
}

static uint64_t id_of_made(void)
{
    return ((struct record_head *)(void *)&made.blocks[0])->id;
}

static void seal(unsigned thread, uint32_t nr_events)
{
    struct record_block *block = made.current[thread];

    block->nr_events = nr_events;
    block->used = (uint32_t)made.at[thread];
    block->sum = record_block_sum(block, RECORD_VERSION);
}

static struct record_block *begin(unsigned thread, enum record_block_kind kind, uint64_t ticks)
{
    struct record_block *block = &made.blocks[made.nr_blocks++];

    block->id = id_of_made();
    block->kind = kind;
    block->thread = thread;
    block->number = made.nr[thread]++;
    block->ticks = block->ns = ticks;
    block->address = made.address[thread];
    block->head_sum = record_block_head_sum(block);
    made.current[thread] = block;
    made.ticks[thread] = ticks;
    made.at[thread] = 0;
    memset(made.has_region[thread], 0, sizeof made.has_region[thread]);
    return block;
}

static size_t put(unsigned char *at, uint64_t n)
{
    size_t bytes = 1;

    while (bytes < 8 && n >> (8 * bytes) != 0)
        bytes++;
    memcpy(at, &n, bytes);
    return bytes;
}

static void moved(unsigned thread, size_t bytes, uint64_t ticks)
{
    made.at[thread] += bytes;
    made.ticks[thread] = ticks;
}

/* event: with RECORD_ARENA, if that is meant. */
static void write_event(unsigned thread, unsigned event, uint64_t ticks, uint64_t address,
                        uint64_t size)
{
    unsigned char *events = made.current[thread]->events, *at = events + made.at[thread] + 2;
    bool same = ticks == made.ticks[thread] && ticks % 3 != 0; /* it may be written, too */
    size_t time = same ? 0 : put(at, ticks - made.ticks[thread]);
    size_t place = put(at + time, record_zigzag(address - made.address[thread]));
    unsigned what = event & 7, index = record_region_index(address);
    size_t last = what != RECORD_FREE && what != RECORD_RESIZE ? put(at + time + place, size) : 0;
    unsigned tag = event | (unsigned)(place - 1) << RECORD_NR_ADDRESS_AT |
                   (same ? RECORD_SAME_TIME : (unsigned)(time - 1) << RECORD_NR_TIME_AT);

    if (last != 0)
        tag |= (unsigned)(last - 1) << RECORD_NR_SIZE_AT;
    if (made.has_old_tags)
        tag = what | (tag >> RECORD_NR_TIME_AT) << 3 | (unsigned)same << 12;
    memcpy(events + made.at[thread], &(uint16_t){(uint16_t)tag}, 2);
    moved(thread, 2 + time + place + last, ticks);
    made.address[thread] = address;
    made.has_region[thread][index] = true;
    made.regions[thread][index] = address >> RECORD_REGION_SHIFT;
}

/* Short, but for the first of a region. size and time: what fits into it. */
static void write_short(unsigned thread, enum record_event event, uint64_t ticks, uint64_t address,
                        uint64_t size)
{
    uint64_t time = ticks - made.ticks[thread], region = address >> RECORD_REGION_SHIFT;
    unsigned index = record_region_index(address);
    uint64_t place = address % (UINT64_C(1) << RECORD_REGION_SHIFT) >> RECORD_PLACE_SHIFT;
    uint64_t word = (unsigned)event | RECORD_SHORT | size << RECORD_SHORT_SIZE_AT |
                    (uint64_t)index << RECORD_SHORT_REGION_AT | place << RECORD_SHORT_PLACE_AT;
    size_t bytes = RECORD_SHORT_BYTES + (time != 0 ? RECORD_SHORT_TIME_BITS / 8 : 0);

    REQUIRE(size >> RECORD_SHORT_SIZE_BITS == 0 && time >> RECORD_SHORT_TIME_BITS == 0);
    if (!made.has_region[thread][index] || made.regions[thread][index] != region) {
        write_event(thread, event, ticks, address, size);
        return;
    }
    if (time != 0)
        word |= RECORD_TIMED | time << RECORD_SHORT_TIME_AT;
    memcpy(made.current[thread]->events + made.at[thread], &word, bytes);
    moved(thread, bytes, ticks);
}

static void make_end(uint64_t ticks)
{
    struct record_block *block = begin(0, RECORD_BLOCK_END, ticks);
    struct record_end end = {.nr_blocks = made.nr_blocks - 1};

    memcpy(block->events, &end, sizeof end);
    made.at[0] = sizeof end;
    seal(0, 0);
}

static size_t bytes_of_made(void)
{
    return made.nr_blocks * RECORD_BLOCK_BYTES;
}

/* --- what is read of it ---------------------------------------------------------------- */

/* NULL, or the error. *plan is to be dropped if NULL. */
static const char *read_into(struct plan *plan, struct read_faults *faults, const void *data,
                             size_t bytes)
{
    struct recording recording;
    const char *wrong = recording_open(&recording, data, bytes);

    if (wrong != NULL)
        return wrong;
    *faults = recording.faults;
    plan_make(plan, &recording, true);
    recording_close(&recording);
    return NULL;
}

/* The same, of the file as it was made. */
static const char *read_made(struct plan *plan, struct read_faults *faults)
{
    return read_into(plan, faults, &made, bytes_of_made());
}

static bool has_faults(const struct read_faults *faults)
{
    return faults->nr_damaged != 0 || faults->nr_foreign != 0 || faults->nr_doubled != 0 ||
           faults->nr_missing != 0 || faults->nr_unsure != 0 || !faults->has_end;
}

static bool fills(const struct plan_op *op)
{
    return op->kind == PLAN_MALLOC || op->kind == PLAN_CALLOC || op->kind == PLAN_MEMALIGN ||
           op->kind == PLAN_REALLOC;
}

/* A slot is emptied by the thread that filled it, or by one that has waited for the operation which
 * did. mine: for each slot, whether the thread has filled it and not emptied it since. */
static void expect_sound_op(const struct plan *plan, const struct plan_op *op, bool *mine)
{
    uint32_t emptied = op->kind == PLAN_REALLOC ? op->from : op->slot;

    if (op->kind == PLAN_WAIT) {
        const struct plan_op *filling;

        REQUIRE(op->from < plan->nr_threads && op->size < plan->threads[op->from].nr);
        filling = &plan->threads[op->from].ops[op->size];
        EXPECT(fills(filling));
        EXPECT_EQ(filling->slot, op[1].kind == PLAN_REALLOC ? op[1].from : op[1].slot);
        mine[filling->slot] = true;
    } else if (op->kind != PLAN_EPOCH) {
        REQUIRE(op->slot < plan->nr_slots && emptied < plan->nr_slots);
        if (op->kind == PLAN_FREE || op->kind == PLAN_REALLOC) {
            EXPECT(mine[emptied]);
            mine[emptied] = false;
        }
        if (fills(op))
            mine[op->slot] = true;
    }
}

static void expect_sound(const struct plan *plan)
{
    uint64_t frees = 0, allocs = 0, reallocs = 0;

    for (uint32_t i = 0; i < plan->nr_threads; i++) {
        bool *mine = calloc(plan->nr_slots + 1, 1);

        REQUIRE(mine != NULL);
        for (const struct plan_op *op = plan->threads[i].ops; op->kind != PLAN_END; op++) {
            expect_sound_op(plan, op, mine);
            frees += op->kind == PLAN_FREE;
            reallocs += op->kind == PLAN_REALLOC;
            allocs += fills(op);
        }
        free(mine);
    }
    EXPECT_EQ(frees, plan->counts.nr_frees);
    EXPECT_EQ(allocs - reallocs, plan->counts.nr_allocs);
    EXPECT_EQ(allocs - reallocs - frees, plan->counts.nr_live);
}

#endif

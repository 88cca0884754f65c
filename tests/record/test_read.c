/* test_read.c - record files that are read back, whole and damaged: whatever is done to the bytes,
 * reading ends with an error, or with what is intact and a count of what is not.
 *
 * DAMAGED_FILES=10000 in the environment: so many files are damaged (make damaged-records); 400
 * otherwise.
 */
#include "check.h"

#include "made_record.h"

static struct made copy;

#define EVENTS_A_BLOCK 90u

/* Each thread allocates, and frees what the one before it allocated. */
static void make_many(uint64_t id, unsigned blocks_each)
{
    uint64_t ticks = 1000;

    make_head(id);
    for (unsigned round = 0; round < blocks_each; round++)
        for (unsigned thread = 0; thread < NR_THREADS; thread++) {
            uint64_t base = 0x7f0000000000 + round * 0x100000;

            begin(thread, RECORD_BLOCK_EVENTS, ticks);
            for (unsigned i = 0; i < EVENTS_A_BLOCK; i++, ticks += 50) {
                uint64_t place = base + thread * 0x10000 + i * 48;

                if (i % 3 == 2 && thread > 0)
                    write_event(thread, RECORD_FREE, ticks,
                                base + (thread - 1) * 0x10000 + (i - 1) * 48, 0);
                else if (i % 7 == 6)
                    write_event(thread, RECORD_MEMALIGN, ticks, place, 100 << 6 | 6);
                else if (i % 2 == 1)
                    write_short(thread, RECORD_MALLOC, ticks, place, 16 + i);
                else
                    write_event(thread, RECORD_MALLOC, ticks, place, 16 + i * 1000);
            }
            seal(thread, EVENTS_A_BLOCK);
        }
    make_end(ticks);
}

/* --- whole files ---------------------------------------------------------------------- */

static void whole_file(void)
{
    struct plan plan;
    struct read_faults faults;

    make_many(77, 4);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT(!has_faults(&faults));
    EXPECT_EQ(plan.nr_threads, NR_THREADS);
    EXPECT_EQ(plan.counts.nr_frees, 4 * 2 * 30 - plan.counts.nr_unknown);
    EXPECT_EQ(plan.counts.nr_allocs + plan.counts.nr_frees + plan.counts.nr_unknown,
              4 * 3 * EVENTS_A_BLOCK);
    EXPECT_EQ(plan.counts.nr_between, plan.counts.nr_frees);
    plan_drop(&plan);
}

/* realloc moves a block; one that has not ended freed it. Another thread frees the moved one. */
static void reallocs(void)
{
    struct plan plan;
    struct read_faults faults;
    const struct plan_op *op;

    make_head(5);
    begin(0, RECORD_BLOCK_EVENTS, 100);
    write_event(0, RECORD_MALLOC, 100, 0x1000, 10);
    write_event(0, RECORD_RESIZE, 110, 0x1000, 0);
    write_event(0, RECORD_REALLOC, 120, 0x2000, 20);
    write_event(0, RECORD_MALLOC, 140, 0x3000, 30);
    write_event(0, RECORD_RESIZE, 150, 0x3000, 0);
    seal(0, 5);
    begin(1, RECORD_BLOCK_EVENTS, 130);
    write_event(1, RECORD_FREE, 135, 0x2000, 0);
    seal(1, 1);
    make_end(200);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT(!has_faults(&faults));
    EXPECT_EQ(plan.counts.nr_allocs, 2);
    EXPECT_EQ(plan.counts.nr_reallocs, 1);
    EXPECT_EQ(plan.counts.nr_frees, 2);
    EXPECT_EQ(plan.counts.live_bytes, 0);
    EXPECT_EQ(plan.counts.peak_bytes, 30);
    op = plan.threads[0].ops;
    EXPECT_EQ(op[1].kind, PLAN_REALLOC);
    EXPECT_EQ(op[1].from, op[0].slot);
    EXPECT_NE(op[1].slot, op[0].slot);
    EXPECT_EQ(plan.threads[1].ops[0].kind, PLAN_WAIT);
    EXPECT_EQ(plan.threads[1].ops[0].from, 0);
    EXPECT_EQ(plan.threads[1].ops[0].size, 1);
    EXPECT_EQ(plan.threads[1].ops[1].slot, op[1].slot);
    plan_drop(&plan);
}

/* A process that was killed: its last blocks have no sum, and are read to their last event. */
static void killed(void)
{
    struct plan plan;
    struct read_faults faults;

    make_many(7, 3);
    begin(2, RECORD_BLOCK_EVENTS, 1000000);
    write_event(2, RECORD_MALLOC, 1000001, 0x9000, 123);
    write_event(2, RECORD_CALLOC, 1000002, 0x9100, 200);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT_EQ(faults.nr_open, 1);
    EXPECT_EQ(faults.nr_unsure, 2);
    EXPECT_EQ(faults.nr_damaged, 0);
    plan_drop(&plan);
}

/* --- damaged files ---------------------------------------------------------------------- */

static uint64_t nr_wanted(void)
{
    const char *text = getenv("DAMAGED_FILES");

    return text != NULL ? strtoull(text, NULL, 10) : 400;
}

static void flip_bits(struct rng *rng, unsigned char *data, size_t *bytes)
{
    for (uint32_t i = 1 + rng_below(rng, 8); i > 0; i--)
        data[rng_below(rng, (uint32_t)*bytes)] ^= (unsigned char)(1u << rng_below(rng, 8));
}

static void cut(struct rng *rng, unsigned char *data, size_t *bytes)
{
    (void)data;
    *bytes = rng_below(rng, (uint32_t)*bytes);
}

/* Blocks, or any bytes, in another place. */
static void splice(struct rng *rng, unsigned char *data, size_t *bytes)
{
    size_t unit = rng_below(rng, 2) != 0 ? RECORD_BLOCK_BYTES : 1;
    size_t length = unit == 1 ? 1 + rng_below(rng, 9000) : unit * (1 + rng_below(rng, 3));
    size_t from = rng_below(rng, (uint32_t)((*bytes - length) / unit)) * unit;
    size_t to = rng_below(rng, (uint32_t)((*bytes - length) / unit)) * unit;

    memmove(data + to, data + from, length);
}

/* What a field says is as large as can be, and the sums above it are right. */
static void huge_numbers(struct rng *rng, unsigned char *data, size_t *bytes)
{
    struct record_block *block = (struct record_block *)(void *)data + 1 +
                                 rng_below(rng, (uint32_t)(*bytes / RECORD_BLOCK_BYTES - 1));
    uint32_t huge = rng_below(rng, 2) != 0 ? UINT32_MAX : 1u << rng_below(rng, 32);

    switch (rng_below(rng, 4)) {
    case 0:
        block->used = huge;
        break;
    case 1:
        block->number = huge;
        break;
    case 2:
        block->nr_events = huge;
        break;
    default:
        memset(block->events + rng_below(rng, 3000), 0xff, 64);
        block->used = 0; /* as if the process had been killed in it */
        block->nr_events = 0;
        block->sum = 0;
    }
    block->head_sum = record_block_head_sum(block);
}

/* Zeros in a whole block: a hole in the file. */
static void hole(struct rng *rng, unsigned char *data, size_t *bytes)
{
    size_t block = rng_below(rng, (uint32_t)(*bytes / RECORD_BLOCK_BYTES));

    memset(data + block * RECORD_BLOCK_BYTES, 0, RECORD_BLOCK_BYTES);
}

static void (*const damages[])(struct rng *rng, unsigned char *data, size_t *bytes) = {
    flip_bits, cut, splice, huge_numbers, hole,
};

static void damaged_files(void)
{
    struct rng rng = {4711};
    struct plan plan, whole;
    struct read_faults faults;
    uint64_t nr_errors = 0, nr_told = 0;

    make_many(1234, 8);
    REQUIRE(read_made(&whole, &faults) == NULL);
    for (uint64_t i = 0; i < nr_wanted(); i++) {
        size_t bytes = bytes_of_made();

        copy = made;
        damages[i % ARRAY_SIZE(damages)](&rng, (unsigned char *)&copy, &bytes);
        if (memcmp(&copy, &made, bytes_of_made()) == 0 && bytes == bytes_of_made())
            continue;
        if (read_into(&plan, &faults, &copy, bytes) != NULL) {
            nr_errors++;
            continue;
        }
        /* Told, or the same: a block may have been moved to where there was a copy of it. */
        nr_told += has_faults(&faults);
        EXPECT(has_faults(&faults) || memcmp(&plan.counts, &whole.counts, sizeof plan.counts) == 0);
        expect_sound(&plan);
        plan_drop(&plan);
    }
    EXPECT_GE(nr_errors, nr_wanted() / 50);
    EXPECT_GE(nr_told, nr_wanted() / 2);
    plan_drop(&whole);
}

/* Blocks of another recording of the same program: left out, and counted. */
static void blocks_of_another(void)
{
    struct plan plan;
    struct read_faults faults;

    make_many(1, 4);
    copy = made;
    make_many(2, 4);
    made.blocks[3] = copy.blocks[3];
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT_EQ(faults.nr_foreign, 1);
    EXPECT_EQ(faults.nr_missing, 1);
    plan_drop(&plan);
}

/* Every bit of a head and of a block, one after the other. */
static void every_bit(void)
{
    struct plan plan;
    struct read_faults faults;
    size_t head = sizeof(struct record_head), last = 2 * RECORD_BLOCK_BYTES;

    make_many(99, 1);
    for (size_t bit = 0; bit < last * 8; bit++) {
        if (bit / 8 >= head && bit / 8 < RECORD_BLOCK_BYTES)
            continue; /* between the head and the first block is nothing */
        ((unsigned char *)&made)[bit / 8] ^= (unsigned char)(1u << bit % 8);
        if (read_made(&plan, &faults) == NULL) {
            EXPECT(has_faults(&faults));
            plan_drop(&plan);
        }
        ((unsigned char *)&made)[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static void set_version(uint32_t version)
{
    struct record_head *head = (void *)&made;

    head->version = version;
    head->sum = record_head_sum(head);
}

static void no_record_files(void)
{
    struct plan plan;
    struct read_faults faults;

    make_many(3, 1);
    EXPECT(read_into(&plan, &faults, &made, 0) != NULL);
    EXPECT(read_into(&plan, &faults, &made, 7) != NULL);
    EXPECT(read_into(&plan, &faults, &made, 100) != NULL);
    EXPECT(read_into(&plan, &faults, "no such thing....", 17) != NULL);
    set_version(0);
    EXPECT(read_made(&plan, &faults) != NULL);
    set_version(RECORD_VERSION + 1);
    EXPECT(read_made(&plan, &faults) != NULL);
}

static void older_version(void)
{
    struct plan plan;
    struct read_faults faults;

    make_head(3);
    made.has_old_tags = true;
    begin(0, RECORD_BLOCK_EVENTS, 100);
    for (uint64_t i = 0; i < 100; i++)
        write_event(0, RECORD_MALLOC, 100 + i / 2, 0x1000 + 0x1000 * i, 10 + 100 * i);
    seal(0, 100);
    made.current[0]->sum = record_block_sum(made.current[0], 1);
    make_end(300);
    made.current[0]->sum = record_block_sum(made.current[0], 1);
    set_version(1);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT(!has_faults(&faults));
    EXPECT_EQ(plan.counts.nr_allocs, 100);
    EXPECT_EQ(plan.counts.peak_bytes, 100 * 10 + 100 * 99 * 50);
    plan_drop(&plan);
    ((unsigned char *)made.blocks[1].events)[1] |= 1u << 5; /* a bit that meant nothing then */
    made.blocks[1].sum = record_block_sum(&made.blocks[1], 1);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT_EQ(faults.nr_damaged, 1);
    plan_drop(&plan);
}

/* Events at the time of the one before have none of their own; a tag that gives it bytes all the
 * same is no event. */
static void same_time(void)
{
    struct plan plan;
    struct read_faults faults;
    struct record_block *block;

    make_head(8);
    block = begin(0, RECORD_BLOCK_EVENTS, 100);
    write_event(0, RECORD_MALLOC, 100, 0x1000, 10);
    write_event(0, RECORD_MALLOC, 100, 0x2000, 20);
    write_event(0, RECORD_FREE, 100, 0x1000, 0);
    EXPECT_EQ(made.at[0], 2 + 2 + 1 + 2 + 2 + 1 + 2 + 2);
    seal(0, 3);
    make_end(200);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT(!has_faults(&faults));
    EXPECT_EQ(plan.counts.peak_bytes, 30);
    EXPECT_EQ(plan.counts.live_bytes, 20);
    plan_drop(&plan);
    block->events[0] |= 1u << RECORD_NR_TIME_AT;
    block->sum = record_block_sum(block, RECORD_VERSION);
    if (read_made(&plan, &faults) == NULL) {
        EXPECT(has_faults(&faults));
        plan_drop(&plan);
    }
}

/* The short form has the same times, addresses and sizes, to its least and largest ones, in regions
 * that take turns. */
static void short_events(void)
{
    const uint64_t region = UINT64_C(1) << RECORD_REGION_SHIFT, high = UINT64_C(0x7f1234) << 24;
    struct recording r;
    const struct read_event *event;
    const struct {
        uint64_t ticks, address, size;
        unsigned event;
    } wanted[] = {
        {100, 8, 0, RECORD_MALLOC},
        {100, region - 8, 8191, RECORD_CALLOC},
        {65635, high, 1, RECORD_NEW},
        {65636, 16, 0, RECORD_FREE},
        {65636, high + 64, 5, RECORD_MALLOC},
        {65640, 3 * region, 5, RECORD_MALLOC},
        {65641, region * (RECORD_REGIONS / 2) + 8, 5, RECORD_MALLOC}, /* in place of the first */
        {65641, 24, 6, RECORD_MALLOC},
        {65641, 4 * region - 8, 7, RECORD_MALLOC},
    };

    make_head(9);
    begin(0, RECORD_BLOCK_EVENTS, 100);
    for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++)
        write_short(0, (enum record_event)wanted[i].event, wanted[i].ticks, wanted[i].address,
                    wanted[i].size);
    seal(0, ARRAY_SIZE(wanted));
    make_end(70000);
    REQUIRE(recording_open(&r, &made, bytes_of_made()) == NULL);
    EXPECT(!has_faults(&r.faults));
    for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
        event = recording_head(&r);
        REQUIRE(event != NULL);
        EXPECT_EQ(event->event, wanted[i].event);
        EXPECT_EQ(event->ticks, wanted[i].ticks);
        EXPECT_EQ(event->address, wanted[i].address);
        EXPECT_EQ(event->size, wanted[i].size);
        recording_take(&r);
    }
    EXPECT(recording_head(&r) == NULL);
    recording_close(&r);
}

/* Blocks of arenas are only counted, or replayed. One whose arena went as a whole has no free, and
 * its address may come again. */
static void blocks_of_arenas(void)
{
    struct plan plan;
    struct recording r;

    make_head(10);
    begin(0, RECORD_BLOCK_EVENTS, 100);
    write_event(0, RECORD_MALLOC, 100, 0x1000, 10);
    write_event(0, RECORD_MALLOC | RECORD_ARENA, 110, 0x8000, 100);
    write_event(0, RECORD_RESIZE | RECORD_ARENA, 120, 0x8000, 0);
    write_event(0, RECORD_REALLOC | RECORD_ARENA, 130, 0x9000, 200);
    write_event(0, RECORD_FREE | RECORD_ARENA, 140, 0x9000, 0);
    write_event(0, RECORD_MALLOC | RECORD_ARENA, 150, 0x2000, 300);
    write_event(0, RECORD_MALLOC, 160, 0x2000, 20);
    seal(0, 7);
    make_end(200);
    for (unsigned with = 0; with < 2; with++) {
        REQUIRE(recording_open(&r, &made, bytes_of_made()) == NULL);
        EXPECT(!has_faults(&r.faults));
        plan_make(&plan, &r, with != 0);
        EXPECT_EQ(plan.counts.nr_arena_allocs, 3);
        EXPECT_EQ(plan.counts.nr_arena_frees, 1);
        EXPECT_EQ(plan.counts.arena_bytes, 600);
        EXPECT_EQ(plan.counts.nr_allocs, with ? 4 : 2);
        EXPECT_EQ(plan.counts.nr_reallocs, with);
        EXPECT_EQ(plan.counts.nr_frees, 2 * with);
        EXPECT_EQ(plan.counts.nr_unknown + plan.counts.nr_implied, 0);
        EXPECT_EQ(plan.counts.live_bytes, 30);
        EXPECT_EQ(plan.counts.peak_bytes, with ? 310 : 30);
        plan_drop(&plan);
        recording_close(&r);
    }
}

static const struct test tests[] = {
    TEST(whole_file), TEST(reallocs),          TEST(killed),           TEST(damaged_files),
    TEST(every_bit),  TEST(blocks_of_another), TEST(no_record_files),  TEST(older_version),
    TEST(same_time),  TEST(short_events),      TEST(blocks_of_arenas),
};

TEST_MAIN(tests)

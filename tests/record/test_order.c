/* test_order.c - in which order the events of several threads are read, where their times leave it
 * open, and where frees are not in the file.
 */
#include "check.h"

#include "made_record.h"

/* Clocks that differ by a little: by them an address is handed out before it is free. */
static void order_that_was_lost(void)
{
    struct plan plan;
    struct read_faults faults;

    make_head(6);
    begin(0, RECORD_BLOCK_EVENTS, 100);
    write_event(0, RECORD_MALLOC, 100, 0x1000, 10);
    write_event(0, RECORD_FREE, 130, 0x1000, 0);
    seal(0, 2);
    begin(1, RECORD_BLOCK_EVENTS, 120);
    write_event(1, RECORD_MALLOC, 120, 0x1000, 20);
    write_event(1, RECORD_FREE, 50000, 0x1000, 0);
    seal(1, 2);
    make_end(60000);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT_EQ(plan.counts.nr_implied, 0);
    EXPECT_EQ(plan.counts.nr_unknown, 0);
    EXPECT_EQ(plan.counts.nr_frees, 2);
    EXPECT_EQ(plan.counts.nr_between, 0);
    EXPECT_EQ(plan.counts.peak_bytes, 20);
    EXPECT_EQ(plan.counts.live_bytes, 0);
    plan_drop(&plan);
}

/* Events without times, long after the last one that had one, wait for what came before them in
 * another thread. */
static void events_without_times(void)
{
    struct plan plan;
    struct read_faults faults;

    make_head(6);
    begin(0, RECORD_BLOCK_EVENTS, 100);
    write_short(0, RECORD_MALLOC, 100, 0x1000, 10);
    write_short(0, RECORD_MALLOC, 100, 0x2000, 20); /* when the other thread has freed it */
    write_short(0, RECORD_RESIZE, 100, 0x1000, 0);
    write_short(0, RECORD_REALLOC, 100, 0x1000, 40);
    write_event(0, RECORD_FREE, 5000000, 0x1000, 0);
    seal(0, 5);
    begin(1, RECORD_BLOCK_EVENTS, 50);
    write_short(1, RECORD_MALLOC, 50, 0x2000, 30);
    write_event(1, RECORD_FREE, 4000000, 0x2000, 0);
    write_short(1, RECORD_MALLOC, 4000000, 0x1000, 50); /* after the other thread's free */
    write_event(1, RECORD_FREE, 7000000, 0x2000, 0);
    seal(1, 4);
    make_end(8000000);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT(!has_faults(&faults));
    EXPECT_EQ(plan.counts.nr_implied, 0);
    EXPECT_EQ(plan.counts.nr_unknown, 0);
    EXPECT_EQ(plan.counts.nr_reallocs, 1);
    EXPECT_EQ(plan.counts.nr_between, 1);
    EXPECT_EQ(plan.counts.peak_bytes, 20 + 50);
    EXPECT_EQ(plan.counts.live_bytes, 50);
    plan_drop(&plan);
}

/* A free that is not in the file is waited for until the allocation must have been made. */
static void free_that_is_lost(void)
{
    struct plan plan;
    struct read_faults faults;

    make_head(6);
    begin(0, RECORD_BLOCK_EVENTS, 100);
    write_short(0, RECORD_MALLOC, 100, 0x1000, 10);
    write_short(0, RECORD_MALLOC, 100, 0x1000, 20);
    write_short(0, RECORD_MALLOC, 300, 0x2000, 30);
    seal(0, 3);
    begin(1, RECORD_BLOCK_EVENTS, 100);
    for (unsigned i = 0; i < 100; i++)
        write_event(1, RECORD_MALLOC, 1000000 + i, 0x3000 + i * 16, 1);
    write_event(1, RECORD_FREE, 2000000, 0x1000, 0); /* of the second one */
    seal(1, 101);
    make_end(3000000);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT_EQ(plan.counts.nr_implied, 1);
    EXPECT_EQ(plan.counts.nr_unknown, 0);
    EXPECT_EQ(plan.counts.nr_between, 1);
    EXPECT_EQ(plan.counts.live_bytes, 130);
    EXPECT_EQ(plan.counts.peak_bytes, 20 + 30 + 100);
    plan_drop(&plan);
}

/* What threads did with a few addresses, in an order that is known, is read back. Events have times
 * by the recorder's rule: one in so many of a thread, here eight, and each whose place had another
 * thread's event last. */
#define PLACES 50u

static void order_between_threads(void)
{
    struct rng rng = {99};
    bool live[PLACES] = {false};
    uint64_t owner[PLACES], nr_between = 0, nr_frees = 0, ticks = 1000;
    uint64_t stamps[NR_THREADS];
    unsigned last[PLACES] = {0}; /* thread with an event there, and 1 */
    uint32_t nr[NR_THREADS] = {0};
    struct plan plan;
    struct read_faults faults;

    make_head(8);
    for (unsigned thread = 0; thread < NR_THREADS; thread++)
        begin(thread, RECORD_BLOCK_EVENTS, stamps[thread] = ticks);
    for (unsigned i = 0; i < 1500; i++) {
        unsigned thread = rng_below(&rng, NR_THREADS), place = rng_below(&rng, PLACES);
        uint64_t address = 0x10000 + place * 64;

        ticks += rng_below(&rng, 100);
        if (nr[thread] % 8 == 0 || last[place] != thread + 1)
            stamps[thread] = ticks;
        if (live[place]) {
            write_short(thread, RECORD_FREE, stamps[thread], address, 0);
            nr_frees++;
            nr_between += owner[place] != thread;
        } else {
            write_short(thread, RECORD_MALLOC, stamps[thread], address, 64);
            owner[place] = thread;
        }
        live[place] = !live[place];
        last[place] = thread + 1;
        nr[thread]++;
    }
    for (unsigned thread = 0; thread < NR_THREADS; thread++)
        seal(thread, nr[thread]);
    make_end(ticks);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT(!has_faults(&faults));
    EXPECT_EQ(plan.counts.nr_implied, 0);
    EXPECT_EQ(plan.counts.nr_unknown, 0);
    EXPECT_EQ(plan.counts.nr_frees, nr_frees);
    EXPECT_EQ(plan.counts.nr_between, nr_between);
    expect_sound(&plan);
    plan_drop(&plan);
}

/* The other way round: another thread's free comes a moment before the allocation. Much later, or
 * by the same thread, such a free is of a block that is not in the recording. */
static void free_that_came_early(void)
{
    struct plan plan;
    struct read_faults faults;

    make_head(6);
    begin(0, RECORD_BLOCK_EVENTS, 100);
    write_event(0, RECORD_MALLOC, 100, 0x1000, 10);
    write_event(0, RECORD_FREE, 110, 0x2000, 0);
    write_event(0, RECORD_MALLOC, 120, 0x2000, 10);
    write_event(0, RECORD_MALLOC, 90000000, 0x3000, 10);
    seal(0, 4);
    begin(1, RECORD_BLOCK_EVENTS, 90);
    write_event(1, RECORD_FREE, 95, 0x1000, 0);
    write_event(1, RECORD_FREE, 96, 0x3000, 0);
    seal(1, 2);
    make_end(100000000);
    REQUIRE(read_made(&plan, &faults) == NULL);
    EXPECT_EQ(plan.counts.nr_unknown, 2);
    EXPECT_EQ(plan.counts.nr_frees, 1);
    EXPECT_EQ(plan.counts.nr_between, 1);
    EXPECT_EQ(plan.counts.nr_live, 2);
    plan_drop(&plan);
}

static const struct test tests[] = {
    TEST(order_that_was_lost),   TEST(events_without_times), TEST(free_that_is_lost),
    TEST(order_between_threads), TEST(free_that_came_early),
};

TEST_MAIN(tests)

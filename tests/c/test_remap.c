/* test_remap.c - holds down vm/: slots that show the frames they should and no others,
 * and the book of the window against a model. */
#include "vm/pkmap.h"

#include "os/os.h"
#include "os/os_heap.h"

#include "check.h"

#define NR_MAPPED 5u /* frames with an address: not a multiple of any run */
#define NR_PAGES 69u

static struct os_file high; /* of the frames without an address */

/* High frame f starts with the number f; nothing else is written. */
static void frames_begin(struct frame_map *map)
{
    uint32_t nr_high = NR_PAGES - NR_MAPPED;
    void *p;

    *map = (struct frame_map){.nr_pages = NR_PAGES};
    if (os_file_open_memory(&high, "test", (uint64_t)nr_high << PAGE_SHIFT) != PYSLAB_OK ||
        os_reserve(nr_high * PAGE_SIZE, PAGE_SIZE, &p) != PYSLAB_OK ||
        os_file_map(&high, p, 0, nr_high * PAGE_SIZE, OS_FILE_SHARED) != PYSLAB_OK)
        abort();
    for (uint32_t i = 0; i < nr_high; i++)
        *(uint32_t *)((char *)p + i * PAGE_SIZE) = NR_MAPPED + i;
    os_release(p, nr_high * PAGE_SIZE);
    frame_map_set_high(map, NR_MAPPED, &high);
}

static void frames_end(struct frame_map *map)
{
    os_file_close(map->high);
}

static uint32_t number_at(const struct remap *remap, uint32_t slot, uint32_t frame)
{
    return *(uint32_t *)(remap_address(remap, slot) + frame * PAGE_SIZE);
}

static void slots_are_refused(void)
{
    struct remap remap = {0};
    struct pkmap pk = {0};

    EXPECT_EQ(remap_create(&remap, 0, 0, 0), PYSLAB_EINVAL);
    EXPECT_EQ(remap_create(&remap, 1, MAX_ORDER + 1, 0), PYSLAB_EINVAL);
    EXPECT_EQ(remap_create(&remap, UINT32_MAX, MAX_ORDER, 0), PYSLAB_EOS);
    EXPECT_PTR(remap.base, NULL);
    EXPECT_EQ(pkmap_create(&pk, 0, 0, 0), PYSLAB_EINVAL);
    EXPECT_EQ(pkmap_create(&pk, PKMAP_MAX_SLOTS + 1, 0, 0), PYSLAB_EINVAL);
    EXPECT_EQ(pkmap_create(&pk, PKMAP_MAX_SLOTS, MAX_ORDER, 0), PYSLAB_EOS);
    EXPECT_EQ(os_heap_live_bytes(), 0);
}

/* Each order, with and without memory given ahead: every frame in its place, the rest of
 * the address space untouched; destroying twice is once. */
static void slots_show_their_runs(void)
{
    struct frame_map map;
    struct remap remap;

    frames_begin(&map);
    for (unsigned order = 0; order <= 6; order++) {
        uint32_t nr_runs = (NR_PAGES + (1u << order) - 1) >> order;

        REQUIRE(remap_create(&remap, nr_runs, order, 0) == PYSLAB_OK);
        EXPECT_EQ((uintptr_t)remap.base % remap.slot_bytes, 0);
        for (uint32_t run = NR_MAPPED >> order; run < nr_runs; run++) {
            uint32_t slot = nr_runs - 1 - run;

            REQUIRE(remap_map(&remap, &map, slot, run, 1, run % 2 == 0) == PYSLAB_OK);
            EXPECT_EQ(remap_slot_of(&remap, remap_address(&remap, slot)), slot);
            EXPECT_EQ(remap_slot_of(&remap, remap_address(&remap, slot + 1) - 1), slot);
            for (uint32_t i = 0; i < 1u << order; i++) {
                uint32_t pfn = (run << order) + i;

                if (pfn >= NR_MAPPED && pfn < NR_PAGES)
                    EXPECT_EQ(number_at(&remap, slot, i), pfn);
            }
        }
        remap_destroy(&remap);
        remap_destroy(&remap);
    }
    frames_end(&map);
}

/* Several runs into several slots, all in one call. */
static void runs_in_a_row(void)
{
    struct frame_map map;
    struct remap remap;

    frames_begin(&map);
    REQUIRE(remap_create(&remap, 8, 2, 0) == PYSLAB_OK);
    EXPECT_EQ(remap_map(&remap, &map, 3, 4, 5, true), PYSLAB_OK);
    for (uint32_t pfn = 16; pfn < 36; pfn++)
        EXPECT_EQ(number_at(&remap, 3 + (pfn - 16) / 4, pfn % 4), pfn);
    EXPECT_EQ(remap.nr_calls, 1);
    EXPECT_EQ(remap_unmap(&remap, 0, 8), PYSLAB_OK);
    EXPECT_EQ(remap.nr_calls, 2);
    remap_destroy(&remap);
    frames_end(&map);
}

static struct {
    struct frame_map map;
    struct remap remap;
    char *p;
} bad; /* of the children below */

static void touch(void)
{
    check_quiet();
    *(volatile char *)bad.p = 1;
}

/* Frames that have an address, that do not exist, and slots that were unmapped fault. */
static void the_rest_is_inaccessible(void)
{
    frames_begin(&bad.map);
    REQUIRE(remap_create(&bad.remap, 3, 3, 0) == PYSLAB_OK);
    EXPECT_EQ(remap_map(&bad.remap, &bad.map, 1, 0, 1, false), PYSLAB_OK);
    bad.p = remap_address(&bad.remap, 1) + NR_MAPPED * PAGE_SIZE;
    EXPECT_EQ(check_child(touch), 0);
    bad.p--;
    EXPECT_NE(check_child(touch), 0);
    bad.p = remap_address(&bad.remap, 0);
    EXPECT_NE(check_child(touch), 0);
    EXPECT_EQ(remap_map(&bad.remap, &bad.map, 2, 8, 1, false), PYSLAB_OK);
    bad.p = remap_address(&bad.remap, 2) + (NR_PAGES - 64) * PAGE_SIZE;
    EXPECT_NE(check_child(touch), 0);
    EXPECT_EQ(remap_unmap(&bad.remap, 1, 1), PYSLAB_OK);
    bad.p = remap_address(&bad.remap, 1) + NR_MAPPED * PAGE_SIZE;
    EXPECT_NE(check_child(touch), 0);
    EXPECT_EQ(number_at(&bad.remap, 2, 0), 64);
    remap_destroy(&bad.remap);
    frames_end(&bad.map);
}

static void expect_book(const struct pkmap *pk)
{
    struct finding f = {{0}};

    EXPECT(pkmap_check(pk, &f));
    if (f.text[0] != '\0')
        fprintf(stderr, "recount: %s\n", f.text);
}

/* A slot's life: free, mapped and taken, unused, found again, flushed in one call. */
static void counts_are_the_kernels(void)
{
    struct frame_map map;
    struct pkmap pk;

    frames_begin(&map);
    REQUIRE(pkmap_create(&pk, 4, 0, 0) == PYSLAB_OK);
    EXPECT_EQ(pkmap_find(&pk, 40), PKMAP_NONE);
    REQUIRE(pkmap_map(&pk, &map, 1, 40, 1, false) == PYSLAB_OK);
    EXPECT_EQ(pk.counts[1], 1);
    pkmap_get(&pk, pkmap_find(&pk, 40));
    pkmap_get(&pk, 1);
    EXPECT_EQ(pk.counts[1], 3);
    EXPECT_EQ(pkmap_next_free(&pk, 1), 2);
    REQUIRE(pkmap_map(&pk, &map, 2, 41, 2, true) == PYSLAB_OK);
    EXPECT_EQ(pkmap_next_free(&pk, 0), 0);
    EXPECT_EQ(pkmap_next_free(&pk, 1), PKMAP_NONE);
    expect_book(&pk);
    EXPECT_EQ(pkmap_flush(&pk), 2);
    EXPECT_EQ(pkmap_flush(&pk), 0);
    EXPECT_EQ(pk.remap.nr_calls, 3);
    EXPECT_EQ(pk.nr_flushes, 1);
    EXPECT_EQ(number_at(&pk.remap, 1, 0), 40);
    EXPECT(!pkmap_put(&pk, 1));
    EXPECT(pkmap_put(&pk, 1));
    EXPECT_EQ(pk.counts[1], 1);
    expect_book(&pk);
    EXPECT_EQ(pkmap_flush(&pk), 1);
    EXPECT_EQ(pk.counts[1], 0);
    EXPECT_EQ(pkmap_find(&pk, 40), PKMAP_NONE);
    pkmap_destroy(&pk);
    EXPECT_EQ(os_heap_live_bytes(), 0);
    frames_end(&map);
}

/* Random work on few buckets; every slot in use shows its own run at every step. */
static void book_against_frames(void)
{
    struct rng rng = {7};
    struct frame_map map;
    struct pkmap pk;

    frames_begin(&map);
    REQUIRE(pkmap_create(&pk, 11, 1, 0) == PYSLAB_OK);
    for (int step = 0; step < 3000; step++) {
        uint32_t run = 3 + rng_below(&rng, 30), slot = pkmap_find(&pk, run);
        uint32_t free_slot = pkmap_next_free(&pk, rng_below(&rng, 11));

        switch (rng_below(&rng, 8)) {
        case 0:
            EXPECT_GE(pkmap_flush(&pk), 0);
            EXPECT_EQ(pk.nr_mapped, pk.nr_in_use);
            break;
        case 1:
        case 2:
        case 3:
            slot = rng_below(&rng, 11);
            if (pk.counts[slot] >= 2)
                (void)pkmap_put(&pk, slot);
            break;
        default:
            if (slot == PKMAP_NONE && free_slot != PKMAP_NONE) {
                REQUIRE(pkmap_map(&pk, &map, free_slot, run, 1, step % 2 == 0) == PYSLAB_OK);
                slot = free_slot;
            }
            if (slot != PKMAP_NONE)
                pkmap_get(&pk, slot);
        }
        for (slot = 0; slot < 11; slot++)
            if (pk.counts[slot] >= 1)
                EXPECT_EQ(number_at(&pk.remap, slot, 0), pk.runs[slot] << 1);
        expect_book(&pk);
    }
    for (uint32_t slot = 0; slot < 11; slot++)
        while (pk.counts[slot] >= 2)
            (void)pkmap_put(&pk, slot);
    pkmap_destroy(&pk);
    frames_end(&map);
}

#if PYSLAB_CHECK_LEVEL >= 1
#include "base/fault.h"

/* What the system refuses leaves the book as it was. */
static void refusals_change_nothing(void)
{
    struct frame_map map;
    struct pkmap pk;

    frames_begin(&map);
    for (uint64_t n = 1; n <= 2; n++) {
        fault_inject(n, true);
        EXPECT_NE(pkmap_create(&pk, 4, 0, 0), PYSLAB_OK);
        fault_inject(0, false);
        EXPECT_EQ(os_heap_live_bytes(), 0);
    }
    REQUIRE(pkmap_create(&pk, 4, 0, 0) == PYSLAB_OK);
    fault_inject(1, false);
    EXPECT_EQ(pkmap_map(&pk, &map, 0, 40, 2, true), PYSLAB_EOS);
    EXPECT_EQ(pk.counts[0], 0);
    expect_book(&pk);
    fault_inject(0, false);
    EXPECT_EQ(pkmap_map(&pk, &map, 0, 40, 3, true), PYSLAB_OK);
    pkmap_get(&pk, 1);
    fault_inject(2, false); /* the second stretch */
    EXPECT_EQ(pkmap_flush(&pk), PYSLAB_EOS);
    fault_inject(0, false);
    EXPECT_EQ(pk.counts[0], 0);
    EXPECT_EQ(pk.counts[2], 1);
    EXPECT_EQ(number_at(&pk.remap, 2, 0), 42);
    expect_book(&pk);
    EXPECT(pkmap_put(&pk, 1));
    EXPECT_EQ(pkmap_flush(&pk), 2);
    pkmap_destroy(&pk);
    frames_end(&map);
}
#else
static void refusals_change_nothing(void) {}
#endif

/* The recount finds a count that nobody keeps, and a slot the hash has lost. */
static void a_wrong_book_is_found(void)
{
    struct finding f = {{0}};
    struct frame_map map;
    struct pkmap pk;

    frames_begin(&map);
    REQUIRE(pkmap_create(&pk, 4, 0, 0) == PYSLAB_OK);
    REQUIRE(pkmap_map(&pk, &map, 0, 40, 2, false) == PYSLAB_OK);
    pk.counts[0]++;
    EXPECT(!pkmap_check(&pk, &f));
    EXPECT(strstr(f.text, "2 slots mapped, 1 in use") != NULL);
    pk.counts[0]--;
    pk.runs[1] = 50;
    f.text[0] = '\0';
    EXPECT(!pkmap_check(&pk, &f));
    EXPECT(strstr(f.text, "slot 1 shows run 50") != NULL);
    pk.runs[1] = 41;
    pk.counts[1] = 0;
    f.text[0] = '\0';
    EXPECT(!pkmap_check(&pk, &f));
    EXPECT(strstr(f.text, "slot 1, which is free") != NULL);
    pk.counts[1] = 1;
    expect_book(&pk);
    pkmap_destroy(&pk);
    frames_end(&map);
}

/* --- contracts ----------------------------------------------------------- */

static struct frame_map contract_map;
static struct pkmap contract_pk;

static void get_a_free_slot(void)
{
    pkmap_get(&contract_pk, 1);
}

static void put_an_unused_slot(void)
{
    pkmap_put(&contract_pk, 0);
}

static void map_a_run_twice(void)
{
    (void)pkmap_map(&contract_pk, &contract_map, 1, 5, 1, false);
}

static void destroy_in_use(void)
{
    pkmap_get(&contract_pk, 0);
    pkmap_destroy(&contract_pk);
}

static void ask_for_no_slot(void)
{
    (void)remap_slot_of(&contract_pk.remap, contract_pk.remap.base - 1);
}

/* Broken preconditions end the process, each by its own check. */
static void contracts(void)
{
    frames_begin(&contract_map);
    REQUIRE(pkmap_create(&contract_pk, 4, 0, NR_MAPPED) == PYSLAB_OK);
    REQUIRE(pkmap_map(&contract_pk, &contract_map, 0, 5, 1, false) == PYSLAB_OK);
    EXPECT(check_stops(get_a_free_slot, "pk->counts[slot] >= 1"));
    EXPECT(check_stops(put_an_unused_slot, "pk->counts[slot] >= 2"));
    EXPECT(check_stops(map_a_run_twice, "pkmap_find(pk, run + i) == PKMAP_NONE"));
    EXPECT(check_stops(destroy_in_use, "pk->nr_in_use == 0"));
    EXPECT(check_stops(ask_for_no_slot, "remap->nr_slots * remap->slot_bytes"));
    pkmap_destroy(&contract_pk);
    frames_end(&contract_map);
}

static const struct test tests[] = {
    TEST(slots_are_refused),        TEST(slots_show_their_runs),  TEST(runs_in_a_row),
    TEST(the_rest_is_inaccessible), TEST(counts_are_the_kernels), TEST(book_against_frames),
    TEST(refusals_change_nothing),  TEST(a_wrong_book_is_found),  TEST(contracts),
};

TEST_MAIN(tests)

/* test_buddy_suite.c - the cases of the kernel's gpu_buddy tests, on our buddy.
 *
 * One test per case, of the same name; the three that need memory or page_alloc are in
 * test_buddy_suite_pages.c. What is a range or an offset alignment there is a run of
 * frames here (buddy_range.h).
 * What it is not: the differential test (test_buddy_model.c). */
#include "buddy/buddy_range.h"

#include "rig.h"

#define MAX_RUNS 8192u

struct run {
    uint32_t pfn;
    uint32_t nr;
};

static struct zone_rig rig;
static uint64_t whole[NR_ORDERS]; /* free blocks of the rig's zone while all is free */
static struct run runs[MAX_RUNS];

static void begin(uint32_t start, uint32_t nr, unsigned max_order)
{
    zone_rig_begin(&rig, start, nr, max_order);
    for (unsigned order = 0; order <= max_order; order++)
        whole[order] = buddy_nr_free_locked(&rig.zone, order);
}

/* All is free and merged again. */
static void end(void)
{
    EXPECT_EQ(zone_free_pages(&rig.zone), rig.zone.end_pfn - rig.zone.start_pfn);
    for (unsigned order = 0; order <= rig.zone.max_order; order++)
        EXPECT_EQ(buddy_nr_free_locked(&rig.zone, order), whole[order]);
    zone_rig_end(&rig);
}

static void own(uint32_t pfn, uint32_t nr)
{
    rig.map.pages[pfn].large.nr_pages = nr;
    store_relaxed(&rig.map.pages[pfn].word,
                  PAGE_WORD(PYSLAB_PAGE_LARGE, order_for_pages(nr), rig.zone.index));
}

static bool take(uint32_t pfn, uint32_t nr)
{
    bool taken = buddy_take_range_locked(&rig.zone, &rig.map, pfn, nr);

    if (taken)
        own(pfn, nr);
    zone_rig_check(&rig);
    return taken;
}

static void give(uint32_t pfn, uint32_t nr)
{
    buddy_free_range_locked(&rig.zone, &rig.map, pfn, nr, RESIDENCY_DIRTY);
}

static uint32_t find(uint32_t first, uint32_t last, uint32_t nr, uint32_t align)
{
    return buddy_find_range_locked(&rig.zone, &rig.map, first, last, nr, align, 0, 0);
}

/* A run in a window, at a multiple of align; PFN_NONE if there is none. */
static uint32_t take_in(uint32_t first, uint32_t last, uint32_t nr, uint32_t align)
{
    uint32_t pfn = find(first, last, nr, align);

    if (pfn == PFN_NONE)
        return PFN_NONE;
    EXPECT_GE(pfn, first);
    EXPECT_LE(pfn + nr, last);
    EXPECT_EQ(pfn % align, 0);
    EXPECT(take(pfn, nr));
    return pfn;
}

/* --- the cases ---------------------------------------------------------- */

/* The largest arena there may be: its largest blocks, its last frame, and no more. */
static void alloc_limit(void)
{
    const uint32_t nr = MAX_ARENA_PAGES, block = 1u << MAX_ORDER;
    uint32_t pfn;

    begin(0, nr, MAX_ORDER);
    EXPECT_EQ(buddy_largest_order_locked(&rig.zone), MAX_ORDER);
    EXPECT_EQ(buddy_nr_free_locked(&rig.zone, MAX_ORDER), nr / block);
    pfn = zone_rig_alloc(&rig, MAX_ORDER);
    EXPECT_EQ(pfn, 0);
    EXPECT_EQ(zone_free_pages(&rig.zone), nr - block);
    EXPECT_EQ(zone_rig_alloc(&rig, MAX_ORDER + 1), PFN_NONE);
    EXPECT_EQ(find(0, UINT32_MAX, nr, 1), PFN_NONE);
    EXPECT_EQ(find(0, UINT32_MAX, nr - block, 1), block);
    EXPECT_EQ(buddy_largest_run_locked(&rig.zone, &rig.map), nr - block);
    EXPECT_EQ(find(nr - 1, UINT32_MAX, 1, 1), nr - 1);
    EXPECT_EQ(find(nr - 1, UINT32_MAX, 2, 1), PFN_NONE);
    EXPECT(take(nr - 1, 1));
    EXPECT(!take(nr - 1, 1));
    EXPECT(!take(nr, 1));
    EXPECT(!take(nr - 2, UINT32_MAX));
    give(nr - 1, 1);
    zone_rig_free(&rig, pfn, MAX_ORDER);
    end();
}

/* One block of each order, largest first, fills a zone of 2^(n+1)-1 frames to the last.
 * (Smallest first would not: the frontier gives the large block first.) */
static void optimistic(void)
{
    for (unsigned max_order = 0; max_order <= 14; max_order++) {
        uint32_t block[NR_ORDERS];

        begin(0, (2u << max_order) - 1, max_order);
        for (unsigned order = max_order + 1; order-- > 0;) {
            block[order] = zone_rig_alloc(&rig, order);
            EXPECT_NE(block[order], PFN_NONE);
        }
        EXPECT_EQ(zone_free_pages(&rig.zone), 0);
        EXPECT_EQ(buddy_largest_order_locked(&rig.zone), -1);
        for (unsigned order = 0; order <= max_order; order++)
            EXPECT_EQ(zone_rig_alloc(&rig, order), PFN_NONE);
        EXPECT_EQ(find(0, UINT32_MAX, 1, 1), PFN_NONE);
        for (unsigned order = 0; order <= max_order; order++)
            zone_rig_free(&rig, block[order], order);
        end();
    }
}

/* In a zone of one block, one block of each order below the top leaves a single frame;
 * freeing them from the smallest up makes each next order possible. */
static void pessimistic(void)
{
    for (unsigned max_order = 1; max_order <= 18; max_order++) {
        uint32_t block[NR_ORDERS];

        begin(0, 1u << max_order, max_order);
        for (unsigned order = 0; order < max_order; order++)
            block[order] = zone_rig_alloc(&rig, order);
        EXPECT_EQ(zone_free_pages(&rig.zone), 1);
        for (unsigned order = 1; order <= max_order; order++)
            EXPECT_EQ(zone_rig_alloc(&rig, order), PFN_NONE);
        zone_rig_check(&rig);
        for (unsigned order = 0; order < max_order; order++) {
            zone_rig_free(&rig, block[order], order);
            EXPECT_EQ(buddy_largest_order_locked(&rig.zone), order + 1);
            block[order] = zone_rig_alloc(&rig, order + 1);
            EXPECT_NE(block[order], PFN_NONE);
            EXPECT_EQ(zone_rig_alloc(&rig, order + 1), PFN_NONE);
            zone_rig_free(&rig, block[order], order + 1);
        }
        EXPECT_EQ(block[max_order - 1], 0);
        end();
    }
}

/* A full zone whittled down: the largest block in use is freed, and its place filled with
 * one block of each smaller order and a single frame, until all orders were. Freed in the
 * end, these frames are all there is to be had. */
static void whittle(unsigned top)
{
    uint32_t nr = 0, holes[NR_ORDERS];

    begin(0, 1u << top, top);
    for (unsigned level = top; level > 0; level--) {
        if (level < top) /* of the first round */
            zone_rig_free(&rig, runs[top - 1 - level].pfn, level);
        for (unsigned order = level; order-- > 0; nr++)
            runs[nr] = (struct run){zone_rig_alloc(&rig, order), 1u << order};
        holes[level] = zone_rig_alloc(&rig, 0);
        EXPECT_NE(holes[level], PFN_NONE);
        EXPECT_EQ(zone_free_pages(&rig.zone), 0);
        EXPECT_EQ(zone_rig_alloc(&rig, level), PFN_NONE);
    }
    for (unsigned level = top; level > 0; level--)
        zone_rig_free(&rig, holes[level], 0);
    EXPECT_EQ(zone_free_pages(&rig.zone), top);
    EXPECT_EQ(buddy_largest_order_locked(&rig.zone), 0);
    for (unsigned order = 1; order <= top; order++)
        EXPECT_EQ(zone_rig_alloc(&rig, order), PFN_NONE);
    EXPECT_EQ(find(0, UINT32_MAX, 2, 1), PFN_NONE);
    for (uint32_t i = top - 1; i < nr; i++) /* but for those freed above */
        zone_rig_free(&rig, runs[i].pfn, ilog2(runs[i].nr));
    end();
}

/* Holes everywhere, and nothing above order 0 to be had; then half of the zone free in
 * single frames, where each level of holes that closes gives exactly the next order. */
static void pathological(void)
{
    enum { TOP = 10 };

    for (unsigned top = 1; top <= 14; top++)
        whittle(top);
    begin(0, 1u << TOP, TOP);
    for (uint32_t i = 0; i < 1u << TOP; i++)
        EXPECT_EQ(zone_rig_alloc(&rig, 0), i);
    for (uint32_t i = 0; i < 1u << TOP; i += 2)
        zone_rig_free(&rig, i, 0);
    EXPECT_EQ(find(0, UINT32_MAX, 2, 1), PFN_NONE);
    for (unsigned level = 0; level < TOP; level++) {
        EXPECT_EQ(buddy_largest_order_locked(&rig.zone), level);
        EXPECT_EQ(zone_rig_alloc(&rig, level + 1), PFN_NONE);
        zone_rig_check(&rig);
        /* Free every second of the frames still in use. */
        for (uint32_t i = (2u << level) - 1; i < 1u << TOP; i += 4u << level)
            for (uint32_t pfn = i + 1 - (1u << level); pfn <= i; pfn++)
                if (page_state(&rig.map.pages[pfn]) == PYSLAB_PAGE_ALLOC)
                    zone_rig_free(&rig, pfn, 0);
    }
    end();
}

/* Free neighbours that are no buddies are one run, of any length. */
static void contiguous(void)
{
    enum { NR = 3 * 16 };
    uint32_t pfn, nr = 0;

    begin(0, NR, 5);
    for (uint32_t i = 0; i < NR; i++)
        EXPECT_EQ(zone_rig_alloc(&rig, 0), i);
    for (uint32_t i = 1; i < NR; i += 3)
        zone_rig_free(&rig, i, 0);
    EXPECT_EQ(find(0, NR, 3, 1), PFN_NONE);
    EXPECT_EQ(find(0, NR, 2, 1), PFN_NONE);
    for (uint32_t i = 2; i < NR; i += 3)
        zone_rig_free(&rig, i, 0);
    EXPECT_EQ(find(0, NR, 3, 1), PFN_NONE);
    while ((pfn = take_in(0, NR, 2, 1)) != PFN_NONE) {
        EXPECT_EQ(pfn, 3 * nr + 1); /* odd every other time: no block of order 1 */
        nr++;
    }
    EXPECT_EQ(nr, NR / 3);
    EXPECT_EQ(zone_free_pages(&rig.zone), 0);
    for (uint32_t i = 0; i < NR; i += 3)
        zone_rig_free(&rig, i, 0);
    give(1, 2);
    EXPECT_EQ(take_in(0, NR, 3, 1), 0);
    for (uint32_t i = 4; i < NR; i += 3)
        give(i, 2);
    give(0, 3);
    EXPECT_EQ(take_in(0, NR, NR, 1), 0); /* longer than any block */
    give(0, NR);
    end();
}

/* Consecutive runs of prime lengths, each exactly where it was asked for. */
static void range(void)
{
    struct rng rng = {7};
    uint32_t nr = 0, at, start = 11, last = start + 20011;

    begin(start, last - start, 12);
    EXPECT(take(start + 5000, 1)); /* in the middle of what was never used */
    EXPECT(!take(start + 4000, 1001));
    give(start + 5000, 1);
    for (at = start; at < last; at += runs[nr++].nr) {
        static const uint32_t primes[] = {2, 3, 5, 7, 11, 13, 61, 127, 257, 509};
        uint32_t want = min_uint(primes[rng_below(&rng, 10)], last - at);

        EXPECT(take(at, want));
        EXPECT_EQ(zone_free_pages(&rig.zone), last - at - want);
        EXPECT(!take(at + want - 1, 2)); /* overlaps, or leaves the zone */
        runs[nr] = (struct run){at, want};
    }
    EXPECT_EQ(zone_free_pages(&rig.zone), 0);
    for (uint32_t left = nr; left > 0; left--) {
        uint32_t i = rng_below(&rng, left);

        give(runs[i].pfn, runs[i].nr);
        EXPECT_EQ(find(runs[i].pfn, runs[i].pfn + runs[i].nr, runs[i].nr, 1), runs[i].pfn);
        runs[i] = runs[left - 1];
    }
    end();
}

/* --- windows ------------------------------------------------------------ */

enum { WINDOW = 256, FRAMES = 2047 };

static uint32_t some(struct rng *rng, uint32_t most, uint32_t unit)
{
    return max_uint((uint32_t)align_up(rng_below(rng, most), unit), unit);
}

/* One window of its own: too large, too small, misaligned; then part of it is filled. */
static void fill_window(uint32_t first, uint32_t unit, struct rng *rng, struct run *kept)
{
    uint32_t last = first + WINDOW, left = WINDOW, size, pfn;

    EXPECT_EQ(take_in(first, last, WINDOW + unit, unit), PFN_NONE);
    EXPECT_EQ(take_in(first + unit, last, WINDOW, unit), PFN_NONE);
    if (unit < WINDOW / 2)
        EXPECT_EQ(take_in(first + unit, last - unit, WINDOW / 2, WINDOW / 2), PFN_NONE);
    EXPECT_EQ(take_in(first, last, WINDOW, WINDOW), first);
    give(first, WINDOW);
    EXPECT_EQ(take_in(first, last, unit, WINDOW), first);
    give(first, unit);
    size = some(rng, left, unit);
    pfn = take_in(first, last, size, unit);
    EXPECT_EQ(pfn, first);
    left -= size;
    EXPECT_EQ(take_in(first, last, left + unit, unit), PFN_NONE);
    *kept = (struct run){pfn, size};
    if (left == 0)
        return;
    kept->nr = some(rng, left, unit);
    kept->pfn = take_in(first, last, kept->nr, unit);
    EXPECT_NE(kept->pfn, PFN_NONE);
    give(pfn, size); /* leaves a hole in front */
}

static void uniform_windows(uint32_t unit, struct rng *rng)
{
    uint32_t nr_frames = FRAMES & ~(unit - 1), order[FRAMES / WINDOW], nr;
    struct run kept[FRAMES / WINDOW];

    begin(0, nr_frames, 11);
    nr = nr_frames / WINDOW;
    for (uint32_t i = 0; i < nr; i++) {
        uint32_t at = rng_below(rng, i + 1);

        order[i] = order[at];
        order[at] = i;
    }
    for (uint32_t i = 0; i < nr; i++)
        fill_window(order[i] * WINDOW, unit, rng, &kept[i]);
    for (uint32_t i = 0; i < nr; i++)
        give(kept[i].pfn, kept[i].nr);
    end();
}

/* A window that grows both ways while it is filled, over what is in use already, until
 * it is the zone and full. */
static void growing_window(uint32_t unit, struct rng *rng)
{
    uint32_t nr_frames = FRAMES & ~(unit - 1), nr = 0;
    uint32_t first = (uint32_t)align_up(rng_below(rng, nr_frames - unit), unit);
    uint32_t last = first + some(rng, nr_frames - first, unit), left = last - first;

    begin(0, nr_frames, 11);
    while (left > 0) {
        uint32_t size = some(rng, left, unit), pfn;

        while ((pfn = take_in(first, last, size, unit)) == PFN_NONE) {
            REQUIRE(size > unit); /* one unit is always to be had */
            size = max_uint((size / 2) & ~(unit - 1), unit);
        }
        runs[nr++] = (struct run){pfn, size};
        left -= size;
        do {
            uint32_t lower = first, upper = nr_frames - last;

            lower = (uint32_t)align_up(rng_below(rng, lower + 1), unit);
            upper = (uint32_t)align_up(rng_below(rng, upper + 1), unit);
            first -= lower;
            last += upper;
            left += lower + upper;
        } while (left == 0 && (first != 0 || last != nr_frames));
    }
    EXPECT_EQ(zone_free_pages(&rig.zone), 0);
    EXPECT_EQ(take_in(0, nr_frames, unit, unit), PFN_NONE);
    while (nr-- > 0)
        give(runs[nr].pfn, runs[nr].nr);
    end();
}

/* What is asked for in a window never leaks out of it. */
static void range_bias(void)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rng rng = {seed};
        uint32_t unit = 1u << rng_below(&rng, 9);

        uniform_windows(unit, &rng);
        growing_window(unit, &rng);
    }
}

/* --- alignment ---------------------------------------------------------- */

/* nr frames at a multiple of 2^align_order, or PFN_NONE. */
static uint32_t alloc_aligned(uint32_t nr, unsigned align_order)
{
    uint32_t pfn = buddy_alloc_exact_locked(&rig.zone, &rig.map,
                                            max_uint(order_for_pages(nr), align_order), nr);

    if (pfn != PFN_NONE) {
        EXPECT_EQ(pfn & ((1u << align_order) - 1), 0);
        own(pfn, nr);
    }
    return pfn;
}

/* Small blocks at a wide alignment: as many as there are places, whatever their size. */
static void offset_aligned(void)
{
    enum { NR = 1024, ALIGN_ORDER = 6, PLACES = NR >> ALIGN_ORDER };

    begin(0, NR, 10);
    for (uint32_t nr = 2; nr <= 4; nr += 2) {
        for (uint32_t i = 0; i < PLACES; i++)
            runs[i] = (struct run){alloc_aligned(nr, ALIGN_ORDER), nr};
        EXPECT_EQ(zone_free_pages(&rig.zone), NR - PLACES * nr);
        for (uint32_t i = 0; i < PLACES; i += 2)
            give(runs[i].pfn, nr);
        for (uint32_t i = 0; i < PLACES; i += 2)
            runs[i].pfn = alloc_aligned(nr, ALIGN_ORDER);
        EXPECT_EQ(alloc_aligned(nr, ALIGN_ORDER), PFN_NONE);
        EXPECT_EQ(find(0, NR, nr, 1u << ALIGN_ORDER), PFN_NONE);
        zone_rig_check(&rig);
        if (nr == 4)
            break;
        for (uint32_t i = 0; i < PLACES; i++)
            give(runs[i].pfn, nr);
    }
    /* All is used but the places: no block of the alignment's order, but the runs. */
    while (zone_rig_alloc(&rig, 0) != PFN_NONE)
        continue;
    for (uint32_t i = 0; i < PLACES; i++)
        give(runs[i].pfn, 4);
    EXPECT_EQ(alloc_aligned(4, ALIGN_ORDER), PFN_NONE);
    for (uint32_t i = 0; i < PLACES; i++)
        EXPECT_EQ(take_in(0, NR, 4, 1u << ALIGN_ORDER), i << ALIGN_ORDER);
    EXPECT_EQ(zone_free_pages(&rig.zone), 0);
    for (uint32_t i = 0; i < NR; i++)
        if (page_state(&rig.map.pages[i]) == PYSLAB_PAGE_LARGE)
            give(i, 4);
        else if (page_state(&rig.map.pages[i]) == PYSLAB_PAGE_ALLOC)
            zone_rig_free(&rig, i, 0);
    end();
}

/* Single frames at ever smaller alignments: when no place of one is left, the largest
 * free block is of the next smaller order, no more and no less; freed the other way
 * round, each order comes back. */
static void subtree_alignment_stress(void)
{
    enum { TOP = 9 };
    uint32_t nr = 0, first[TOP];

    begin(0, 1u << TOP, TOP);
    for (unsigned order = TOP - 1; order > 0; order--) {
        first[order] = nr;
        while ((runs[nr].pfn = alloc_aligned(1, order)) != PFN_NONE)
            nr++;
        EXPECT_EQ(nr, 1u << (TOP - order));
        EXPECT_EQ(buddy_largest_order_locked(&rig.zone), order - 1);
        EXPECT_EQ(find(0, UINT32_MAX, 1, 1u << order), PFN_NONE);
        zone_rig_check(&rig);
    }
    for (unsigned order = 1; order < TOP; order++) {
        while (nr > first[order])
            give(runs[--nr].pfn, 1);
        EXPECT_EQ(buddy_largest_order_locked(&rig.zone), nr == 0 ? TOP : order);
        zone_rig_check(&rig);
    }
    end();
}

static const struct test tests[] = {
    TEST(alloc_limit),  TEST(optimistic),     TEST(pessimistic),
    TEST(pathological), TEST(contiguous),     TEST(range),
    TEST(range_bias),   TEST(offset_aligned), TEST(subtree_alignment_stress),
};

TEST_MAIN(tests)

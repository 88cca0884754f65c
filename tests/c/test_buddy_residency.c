/* test_buddy_residency.c - holds down what the buddy knows of free blocks' content:
 * merges keep the halves apart, splits find them again, resident blocks are used
 * first, and the recount notices each kind of damage. */
#include "buddy/buddy.h"

#include "rig.h"

static struct zone_rig rig;

static enum residency residency_of(uint32_t pfn, unsigned order)
{
    return page_residency(&rig.map.pages[pfn], order);
}

static void free_as(uint32_t pfn, unsigned order, enum residency state)
{
    buddy_free_locked(&rig.zone, &rig.map, pfn, order, state);
}

static void take_all(uint32_t nr)
{
    for (uint32_t i = 0; i < nr; i++)
        EXPECT_EQ(zone_rig_alloc(&rig, 0), i);
}

/* Never used frames are untouched at every order they are split to. */
static void fresh_is_untouched(void)
{
    zone_rig_begin(&rig, 0, 64, 6);
    for (unsigned order = 0; order < 6; order++)
        EXPECT_EQ(residency_of(zone_rig_alloc(&rig, order), order), RESIDENCY_UNTOUCHED);
    EXPECT_EQ(rig.zone.dirty_pages, 0);
    zone_rig_end(&rig);
}

/* Like halves merge to their state, unlike ones to MIXED; the parts stay exact. */
static void merge_and_split(void)
{
    zone_rig_begin(&rig, 0, 8, 3);
    take_all(8);
    for (uint32_t i = 0; i < 8; i++)
        free_as(i, 0, i < 4 ? RESIDENCY_DIRTY : i < 6 ? RESIDENCY_UNTOUCHED : RESIDENCY_ZEROED);
    EXPECT_EQ(rig.zone.free_area[3].list[FREE_DIRTY].nr, 1);
    EXPECT_EQ(residency_of(0, 3), RESIDENCY_MIXED);
    EXPECT_EQ(residency_of(0, 2), RESIDENCY_DIRTY);
    EXPECT_EQ(residency_of(4, 2), RESIDENCY_MIXED);
    EXPECT_EQ(residency_of(4, 1), RESIDENCY_UNTOUCHED);
    EXPECT_EQ(residency_of(6, 1), RESIDENCY_ZEROED);
    EXPECT_EQ(rig.zone.dirty_pages, 4);
    EXPECT_EQ(zone_rig_alloc(&rig, 2), 0); /* the dirty half */
    EXPECT_EQ(residency_of(0, 2), RESIDENCY_DIRTY);
    EXPECT_EQ(zone_rig_alloc(&rig, 2), 4);
    EXPECT_EQ(residency_of(4, 2), RESIDENCY_MIXED);
    free_as(4, 2, RESIDENCY_UNTOUCHED); /* forgets the parts */
    EXPECT_EQ(rig.zone.dirty_pages, 0);
    zone_rig_end(&rig);
}

/* A split goes to the resident half, be it the upper one. */
static void split_follows_the_resident_half(void)
{
    zone_rig_begin(&rig, 0, 16, 4);
    take_all(16);
    for (uint32_t i = 0; i < 16; i++)
        free_as(i, 0, i == 13 ? RESIDENCY_DIRTY : RESIDENCY_UNTOUCHED);
    EXPECT_EQ(rig.zone.dirty_pages, 1);
    EXPECT_EQ(zone_rig_alloc(&rig, 0), 13);
    EXPECT_EQ(residency_of(13, 0), RESIDENCY_DIRTY);
    EXPECT_EQ(rig.zone.dirty_pages, 0);
    EXPECT_EQ(residency_of(zone_rig_alloc(&rig, 3), 3), RESIDENCY_UNTOUCHED);
    zone_rig_end(&rig);
}

/* Resident blocks first, clean ones next, frames never used last. */
static void resident_blocks_first(void)
{
    uint32_t block[3];

    zone_rig_begin(&rig, 0, 64, 2);
    for (int i = 0; i < 3; i++)
        block[i] = zone_rig_alloc(&rig, 2);
    free_as(block[0], 2, RESIDENCY_UNTOUCHED);
    free_as(block[1], 2, RESIDENCY_DIRTY);
    free_as(block[2], 2, RESIDENCY_ZEROED);
    EXPECT_EQ(zone_rig_alloc(&rig, 0), block[1]);
    EXPECT_EQ(zone_rig_alloc(&rig, 2), block[2]);
    EXPECT_EQ(zone_rig_alloc(&rig, 2), block[0]);
    EXPECT_EQ(rig.zone.frontier, 12);
    EXPECT_EQ(zone_rig_alloc(&rig, 2), 12);
    zone_rig_end(&rig);
}

/* An exact run splits the tail off with its own residency. */
static void exact_keeps_residency(void)
{
    zone_rig_begin(&rig, 0, 16, 4);
    take_all(16);
    for (uint32_t i = 0; i < 16; i++)
        free_as(i, 0, i % 4 == 3 ? RESIDENCY_DIRTY : RESIDENCY_UNTOUCHED);
    EXPECT_EQ(buddy_alloc_exact_locked(&rig.zone, &rig.map, 4, 5), 0);
    store_relaxed(&rig.map.pages[0].word, PAGE_WORD(PYSLAB_PAGE_LARGE, 4, 1));
    EXPECT_EQ(residency_of(0, 4), RESIDENCY_MIXED);
    EXPECT_EQ(residency_of(4, 0), RESIDENCY_UNTOUCHED);
    rig.map.pages[0].large.nr_pages = 5;
    EXPECT_EQ(rig.zone.dirty_pages, 3);
    EXPECT_EQ(zone_rig_alloc(&rig, 0), 7);
    zone_rig_end(&rig);
}

/* buddy_take_dirty_locked gives the largest resident block, and in the end nothing. */
static void take_dirty_takes_the_largest(void)
{
    uint32_t small, large;
    unsigned order = 77;

    zone_rig_begin(&rig, 0, 256, 8);
    EXPECT_EQ(buddy_take_dirty_locked(&rig.zone, &rig.map, 0, UINT32_MAX, &order), PFN_NONE);
    EXPECT_EQ(order, 77);
    small = zone_rig_alloc(&rig, 1);
    large = zone_rig_alloc(&rig, 5);
    (void)zone_rig_alloc(&rig, 1); /* keeps small from merging with all the rest */
    free_as(small, 1, RESIDENCY_DIRTY);
    zone_rig_alloc(&rig, 5);
    free_as(large, 5, RESIDENCY_DIRTY);
    EXPECT_EQ(buddy_take_dirty_locked(&rig.zone, &rig.map, 0, UINT32_MAX, &order), large);
    EXPECT_EQ(order, 5);
    free_as(large, order, RESIDENCY_UNTOUCHED);
    EXPECT_EQ(buddy_take_dirty_locked(&rig.zone, &rig.map, 0, UINT32_MAX, &order), small);
    EXPECT_EQ(order, 1);
    free_as(small, order, RESIDENCY_UNTOUCHED);
    EXPECT_EQ(buddy_take_dirty_locked(&rig.zone, &rig.map, 0, UINT32_MAX, &order), PFN_NONE);
    zone_rig_end(&rig);
}

/* Splits keep the count of dirty frames with the halves they are in. */
static void dirty_frames_are_counted_per_block(void)
{
    zone_rig_begin(&rig, 0, 4, 2);
    take_all(4);
    for (uint32_t i = 0; i < 4; i++)
        free_as(i ^ 3, 0, i == 0 ? RESIDENCY_UNTOUCHED : RESIDENCY_DIRTY);
    EXPECT_EQ(rig.map.pages[0].buddy.nr_dirty, 3);
    (void)zone_rig_alloc(&rig, 0);
    EXPECT_EQ(rig.map.pages[2].buddy.nr_dirty, 1);
    EXPECT_EQ(rig.map.pages[1].buddy.nr_dirty, 1);
    EXPECT_EQ(rig.zone.dirty_pages, 2);
    zone_rig_end(&rig);
}

/* --- the recount itself ------------------------------------------------- */

static bool recount(void)
{
    struct finding f = {{0}};
    bool ok = buddy_check_locked(&rig.zone, &rig.map, &f);

    EXPECT_EQ(ok, f.text[0] == '\0');
    return ok;
}

/* Two buddies free but apart, as a missed merge would leave them. */
static void fake_missed_merge(void)
{
    struct index_list *list = &rig.zone.free_area[0].list[FREE_DIRTY];

    for (uint32_t pfn = 62; pfn < 64; pfn++) {
        page_set_residency(&rig.map.pages[pfn], 0, RESIDENCY_DIRTY);
        store_relaxed(&rig.map.pages[pfn].word, PAGE_WORD(PYSLAB_PAGE_BUDDY, 0, 1));
        index_list_add_tail(list, page_links(&rig.map), pfn);
    }
    rig.zone.free_orders[FREE_DIRTY] |= 1;
    rig.zone.free_pages += 2;
}

/* Each kind of damage is noticed, with a text; mended, all is well again. */
static void recount_notices(void)
{
    struct index_list *list = &rig.zone.free_area[0].list[FREE_DIRTY];
    struct page *page;
    struct page kept;

    zone_rig_begin(&rig, 0, 64, 6);
    take_all(64);
    for (uint32_t i = 0; i < 60; i += 2)
        zone_rig_free(&rig, i, 0);
    page = &rig.map.pages[20];
    kept = *page;
    EXPECT(recount());

#define DAMAGE(statement, mend)                                                                    \
    do {                                                                                           \
        statement;                                                                                 \
        EXPECT(!recount());                                                                        \
        mend;                                                                                      \
        EXPECT(recount());                                                                         \
    } while (0)

    DAMAGE(store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_ALLOC, 0, 1)), *page = kept);
    DAMAGE(store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_BUDDY, 1, 1)), *page = kept);
    DAMAGE(store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_BUDDY, 0, 0)), *page = kept);
    DAMAGE(store_relaxed(&page->word, PAGE_WORD(PYSLAB_PAGE_UNLISTED, 0, 1)), *page = kept);
    DAMAGE(page->link.prev = 40, *page = kept);
    DAMAGE(page->link.next = INDEX_NONE, *page = kept);
    DAMAGE(page->link.next = kept.link.prev, *page = kept);
    DAMAGE(page_set_residency(page, 0, RESIDENCY_ZEROED), *page = kept);
    DAMAGE(rig.zone.free_pages++, rig.zone.free_pages--);
    DAMAGE(rig.zone.free_orders[FREE_DIRTY] = 0, rig.zone.free_orders[FREE_DIRTY] = 1);
    DAMAGE(rig.zone.free_orders[FREE_CLEAN] = 4, rig.zone.free_orders[FREE_CLEAN] = 0);
    DAMAGE(list->nr--, list->nr++);
    DAMAGE(page[1].word = 0, page[1].word = PAGE_WORD(PYSLAB_PAGE_ALLOC, 0, 1));
    fake_missed_merge();
    EXPECT(!recount());
}

static const struct test tests[] = {
    TEST(fresh_is_untouched),
    TEST(merge_and_split),
    TEST(resident_blocks_first),
    TEST(split_follows_the_resident_half),
    TEST(exact_keeps_residency),
    TEST(take_dirty_takes_the_largest),
    TEST(dirty_frames_are_counted_per_block),
    TEST(recount_notices),
};

TEST_MAIN(tests)

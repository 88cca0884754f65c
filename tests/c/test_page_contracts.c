/* test_page_contracts.c - broken contracts of page/, buddy/ and page_alloc/ are stopped, each by
 * its own check: locks not held, preconditions, words that break the tiling, wrong counts, page
 * lists that hold what they must not.
 *
 * What it is not: the recounts by hand (test_buddy_residency.c, test_pcp.c). At check level 1 the
 * faults that only a walk finds are left out. */
#include "buddy/buddy_range.h"
#include "page_alloc/access.h"
#include "page_alloc/recount.h"
#include "page_alloc/used.h"
#include "page_alloc/watermark.h"

#include "rig.h"

#define NR_FRAMES 1024u
#define ORDER 4u    /* has no page list: each block is an exchange with the buddy */
#define ROUNDS 400u /* more exchanges than go by between two recounts of so small a zone */

static struct page_rig rig;
static struct zone_rig zones;

static void begin(void)
{
    page_rig_begin(&rig, NR_FRAMES, 6);
}

/* Exchanges with the buddy, until one of them recounts. */
static void exchange(void)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t pfn = page_alloc_block(&rig.pa, ORDER, KERNEL);

        if (pfn != PFN_NONE)
            page_free_block(&rig.pa, pfn, ORDER);
    }
}

static void sound_zone(void)
{
    begin();
    exchange();
    page_rig_end(&rig);
}

/* --- locks ------------------------------------------------------------------ */

#define WITHOUT_LOCK(name, call)                                                                   \
    static void name(void)                                                                         \
    {                                                                                              \
        zone_rig_begin(&zones, 0, 64, 6);                                                          \
        lock_release(&zones.zone.lock);                                                            \
        (void)(call);                                                                              \
    }

#define ZONE &zones.zone, &zones.map
WITHOUT_LOCK(unlocked_alloc, buddy_alloc_locked(ZONE, 0))
WITHOUT_LOCK(unlocked_exact, buddy_alloc_exact_locked(ZONE, 2, 3))
WITHOUT_LOCK(unlocked_dirty, buddy_take_dirty_locked(ZONE, 0, 1, &(unsigned){0}))
WITHOUT_LOCK(unlocked_free, (buddy_free_locked(ZONE, 0, 0, RESIDENCY_DIRTY), 0))
WITHOUT_LOCK(unlocked_free_range, (buddy_free_range_locked(ZONE, 0, 1, RESIDENCY_DIRTY), 0))
WITHOUT_LOCK(unlocked_count, buddy_nr_free_locked(&zones.zone, 0))
WITHOUT_LOCK(unlocked_largest, buddy_largest_order_locked(&zones.zone))
WITHOUT_LOCK(unlocked_find, buddy_find_range_locked(ZONE, 0, 64, 1, 1, 0, 0))
WITHOUT_LOCK(unlocked_largest_run, buddy_largest_run_locked(ZONE))
WITHOUT_LOCK(unlocked_find_resident, buddy_find_resident_run_locked(ZONE, 3, 5))
WITHOUT_LOCK(unlocked_find_coloured, buddy_find_coloured_run_locked(ZONE, 3, 5, 1))
WITHOUT_LOCK(unlocked_take_range, buddy_take_range_locked(ZONE, 0, 1))
WITHOUT_LOCK(unlocked_check, buddy_check_locked(ZONE, &(struct finding){{0}}))
WITHOUT_LOCK(unlocked_check_busy, buddy_check_busy_locked(ZONE, &(struct finding){{0}}))
WITHOUT_LOCK(unlocked_usable, zone_usable_pages_locked(&zones.zone, &(struct access){0}))
WITHOUT_LOCK(unlocked_note_free, (zone_note_free_locked(&zones.zone, 1, 1), 0))

/* Another lock than the zone's own will not do. */
static void another_zones_lock(void)
{
    static struct zone_rig other;

    zone_rig_begin(&zones, 0, 64, 6);
    lock_release(&zones.zone.lock);
    zone_rig_begin(&other, 0, 64, 6);
    (void)buddy_alloc_locked(ZONE, 0);
}

static void unlocked_access(void)
{
    begin();
    (void)frames_open_locked(&rig.pa, 0, 1);
}

static void unlocked_limit(void)
{
    begin();
    (void)limit_room(&rig.pa, true);
}

static void locks_must_be_held(void)
{
    static void (*const runs[])(void) = {
        unlocked_alloc,      unlocked_exact,      unlocked_dirty,         unlocked_free,
        unlocked_free_range, unlocked_count,      unlocked_largest,       unlocked_find,
        unlocked_check,      unlocked_usable,     unlocked_find_resident, unlocked_find_coloured,
        unlocked_take_range, unlocked_check_busy, unlocked_note_free,     unlocked_largest_run,
        another_zones_lock};

    for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
        EXPECT(check_stops(runs[i], "lock_is_held(&zone->lock)"));
    EXPECT(check_stops(unlocked_access, "lock_is_held(&page_alloc_zone_of(pa, pfn)->lock)"));
    EXPECT(check_stops(unlocked_limit, "lock_is_held(&pa->limit_lock)"));
}

/* --- preconditions ------------------------------------------------------------ */

static void address_of_a_high_frame(void)
{
    begin();
    frame_map_set_high(&rig.pa.map, 64, NULL);
    (void)pfn_to_virt(&rig.pa.map, 64);
}

static void offset_of_a_low_frame(void)
{
    begin();
    (void)pfn_to_offset(&rig.pa.map, 64);
}

static void class_beyond_the_map(void)
{
    begin();
    frame_map_set_class(&rig.pa.map, NR_FRAMES - 1, 2, CLASS_LARGE);
}

static void exact_of_nothing(void)
{
    zone_rig_begin(&zones, 0, 64, 6);
    (void)buddy_alloc_exact_locked(ZONE, 2, 0);
}

static void find_unaligned(void)
{
    zone_rig_begin(&zones, 0, 64, 6);
    (void)buddy_find_range_locked(ZONE, 0, 64, 1, 3, 0, 0);
}

static void freed_twice(void)
{
    uint32_t pfn;

    zone_rig_begin(&zones, 0, 64, 6);
    pfn = zone_rig_alloc(&zones, 3);
    zone_rig_free(&zones, pfn, 3);
    zone_rig_free(&zones, pfn, 3);
}

static void freed_unaligned(void)
{
    zone_rig_begin(&zones, 0, 64, 6);
    (void)zone_rig_alloc(&zones, 3);
    zone_rig_free(&zones, 1, 2);
}

static void freed_beyond_the_frontier(void)
{
    zone_rig_begin(&zones, 0, 64, 6);
    zone_rig_free(&zones, 0, 2);
}

static void zone_of_a_bad_mask(void)
{
    begin();
    (void)gfp_zone(&rig.pa, PYSLAB_GFP_DMA | PYSLAB_GFP_HIGHMEM);
}

static void zone_of_no_frame(void)
{
    begin();
    (void)page_alloc_zone_of(&rig.pa, NR_FRAMES);
}

static void closed_in_use(void)
{
    begin();
    (void)page_alloc_block(&rig.pa, ORDER, KERNEL);
    (void)page_alloc_close(&rig.pa);
}

static void preconditions_are_checked(void)
{
    EXPECT(check_stops(address_of_a_high_frame, "pfn_has_address(map, pfn)"));
    EXPECT(check_stops(offset_of_a_low_frame, "!pfn_has_address(map, pfn)"));
    EXPECT(check_stops(class_beyond_the_map, "nr_pages <= map->nr_pages - pfn"));
    EXPECT(check_stops(exact_of_nothing, "nr_pages > 0"));
    EXPECT(check_stops(find_unaligned, "is_power_of_two(align)"));
    EXPECT(check_stops(freed_twice, "!= PYSLAB_PAGE_BUDDY"));
    EXPECT(check_stops(freed_unaligned, "(pfn & ((1u << order) - 1)) == 0"));
    EXPECT(check_stops(freed_beyond_the_frontier, "pfn < zone->frontier"));
    EXPECT(check_stops(zone_of_a_bad_mask, "gfp_valid(gfp)"));
    EXPECT(check_stops(zone_of_no_frame, "pfn < pa->map.nr_pages"));
    EXPECT(check_stops(closed_in_use, "used_pages"));
}

/* --- what a zone counts ---------------------------------------------------------- */

static void wrong_free_count(void)
{
    begin();
    exchange();
    rig.pa.zone[0].free_pages++;
    exchange();
}

static void free_count_is_checked(void)
{
    EXPECT(check_stops(wrong_free_count, "zone_counts_add_up(zone)"));
}

/* --- page lists -------------------------------------------------------------------- */

/* The thread's list of order 0, with some blocks. */
static struct pcp_list *filled_list(void)
{
    uint32_t pfn;

    page_rig_begin(&rig, 1u << 16, 6);
    pfn = page_alloc_block(&rig.pa, 0, KERNEL);
    page_free_block(&rig.pa, pfn, 0);
    return pcp_list_at(((struct pcp *)thread_slot(&rig.domain, THREAD_SLOT_PCP))->set, 0);
}

static void list_gives_a_block_in_use(void)
{
    struct pcp_list *list = filled_list();

    page_set(pfn_to_page(&rig.pa.map, list->frame[list->nr - 1]), PYSLAB_PAGE_ALLOC, 0, 0);
    (void)page_alloc_block(&rig.pa, 0, KERNEL);
}

static void list_overflows(void)
{
    struct pcp_list *list = filled_list();

    pcp_push(&rig.pa, list, list->high, list->frame[0]);
}

static void lists_are_checked(void)
{
    EXPECT(check_stops(list_gives_a_block_in_use, "page_word_listed(list->alloc_word)"));
    EXPECT(check_stops(list_overflows, "nr < list->high"));
}

#if PYSLAB_CHECK_LEVEL >= 2
/* Its counts agree with each other, not with the lists. */
static void frame_lost(void)
{
    begin();
    exchange();
    rig.pa.zone[0].free_pages--;
    rig.pa.zone[0].used_pages++;
    exchange();
}

/* A block in use of one frame says it had eight, seven of them free. */
static void word_covers_free_frames(void)
{
    uint32_t pfn;

    begin();
    pfn = page_alloc_exact(&rig.pa, 1, 3, KERNEL);
    page_set(pfn_to_page(&rig.pa.map, pfn), PYSLAB_PAGE_ALLOC, 3, 0);
    exchange();
}

static void word_of_another_zone(void)
{
    uint32_t pfn;

    begin();
    pfn = page_alloc_block(&rig.pa, ORDER, KERNEL);
    page_set(pfn_to_page(&rig.pa.map, pfn), PYSLAB_PAGE_ALLOC, ORDER, 1);
    exchange();
}

/* A free block calls itself used, but is still on its list. */
static void free_block_in_disguise(void)
{
    begin();
    (void)page_alloc_exact(&rig.pa, 1, 3, KERNEL);
    page_set(pfn_to_page(&rig.pa.map, 2), PYSLAB_PAGE_ALLOC, 1, 0);
    exchange();
}

static void list_loses_a_block(void)
{
    begin();
    (void)page_alloc_exact(&rig.pa, 1, 3, KERNEL);
    rig.pa.zone[0].free_area[1].list[FREE_CLEAN].nr++;
    exchange();
}

static void tiling_and_counts_are_recounted(void)
{
    EXPECT(check_stops(frame_lost, "free frames ("));
    EXPECT(check_stops(word_covers_free_frames, "lies in the block of 8 frames"));
    EXPECT(check_stops(word_of_another_zone, "no block's in zone 0"));
    EXPECT(check_stops(free_block_in_disguise, "buddy: frame 2 on list 1 has state"));
    EXPECT(check_stops(list_loses_a_block, "buddy: list 1 has 1 blocks, says 2"));
}

/* A full list: the next block that is freed makes the oldest go to the buddy. *one_more is it. */
static struct pcp_list *full_list(uint32_t *one_more)
{
    struct pcp_list *list = filled_list();
    uint32_t pfns[PCP_CAPACITY + 1], nr = list->high;

    for (uint32_t i = 0; i <= nr; i++)
        pfns[i] = page_alloc_block(&rig.pa, 0, KERNEL);
    while (load_relaxed(&list->nr) != 0) /* what the last refill brought besides */
        (void)pcp_pop(&rig.pa, list);
    for (uint32_t i = 0; i < nr; i++)
        page_free_block(&rig.pa, pfns[i], 0);
    *one_more = pfns[nr];
    return list;
}

static void list_has_a_foreign_block(void)
{
    uint32_t pfn;
    struct pcp_list *list = full_list(&pfn);

    page_set(pfn_to_page(&rig.pa.map, list->frame[list->high - 1]), PYSLAB_PAGE_ALLOC, 0, 0);
    page_free_block(&rig.pa, pfn, 0);
}

static void list_has_a_block_twice(void)
{
    uint32_t pfn;
    struct pcp_list *list = full_list(&pfn);

    list->frame[list->high - 1] = list->frame[list->high - 2];
    page_free_block(&rig.pa, pfn, 0);
}

static void lists_are_recounted(void)
{
    EXPECT(check_stops(list_has_a_foreign_block, "on list 0 of zone 0 has record"));
    EXPECT(check_stops(list_has_a_block_twice, "is twice on list 0"));
}
#endif

static const struct test tests[] = {
    TEST(sound_zone),
    TEST(locks_must_be_held),
    TEST(preconditions_are_checked),
    TEST(free_count_is_checked),
    TEST(lists_are_checked),
#if PYSLAB_CHECK_LEVEL >= 2
    TEST(tiling_and_counts_are_recounted),
    TEST(lists_are_recounted),
#endif
};

TEST_MAIN(tests)

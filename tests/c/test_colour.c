/* test_colour.c - holds down where large blocks in untouched memory begin, and which runs get huge
 * pages for arrays although the trial said no. */
#include "rig.h"

#include "os/os.h"
#include "page_alloc/hugepage.h"

#include <stdio.h>

#define LARGE 4096u        /* frames: 16 MiB */
#define ZONE (64u * LARGE) /* the smallest zone in which these are coloured */
#define COLOUR 17u         /* frames between two */
#define RUN ((size_t)8192) /* frames with one advice: 32 MiB */
#define ARRAY 1024u        /* frames of the smallest array with advice: 4 MiB */

/* --- colour ------------------------------------------------------------- */

static uint32_t expect_large(struct page_rig *rig, uint32_t nr_pages)
{
    uint32_t pfn = page_alloc_exact(&rig->pa, nr_pages, 0, KERNEL);

    EXPECT(pfn != PFN_NONE);
    return pfn;
}

/* One behind the other, each a few frames further than a multiple of its length; these frames are
 * free for others, and all comes back. */
static void large_blocks_are_coloured(void)
{
    uint32_t pfn[8], small;
    struct page_rig rig;

    page_rig_begin(&rig, ZONE, 18);
    for (uint32_t i = 0; i < 8; i++) {
        pfn[i] = expect_large(&rig, LARGE - 1 + i % 2);
        EXPECT(i == 0 || pfn[i] == pfn[i - 1] + LARGE - i % 2 + COLOUR);
    }
    small = expect_large(&rig, 1);
    EXPECT(small < pfn[7]);
    page_rig_check(&rig);
    page_free_range(&rig.pa, small, 1);
    for (uint32_t i = 0; i < 8; i++)
        page_free_range(&rig.pa, pfn[i], LARGE - 1 + i % 2);
    page_rig_end(&rig);
}

/* Of what is too small to gain, or too large a part of the zone, as much as fits is had. */
static void others_are_not(void)
{
    uint32_t pfn[64];
    struct page_rig rig;

    page_rig_begin(&rig, ZONE - 1024, 18);
    for (uint32_t i = 0; i < 63; i++) {
        pfn[i] = expect_large(&rig, LARGE);
        EXPECT_EQ(pfn[i] % LARGE, 0);
    }
    for (uint32_t i = 0; i < 63; i++)
        page_free_range(&rig.pa, pfn[i], LARGE);
    page_rig_end(&rig);
    page_rig_begin(&rig, ZONE, 18);
    for (uint32_t i = 0; i < 2; i++)
        EXPECT_EQ((pfn[i] = expect_large(&rig, LARGE / 2)) % (LARGE / 2), 0);
    for (uint32_t i = 0; i < 2; i++)
        page_free_range(&rig.pa, pfn[i], LARGE / 2);
    page_rig_end(&rig);
}

/* The trial of huge pages is made with a whole block; and resident memory goes first. */
static void not_before_the_trial_nor_in_resident_memory(void)
{
    struct page_rig rig;
    uint32_t pfn;

    page_rig_begin(&rig, ZONE, 18);
    EXPECT_EQ(page_alloc_set_hugepages(&rig.pa), PYSLAB_OK);
    pfn = page_alloc_exact(&rig.pa, LARGE, 0, KERNEL);
    EXPECT_EQ(pfn % LARGE, 0);
    EXPECT(load_relaxed(&rig.pa.huge.state) != HUGEPAGES_UNTRIED);
    page_free_range(&rig.pa, pfn, LARGE);
    EXPECT_EQ(expect_large(&rig, LARGE), pfn);
    page_free_range(&rig.pa, pfn, LARGE);
    page_rig_end(&rig);
}

/* Where the free frames are too few for a block and its colour, there is the block. */
static void the_last_block_is_had(void)
{
    uint32_t pfn[65], nr = 0;
    struct page_rig rig;

    page_rig_begin(&rig, ZONE, 18);
    while (nr < 65 && (pfn[nr] = page_alloc_exact(&rig.pa, LARGE, 0, KERNEL)) != PFN_NONE)
        nr++;
    EXPECT(nr >= 62 && nr <= 64);
    page_rig_check(&rig);
    while (nr > 0)
        page_free_range(&rig.pa, pfn[--nr], LARGE);
    page_rig_end(&rig);
}

/* --- huge pages for arrays ------------------------------------------------ */

/* What was asked for the mapping that a frame lies in: 'h' huge pages, 'n' none, ' ' nothing. */
static char advice_of(struct page_rig *rig, uint32_t pfn)
{
    uintptr_t p = (uintptr_t)pfn_to_virt(&rig->pa.map, pfn);
    FILE *file = fopen("/proc/self/smaps", "r");
    unsigned long start, end;
    bool inside = false;
    char line[512], advice = ' ';

    EXPECT(file != NULL);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = p >= start && p < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            advice = strstr(line, " hg") != NULL ? 'h' : strstr(line, " nh") != NULL ? 'n' : ' ';
    }
    EXPECT(file != NULL && fclose(file) == 0);
    return advice;
}

/* An arena whose trial said no. False: this kernel has no huge pages to ask for. */
static bool begin_without(struct page_rig *rig)
{
    page_rig_begin(rig, 4 * RUN, 15);
    EXPECT_EQ(page_alloc_set_hugepages(&rig->pa), PYSLAB_OK);
    store_relaxed(&rig->pa.huge.state, HUGEPAGES_OFF);
    os_advise_hugepages(rig->pa.map.base, rig->pa.map.bytes, false);
    return advice_of(rig, 0) == 'n';
}

static void arrays_get_huge_pages(void)
{
    struct page_rig rig;

    if (begin_without(&rig)) {
        hugepage_want(&rig.pa, 0, ARRAY - 1);
        EXPECT_EQ(advice_of(&rig, 0), 'n');
        hugepage_want(&rig.pa, RUN + 5, ARRAY);
        hugepage_want(&rig.pa, RUN + 5, ARRAY);
        EXPECT_EQ(advice_of(&rig, 0), 'n');
        EXPECT_EQ(advice_of(&rig, RUN), 'h');
        EXPECT_EQ(advice_of(&rig, 2 * RUN), 'n');
        hugepage_want(&rig.pa, 2 * RUN - 1, RUN + 2);
        EXPECT_EQ(advice_of(&rig, 2 * RUN), 'h');
        EXPECT_EQ(advice_of(&rig, 3 * RUN), 'h');
        EXPECT_EQ(advice_of(&rig, 0), 'n');
    }
    page_rig_end(&rig);
}

/* A hole of less than a huge page takes the advice from its run; the next array brings it back. */
static void holes_take_the_advice(void)
{
    struct page_rig rig;

    if (begin_without(&rig)) {
        hugepage_want(&rig.pa, RUN, ARRAY);
        lock_acquire(&rig.pa.zone[0].lock);
        hugepage_note_purge_locked(&rig.pa, RUN + 512, 9);
        EXPECT_EQ(advice_of(&rig, RUN), 'h');
        hugepage_note_purge_locked(&rig.pa, RUN + 512, 8);
        EXPECT_EQ(advice_of(&rig, RUN), 'n');
        hugepage_note_purge_locked(&rig.pa, RUN, 13);
        lock_release(&rig.pa.zone[0].lock);
        EXPECT_EQ(advice_of(&rig, RUN), 'n');
        hugepage_want(&rig.pa, RUN, ARRAY);
        EXPECT_EQ(advice_of(&rig, RUN), 'h');
    }
    page_rig_end(&rig);
}

/* Where the arena asked for none, or the trial is to come, or said yes, nothing is asked. */
static void others_keep_their_advice(void)
{
    struct page_rig rig;

    page_rig_begin(&rig, 2 * RUN, 14);
    hugepage_want(&rig.pa, 0, ARRAY);
    EXPECT(advice_of(&rig, 0) != 'h');
    EXPECT_EQ(page_alloc_set_hugepages(&rig.pa), PYSLAB_OK);
    hugepage_want(&rig.pa, 0, ARRAY);
    store_relaxed(&rig.pa.huge.state, HUGEPAGES_ON);
    hugepage_want(&rig.pa, 0, ARRAY);
    EXPECT(advice_of(&rig, 0) != 'h');
    page_rig_end(&rig);
}

static const struct test tests[] = {
    TEST(large_blocks_are_coloured),
    TEST(others_are_not),
    TEST(not_before_the_trial_nor_in_resident_memory),
    TEST(the_last_block_is_had),
    TEST(arrays_get_huge_pages),
    TEST(holes_take_the_advice),
    TEST(others_keep_their_advice),
};

TEST_MAIN(tests)

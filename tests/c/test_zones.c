/* test_zones.c - holds down an arena of several zones: which options are refused, which
 * zone a gfp mask leads to and where it may fall back to, that zones never merge or mix,
 * high frames without an address, kmalloc's DMA caches, and a forked child.
 *
 * What it is not: the watermarks (test_watermark.c), runs of frames (test_page_runs.c). */
#include "rig_zones.h"

#include <sys/stat.h>

#define NR_DMA 37u
#define NR_NORMAL 201u
#define NR_HIGH 75u
#define NR_LOW (NR_DMA + NR_NORMAL)
#define NR_ALL (NR_LOW + NR_HIGH)
#define BAD (-1)

static uint32_t pfns[8192];

/* DMA, NORMAL and HIGHMEM that begin and end at odd frames, nothing kept back. */
static pyslab_arena *odd_arena(void)
{
    const pyslab_zone_options zones[] = {rig_zone(PYSLAB_ZONE_DMA, NR_DMA, 0),
                                         rig_zone(PYSLAB_ZONE_NORMAL, NR_NORMAL, 0),
                                         rig_zone(PYSLAB_ZONE_HIGHMEM, NR_HIGH, 0)};

    return rig_zones_arena(zones, 3, 5);
}

/* --- options ------------------------------------------------------------ */

static pyslab_zone_options five[6];

static void five_zones(void)
{
    for (unsigned type = 0; type < 6; type++)
        five[type] = rig_zone((enum pyslab_zone_type)type, 100 + type, 8);
}

static void expect_valid(uint32_t first, uint32_t nr, uint64_t nr_pages, bool valid)
{
    pyslab_arena_options options = rig_zones_options(five + first, nr, 5);
    pyslab_arena *arena = NULL;

    EXPECT_EQ(page_alloc_zones_valid(five + first, nr, nr_pages), valid);
    options.size_bytes = nr_pages << PAGE_SHIFT;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), valid ? PYSLAB_OK : PYSLAB_EINVAL);
    EXPECT_EQ(arena != NULL, valid);
    if (arena != NULL)
        rig_end(arena);
    five_zones();
}

static void options_refused(void)
{
    const uint64_t sum = 100 + 101 + 102 + 103 + 104;

    five_zones();
    expect_valid(0, 5, sum, true);
    expect_valid(2, 1, 102, true);
    expect_valid(0, 5, sum - 1, false);
    expect_valid(0, 5, sum + 1, false);
    expect_valid(0, 6, sum + 105, false); /* one more than there are kinds */
    expect_valid(5, 1, 105, false);       /* no such kind */
    expect_valid(3, 1, 103, false);       /* without an address, none could be reached */
    expect_valid(3, 2, 103 + 104, false);
    for (unsigned i = 0; i < 5; i++) {
        five[i].nr_pages = 0;
        expect_valid(0, 5, sum - 100 - i, false);
        five[i].batch = 0;
        expect_valid(0, 5, sum, false);
        for (unsigned mark = 1; mark < PYSLAB_NR_MARKS; mark++) {
            five[i].watermark[mark] = five[i].watermark[mark - 1] - 1;
            expect_valid(0, 5, sum, false);
        }
        for (unsigned type = 0; type < 7; type++) {
            bool in_order = (i == 0 || type > five[i - 1].type) &&
                            (i == 4 || type < five[i + 1].type) && type < 5;

            five[i].type = type;
            expect_valid(0, 5, sum, in_order);
        }
    }
    /* A sum that only wraps to the right number is wrong. */
    five[0].nr_pages = UINT32_MAX;
    five[1].nr_pages = 103;
    expect_valid(0, 2, 102, false);
    five[0].watermark[0] = five[0].watermark[1] = five[0].watermark[2] = five[0].watermark[3] = 7;
    expect_valid(0, 5, sum, true);
    EXPECT(!page_alloc_zones_valid(NULL, 1, 100));
}

static void broken_frames_refused(void)
{
    pyslab_zone_options zone = rig_zone(PYSLAB_ZONE_NORMAL, 100, 0);
    pyslab_arena_options options = rig_zones_options(&zone, 1, 5);
    pyslab_arena *arena = NULL;

    options.size_bytes += 1;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EINVAL);
    options.size_bytes -= 2;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EINVAL);
    options.size_bytes += 1;
    options.zones = NULL;
    EXPECT_EQ(pyslab_arena_create(&options, &arena), PYSLAB_EINVAL);
    EXPECT(arena == NULL);
}

static void stats_past_the_end(void)
{
    static const uint32_t beyond[] = {3, 4, 5, 6, 100, UINT32_MAX};
    pyslab_arena *arena = odd_arena();
    pyslab_zone_stats stats;
    uint64_t nr_free[8];

    for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
        EXPECT_EQ(pyslab_arena_zone_stats(arena, beyond[i], &stats), PYSLAB_EINVAL);
        EXPECT_EQ(pyslab_arena_buddyinfo(arena, beyond[i], nr_free, 8), PYSLAB_EINVAL);
    }
    stats = rig_zone_stats(arena, 2);
    EXPECT_EQ(stats.type, PYSLAB_ZONE_HIGHMEM);
    EXPECT_EQ(stats.start_pfn, NR_LOW);
    EXPECT_EQ(stats.nr_pages, NR_HIGH);
    EXPECT_EQ(stats.has_address, 0);
    EXPECT_EQ(rig_zone_stats(arena, 1).has_address, 1);
    rig_zones_end(arena);
}

/* --- gfp to zone -------------------------------------------------------- */

/* The index that each of the 16 rows of the kernel's table (gfp.h) leads to. A kind that
 * is missing means, as in a kernel built without it, NORMAL; MOVABLE: the highest. */
struct layout {
    unsigned nr;
    enum pyslab_zone_type type[5];
    int expected[16];
};

static const struct layout layouts[] = {
    {5, {0, 1, 2, 3, 4}, {2, 0, 3, BAD, 1, BAD, BAD, BAD, 2, 0, 4, BAD, 1, BAD, BAD, BAD}},
    {3, {0, 2, 3}, {1, 0, 2, BAD, 1, BAD, BAD, BAD, 1, 0, 2, BAD, 1, BAD, BAD, BAD}},
    {3, {0, 1, 2}, {2, 0, 2, BAD, 1, BAD, BAD, BAD, 2, 0, 2, BAD, 1, BAD, BAD, BAD}},
    {1, {2}, {0, 0, 0, BAD, 0, BAD, BAD, BAD, 0, 0, 0, BAD, 0, BAD, BAD, BAD}},
    {2, {2, 4}, {0, 0, 0, BAD, 0, BAD, BAD, BAD, 0, 0, 1, BAD, 0, BAD, BAD, BAD}},
    {2, {1, 2}, {1, 1, 1, BAD, 0, BAD, BAD, BAD, 1, 1, 1, BAD, 0, BAD, BAD, BAD}},
    {2, {0, 3}, {0, 0, 1, BAD, 0, BAD, BAD, BAD, 0, 0, 1, BAD, 0, BAD, BAD, BAD}},
};

static void expect_row(pyslab_arena *arena, uint32_t row, int expected)
{
    uint32_t pfn = pyslab_alloc_pages(arena, 0, KERNEL | row);

    EXPECT_EQ(pyslab_gfp_zone(arena, KERNEL | row), expected == BAD ? PYSLAB_EINVAL : expected);
    EXPECT_EQ(pfn == PFN_NONE, expected == BAD);
    if (pfn == PFN_NONE)
        return;
    EXPECT_EQ(pyslab_page_to_zone(arena, pfn), expected);
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_OK);
}

static void sixteen_rows(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
        pyslab_zone_options zones[5];
        pyslab_arena *arena;

        for (unsigned zone = 0; zone < layouts[i].nr; zone++)
            zones[zone] = rig_zone(layouts[i].type[zone], 51 + zone, 0);
        arena = rig_zones_arena(zones, layouts[i].nr, 4);
        for (uint32_t row = 0; row < 16; row++)
            expect_row(arena, row, layouts[i].expected[row]);
        rig_zones_end(arena);
    }
}

/* From the zone asked for downwards, each exhausted before the next. */
static void expect_fallback(uint32_t gfp, uint32_t highest)
{
    static const uint32_t size[] = {NR_DMA, NR_NORMAL, NR_HIGH};
    pyslab_arena *arena = odd_arena();
    uint32_t nr = rig_take_all(arena, 0, gfp, pfns, ARRAY_SIZE(pfns)), at = 0;

    for (uint32_t left = highest + 1; left > 0; left--) {
        EXPECT_EQ(rig_zone_stats(arena, left - 1).nr_fallbacks,
                  left - 1 == highest ? 0 : size[left - 1]);
        for (uint32_t i = 0; i < size[left - 1]; i++)
            EXPECT_EQ(pyslab_page_to_zone(arena, pfns[at++]), left - 1);
    }
    EXPECT_EQ(nr, at);
    for (uint32_t zone = highest + 1; zone < 3; zone++)
        EXPECT_EQ(rig_zone_stats(arena, zone).free_pages, size[zone]);
    rig_give_all(arena, 0, pfns, nr);
    rig_zones_end(arena);
}

static void fallback_goes_down(void)
{
    expect_fallback(HIGHUSER, 2);
    expect_fallback(KERNEL, 1);
    expect_fallback(DMA, 0);
    expect_fallback(HIGHUSER & ~(uint32_t)PYSLAB_GFP_DIRECT_RECLAIM, 2);
    expect_fallback(PYSLAB_GFP_KERNEL | PYSLAB_GFP_MOVABLE, 1); /* row 8 */
}

/* --- boundaries --------------------------------------------------------- */

/* Free blocks are what a run of frames falls into: the largest that are aligned and fit. */
static void expect_whole(pyslab_arena *arena, uint32_t zone, uint32_t pfn, uint32_t end)
{
    uint64_t expected[6] = {0}, nr_free[6];

    while (pfn < end) {
        unsigned order = 5;

        while (pfn % (1u << order) != 0 || pfn + (1u << order) > end)
            order--;
        expected[order]++;
        pfn += 1u << order;
    }
    EXPECT_EQ(pyslab_arena_buddyinfo(arena, zone, nr_free, 6), 6);
    for (unsigned order = 0; order < 6; order++)
        EXPECT_EQ(nr_free[order], expected[order]);
}

static void expect_all_whole(pyslab_arena *arena)
{
    expect_whole(arena, 0, 0, NR_DMA);
    expect_whole(arena, 1, NR_DMA, NR_LOW);
    expect_whole(arena, 2, NR_LOW, NR_ALL);
    rig_validate(arena);
}

/* The frames on both sides of a boundary are buddies by number and never merge. */
static void boundaries_hold(void)
{
    pyslab_arena *arena = odd_arena();
    struct rng rng = {11};

    expect_all_whole(arena);
    for (unsigned round = 0; round < 40; round++) {
        uint32_t order = round % 6, nr;

        nr = rig_take_all(arena, order, HIGHUSER, pfns, ARRAY_SIZE(pfns));
        for (uint32_t i = 0; i < nr; i++) {
            EXPECT_EQ(pfns[i] % (1u << order), 0);
            EXPECT_EQ(pyslab_page_to_zone(arena, pfns[i]),
                      pyslab_page_to_zone(arena, pfns[i] + (1u << order) - 1));
        }
        for (uint32_t i = nr; i > 1; i--) {
            uint32_t other = rng_below(&rng, i), pfn = pfns[i - 1];

            pfns[i - 1] = pfns[other];
            pfns[other] = pfn;
        }
        rig_give_all(arena, order, pfns, nr);
        expect_all_whole(arena);
    }
    rig_zones_end(arena);
}

/* Once: page_is_free looked for a head below the zone's first frame, and
 * found the neighbour's. Frames 38 and 39 have never been used. */
static void free_frames_behind_a_boundary(void)
{
    pyslab_arena *arena = odd_arena();
    uint32_t nr = rig_take_all(arena, 0, DMA, pfns, ARRAY_SIZE(pfns));

    EXPECT_EQ(nr, NR_DMA);
    for (uint32_t pfn = NR_DMA; pfn < NR_LOW; pfn++)
        EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_EDOUBLE);
    rig_give_all(arena, 0, pfns, nr);
    for (uint32_t pfn = 0; pfn < NR_ALL; pfn++)
        EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_EDOUBLE);
    EXPECT_EQ(pyslab_free_pages(arena, NR_ALL, 0), PYSLAB_EINVAL);
    rig_zones_end(arena);
}

/* --- page lists --------------------------------------------------------- */

static void expect_listed(pyslab_arena *arena, unsigned nr_zones, uint32_t zone)
{
    for (uint32_t i = 0; i < nr_zones; i++)
        EXPECT_EQ(rig_zone_stats(arena, i).pcp_pages != 0, i == zone);
}

static void places_differ(pyslab_arena *arena)
{
    const struct page_alloc *pages = &arena->pages;
    unsigned seen = 0;

    EXPECT_EQ(pcp_place(pages, pages->normal), 0);
    for (uint32_t zone = 0; zone < pages->nr_zones; zone++)
        seen |= 1u << pcp_place(pages, zone);
    EXPECT_EQ(seen, (1u << pages->nr_zones) - 1);
}

/* A frame returns to the list of its own zone, whoever asked for it. */
static void lists_per_zone(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
        unsigned nr = layouts[i].nr;
        pyslab_zone_options zones[5];
        pyslab_arena *arena;

        for (unsigned zone = 0; zone < nr; zone++) {
            zones[zone] = rig_zone(layouts[i].type[zone], 2049, 0);
            zones[zone].high_min = 8;
            zones[zone].batch = 4;
        }
        arena = rig_zones_arena(zones, nr, 9);
        places_differ(arena);
        for (uint32_t row = 0; row < 16; row++) {
            int zone = layouts[i].expected[row];
            uint32_t pfn;

            if (zone == BAD)
                continue;
            pcp_drain(&arena->pages);
            pfn = pyslab_alloc_pages(arena, 0, KERNEL | row);
            expect_listed(arena, nr, (uint32_t)zone);
            EXPECT_EQ(pyslab_page_to_zone(arena, pfn), zone);
            pcp_drain(&arena->pages);
            EXPECT_EQ(rig_stats(arena).pcp_pages, 0);
            EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_OK);
            expect_listed(arena, nr, (uint32_t)zone);
            EXPECT_EQ(pyslab_alloc_pages(arena, 0, KERNEL | row), pfn); /* the youngest */
            EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_OK);
            rig_validate(arena);
        }
        rig_zones_end(arena);
    }
}

/* --- high frames -------------------------------------------------------- */

static off_t high_offset(const pyslab_arena *arena, uint32_t pfn)
{
    return (off_t)(pfn - arena->pages.map.nr_mapped) << PAGE_SHIFT;
}

static void fill_high(pyslab_arena *arena, uint32_t pfn, uint32_t nr, int byte)
{
    char frame[4096];

    memset(frame, byte, sizeof frame);
    for (uint32_t i = 0; i < nr; i++)
        EXPECT_EQ(
            pwrite(arena->pages.map.high->fd, frame, sizeof frame, high_offset(arena, pfn + i)),
            (ssize_t)sizeof frame);
}

static bool high_is(pyslab_arena *arena, uint32_t pfn, uint32_t nr, unsigned char byte)
{
    char frame[4096];
    bool is = true;

    for (uint32_t i = 0; i < nr; i++)
        is &= pread(arena->pages.map.high->fd, frame, sizeof frame, high_offset(arena, pfn + i)) ==
                  (ssize_t)sizeof frame &&
              rig_is_filled(frame, sizeof frame, byte);
    return is;
}

static uint64_t high_resident(pyslab_arena *arena)
{
    struct stat st;

    EXPECT_EQ(fstat(arena->pages.map.high->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512 / PAGE_SIZE;
}

static void high_frames_have_no_address(void)
{
    pyslab_arena *arena = odd_arena();
    uint32_t pfn = pyslab_alloc_pages(arena, 3, HIGHUSER);
    char *base = pyslab_arena_base(arena);
    void *p;

    EXPECT_EQ(pyslab_page_to_zone(arena, pfn), 2);
    EXPECT(pyslab_page_address(arena, pfn) == NULL);
    EXPECT(pyslab_page_address(arena, NR_LOW - 1) == base + (NR_LOW - 1) * PAGE_SIZE);
    EXPECT(pyslab_page_address(arena, NR_LOW) == NULL);
    EXPECT_EQ(pyslab_virt_to_pfn(arena, base + NR_LOW * PAGE_SIZE - 1), NR_LOW - 1);
    EXPECT_EQ(pyslab_virt_to_pfn(arena, base + NR_LOW * PAGE_SIZE), PFN_NONE);
    EXPECT_EQ(pyslab_arena_size(arena), NR_ALL * PAGE_SIZE);
    EXPECT_EQ(pyslab_kfree(arena, base + NR_LOW * PAGE_SIZE), PYSLAB_EPOINTER);
    /* __get_free_pages and kmalloc drop the flag: they return an address. */
    p = pyslab_get_free_pages(arena, 1, HIGHUSER | PYSLAB_GFP_MOVABLE);
    EXPECT_EQ(pyslab_page_to_zone(arena, pyslab_virt_to_pfn(arena, p)), 1);
    EXPECT_EQ(pyslab_free_pages_address(arena, p, 1), PYSLAB_OK);
    for (size_t size = 8; size <= 20 * PAGE_SIZE; size = size * 3 / 2 + 8) {
        void *q[4] = {pyslab_kmalloc(arena, size, HIGHUSER), pyslab_kzalloc(arena, size, HIGHUSER),
                      pyslab_kmalloc_aligned(arena, size, PAGE_SIZE, HIGHUSER),
                      pyslab_alloc_pages_exact(arena, size, HIGHUSER)};

        for (unsigned i = 0; i < 4; i++) {
            EXPECT_LE(pyslab_page_to_zone(arena, pyslab_virt_to_pfn(arena, q[i])), 1);
            EXPECT(q[i] != NULL && pyslab_kfree(arena, q[i]) == PYSLAB_OK);
        }
    }
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 3), PYSLAB_OK);
    rig_zones_end(arena);
}

static void high_frames_are_cleared(uint32_t nr_high)
{
    const pyslab_zone_options zones[] = {rig_zone(PYSLAB_ZONE_NORMAL, 64, 0),
                                         rig_zone(PYSLAB_ZONE_HIGHMEM, nr_high, 0)};
    pyslab_arena *arena = rig_zones_arena(zones, 2, 5);

    for (uint32_t order = 0; order <= 5; order++) {
        uint32_t pages = 1u << order, pfn = pyslab_alloc_pages(arena, order, HIGHUSER);
        uint64_t cleared;

        EXPECT_EQ(pyslab_page_to_zone(arena, pfn), 1);
        fill_high(arena, pfn, pages, 0x77);
        EXPECT_EQ(pyslab_free_pages(arena, pfn, order), PYSLAB_OK);
        cleared = rig_stats(arena).pages_cleared;
        EXPECT_EQ(pyslab_alloc_pages(arena, order, HIGHUSER | PYSLAB_GFP_ZERO), pfn);
        EXPECT(high_is(arena, pfn, pages, 0));
        EXPECT_EQ(rig_stats(arena).pages_cleared - cleared, pages);
        fill_high(arena, pfn, pages, 0x78);
        EXPECT_EQ(pyslab_free_pages(arena, pfn, order), PYSLAB_OK);
        EXPECT_EQ(pyslab_alloc_pages(arena, order, HIGHUSER), pfn);
        EXPECT(high_is(arena, pfn, pages, 0x78)); /* not asked for, not done */
        EXPECT_EQ(pyslab_free_pages(arena, pfn, order), PYSLAB_OK);
        EXPECT_EQ(high_resident(arena) != 0, 1);
        (void)pyslab_arena_release_unused(arena); /* the file gives its memory back */
        EXPECT_EQ(high_resident(arena), 0);
        EXPECT_EQ(rig_zone_stats(arena, 1).dirty_free_pages, 0);
        EXPECT(high_is(arena, pfn, pages, 0));
    }
    rig_zones_end(arena);
}

static void high_frames_clear_and_discard(void)
{
    high_frames_are_cleared(75);   /* without page lists */
    high_frames_are_cleared(4096); /* with them */
}

/* --- kmalloc in the DMA zone -------------------------------------------- */

static bool in_dma(pyslab_arena *arena, const void *p)
{
    return pyslab_page_to_zone(arena, pyslab_virt_to_pfn(arena, p)) == 0;
}

static void kmalloc_dma(uint32_t classes)
{
    const pyslab_zone_options zones[] = {rig_zone(PYSLAB_ZONE_DMA, 1001, 0),
                                         rig_zone(PYSLAB_ZONE_NORMAL, 3001, 0)};
    pyslab_arena_options options = rig_zones_options(zones, 2, 9);
    pyslab_arena *arena;
    uint32_t nr_caches;

    options.kmalloc_classes = classes;
    arena = rig_arena_of(&options);
    nr_caches = rig_stats(arena).nr_caches;
    for (size_t size = 1; size <= 64 * KIB; size = size * 5 / 4 + 1) {
        void *normal = pyslab_kmalloc(arena, size, KERNEL);
        char *dma = pyslab_kmalloc(arena, size, DMA);
        char *zero = pyslab_kzalloc(arena, size, DMA);
        char *aligned = pyslab_kmalloc_aligned(arena, size, 64, DMA);
        char *grown;

        EXPECT(!in_dma(arena, normal) && in_dma(arena, dma) && in_dma(arena, zero) &&
               in_dma(arena, aligned));
        EXPECT_EQ((uintptr_t)aligned % 64, 0);
        EXPECT(rig_is_filled(zero, size, 0));
        EXPECT_EQ(pyslab_ksize(arena, dma), pyslab_kmalloc_size_roundup(arena, size));
        EXPECT_EQ(pyslab_ksize(arena, normal), pyslab_ksize(arena, dma));
        memset(dma, 0x3e, size);
        memset(zero, 0x3f, size);
        grown = pyslab_krealloc(arena, dma, 3 * size + 100, DMA);
        EXPECT(in_dma(arena, grown) && rig_is_filled(grown, size, 0x3e));
        rig_validate(arena);
        EXPECT_EQ(pyslab_kfree(arena, grown), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(arena, zero), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(arena, zero), PYSLAB_EDOUBLE);
        EXPECT_EQ(pyslab_kfree(arena, aligned), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(arena, normal), PYSLAB_OK);
    }
    EXPECT(rig_stats(arena).nr_caches > nr_caches);
    EXPECT_EQ(pyslab_kmalloc(arena, 0, DMA) == (void *)(uintptr_t)PYSLAB_ZERO_SIZE, 1);
    EXPECT(pyslab_kmalloc(arena, 100, DMA | PYSLAB_GFP_HIGHMEM) == NULL); /* a BAD row */
    rig_validate(arena);
    rig_zones_end(arena);
}

static void kmalloc_dma_zone(void)
{
    kmalloc_dma(PYSLAB_CLASSES_FINE);
    kmalloc_dma(PYSLAB_CLASSES_LINUX);
}

/* It never goes up: with the DMA zone full, objects and frames are refused. */
static void kmalloc_dma_never_goes_up(void)
{
    pyslab_arena *arena = odd_arena();
    uint32_t nr = rig_take_all(arena, 0, DMA, pfns, ARRAY_SIZE(pfns));

    EXPECT_EQ(nr, NR_DMA);
    for (size_t size = 8; size < 40 * KIB; size *= 2) {
        EXPECT(pyslab_kmalloc(arena, size, DMA) == NULL);
        EXPECT(pyslab_kzalloc(arena, size, DMA) == NULL);
    }
    EXPECT(pyslab_kmalloc(arena, 64, KERNEL) != NULL);
    rig_give_all(arena, 0, pfns, nr);
    rig_end(arena);
}

/* --- fork --------------------------------------------------------------- */

static pyslab_arena *forked;
static uint32_t high_pfn, free_high;

static void child(void)
{
    uint32_t pfn;

    EXPECT_EQ(pyslab_free_pages(forked, high_pfn, 1), PYSLAB_EFORKED);
    EXPECT_EQ(pyslab_put_page(forked, high_pfn), PYSLAB_EFORKED);
    EXPECT_EQ(pyslab_split_page(forked, high_pfn, 1), PYSLAB_EFORKED);
    EXPECT_EQ(pyslab_page_count(forked, high_pfn), 1);
    EXPECT_EQ(page_reserve_range(&forked->pages, free_high, 1, PYSLAB_PAGE_LARGE), PFN_NONE);
    EXPECT_EQ(pyslab_alloc_pages_bulk(forked, HIGHUSER, 1, &pfn), 0);
    for (unsigned order = 0; order < 4; order++)
        EXPECT_EQ(pyslab_alloc_pages(forked, order, HIGHUSER), PFN_NONE);
    pfn = pyslab_alloc_pages(forked, 2, KERNEL); /* the rest is its own */
    EXPECT_EQ(pyslab_page_to_zone(forked, pfn), 1);
    EXPECT_EQ(pyslab_free_pages(forked, pfn, 2), PYSLAB_OK);
    (void)pyslab_arena_release_unused(forked); /* must leave the parent's file alone */
    EXPECT(high_is(forked, high_pfn, 2, 0x44));
    EXPECT(high_is(forked, free_high, 1, 0x45));
    rig_validate(forked);
    pyslab_arena_destroy(forked);
}

/* Once: page_get says "errors as page_put" and gave a reference. */
static void child_gets_no_reference(void)
{
    EXPECT_EQ(pyslab_get_page(forked, high_pfn), PYSLAB_EFORKED);
    EXPECT_EQ(pyslab_page_count(forked, high_pfn), 1);
}

static void fork_with(uint32_t nr_high, void (*run)(void))
{
    const pyslab_zone_options zones[] = {rig_zone(PYSLAB_ZONE_DMA, 33, 0),
                                         rig_zone(PYSLAB_ZONE_NORMAL, 1001, 0),
                                         rig_zone(PYSLAB_ZONE_HIGHMEM, nr_high, 0)};

    forked = rig_zones_arena(zones, 3, 5);
    high_pfn = pyslab_alloc_pages(forked, 1, HIGHUSER);
    free_high = pyslab_alloc_pages(forked, 0, HIGHUSER);
    fill_high(forked, high_pfn, 2, 0x44);
    fill_high(forked, free_high, 1, 0x45);
    EXPECT_EQ(pyslab_free_pages(forked, free_high, 0), PYSLAB_OK);
    EXPECT_EQ(check_child(run), 0);
    EXPECT(high_is(forked, high_pfn, 2, 0x44));
    EXPECT(high_is(forked, free_high, 1, 0x45));
    EXPECT_EQ(pyslab_free_pages(forked, high_pfn, 1), PYSLAB_OK);
    rig_zones_end(forked);
}

static void forked_child(void)
{
    fork_with(75, child);
    fork_with(2048, child); /* the freed frame is on the child's page list */
}

static void forked_child_references(void)
{
    fork_with(75, child_gets_no_reference);
}

static const struct test tests[] = {
    TEST(options_refused),
    TEST(broken_frames_refused),
    TEST(stats_past_the_end),
    TEST(sixteen_rows),
    TEST(fallback_goes_down),
    TEST(boundaries_hold),
    TEST(free_frames_behind_a_boundary),
    TEST(lists_per_zone),
    TEST(high_frames_have_no_address),
    TEST(high_frames_clear_and_discard),
    TEST(kmalloc_dma_zone),
    TEST(kmalloc_dma_never_goes_up),
    TEST(forked_child),
    TEST(forked_child_references),
};

TEST_MAIN(tests)

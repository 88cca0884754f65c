/* test_page_runs.c - holds down what page_alloc gives besides blocks, in an arena of
 * several zones: reserved and contiguous runs, single frames in bulk, blocks split or
 * kept together by GFP_COMP, the arena's limit; with every refusal each may give.
 *
 * What it is not: the search for a run (test_buddy_suite.c). */
#include "rig_zones.h"

#include <pthread.h>

#define NR_DMA 37u
#define NR_NORMAL 201u
#define NR_HIGH 75u
#define NR_LOW (NR_DMA + NR_NORMAL)
#define NR_ALL (NR_LOW + NR_HIGH)

static uint32_t pfns[8192];

/* DMA, NORMAL and HIGHMEM that begin and end at odd frames; NORMAL keeps min. */
static pyslab_arena *odd_arena(uint32_t min)
{
    const pyslab_zone_options zones[] = {rig_zone(PYSLAB_ZONE_DMA, NR_DMA, 0),
                                         rig_zone(PYSLAB_ZONE_NORMAL, NR_NORMAL, min),
                                         rig_zone(PYSLAB_ZONE_HIGHMEM, NR_HIGH, 0)};

    return rig_zones_arena(zones, 3, 5);
}

static uint32_t pfn_of(const pyslab_arena *arena, const void *p)
{
    return pyslab_virt_to_pfn(arena, p);
}

static void expect_free(pyslab_arena *arena, void *p)
{
    EXPECT(p != NULL);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
}

/* --- exactly these frames ----------------------------------------------- */

static void expect_refused(pyslab_arena *arena, uint32_t pfn, uint32_t nr)
{
    uint64_t used = pyslab_arena_used(arena), failures = rig_stats(arena).alloc_failures;

    EXPECT(pyslab_reserve_range(arena, pfn, nr) == NULL);
    EXPECT_EQ(page_reserve_range(&arena->pages, pfn, nr, PYSLAB_PAGE_LARGE), PFN_NONE);
    EXPECT_EQ(pyslab_arena_used(arena), used);
    EXPECT_LE(rig_stats(arena).alloc_failures, failures + 1);
}

static void reserve_errors(void)
{
    pyslab_arena *arena = odd_arena(0);
    void *p;

    expect_refused(arena, 0, 0);
    expect_refused(arena, NR_ALL, 1);
    expect_refused(arena, UINT32_MAX, 1);
    expect_refused(arena, UINT32_MAX, UINT32_MAX);
    expect_refused(arena, 1, UINT32_MAX);
    expect_refused(arena, 0, NR_ALL + 1);
    expect_refused(arena, NR_DMA - 1, 2); /* in two zones */
    expect_refused(arena, NR_LOW - 1, 2);
    expect_refused(arena, 0, NR_ALL);
    p = pyslab_reserve_range(arena, 7, 1);
    EXPECT_EQ(pfn_of(arena, p), 7);
    for (uint32_t pfn = 0; pfn < 8; pfn++)
        expect_refused(arena, pfn, 8 - pfn); /* the last of them is taken */
    expect_free(arena, p);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_EDOUBLE);
    EXPECT(pyslab_reserve_range(arena, NR_LOW, 1) == NULL); /* has no address */
    EXPECT_EQ(pyslab_arena_used(arena), 0);
    rig_zones_end(arena);
}

/* Every run of every zone, whole zones included, and back. */
static void reserve_any_run(void)
{
    pyslab_arena *arena = odd_arena(0);
    uint32_t starts[] = {0, NR_DMA, NR_LOW, NR_ALL};
    struct rng rng = {5};

    for (unsigned zone = 0; zone < 2; zone++) {
        uint32_t nr_zone = starts[zone + 1] - starts[zone];

        for (unsigned i = 0; i < 400; i++) {
            uint32_t first = rng_below(&rng, nr_zone);
            uint32_t nr = i == 0 ? nr_zone : 1 + rng_below(&rng, nr_zone - first);
            uint32_t pfn = starts[zone] + (i == 0 ? 0 : first);
            void *p = pyslab_reserve_range(arena, pfn, nr);

            EXPECT_EQ(pfn_of(arena, p), pfn);
            EXPECT_EQ(rig_used_pages(arena), nr);
            EXPECT_EQ(rig_stats(arena).large_pages, nr);
            EXPECT_EQ(pyslab_ksize(arena, p), nr * PAGE_SIZE);
            EXPECT_EQ(rig_zone_stats(arena, zone).nr_fallbacks, 0);
            memset(p, 0x5e, nr * PAGE_SIZE);
            expect_free(arena, p);
            EXPECT_EQ(rig_used_pages(arena), 0);
        }
        rig_validate(arena);
    }
    rig_zones_end(arena);
}

/* High frames can be taken below the public door, and only there. A MOVABLE zone above
 * does not make it a fallback. Once: nr_fallbacks counted each. */
static void reserve_high_frames(void)
{
    const pyslab_zone_options zones[] = {rig_zone(PYSLAB_ZONE_NORMAL, 33, 0),
                                         rig_zone(PYSLAB_ZONE_HIGHMEM, 35, 0),
                                         rig_zone(PYSLAB_ZONE_MOVABLE, 37, 0)};
    pyslab_arena *arena = rig_zones_arena(zones, 3, 5);

    for (uint32_t pfn = 0; pfn + 3 <= 33 + 35 + 37; pfn++) {
        bool within = pyslab_page_to_zone(arena, pfn) == pyslab_page_to_zone(arena, pfn + 2);

        EXPECT_EQ(page_reserve_range(&arena->pages, pfn, 3, PYSLAB_PAGE_LARGE),
                  within ? pfn : PFN_NONE);
        if (within)
            page_free_range(&arena->pages, pfn, 3);
    }
    for (uint32_t zone = 0; zone < 3; zone++)
        EXPECT_EQ(rig_zone_stats(arena, zone).nr_fallbacks, 0);
    rig_zones_end(arena);
}

/* Neither mark nor reserve keeps frames that are asked for by number. */
static void reserve_ignores_marks(void)
{
    pyslab_zone_options zone = rig_zone(PYSLAB_ZONE_NORMAL, 100, 100);
    pyslab_arena *arena;
    void *p;

    for (unsigned i = 0; i < MAX_NR_ZONES; i++)
        zone.lowmem_reserve[i] = 100;
    arena = rig_zones_arena(&zone, 1, 5);
    EXPECT_EQ(pyslab_alloc_pages(arena, 0, ATOMIC), PFN_NONE);
    p = pyslab_reserve_range(arena, 0, 100);
    expect_free(arena, p);
    rig_zones_end(arena);
}

/* Once: kfree gave a run of 2, 4, 8 or 512 frames to a page list as if it
 * were a block, wherever it began; the next block of that order was not aligned. */
static void freed_run_is_no_block(void)
{
    const pyslab_zone_options zone = {.type = PYSLAB_ZONE_NORMAL,
                                      .nr_pages = 64 * 1024,
                                      .batch = 16,
                                      .high_min = 64,
                                      .high_max = 64};
    pyslab_arena *arena = rig_zones_arena(&zone, 1, 10);
    static const unsigned orders[] = {1, 2, 3, 9};

    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        uint32_t nr = 1u << orders[i], pfn;

        for (uint32_t first = 20001; first < 20001 + nr && first < 20009; first++) {
            expect_free(arena, pyslab_reserve_range(arena, first, nr));
            rig_validate(arena);
            pfn = pyslab_alloc_pages(arena, orders[i], KERNEL);
            EXPECT_EQ(pfn % nr, 0);
            if (pfn % nr == 0)
                EXPECT_EQ(pyslab_free_pages(arena, pfn, orders[i]), PYSLAB_OK);
        }
    }
    rig_zones_end(arena);
}

/* --- a run somewhere ---------------------------------------------------- */

static void contig_errors(void)
{
    pyslab_arena *arena = odd_arena(0);
    static const struct {
        uint32_t nr, align, nocross, gfp;
    } bad[] = {
        {0, 1, 0, PYSLAB_GFP_KERNEL},
        {NR_ALL + 1, 1, 0, PYSLAB_GFP_KERNEL},
        {UINT32_MAX, 1, 0, PYSLAB_GFP_KERNEL},
        {1, 3, 0, PYSLAB_GFP_KERNEL}, /* no power of two */
        {1, UINT32_MAX, 0, PYSLAB_GFP_KERNEL},
        {4, 1, 3, PYSLAB_GFP_KERNEL},
        {4, 1, 2, PYSLAB_GFP_KERNEL},             /* shorter than the run */
        {NR_NORMAL + 1, 1, 0, PYSLAB_GFP_KERNEL}, /* not in two zones */
        {NR_DMA + 1, 1, 0, PYSLAB_GFP_KERNEL | PYSLAB_GFP_DMA},
        {1, 256, 1, PYSLAB_GFP_KERNEL | PYSLAB_GFP_DMA | PYSLAB_GFP_DMA32},
        {1, 1, 0, PYSLAB_GFP_KERNEL | 1u << 31},
        {1, 1, 0, PYSLAB_GFP_NOFAIL},                     /* cannot wait */
        {3, 1, 0, PYSLAB_GFP_KERNEL | PYSLAB_GFP_NOFAIL}, /* order 2 */
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t failures = rig_stats(arena).alloc_failures;

        EXPECT(pyslab_alloc_contig(arena, bad[i].nr, bad[i].align, bad[i].nocross, bad[i].gfp) ==
               NULL);
        EXPECT_EQ(rig_stats(arena).alloc_failures, failures + 1);
        EXPECT_EQ(pyslab_arena_used(arena), 0);
    }
    expect_free(arena, pyslab_alloc_contig(arena, NR_NORMAL, 0, 0, KERNEL));
    expect_free(arena,
                pyslab_alloc_contig(arena, 1, 256, 1, KERNEL)); /* one that nothing can cross */
    rig_zones_end(arena);
}

static void contig_somewhere(void)
{
    pyslab_arena *arena = odd_arena(0);
    struct rng rng = {77};

    for (unsigned round = 0; round < 300; round++) {
        uint32_t nr = 1 + rng_below(&rng, 60), align = 1u << rng_below(&rng, 6);
        bool dma = round % 4 == 0 && nr + align <= NR_DMA;
        uint32_t nocross = !dma && rng_below(&rng, 2) != 0 ? 64 : 0;
        char *p = pyslab_alloc_contig(arena, nr, align, nocross,
                                      (dma ? DMA : HIGHUSER) | PYSLAB_GFP_ZERO);
        uint32_t pfn = pfn_of(arena, p);
        uintptr_t frame = (uintptr_t)p >> PAGE_SHIFT; /* places are places in memory */

        REQUIRE(p != NULL);
        EXPECT_EQ(frame % align, 0);
        EXPECT(nocross == 0 || frame / 64 == (frame + nr - 1) / 64);
        EXPECT_EQ(pyslab_page_to_zone(arena, pfn), pyslab_page_to_zone(arena, pfn + nr - 1));
        EXPECT_EQ(pyslab_page_to_zone(arena, pfn), dma ? 0 : 1);
        EXPECT(rig_is_filled(p, nr * PAGE_SIZE, 0)); /* dirty from the round before */
        EXPECT_EQ(rig_used_pages(arena), nr);
        memset(p, 0xee, nr * PAGE_SIZE);
        expect_free(arena, p);
        rig_validate(arena);
    }
    rig_zones_end(arena);
}

/* --- single frames ------------------------------------------------------ */

static void bulk(void)
{
    pyslab_arena *arena = odd_arena(40); /* low 50: 151 frames in one go */
    uint32_t nr;

    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL, 0, NULL), 0);
    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL | 1u << 31, 5, pfns), 0);
    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL | 3, 5, pfns), 0);
    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL, 151, pfns), 151);
    EXPECT_EQ(rig_event(arena, PYSLAB_VM_MIN_RETRY), 0);
    for (uint32_t i = 0; i < 151; i++) {
        EXPECT_EQ(pyslab_page_to_zone(arena, pfns[i]), 1);
        EXPECT_EQ(pyslab_page_count(arena, pfns[i]), 1);
        EXPECT_EQ(pyslab_page_order(arena, pfns[i]), 0);
        EXPECT_EQ(pyslab_page_state(arena, pfns[i]), PYSLAB_PAGE_ALLOC);
        memset(pyslab_page_address(arena, pfns[i]), 0x91, PAGE_SIZE);
    }
    rig_validate(arena);
    /* On: first down to DMA, which keeps nothing, then below low to min. */
    nr = pyslab_alloc_pages_bulk(arena, KERNEL, 1000, pfns + 151);
    EXPECT_EQ(nr, NR_DMA + 10);
    for (uint32_t i = 0; i < nr; i++)
        EXPECT_EQ(pyslab_page_to_zone(arena, pfns[151 + i]), i < NR_DMA ? 0 : 1);
    EXPECT_EQ(rig_zone_stats(arena, 1).free_pages, 40);
    EXPECT_EQ(rig_zone_stats(arena, 0).nr_fallbacks, NR_DMA);
    rig_give_all(arena, 0, pfns, 151 + nr);
    nr = pyslab_alloc_pages_bulk(arena, KERNEL | PYSLAB_GFP_ZERO, 151, pfns);
    EXPECT_EQ(nr, 151);
    for (uint32_t i = 0; i < nr; i++)
        EXPECT(rig_is_filled(pyslab_page_address(arena, pfns[i]), PAGE_SIZE, 0));
    rig_give_all(arena, 0, pfns, nr);
    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, HIGHUSER, NR_HIGH + 1, pfns), NR_HIGH + 1);
    for (uint32_t i = 0; i <= NR_HIGH; i++)
        EXPECT_EQ(pyslab_page_to_zone(arena, pfns[i]), i < NR_HIGH ? 2 : 1);
    rig_give_all(arena, 0, pfns, NR_HIGH + 1);
    rig_zones_end(arena);
}

/* Once: what one call must be refused, many were given: NOFAIL asks for
 * a caller who can wait. */
static void bulk_nofail(void)
{
    pyslab_arena *arena = odd_arena(0);

    EXPECT_EQ(pyslab_alloc_pages(arena, 0, PYSLAB_GFP_NOFAIL), PFN_NONE);
    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, PYSLAB_GFP_NOFAIL, 5, pfns), 0);
    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL | PYSLAB_GFP_NOFAIL, 5, pfns), 5);
    rig_give_all(arena, 0, pfns, 5);
    rig_zones_end(arena);
}

/* --- splitting and staying together ------------------------------------- */

static void split_errors(void)
{
    pyslab_arena *arena = odd_arena(0);
    uint32_t pfn = pyslab_alloc_pages(arena, 3, KERNEL);
    void *p = pyslab_kmalloc(arena, 100, KERNEL), *large = pyslab_kmalloc(arena, 65536, KERNEL);

    EXPECT_EQ(pyslab_split_page(arena, NR_ALL, 0), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_split_page(arena, PFN_NONE, 0), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_split_page(arena, pfn, 2), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_split_page(arena, pfn, UINT32_MAX), PYSLAB_EINVAL);
    EXPECT_EQ(pyslab_split_page(arena, pfn + 1, 0), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_split_page(arena, pfn_of(arena, p), 0), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_split_page(arena, pfn_of(arena, large), 4), PYSLAB_EPOINTER);
    EXPECT_EQ(pyslab_get_page(arena, pfn), PYSLAB_OK);
    EXPECT_EQ(pyslab_split_page(arena, pfn, 3), PYSLAB_EBUSY);
    EXPECT_EQ(pyslab_put_page(arena, pfn), PYSLAB_OK);
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 3), PYSLAB_OK);
    EXPECT_EQ(pyslab_split_page(arena, pfn, 3), PYSLAB_EDOUBLE);
    expect_free(arena, p);
    expect_free(arena, large);
    rig_zones_end(arena);
}

static void split_in(pyslab_arena *arena, uint32_t gfp)
{
    for (uint32_t order = 0; order <= 5; order++) {
        uint32_t pfn = pyslab_alloc_pages(arena, order, gfp), nr = 1u << order;

        EXPECT_EQ(pyslab_split_page(arena, pfn, order), PYSLAB_OK);
        rig_validate(arena);
        for (uint32_t i = 0; i < nr; i++) {
            EXPECT_EQ(pyslab_page_count(arena, pfn + i), 1);
            EXPECT_EQ(pyslab_page_order(arena, pfn + i), 0);
        }
        EXPECT_EQ(pyslab_free_pages(arena, pfn, order), order == 0 ? PYSLAB_OK : PYSLAB_EINVAL);
        for (uint32_t i = order == 0; i < nr; i++) {
            uint32_t at = pfn + (i ^ (nr > 1 ? 1u : 0u)); /* each on its own, in any order */

            EXPECT_EQ(pyslab_get_page(arena, at), PYSLAB_OK);
            EXPECT_EQ(pyslab_put_page(arena, at), PYSLAB_OK);
            EXPECT_EQ(pyslab_put_page(arena, at), PYSLAB_OK);
        }
        EXPECT_EQ(rig_used_pages(arena) - rig_stats(arena).pcp_pages, 0);
    }
}

static void split_and_free(void)
{
    pyslab_arena *arena = odd_arena(0);

    split_in(arena, KERNEL);
    split_in(arena, DMA);
    split_in(arena, HIGHUSER);
    rig_zones_end(arena);
    arena = rig_arena(64 * MIB, 9);
    split_in(arena, KERNEL);
    rig_zones_end(arena);
}

/* A compound block stays one; freed, its memory is as any. */
static void compound_in(pyslab_arena *arena, uint32_t gfp)
{
    for (uint32_t order = 1; order <= 5; order++)
        for (unsigned zero = 0; zero < 2; zero++) {
            uint32_t bits = gfp | (zero != 0 ? (uint32_t)PYSLAB_GFP_ZERO : 0);
            uint32_t pfn = pyslab_alloc_pages(arena, order, bits | PYSLAB_GFP_COMP);

            EXPECT_EQ(pyslab_split_page(arena, pfn, order), PYSLAB_EINVAL);
            EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_EINVAL);
            EXPECT_EQ(pyslab_get_page(arena, pfn), PYSLAB_OK);
            EXPECT_EQ(pyslab_split_page(arena, pfn, order), PYSLAB_EINVAL);
            EXPECT_EQ(pyslab_put_page(arena, pfn), PYSLAB_OK);
            rig_validate(arena);
            EXPECT_EQ(pyslab_free_pages(arena, pfn, order), PYSLAB_OK);
            rig_validate(arena);
            EXPECT_EQ(pyslab_alloc_pages(arena, order, bits), pfn);
            EXPECT_EQ(pyslab_split_page(arena, pfn, order), PYSLAB_OK);
            for (uint32_t i = 0; i < 1u << order; i++)
                EXPECT_EQ(pyslab_put_page(arena, pfn + i), PYSLAB_OK);
            pcp_drain(&arena->pages);
        }
}

static void compound(void)
{
    pyslab_arena *arena = odd_arena(0);

    compound_in(arena, KERNEL);
    compound_in(arena, HIGHUSER);
    rig_zones_end(arena);
    arena = rig_arena(64 * MIB, 9);
    compound_in(arena, KERNEL);
    rig_zones_end(arena);
}

/* Linux makes compound blocks of order 1 and more only; a frame is one by itself.
 * Once: EINVAL. */
static void compound_single(void)
{
    pyslab_arena *arena = odd_arena(0);
    uint32_t pfn = pyslab_alloc_pages(arena, 0, KERNEL | PYSLAB_GFP_COMP);

    EXPECT_EQ(pyslab_split_page(arena, pfn, 0), PYSLAB_OK);
    EXPECT_EQ(pyslab_put_page(arena, pfn), PYSLAB_OK);
    rig_zones_end(arena);
}

/* --- the limit ---------------------------------------------------------- */

static void limit_counts_frames(void)
{
    pyslab_arena *arena = odd_arena(0);
    uint32_t nr, pfn;

    EXPECT_EQ(pyslab_arena_limit(arena), 0);
    pyslab_arena_set_limit(arena, 50 * PAGE_SIZE);
    EXPECT_EQ(pyslab_arena_limit(arena), 50 * PAGE_SIZE);
    nr = rig_take_all(arena, 0, HIGHUSER, pfns, ARRAY_SIZE(pfns));
    EXPECT_EQ(nr, 50);
    EXPECT(rig_event(arena, PYSLAB_VM_LIMIT_HIT) > 0);
    EXPECT_EQ(rig_used_pages(arena), 50);
    /* Below what is in use: everything is refused until enough has come back. */
    pyslab_arena_set_limit(arena, 20 * PAGE_SIZE);
    EXPECT_EQ(rig_used_pages(arena), 50);
    while (nr > 20) {
        EXPECT_EQ(pyslab_alloc_pages(arena, 0, KERNEL | PYSLAB_GFP_MEMALLOC), PFN_NONE);
        EXPECT(pyslab_kmalloc(arena, 100, KERNEL) == NULL);
        EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL, 3, pfns + 100), 0);
        EXPECT(pyslab_reserve_range(arena, 1, 1) == NULL);
        rig_give_all(arena, 0, pfns + --nr, 1);
    }
    EXPECT_EQ(pyslab_alloc_pages(arena, 0, KERNEL), PFN_NONE);
    rig_give_all(arena, 0, pfns + --nr, 1);
    pfn = pyslab_alloc_pages(arena, 0, KERNEL);
    EXPECT(pfn != PFN_NONE);
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 0), PYSLAB_OK);
    pyslab_arena_set_limit(arena, 23 * PAGE_SIZE); /* 19 in use: a block of four, not of eight */
    EXPECT_EQ(pyslab_alloc_pages(arena, 3, KERNEL), PFN_NONE);
    EXPECT_EQ(pyslab_alloc_pages_bulk(arena, KERNEL, 9, pfns + 100), 4);
    rig_give_all(arena, 0, pfns + 100, 4);
    pfn = pyslab_alloc_pages(arena, 2, KERNEL);
    EXPECT(pfn != PFN_NONE);
    EXPECT_EQ(rig_stats(arena).peak_used_pages, 50);
    EXPECT_EQ(pyslab_free_pages(arena, pfn, 2), PYSLAB_OK);
    rig_validate(arena);
    pyslab_arena_set_limit(arena, 0);
    EXPECT_EQ(pyslab_arena_limit(arena), 0);
    rig_give_all(arena, 0, pfns, nr);
    rig_zones_end(arena);
}

/* A limit of less than a frame refuses everything, and is told as it was set. */
static void limit_below_a_frame(void)
{
    pyslab_arena *arena = odd_arena(0);

    pyslab_arena_set_limit(arena, 100);
    EXPECT_EQ(pyslab_alloc_pages(arena, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(pyslab_arena_limit(arena), 100);
    rig_zones_end(arena);
}

static atomic_bool small_one_done;

/* Wants more than the limit allows, and never gets it. */
static void *be_greedy(void *unused)
{
    while (!atomic_load(&small_one_done))
        EXPECT_EQ(pyslab_alloc_pages(unused, 5, NOTHING), PFN_NONE);
    return NULL;
}

/* A request that is refused takes no room from others meanwhile. Once: it was counted
 * first and refused afterwards; others saw the limit reached, and the peak above it. */
static void limit_refuses_only_the_greedy(void)
{
    pyslab_arena *arena = odd_arena(0);
    unsigned nr_refused = 0;
    pthread_t thread;

    pyslab_arena_set_limit(arena, 10 * PAGE_SIZE);
    REQUIRE(pthread_create(&thread, NULL, be_greedy, arena) == 0);
    for (unsigned i = 0; i < (UNDER_TSAN ? 20000u : 200000u); i++) {
        uint32_t pfn = pyslab_alloc_pages(arena, 1, NOTHING);

        nr_refused += pfn == PFN_NONE;
        if (pfn != PFN_NONE)
            EXPECT_EQ(pyslab_free_pages(arena, pfn, 1), PYSLAB_OK);
    }
    atomic_store(&small_one_done, true);
    pthread_join(thread, NULL);
    EXPECT_EQ(nr_refused, 0);
    EXPECT_LE(rig_stats(arena).peak_used_pages, 10);
    rig_zones_end(arena);
}

static const struct test tests[] = {
    TEST(reserve_errors),        TEST(reserve_any_run),
    TEST(reserve_high_frames),   TEST(reserve_ignores_marks),
    TEST(freed_run_is_no_block), TEST(contig_errors),
    TEST(contig_somewhere),      TEST(bulk),
    TEST(bulk_nofail),           TEST(split_errors),
    TEST(split_and_free),        TEST(compound),
    TEST(compound_single),       TEST(limit_counts_frames),
    TEST(limit_below_a_frame),   TEST(limit_refuses_only_the_greedy),
};

TEST_MAIN(tests)

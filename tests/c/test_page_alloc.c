/* test_page_alloc.c - holds down page_alloc/ for one thread: blocks and exact runs,
 * what gfp bits do, references and their error codes, zeroing with the least work, and
 * exhaustion. Page lists, and giving memory back, are in test_pcp.c. */
#include "page_alloc/page_alloc.h"

#include "rig.h"

static unsigned state_of(struct page_rig *rig, uint32_t pfn)
{
    return page_state(pfn_to_page(&rig->pa.map, pfn));
}

static void fill(struct page_rig *rig, uint32_t pfn, uint32_t nr_pages, int byte)
{
    memset(pfn_to_virt(&rig->pa.map, pfn), byte, (size_t)nr_pages << PAGE_SHIFT);
}

static bool reads(struct page_rig *rig, uint32_t pfn, uint32_t nr_pages, unsigned char byte)
{
    return rig_is_filled(pfn_to_virt(&rig->pa.map, pfn), (size_t)nr_pages << PAGE_SHIFT, byte);
}

/* --- blocks ------------------------------------------------------------- */

/* Each order gives an aligned block in state ALLOC with one reference. */
static void blocks_of_each_order(void)
{
    struct page_rig rig;
    uint32_t block[13];

    page_rig_begin(&rig, 1u << 14, 12);
    for (unsigned order = 0; order <= 12; order++) {
        block[order] = page_alloc_block(&rig.pa, order, KERNEL);
        REQUIRE(block[order] != PFN_NONE);
        EXPECT_EQ(block[order] & ((1u << order) - 1), 0);
        EXPECT_EQ((uintptr_t)pfn_to_virt(&rig.pa.map, block[order]) & ((PAGE_SIZE << order) - 1),
                  0);
        EXPECT_EQ(state_of(&rig, block[order]), PYSLAB_PAGE_ALLOC);
        EXPECT_EQ(page_order(pfn_to_page(&rig.pa.map, block[order])), order);
        EXPECT_EQ(pfn_to_page(&rig.pa.map, block[order])->refcount, 1);
        fill(&rig, block[order], 1u << order, (int)order);
        page_rig_check(&rig);
    }
    for (unsigned order = 0; order <= 12; order++) {
        EXPECT(reads(&rig, block[order], 1u << order, (unsigned char)order));
        EXPECT_EQ(page_put(&rig.pa, block[order], order), PYSLAB_OK);
    }
    page_rig_end(&rig);
}

/* Orders that no block can have are refused, the absurd ones too. */
static void impossible_orders(void)
{
    static const unsigned orders[] = {5, 9, 10, 20, 21, 31, 32, 33, 64, 0x80000000u, UINT32_MAX};
    struct page_rig rig;

    page_rig_begin(&rig, 64, 4);
    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        EXPECT_EQ(page_alloc_block(&rig.pa, orders[i], KERNEL), PFN_NONE);
        EXPECT_EQ(page_alloc_block(&rig.pa, orders[i], ZEROED), PFN_NONE);
    }
    page_rig_end(&rig);
}

/* Known bits alone, at most one zone; everything else is refused by every entry. */
static void gfp_masks(void)
{
    static const uint32_t bad[] = {0x200, 0x100000, 0x80000000u, 0x3, 0x5, 0x6, 0x7, 0xffffffffu};
    struct page_rig rig;

    page_rig_begin(&rig, 64, 4);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        for (unsigned order = 0; order < 5; order++) {
            EXPECT(!gfp_valid(bad[i]));
            EXPECT_EQ(page_alloc_block(&rig.pa, order, bad[i]), PFN_NONE);
            EXPECT_EQ(page_alloc_exact(&rig.pa, 1u << order, 0, bad[i]), PFN_NONE);
        }
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t gfp = 1u << bit, pfn = page_alloc_block(&rig.pa, 1, gfp);

        EXPECT_EQ(gfp_valid(gfp), bit != 9 && bit < 20);
        EXPECT_EQ(pfn != PFN_NONE, (gfp_valid(gfp) && gfp_nofail_valid(gfp, 0)));
        if (pfn != PFN_NONE)
            EXPECT_EQ(page_put(&rig.pa, pfn, 1), PYSLAB_OK);
    }
    page_rig_end(&rig);
}

/* --- references --------------------------------------------------------- */

/* A block lives until its last reference goes. */
static void references(void)
{
    struct page_rig rig;
    uint32_t pfn;

    page_rig_begin(&rig, 64, 6);
    pfn = page_alloc_block(&rig.pa, 4, KERNEL);
    EXPECT_EQ(page_get(&rig.pa, pfn), PYSLAB_OK);
    EXPECT_EQ(page_get(&rig.pa, pfn), PYSLAB_OK);
    for (uint32_t left = 2; left > 0; left--) {
        EXPECT_EQ(page_put(&rig.pa, pfn, 4), PYSLAB_OK);
        EXPECT_EQ(pfn_to_page(&rig.pa.map, pfn)->refcount, left);
        EXPECT_EQ(page_rig_free(&rig), 48);
    }
    EXPECT_EQ(page_put(&rig.pa, pfn, 4), PYSLAB_OK);
    EXPECT_EQ(page_rig_free(&rig), 64);
    EXPECT_EQ(page_get(&rig.pa, pfn), PYSLAB_EDOUBLE);
    EXPECT_EQ(page_put(&rig.pa, pfn, 4), PYSLAB_EDOUBLE);
    page_rig_end(&rig);
}

/* Frames that head no block of alloc_pages each get their code; nothing changes. */
static void references_refuse(void)
{
    struct page_rig rig;
    uint32_t pfn, large;

    page_rig_begin(&rig, 32768, 6);
    pfn = page_alloc_block(&rig.pa, 3, KERNEL);
    large = page_alloc_exact(&rig.pa, 5, 0, KERNEL);
    EXPECT_EQ(page_put(&rig.pa, pfn, 2), PYSLAB_EINVAL);
    EXPECT_EQ(page_put(&rig.pa, pfn, 4), PYSLAB_EINVAL);
    EXPECT_EQ(page_put(&rig.pa, 32768, 0), PYSLAB_EINVAL);
    EXPECT_EQ(page_put(&rig.pa, PFN_NONE, 0), PYSLAB_EINVAL);
    EXPECT_EQ(page_get(&rig.pa, PFN_NONE), PYSLAB_EINVAL);
    EXPECT_EQ(page_put(&rig.pa, pfn + 1, 0), PYSLAB_EPOINTER);
    EXPECT_EQ(page_get(&rig.pa, pfn + 7), PYSLAB_EPOINTER);
    EXPECT_EQ(page_put(&rig.pa, large, 3), PYSLAB_EPOINTER);
    EXPECT_EQ(page_get(&rig.pa, large), PYSLAB_EPOINTER);
    page_rig_check(&rig);
    EXPECT_EQ(pfn_to_page(&rig.pa.map, pfn)->refcount, 1);
    EXPECT_EQ(page_put(&rig.pa, pfn, 3), PYSLAB_OK); /* to this thread's page list */
    EXPECT_EQ(state_of(&rig, pfn), PYSLAB_PAGE_PCP);
    EXPECT_EQ(page_put(&rig.pa, pfn, 3), PYSLAB_EDOUBLE);
    EXPECT_EQ(page_get(&rig.pa, pfn), PYSLAB_EDOUBLE);
    page_free_range(&rig.pa, large, 5);
    page_rig_end(&rig);
}

/* A block freed twice is EDOUBLE also when its buddy has swallowed it meanwhile. */
static void double_put_after_a_merge(void)
{
    struct page_rig rig;
    uint32_t block[4];

    page_rig_begin(&rig, 64, 6);
    for (int i = 0; i < 4; i++)
        block[i] = page_alloc_block(&rig.pa, 4, KERNEL);
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(page_put(&rig.pa, block[i], 4), PYSLAB_OK);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(page_put(&rig.pa, block[i], 4), PYSLAB_EDOUBLE);
        EXPECT_EQ(page_get(&rig.pa, block[i]), PYSLAB_EDOUBLE);
    }
    page_rig_end(&rig);
}

/* page_is_free tells free frames from used ones, heads or not. */
static void frames_free_or_not(void)
{
    struct page_rig rig;
    uint32_t pfn, large;

    page_rig_begin(&rig, 64, 6);
    EXPECT(page_is_free(&rig.pa, 63));
    pfn = page_alloc_block(&rig.pa, 2, KERNEL);
    large = page_alloc_exact(&rig.pa, 11, 0, KERNEL);
    for (uint32_t i = 0; i < 64; i++)
        EXPECT_EQ(page_is_free(&rig.pa, i),
                  !((i >= pfn && i < pfn + 4) || (i >= large && i < large + 11)));
    page_free_range(&rig.pa, large, 11);
    EXPECT_EQ(page_put(&rig.pa, pfn, 2), PYSLAB_OK);
    for (uint32_t i = 0; i < 64; i++)
        EXPECT(page_is_free(&rig.pa, i));
    page_rig_end(&rig);
}

/* --- zeroing ------------------------------------------------------------ */

/* Never used frames are known to read zero; used ones are cleared; counted exactly. */
static void zero_clears_what_is_dirty(void)
{
    struct page_rig rig;

    for (unsigned order = 0; order <= 6; order++) {
        uint32_t nr = 1u << order, pfn;

        page_rig_begin(&rig, 1024, 8);
        pfn = page_alloc_block(&rig.pa, order, ZEROED);
        EXPECT(reads(&rig, pfn, nr, 0));
        EXPECT_EQ(rig.pa.pages_known_zero, nr);
        EXPECT_EQ(rig.pa.pages_cleared, 0);
        fill(&rig, pfn, nr, 0xbb);
        EXPECT_EQ(page_put(&rig.pa, pfn, order), PYSLAB_OK);
        EXPECT_EQ(page_alloc_block(&rig.pa, order, ZEROED), pfn);
        EXPECT(reads(&rig, pfn, nr, 0));
        EXPECT_EQ(rig.pa.pages_known_zero, nr);
        EXPECT_EQ(rig.pa.pages_cleared, nr);
        EXPECT_EQ(page_put(&rig.pa, pfn, order), PYSLAB_OK);
        page_rig_end(&rig);
    }
}

/* Clean frames that wait on a page list and go back unused are still known clean. */
static void lists_keep_clean_frames_clean(void)
{
    struct page_rig rig;
    uint32_t pfn;

    page_rig_begin(&rig, 16384, 8);
    pfn = page_alloc_block(&rig.pa, 0, KERNEL);
    fill(&rig, pfn, 1, 0xcc);
    EXPECT_EQ(page_put(&rig.pa, pfn, 0), PYSLAB_OK);
    EXPECT_EQ(rig.pa.pages_known_zero + rig.pa.pages_cleared, 0);
    pcp_drain(&rig.pa);
    EXPECT_EQ(rig.pa.zone[0].dirty_pages, 1);
    page_rig_end(&rig);
}

/* Whatever was mixed, a zeroed block or run reads zero and nothing clean is cleared. */
static void zero_random_mix(void)
{
    enum { NR = 256 };
    struct rng rng = {5};
    struct page_rig rig;

    page_rig_begin(&rig, NR, 8);
    for (int round = 0; round < 300; round++) {
        uint32_t nr = 1 + rng_below(&rng, 100), pfn, used, end = NR, order = rng_below(&rng, 7);
        uint64_t asked = rig.pa.pages_cleared + rig.pa.pages_known_zero;

        pfn = page_alloc_exact(&rig.pa, nr, 0, ZEROED);
        used = page_alloc_block(&rig.pa, order, ZEROED);
        REQUIRE(pfn != PFN_NONE && used != PFN_NONE && pfn + nr <= end);
        EXPECT(reads(&rig, pfn, nr, 0));
        EXPECT(reads(&rig, used, 1u << order, 0));
        EXPECT_EQ(rig.pa.pages_cleared + rig.pa.pages_known_zero, asked + nr + (1u << order));
        fill(&rig, pfn, nr, 0x99);
        fill(&rig, used, 1u << order, 0x88);
        page_free_range(&rig.pa, pfn, nr);
        EXPECT_EQ(page_put(&rig.pa, used, order), PYSLAB_OK);
        if (round % 20 == 0)
            page_alloc_release(&rig.pa);
        page_rig_check(&rig);
    }
    page_rig_end(&rig);
}

/* --- exact runs --------------------------------------------------------- */

/* Every count of frames, every alignment up to the largest block: no frame wasted. */
static void exact_runs(void)
{
    struct page_rig rig;

    page_rig_begin(&rig, 512, 7);
    for (uint32_t nr = 1; nr <= 128; nr++)
        for (unsigned align = 0; align <= 7; align++) {
            uint32_t pfn = page_alloc_exact(&rig.pa, nr, align, KERNEL);

            REQUIRE(pfn != PFN_NONE);
            EXPECT_EQ(pfn & ((1u << align) - 1), 0);
            EXPECT_EQ(state_of(&rig, pfn), PYSLAB_PAGE_LARGE);
            EXPECT_EQ(page_block_pages(pfn_to_page(&rig.pa.map, pfn)), nr);
            EXPECT_EQ(page_rig_free(&rig), 512 - nr);
            page_rig_check(&rig);
            page_free_range(&rig.pa, pfn, nr);
        }
    page_rig_end(&rig);
}

/* Runs that cannot be: none, more than the arena, beyond the largest block. */
static void exact_refuses(void)
{
    struct page_rig rig;

    page_rig_begin(&rig, 512, 7);
    EXPECT_EQ(page_alloc_exact(&rig.pa, 0, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(page_alloc_exact(&rig.pa, 129, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(page_alloc_exact(&rig.pa, 513, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(page_alloc_exact(&rig.pa, UINT32_MAX, 0, KERNEL), PFN_NONE);
    EXPECT_EQ(page_alloc_exact(&rig.pa, 1, 8, KERNEL), PFN_NONE);
    EXPECT_EQ(page_alloc_exact(&rig.pa, 1, 51, KERNEL), PFN_NONE);
    page_rig_end(&rig);
}

/* --- shortage ----------------------------------------------------------- */

/* Every frame can be had, none twice; then NULL, counted; freed, all merges again. */
static void exhaustion(void)
{
    enum { NR = 3000 };
    static uint32_t block[NR];
    static bool seen[NR];
    struct page_rig rig;

    page_rig_begin(&rig, NR, 10);
    for (uint32_t i = 0; i < NR; i++) {
        block[i] = page_alloc_block(&rig.pa, 0, KERNEL);
        REQUIRE(block[i] < NR && !seen[block[i]]);
        seen[block[i]] = true;
    }
    EXPECT_EQ(rig.pa.alloc_failures, 0);
    for (unsigned order = 0; order <= 10; order++)
        EXPECT_EQ(page_alloc_block(&rig.pa, order, KERNEL), PFN_NONE);
    EXPECT_EQ(page_alloc_exact(&rig.pa, 3, 0, ZEROED), PFN_NONE);
    EXPECT_EQ(rig.pa.alloc_failures, 11);
    for (uint32_t i = 0; i < NR; i++)
        EXPECT_EQ(page_put(&rig.pa, block[i], 0), PYSLAB_OK);
    EXPECT_EQ(page_rig_free(&rig) + rig_pcp_pages(&rig.pa), NR);
    EXPECT_NE(rig_pcp_pages(&rig.pa), 0);
    for (uint32_t i = 0; i < NR >> 10; i++) /* own lists are drained first */
        block[i] = page_alloc_block(&rig.pa, 10, KERNEL);
    for (uint32_t i = 0; i < NR >> 10; i++)
        EXPECT_EQ(page_put(&rig.pa, block[i], 10), PYSLAB_OK);
    page_rig_end(&rig);
}

struct stash {
    struct page_rig rig;
    uint32_t pfn;
    int calls;
    uint32_t nr_short; /* as told with the last call */
};

static bool give_stash(void *context, uint32_t nr_short)
{
    struct stash *stash = context;

    stash->nr_short = nr_short;
    stash->calls++;
    if (stash->pfn == PFN_NONE)
        return false;
    EXPECT_EQ(page_put(&stash->rig.pa, stash->pfn, 6), PYSLAB_OK);
    stash->pfn = PFN_NONE;
    return true;
}

/* Before a request fails, the upper layers are asked once, and what they give is used. */
static void reclaim_is_asked(void)
{
    struct stash stash = {.calls = 0};

    page_rig_begin(&stash.rig, 64, 6);
    page_alloc_set_reclaim(&stash.rig.pa, give_stash, &stash);
    stash.pfn = page_alloc_block(&stash.rig.pa, 6, KERNEL);
    EXPECT_EQ(stash.calls, 0);
    EXPECT_EQ(page_alloc_block(&stash.rig.pa, 5, KERNEL), 0);
    EXPECT_EQ(stash.calls, 1);
    EXPECT_EQ(stash.nr_short, 32);
    EXPECT_EQ(page_alloc_block(&stash.rig.pa, 6, KERNEL), PFN_NONE);
    EXPECT_EQ(stash.calls, 2);
    EXPECT_EQ(stash.rig.pa.alloc_failures, 1);
    EXPECT_EQ(page_put(&stash.rig.pa, 0, 5), PYSLAB_OK);
    page_rig_end(&stash.rig);
}

static const struct test tests[] = {
    TEST(blocks_of_each_order),
    TEST(impossible_orders),
    TEST(gfp_masks),
    TEST(references),
    TEST(references_refuse),
    TEST(double_put_after_a_merge),
    TEST(frames_free_or_not),
    TEST(zero_clears_what_is_dirty),
    TEST(zero_random_mix),
    TEST(exact_runs),
    TEST(exact_refuses),
    TEST(exhaustion),
    TEST(reclaim_is_asked),
    TEST(lists_keep_clean_frames_clean),
};

TEST_MAIN(tests)

/* test_resident_runs.c - holds down where large requests find resident memory that is no
 * block of their order, and that large blocks grow into free frames behind them. */
#include "rig.h"

#include "kmalloc/kmalloc.h"

#define PART 256u /* frames: 1 MiB */

/* Four parts of dirty memory side by side, the middle two free: no aligned block of two. */
static void begin(struct page_rig *rig, uint32_t part[4])
{
    page_rig_begin(rig, 8192, 12);
    for (int i = 0; i < 4; i++) {
        part[i] = page_alloc_exact(&rig->pa, PART, 0, KERNEL);
        REQUIRE(part[i] != PFN_NONE && (i == 0 || part[i] == part[0] + (uint32_t)i * PART));
        memset(pfn_to_virt(&rig->pa.map, part[i]), 0x5a, (size_t)PART << PAGE_SHIFT);
    }
    page_free_range(&rig->pa, part[1], PART);
    page_free_range(&rig->pa, part[2], PART);
}

static void end(struct page_rig *rig, const uint32_t part[4])
{
    page_free_range(&rig->pa, part[0], PART);
    page_free_range(&rig->pa, part[3], PART);
    page_rig_check(rig);
    EXPECT_EQ(page_rig_free(rig), 8192);
    page_rig_end(rig);
}

static void neighbours_serve(void)
{
    uint32_t part[4];
    struct page_rig rig;

    for (uint32_t nr = PART + 1; nr <= 2 * PART; nr += 51) {
        uint32_t pfn;

        begin(&rig, part);
        pfn = page_alloc_exact(&rig.pa, nr, 0, KERNEL);
        EXPECT(pfn >= part[1] && pfn + nr <= part[3]);
        page_rig_check(&rig);
        page_free_range(&rig.pa, pfn, nr);
        page_rig_check(&rig);
        end(&rig, part);
    }
}

/* Its parts' records tell what must be cleared. */
static void neighbours_are_cleared(void)
{
    uint32_t part[4], pfn;
    struct page_rig rig;

    begin(&rig, part);
    pfn = page_alloc_exact(&rig.pa, 2 * PART - 5, 0, ZEROED);
    EXPECT(pfn >= part[1] && pfn + 2 * PART - 5 <= part[3]);
    EXPECT(rig_is_filled(pfn_to_virt(&rig.pa.map, pfn), (size_t)(2 * PART - 5) << PAGE_SHIFT, 0));
    EXPECT_EQ(rig.pa.pages_cleared, 2 * PART - 5);
    page_free_range(&rig.pa, pfn, 2 * PART - 5);
    end(&rig, part);
}

/* A run too short, an alignment, or a small request: as ever. */
static void others_are_not_served_so(void)
{
    uint32_t part[4], pfn;
    struct page_rig rig;

    begin(&rig, part);
    pfn = page_alloc_exact(&rig.pa, 2 * PART + 1, 0, KERNEL);
    EXPECT_GE(pfn, part[3] + PART);
    page_free_range(&rig.pa, pfn, 2 * PART + 1);
    end(&rig, part);
    begin(&rig, part);
    pfn = page_alloc_exact(&rig.pa, 2 * PART, 9, KERNEL);
    EXPECT_EQ(pfn % (2 * PART), 0);
    EXPECT_GE(pfn, part[3] + PART);
    page_free_range(&rig.pa, pfn, 2 * PART);
    end(&rig, part);
}

/* --- growing ------------------------------------------------------------ */

static void grows_into_free_frames(void)
{
    pyslab_arena *arena = rig_arena(8192 * PAGE_SIZE, 12);
    struct kmalloc *km = &arena->kmalloc;
    char *p = pyslab_alloc_pages_exact(arena, 100 * PAGE_SIZE, KERNEL), *wall;
    uint64_t used = pyslab_arena_used(arena);

    REQUIRE(p != NULL);
    memset(p, 0x11, 100 * PAGE_SIZE);
    EXPECT(kmalloc_grow_large(km, p, 100 * PAGE_SIZE));
    EXPECT_EQ(pyslab_arena_used(arena), used);
    EXPECT(kmalloc_grow_large(km, p, 700 * PAGE_SIZE - 5));
    EXPECT_EQ(pyslab_ksize(arena, p), 700 * PAGE_SIZE);
    EXPECT_EQ(pyslab_arena_used(arena), used + 600 * PAGE_SIZE);
    EXPECT(rig_is_filled(p, 100 * PAGE_SIZE, 0x11));
    memset(p, 0x22, 700 * PAGE_SIZE);
    rig_validate(arena);
    /* A block in the way, and the end of the arena. */
    wall = pyslab_reserve_range(arena, pyslab_virt_to_pfn(arena, p) + 800, 1);
    REQUIRE(wall != NULL);
    EXPECT(!kmalloc_grow_large(km, p, 801 * PAGE_SIZE));
    EXPECT(!kmalloc_grow_large(km, p, (size_t)1 << 40));
    EXPECT_EQ(pyslab_ksize(arena, p), 700 * PAGE_SIZE);
    EXPECT(kmalloc_grow_large(km, p, 800 * PAGE_SIZE));
    EXPECT_EQ(pyslab_kfree(arena, wall), PYSLAB_OK);
    /* What is no large block does not grow so. */
    wall = pyslab_kmalloc(arena, 64, KERNEL);
    EXPECT(!kmalloc_grow_large(km, wall, 128));
    EXPECT_EQ(pyslab_kfree(arena, wall), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

static const struct test tests[] = {
    TEST(neighbours_serve),
    TEST(neighbours_are_cleared),
    TEST(others_are_not_served_so),
    TEST(grows_into_free_frames),
};

TEST_MAIN(tests)

/* test_alignment.c - every power of two as an alignment: memory that is aligned, or none.
 *
 * An arena's base is aligned to its largest block only, so a frame number that is a multiple of a
 * larger alignment says nothing about the address. Here bases are odd on purpose, and what is
 * found is compared with what there is. Not here: the malloc family (tests/malloc). */
#include "rig.h"

#define NR_FRAMES 4096u
#define NR_SHIFTS 64u

static struct page_rig rig;

static bool fits(uint64_t place, uint32_t nr, uint32_t align, uint32_t nocross)
{
    return place % align == 0 && (nocross == 0 || place / nocross == (place + nr - 1) / nocross);
}

/* The lowest frame of an empty arena at which the run fits, when frame 0 has the number origin. */
static uint32_t lowest_fit(uint64_t origin, uint32_t nr, uint32_t align, uint32_t nocross)
{
    for (uint32_t pfn = 0; pfn + nr <= NR_FRAMES; pfn++)
        if (fits(origin + pfn, nr, align, nocross))
            return pfn;
    return PFN_NONE;
}

static void expect_runs_at(uint64_t origin)
{
    static const uint32_t lengths[] = {1, 3, 64, 700};

    for (unsigned shift = 0; shift < 32; shift++)
        for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
            for (uint32_t nocross = 0; nocross <= 1024; nocross += 1024) {
                uint32_t nr = lengths[i], align = 1u << shift;
                uint32_t pfn = page_alloc_contig(&rig.pa, nr, align, nocross, KERNEL,
                                                 PYSLAB_PAGE_LARGE);

                EXPECT_EQ(pfn, lowest_fit(origin, nr, align, nocross));
                if (pfn != PFN_NONE)
                    page_free_range(&rig.pa, pfn, nr);
            }
}

/* No byte of these frames is touched, so the arena may believe that it lies anywhere: below, at and
 * just behind multiples of large powers of two. */
static void addresses_count(void)
{
    static const uint64_t origins[] = {5,          4096 - 100,        (1u << 18) - 7,
                                       1u << 19,   (1u << 19) + 2048, ((uint64_t)1 << 31) - 4000,
                                       0x7f1234567};
    char *base;

    page_rig_begin(&rig, NR_FRAMES, 10);
    base = rig.pa.map.base;
    for (size_t i = 0; i < ARRAY_SIZE(origins); i++) {
        rig.pa.map.base = (char *)(uintptr_t)(origins[i] << PAGE_SHIFT);
        expect_runs_at(origins[i]);
    }
    rig.pa.map.base = base;
    page_rig_end(&rig);
}

/* Frames without an address are aligned by their numbers. */
static void numbers_count_without_addresses(void)
{
    page_rig_begin(&rig, NR_FRAMES, 10);
    frame_map_set_high(&rig.pa.map, 0, NULL);
    rig.pa.map.base += 5 * PAGE_SIZE;
    expect_runs_at(0);
    rig.pa.map.base -= 5 * PAGE_SIZE;
    frame_map_set_high(&rig.pa.map, NR_FRAMES, NULL);
    page_rig_end(&rig);
}

/* 16 GiB with blocks of 4 MiB: the base is hardly a multiple of all that fits. */
static pyslab_arena *wide_arena(void)
{
    pyslab_arena_options options = rig_options(0, 10);

    options.size_bytes = (uint64_t)16 << 30;
    options.overcommit = 1;
    return rig_arena_of(&options);
}

static void expect_aligned(const void *p, unsigned shift)
{
    EXPECT_EQ((uintptr_t)p & (((uintptr_t)1 << shift) - 1), 0); /* NULL is */
}

/* Of 16 GiB at least one half starts at a multiple of 8 GiB. */
static void contig_of_every_alignment(void)
{
    pyslab_arena *arena = wide_arena();
    void *held[32] = {0};

    for (unsigned shift = 0; shift < 32; shift++) {
        held[shift] = pyslab_alloc_contig(arena, 3, 1u << shift, 0, KERNEL);
        expect_aligned(held[shift], shift + PAGE_SHIFT);
        if (shift + PAGE_SHIFT <= 32)
            EXPECT(held[shift] != NULL);
    }
    for (unsigned shift = 0; shift < 32; shift++)
        EXPECT_EQ(pyslab_kfree(arena, held[shift]), PYSLAB_OK);
    rig_end(arena);
}

static void kmalloc_of_every_alignment(void)
{
    static const size_t sizes[] = {1,       100, 5000, 3 << 20, (size_t)1 << 33, SIZE_MAX - 4095,
                                   SIZE_MAX};
    pyslab_arena *arena = wide_arena();

    for (unsigned shift = 0; shift < NR_SHIFTS; shift++)
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            void *p = pyslab_kmalloc_aligned(arena, sizes[i], (size_t)1 << shift, KERNEL);

            expect_aligned(p, shift);
            EXPECT((shift <= 22 && sizes[i] <= 4 * MIB) == (p != NULL));
            EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        }
    rig_end(arena);
}

static void regions_of_every_alignment(void)
{
    static const size_t sizes[] = {1, 100, 5000, SIZE_MAX - 4095, SIZE_MAX};
    pyslab_arena *arena = wide_arena();
    pyslab_region *region = NULL;

    REQUIRE(pyslab_region_create(arena, 0, &region) == PYSLAB_OK);
    for (unsigned shift = 0; shift < NR_SHIFTS; shift++)
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            void *p = pyslab_region_alloc_aligned(region, sizes[i], (size_t)1 << shift);

            expect_aligned(p, shift);
            EXPECT((shift <= 22 && sizes[i] <= MIB) == (p != NULL));
        }
    REQUIRE(pyslab_region_destroy(region) == PYSLAB_OK);
    rig_end(arena);
}

static const struct test tests[] = {
    TEST(addresses_count),
    TEST(numbers_count_without_addresses),
    TEST(contig_of_every_alignment),
    TEST(kmalloc_of_every_alignment),
    TEST(regions_of_every_alignment),
};

TEST_MAIN(tests)

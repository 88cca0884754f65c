/* test_kmalloc.c - holds down kmalloc/ in both geometries: the class tables, every size
 * from 0 to 300 KiB, alignment, zeroing, and resizing with its contents. Misuse is in
 * test_kmalloc_misuse.c. */
#include "rig.h"

#define LARGEST (300 * KIB)

static pyslab_arena *arena_of(uint32_t geometry)
{
    pyslab_arena_options options = rig_options(64 * MIB, 18);

    options.kmalloc_classes = geometry;
    return rig_arena_of(&options);
}

static size_t page_up(size_t size)
{
    return (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

/* What the documentation says a size is rounded to, worked out without the tables. */
static size_t expected_roundup(uint32_t geometry, size_t size)
{
    static const size_t linux_sizes[] = {8,   16,  32,   64,   96,   128, 192,
                                         256, 512, 1024, 2048, 4096, 8192};
    size_t power = 64;

    if (size == 0)
        return 0;
    if (geometry == PYSLAB_CLASSES_LINUX) {
        for (size_t i = 0; i < ARRAY_SIZE(linux_sizes); i++)
            if (size <= linux_sizes[i])
                return linux_sizes[i];
        return page_up(size);
    }
    if (size <= 64)
        return (size + 15) & ~(size_t)15;
    if (size > 256 * KIB)
        return page_up(size);
    while (power * 2 < size)
        power *= 2;
    return (size + power / 4 - 1) / (power / 4) * (power / 4);
}

static size_t natural_alignment(size_t class_size)
{
    size_t align = class_size & (0 - class_size);

    return align > PAGE_SIZE ? PAGE_SIZE : align;
}

/* Size by size: the roundup, the usable bytes, the alignment; first and last byte are
 * the caller's; the block is freed. */
static void every_size(uint32_t geometry)
{
    pyslab_arena *arena = arena_of(geometry);

    for (size_t size = 0; size <= LARGEST; size++) {
        size_t roundup = expected_roundup(geometry, size);
        unsigned char *p = pyslab_kmalloc(arena, size, KERNEL);

        REQUIRE(p != NULL);
        EXPECT_EQ(pyslab_kmalloc_size_roundup(arena, size), roundup);
        EXPECT_EQ(pyslab_ksize(arena, p), roundup);
        if (size == 0) {
            EXPECT_PTR(p, (void *)(uintptr_t)PYSLAB_ZERO_SIZE);
        } else {
            EXPECT_EQ((uintptr_t)p & (natural_alignment(roundup) - 1), 0);
            p[0] = p[roundup - 1] = 0x7f;
        }
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    }
    EXPECT_EQ(rig_stats(arena).live_objects, 0);
    EXPECT_EQ(rig_stats(arena).large_count, 0);
    rig_end(arena);
}

static void every_size_fine(void)
{
    every_size(PYSLAB_CLASSES_FINE);
}

static void every_size_linux(void)
{
    every_size(PYSLAB_CLASSES_LINUX);
}

/* The tables agree with a search through the list of sizes, whatever the cap. */
static void tables_are_the_smallest_class(void)
{
    for (uint32_t geometry = 0; geometry <= PYSLAB_CLASSES_LINUX; geometry++)
        for (size_t cap = 4 * KIB; cap <= 256 * KIB; cap *= 2) {
            struct size_classes sc;

            size_classes_init(&sc, geometry, cap);
            EXPECT_LE(sc.nr, MAX_SIZE_CLASSES - 1);
            for (unsigned class = 2; class <= sc.nr; class++)
                EXPECT(sc.size[class] > sc.size[class - 1]);
            EXPECT_LE(sc.size[sc.nr], cap);
            EXPECT_EQ(size_class_of(&sc, 0), 0);
            for (size_t size = 1; size <= LARGEST; size += size < 9000 ? 1 : 7) {
                unsigned class = 1;

                while (class <= sc.nr && sc.size[class] < size)
                    class++;
                EXPECT_EQ(size_class_of(&sc, size), class <= sc.nr ? class : 0);
            }
        }
}

/* Sizes near the end of the address range are refused, not wrapped round. */
static void absurd_sizes(void)
{
    pyslab_arena *arena = arena_of(PYSLAB_CLASSES_FINE);
    static const size_t sizes[] = {65 * MIB,        (size_t)1 << 40, SIZE_MAX / 2,
                                   SIZE_MAX - 4095, SIZE_MAX - 7,    SIZE_MAX};
    void *p = pyslab_kmalloc(arena, 100, KERNEL);

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        EXPECT(pyslab_kmalloc(arena, sizes[i], KERNEL) == NULL);
        EXPECT(pyslab_kzalloc(arena, sizes[i], KERNEL) == NULL);
        EXPECT(pyslab_krealloc(arena, p, sizes[i], KERNEL) == NULL);
        EXPECT(pyslab_kmalloc_aligned(arena, sizes[i], 4096, KERNEL) == NULL);
        EXPECT_GE(pyslab_kmalloc_size_roundup(arena, sizes[i]) / 2, sizes[i] / 2);
    }
    EXPECT_EQ(pyslab_ksize(arena, p), 112);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* A bad gfp gets nothing from any entry, also where a sheaf could serve it. */
static void bad_gfp(void)
{
    pyslab_arena *arena = arena_of(PYSLAB_CLASSES_FINE);
    void *p = pyslab_kmalloc(arena, 64, KERNEL);

    EXPECT(pyslab_kmalloc(arena, 64, 0x200) == NULL);
    EXPECT(pyslab_kmalloc(arena, 0, 0x200) == NULL);
    EXPECT(pyslab_kzalloc(arena, 64, 0x3) == NULL);
    EXPECT(pyslab_kmalloc(arena, MIB, 0x100000) == NULL);
    EXPECT(pyslab_kmalloc_aligned(arena, 64, 64, 0x200) == NULL);
    EXPECT(pyslab_krealloc(arena, p, 640, 0x200) == NULL);
    EXPECT(pyslab_krealloc(arena, p, 10, 0x200) == NULL);
    EXPECT_EQ(rig_stats(arena).live_objects, 1);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* Every alignment up to the largest block, with sizes below and above it. */
static void aligned(void)
{
    for (uint32_t geometry = 0; geometry <= PYSLAB_CLASSES_LINUX; geometry++) {
        pyslab_arena *arena = arena_of(geometry);

        for (size_t align = 1; align <= 64 * MIB; align *= 2)
            for (size_t size = 1; size <= 32 * MIB; size = size * 3 + 1) {
                char *p = pyslab_kmalloc_aligned(arena, size, align, KERNEL);

                if (size > 16 * MIB && p == NULL)
                    continue; /* the arena's rest may lie badly */
                REQUIRE(p != NULL);
                EXPECT_EQ((uintptr_t)p & (align - 1), 0);
                EXPECT_GE(pyslab_ksize(arena, p), size);
                p[0] = p[size - 1] = 1;
                EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
            }
        EXPECT(pyslab_kmalloc_aligned(arena, 64, 0, KERNEL) == NULL);
        EXPECT(pyslab_kmalloc_aligned(arena, 64, 48, KERNEL) == NULL);
        EXPECT(pyslab_kmalloc_aligned(arena, 64, 128 * MIB, KERNEL) == NULL);
        EXPECT(pyslab_kmalloc_aligned(arena, 64, (size_t)1 << 63, KERNEL) == NULL);
        EXPECT_PTR(pyslab_kmalloc_aligned(arena, 0, 64, KERNEL), PYSLAB_ZERO_SIZE);
        EXPECT_EQ(rig_stats(arena).large_count, 0);
        rig_end(arena);
    }
}

/* Zeroed memory is zero to its last usable byte, however dirty it was before. */
static void zeroed(void)
{
    pyslab_arena *arena = arena_of(PYSLAB_CLASSES_FINE);

    for (int round = 0; round < 3; round++)
        for (size_t size = 1; size <= 3 * MIB; size = size * 5 / 4 + 1) {
            void *block[4];

            for (int i = 0; i < 4; i++) {
                block[i] = i % 2 == 0 ? pyslab_kzalloc(arena, size, KERNEL)
                                      : pyslab_kmalloc(arena, size, ZEROED);
                REQUIRE(block[i] != NULL);
                EXPECT(rig_is_filled(block[i], pyslab_ksize(arena, block[i]), 0));
                memset(block[i], 0xd7, pyslab_ksize(arena, block[i]));
            }
            for (int i = 0; i < 4; i++)
                EXPECT_EQ(pyslab_kfree(arena, block[i]), PYSLAB_OK);
        }
    rig_end(arena);
}

/* --- krealloc ----------------------------------------------------------- */

static void fill_pattern(unsigned char *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        p[i] = (unsigned char)(i * 7 + i / 255 + 3);
}

static bool has_pattern(const unsigned char *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != (unsigned char)(i * 7 + i / 255 + 3))
            return false;
    return true;
}

static const size_t resize_sizes[] = {1,      8,      15,     64,    100,     1000,        4096,
                                      5000,   8192,   8193,   20000, 65536,   100000,      262144,
                                      262145, 300000, 500000, MIB,   2 * MIB, 2 * MIB + 1, 5 * MIB};

/* From every size to every size: the common part is kept, the rest is usable. */
static void resize_keeps_contents(void)
{
    for (uint32_t geometry = 0; geometry <= PYSLAB_CLASSES_LINUX; geometry++) {
        pyslab_arena *arena = arena_of(geometry);

        for (size_t f = 0; f < ARRAY_SIZE(resize_sizes); f++)
            for (size_t t = 0; t < ARRAY_SIZE(resize_sizes); t++) {
                size_t from = resize_sizes[f], to = resize_sizes[t];
                unsigned char *p = pyslab_kmalloc(arena, from, KERNEL), *q;

                fill_pattern(p, from);
                q = pyslab_krealloc(arena, p, to, KERNEL);
                REQUIRE(q != NULL);
                EXPECT(has_pattern(q, from < to ? from : to));
                EXPECT_GE(pyslab_ksize(arena, q), to);
                EXPECT(to > pyslab_kmalloc_size_roundup(arena, from) || q == p);
                q[to - 1] = 9;
                EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
            }
        EXPECT_EQ(rig_stats(arena).live_objects + rig_stats(arena).large_count, 0);
        rig_end(arena);
    }
}

/* NULL and the empty block grow from nothing; size 0 frees; failure changes nothing. */
static void resize_edges(void)
{
    pyslab_arena *arena = arena_of(PYSLAB_CLASSES_FINE);
    unsigned char *p = pyslab_krealloc(arena, NULL, 100, KERNEL);

    EXPECT_EQ(pyslab_ksize(arena, p), 112);
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    p = pyslab_krealloc(arena, (void *)(uintptr_t)PYSLAB_ZERO_SIZE, 100, ZEROED);
    EXPECT(rig_is_filled(p, 112, 0));
    EXPECT_PTR(pyslab_krealloc(arena, p, 0, KERNEL), PYSLAB_ZERO_SIZE);
    EXPECT_EQ(rig_stats(arena).live_objects, 0);
    EXPECT_PTR(pyslab_krealloc(arena, NULL, 0, KERNEL), PYSLAB_ZERO_SIZE);
    p = pyslab_kmalloc(arena, 5000, KERNEL);
    fill_pattern(p, 5000);
    EXPECT(pyslab_krealloc(arena, p, 100 * MIB, KERNEL) == NULL);
    EXPECT(has_pattern(p, 5000));
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT(pyslab_krealloc(arena, p, 6000, KERNEL) == NULL); /* not live */
    EXPECT(pyslab_krealloc(arena, p, 0, KERNEL) == NULL);
    EXPECT(pyslab_krealloc(arena, (char *)arena, 10, KERNEL) == NULL);
    rig_end(arena);
}

/* A large block that shrinks gives its tail frames back at once, and only those. */
static void resize_trims_large_blocks(void)
{
    pyslab_arena *arena = arena_of(PYSLAB_CLASSES_FINE);
    unsigned char *p = pyslab_kmalloc(arena, 8 * MIB, KERNEL);
    uint64_t free_pages = rig_stats(arena).free_pages;

    fill_pattern(p, 8 * MIB);
    for (size_t pages = 2048; pages > 0; pages = pages * 2 / 3) {
        EXPECT_PTR(pyslab_krealloc(arena, p, pages * PAGE_SIZE - 5, KERNEL), p);
        EXPECT_EQ(pyslab_ksize(arena, p), pages * PAGE_SIZE);
        EXPECT_EQ(rig_stats(arena).large_pages, pages);
        EXPECT_EQ(rig_stats(arena).free_pages, free_pages + 2048 - pages);
        EXPECT(has_pattern(p, pages * PAGE_SIZE - 5));
        rig_validate(arena);
    }
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    EXPECT_EQ(rig_stats(arena).free_pages + rig_stats(arena).pcp_pages, free_pages + 2048);
    rig_end(arena);
}

/* With GFP_ZERO in every call, growth shows zeros behind the old usable size. */
static void resize_zeroes_what_is_new(void)
{
    pyslab_arena *arena = arena_of(PYSLAB_CLASSES_FINE);
    void *dirty[64];

    for (int i = 0; i < 64; i++)
        memset(dirty[i] = pyslab_kmalloc(arena, 100u << (i % 12), KERNEL), 0xff, 100u << (i % 12));
    for (int i = 0; i < 64; i++)
        EXPECT_EQ(pyslab_kfree(arena, dirty[i]), PYSLAB_OK);
    for (size_t f = 0; f < ARRAY_SIZE(resize_sizes); f++)
        for (size_t t = f; t < ARRAY_SIZE(resize_sizes); t++) {
            unsigned char *p = pyslab_kmalloc(arena, resize_sizes[f], ZEROED);
            size_t old = pyslab_ksize(arena, p);

            memset(p, 0xee, old);
            p = pyslab_krealloc(arena, p, resize_sizes[t], ZEROED);
            REQUIRE(p != NULL);
            EXPECT(rig_is_filled(p, old, 0xee));
            EXPECT(rig_is_filled(p + old, pyslab_ksize(arena, p) - old, 0));
            EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        }
    rig_end(arena);
}

static const struct test tests[] = {
    TEST(every_size_fine),
    TEST(every_size_linux),
    TEST(tables_are_the_smallest_class),
    TEST(absurd_sizes),
    TEST(bad_gfp),
    TEST(aligned),
    TEST(zeroed),
    TEST(resize_edges),
    TEST(resize_trims_large_blocks),
    TEST(resize_keeps_contents),
    TEST(resize_zeroes_what_is_new),
};

TEST_MAIN(tests)

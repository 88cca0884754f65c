/* test_kmalloc_family.c - holds down kmalloc_array, kcalloc, krealloc_array, kmemdup and
 * kfree_sensitive: products that overflow, contents, and that a secret is gone before its block
 * is free. */
#include "rig.h"

static pyslab_arena *arena;

static const size_t sizes[] = {1, 8, 16, 24, 100, 4096, 20000, 262144, 300000};

/* The blocks are kmalloc's of the product. */
static void arrays(void)
{
    arena = rig_arena(64 * MIB, 18);
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        void *p = pyslab_kmalloc_array(arena, 3, sizes[s], KERNEL);
        void *q = pyslab_kcalloc(arena, 3, sizes[s], KERNEL);

        EXPECT_EQ(pyslab_ksize(arena, p), pyslab_kmalloc_size_roundup(arena, 3 * sizes[s]));
        EXPECT(rig_is_filled(q, 3 * sizes[s], 0));
        memset(p, 0x5a, 3 * sizes[s]);
        p = pyslab_krealloc_array(arena, p, 7, sizes[s], KERNEL);
        EXPECT(rig_is_filled(p, 3 * sizes[s], 0x5a));
        EXPECT_GE(pyslab_ksize(arena, p), 7 * sizes[s]);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
        EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
    }
    rig_end(arena);
}

/* Nothing of either factor gives the block without bytes, as kmalloc(0) does. */
static void empty_arrays(void)
{
    arena = rig_arena(MIB, 8);
    EXPECT_PTR(pyslab_kmalloc_array(arena, 0, SIZE_MAX, KERNEL), PYSLAB_ZERO_SIZE);
    EXPECT_PTR(pyslab_kcalloc(arena, SIZE_MAX, 0, KERNEL), PYSLAB_ZERO_SIZE);
    EXPECT_PTR(pyslab_krealloc_array(arena, NULL, 0, 8, KERNEL), PYSLAB_ZERO_SIZE);
    EXPECT_PTR(pyslab_kmemdup(arena, NULL, 0, KERNEL), PYSLAB_ZERO_SIZE);
    EXPECT_EQ(pyslab_kfree_sensitive(arena, (void *)PYSLAB_ZERO_SIZE), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree_sensitive(arena, NULL), PYSLAB_OK);
    rig_end(arena);
}

/* A product that does not fit is never a small block; the old one of krealloc stays. */
static void overflow(void)
{
    static const size_t factors[][2] = {
        {SIZE_MAX, 2},
        {2, SIZE_MAX},
        {SIZE_MAX, SIZE_MAX},
        {(size_t)1 << 32, (size_t)1 << 32},
        {((size_t)1 << 63) + 1, 2}, /* modulo 2**64 this is 2 */
        {SIZE_MAX, 1},
        {SIZE_MAX / 2, 1},
    };
    char *p;

    arena = rig_arena(MIB, 8);
    p = pyslab_kmalloc(arena, 10, KERNEL);
    memcpy(p, "unchanged", 10);
    for (size_t i = 0; i < ARRAY_SIZE(factors); i++) {
        size_t n = factors[i][0], size = factors[i][1];

        EXPECT_PTR(pyslab_kmalloc_array(arena, n, size, KERNEL), NULL);
        EXPECT_PTR(pyslab_kcalloc(arena, n, size, KERNEL), NULL);
        EXPECT_PTR(pyslab_krealloc_array(arena, p, n, size, KERNEL), NULL);
        EXPECT_PTR(pyslab_krealloc_array(arena, NULL, n, size, KERNEL), NULL);
        EXPECT(memcmp(p, "unchanged", 10) == 0);
    }
    EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    rig_end(arena);
}

/* The bytes come from anywhere, and are not cleared first. */
static void copies(void)
{
    static char from[300000];

    arena = rig_arena(64 * MIB, 18);
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (char)(i * 7);
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        void *p = pyslab_kmemdup(arena, from, sizes[s], s % 2 == 0 ? KERNEL : ZEROED);

        EXPECT(memcmp(p, from, sizes[s]) == 0);
        EXPECT_EQ(pyslab_kfree(arena, p), PYSLAB_OK);
    }
    EXPECT_PTR(pyslab_kmemdup(arena, from, SIZE_MAX, KERNEL), NULL);
    rig_end(arena);
}

/* What was written anywhere in the block is gone when its next owner gets it, apart from the
 * words that a free object has for itself. */
static void secrets(void)
{
    for (uint32_t geometry = 0; geometry <= PYSLAB_CLASSES_LINUX; geometry++) {
        pyslab_arena_options options = rig_options(64 * MIB, 18);

        options.kmalloc_classes = geometry;
        arena = rig_arena_of(&options);
        for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
            unsigned char *p = pyslab_kmalloc(arena, sizes[s], KERNEL), *q;
            size_t usable = pyslab_ksize(arena, p);

            memset(p, 0x5e, usable);
            EXPECT_EQ(pyslab_kfree_sensitive(arena, p), PYSLAB_OK);
            q = pyslab_kmalloc(arena, sizes[s], KERNEL);
            EXPECT_PTR(p, q); /* the youngest is handed out first */
            EXPECT(usable <= 16 || rig_is_filled(q + 16, usable - 16, 0));
            EXPECT(memchr(q, 0x5e, usable < 16 ? usable : 16) == NULL);
            EXPECT_EQ(pyslab_kfree(arena, q), PYSLAB_OK);
        }
        rig_end(arena);
    }
}

/* It refuses what kfree refuses, and then has written nothing. */
static void secret_misuse(void)
{
    unsigned char outside[64], *p;

    arena = rig_arena(MIB, 8);
    memset(outside, 0x5e, sizeof outside);
    EXPECT_EQ(pyslab_kfree_sensitive(arena, outside), PYSLAB_EPOINTER);
    EXPECT(rig_is_filled(outside, sizeof outside, 0x5e));
    p = pyslab_kmalloc(arena, 200, KERNEL);
    memset(p, 0x5e, 200);
    EXPECT_EQ(pyslab_kfree_sensitive(arena, p + 16), PYSLAB_EPOINTER);
    EXPECT(rig_is_filled(p, 200, 0x5e));
    EXPECT_EQ(pyslab_kfree_sensitive(arena, p), PYSLAB_OK);
    EXPECT_EQ(pyslab_kfree_sensitive(arena, p), PYSLAB_EDOUBLE);
    rig_end(arena);
}

static const struct test tests[] = {
    TEST(arrays), TEST(empty_arrays), TEST(overflow),
    TEST(copies), TEST(secrets),      TEST(secret_misuse),
};

TEST_MAIN(tests)

/* test_family.c - each function of the malloc family by its manual page: results, errno,
 * alignment, content. */
#include "renamed.h"

#include <sys/mman.h>
#include <sys/resource.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* More than there are places for: all different, all usable. */
static void many_of_no_bytes(void)
{
    static char *p[100000];

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 100000; i++) {
            p[i] = test_malloc(0);
            REQUIRE(p[i] != NULL);
        }
        for (size_t i = 0; i < 100000; i += 2)
            p[i] = test_realloc(p[i], 20);
        for (size_t i = 0; i < 100000; i += 2)
            memset(p[i], 7, 20);
        for (size_t i = 1; i < 100000; i += 2)
            test_free(p[i]);
        for (size_t i = 0; i < 100000; i += 2) {
            EXPECT(p[i][0] == 7 && p[i][19] == 7);
            test_free(p[i]);
        }
    }
}

/* The call must give NULL and this errno. */
#define EXPECT_REFUSED(call, error)                                                                \
    do {                                                                                           \
        errno = 0;                                                                                 \
        EXPECT((call) == NULL);                                                                    \
        EXPECT_EQ(errno, error);                                                                   \
    } while (0)

/* The call must succeed and leave errno alone. */
#define EXPECT_GIVEN(p, call)                                                                      \
    do {                                                                                           \
        errno = EILSEQ;                                                                            \
        (p) = (call);                                                                              \
        EXPECT((p) != NULL);                                                                       \
        EXPECT_EQ(errno, EILSEQ);                                                                  \
    } while (0)

/* Sizes around everything that could be a boundary. */
static size_t nth_size(size_t i)
{
    size_t power = (size_t)1 << (i / 5);

    return power + i % 5 - (power > 2 ? 2 : 0);
}
#define NR_SIZES ((size_t)5 * (UNDER_TSAN ? 21 : 25)) /* to 16 MiB, or 1 MiB */

static void every_size(void)
{
    for (size_t i = 0; i < NR_SIZES; i++) {
        size_t size = nth_size(i);
        char *p, *q;

        EXPECT_GIVEN(p, test_malloc(size));
        EXPECT_GIVEN(q, test_malloc(size));
        EXPECT((uintptr_t)p % 16 == 0 && (uintptr_t)q % 16 == 0);
        EXPECT(p + size <= q || q + size <= p);
        EXPECT_GE(test_malloc_usable_size(p), size);
        fill(p, test_malloc_usable_size(p), i);
        fill(q, test_malloc_usable_size(q), i + 1);
        EXPECT(is_filled(p, test_malloc_usable_size(p), i));
        errno = ENOTTY;
        test_free(p);
        test_free(q);
        EXPECT_EQ(errno, ENOTTY);
    }
}

static void zero_bytes(void)
{
    void *p = test_malloc(0), *q = test_malloc(0), *r = test_calloc(0, 9), *s;

    EXPECT(p != NULL && q != NULL && r != NULL && p != q && q != r && p != r);
    s = test_realloc(NULL, 0);
    EXPECT(s != NULL);
    test_free(p);
    test_free(q);
    test_free(r);
    test_free(s);
    test_free(NULL);
    EXPECT_EQ(test_malloc_usable_size(NULL), 0);
    p = test_malloc(100);
    EXPECT(test_realloc(p, 0) == NULL); /* freed, as glibc does */
    EXPECT(test_aligned_alloc(4096, 0) != NULL);
}

static void sizes_that_cannot_be(void)
{
    const size_t sizes[] = {size_max,         size_max - 1, size_max - 4095,  size_max - 4096,
                            size_max / 2 + 1, ptrdiff_max,  ptrdiff_max - 15, size_max / 2};
    char *p = test_malloc(64);

    fill(p, 64, 3);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *out = &out;

        EXPECT_REFUSED(test_malloc(sizes[i]), ENOMEM);
        EXPECT_REFUSED(test_calloc(1, sizes[i]), ENOMEM);
        EXPECT_REFUSED(test_calloc(sizes[i], 1), ENOMEM);
        EXPECT_REFUSED(test_realloc(p, sizes[i]), ENOMEM);
        EXPECT_REFUSED(test_realloc(NULL, sizes[i]), ENOMEM);
        EXPECT_REFUSED(test_reallocarray(p, 1, sizes[i]), ENOMEM);
        EXPECT_REFUSED(test_memalign(4096, sizes[i]), ENOMEM);
        EXPECT_REFUSED(test_aligned_alloc(64, sizes[i]), ENOMEM);
        EXPECT_REFUSED(test_valloc(sizes[i]), ENOMEM);
        EXPECT_REFUSED(test_pvalloc(sizes[i]), ENOMEM);
        errno = EILSEQ;
        EXPECT_EQ(test_posix_memalign(&out, 64, sizes[i]), ENOMEM);
        EXPECT_EQ(errno, EILSEQ);
        EXPECT_PTR(out, &out);
        EXPECT(is_filled(p, 64, 3));
    }
    test_free(p);
}

static void products_that_overflow(void)
{
    char *p = test_malloc(64);

    EXPECT_REFUSED(test_calloc(size_max, 2), ENOMEM);
    EXPECT_REFUSED(test_calloc(size_max / 2 + 2, 2), ENOMEM);
    EXPECT_REFUSED(test_calloc((size_t)1 << 32, (size_t)1 << 32), ENOMEM);
    EXPECT_REFUSED(test_reallocarray(p, (size_t)1 << 33, (size_t)1 << 31), ENOMEM);
    EXPECT_REFUSED(test_reallocarray(NULL, size_max, size_max), ENOMEM);
    p = test_reallocarray(p, 100, 10);
    EXPECT_GE(test_malloc_usable_size(p), 1000);
    test_free(p);
}

static void alignments(void)
{
    static const size_t sizes[] = {0, 1, 17, 100, 4096, 5000, 100000, 300000, 2097152};

    for (size_t align = 1; align <= 4 * MIB; align *= UNDER_TSAN ? 16 : 2)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char *p, *q;

            EXPECT_GIVEN(p, test_memalign(align, sizes[i]));
            EXPECT_GIVEN(q, test_aligned_alloc(align, sizes[i]));
            EXPECT((uintptr_t)p % align == 0 && (uintptr_t)q % align == 0);
            EXPECT_GE(test_malloc_usable_size(p), sizes[i]);
            fill(p, test_malloc_usable_size(p), i);
            fill(q, test_malloc_usable_size(q), i + 1);
            EXPECT(is_filled(p, test_malloc_usable_size(p), i));
            test_free(p);
            p = test_realloc(q, sizes[i] + 1000);
            EXPECT(is_filled(p, sizes[i], i + 1));
            test_free(p);
        }
}

static void alignments_that_cannot_be(void)
{
    static const size_t aligns[] = {0, 3, 5, 6, 12, 24, 1000, 4095, 4097, SIZE_MAX};

    for (size_t i = 0; i < sizeof aligns / sizeof aligns[0]; i++) {
        void *out = &out;

        EXPECT_REFUSED(test_memalign(aligns[i], 10), EINVAL);
        EXPECT_REFUSED(test_aligned_alloc(aligns[i], 10), EINVAL);
        errno = EILSEQ;
        EXPECT_EQ(test_posix_memalign(&out, aligns[i], 10), EINVAL);
        EXPECT_EQ(errno, EILSEQ);
        EXPECT_PTR(out, &out);
    }
    for (size_t align = 1; align < sizeof(void *); align *= 2) {
        void *out = &out;

        EXPECT_EQ(test_posix_memalign(&out, align, 10), EINVAL);
        EXPECT_PTR(out, &out);
    }
    EXPECT_REFUSED(test_memalign((size_t)1 << 62, 10), ENOMEM);
    EXPECT_REFUSED(test_memalign((size_t)1 << 63, 10), ENOMEM);
    EXPECT_REFUSED(test_aligned_alloc((size_t)1 << 63, PTRDIFF_MAX), ENOMEM);
}

static void pages(void)
{
    char *p = test_valloc(1), *q = test_pvalloc(1), *r = test_pvalloc(0);

    EXPECT((uintptr_t)p % 4096 == 0 && (uintptr_t)q % 4096 == 0 && (uintptr_t)r % 4096 == 0);
    EXPECT_GE(test_malloc_usable_size(q), 4096);
    test_free(p);
    test_free(q);
    test_free(r);
    q = test_pvalloc(4097);
    EXPECT_GE(test_malloc_usable_size(q), 8192);
    test_free(q);
}

/* calloc clears what was used before. */
static void calloc_after_use(void)
{
    static char *p[64];

    for (size_t size = 1; size <= (UNDER_TSAN ? MIB : 8 * MIB); size = size * 3 + 1) {
        size_t nr = size > MIB ? 2 : 64;

        for (unsigned round = 0; round < 3; round++) {
            for (size_t i = 0; i < nr; i++) {
                p[i] = test_calloc(size, 1);
                EXPECT(is_zero(p[i], size));
                memset(p[i], 0xa5, size);
            }
            for (size_t i = 0; i < nr; i++)
                test_free(p[i]);
        }
    }
}

static void realloc_keeps_content(void)
{
    struct rng rng = {.state = 11};

    for (int chain = 0; chain < (UNDER_TSAN ? 20 : 200); chain++) {
        size_t size = rng_below(&rng, 100) + 1;
        char *p = test_malloc(size);

        fill(p, size, 5);
        for (int step = 0; step < 30; step++) {
            size_t most = (size_t)1 << (4 + rng_below(&rng, 18));
            size_t next = rng_below(&rng, (uint32_t)most) + 1;
            char *q;

            EXPECT_GIVEN(q, test_realloc(p, next));
            EXPECT(is_filled(q, next < size ? next : size, 5));
            EXPECT_GE(test_malloc_usable_size(q), next);
            fill(q, next, 5);
            p = q;
            size = next;
        }
        test_free(p);
    }
}

/* A block that grows by little steps is not quadratic work, nor does it lose a byte. */
static void realloc_in_steps(void)
{
    size_t size = 16;
    char *p = test_malloc(size);

    memset(p, 1, size);
    while (size < 3 * MIB) {
        size_t next = size + size / 8 + 24;

        p = test_realloc(p, next);
        REQUIRE(p != NULL);
        memset(p + size, 1, next - size);
        size = next;
    }
    for (size_t i = 0; i < size; i++)
        EXPECT_EQ(p[i], 1);
    while (size > 16) {
        size /= 2;
        p = test_realloc(p, size);
        REQUIRE(p != NULL);
        for (size_t i = 0; i < size; i++)
            EXPECT_EQ(p[i], 1);
    }
    test_free(p);
}

static void beyond_the_largest_block(void)
{
    size_t size = ((size_t)1 << 30) + 12345;
    char *p = test_malloc(size), *q;

    REQUIRE(p != NULL);
    p[0] = 1;
    p[size - 1] = 2;
    q = test_memalign(1 << 21, size);
    REQUIRE(q != NULL);
    EXPECT_EQ((uintptr_t)q % (1 << 21), 0);
    q[size - 1] = 4;
    EXPECT_EQ(p[0], 1);
    EXPECT_EQ(p[size - 1], 2);
    test_free(p);
    test_free(q);
}

#define SPARSE_BYTES (64 * MIB)

/* What a program does not touch of a large block stays out of memory, also where the same
 * addresses were used and freed before. */
static void sparse_calloc(void)
{
    static unsigned char resident[SPARSE_BYTES / 4096];
    size_t nr_resident = 0;
    char *p = test_malloc(SPARSE_BYTES);

    REQUIRE(p != NULL);
    memset(p, 1, 10000);
    test_free(p);
    p = test_calloc(1, SPARSE_BYTES);
    REQUIRE(p != NULL && mincore(p - ((uintptr_t)p & 4095), SPARSE_BYTES, resident) == 0);
    for (size_t i = 0; i < SPARSE_BYTES / 4096; i++)
        nr_resident += resident[i] & 1;
    EXPECT_LE(nr_resident, 512);
    EXPECT(is_zero(p, SPARSE_BYTES));
    test_free(p);
}

/* A process that limits itself gets ENOMEM in finite time, and its memory back. */
static void limit_set_by_the_process(void)
{
    struct rlimit limit;
    static char *p[4096];
    size_t nr = 0;

    if (UNDER_ASAN || UNDER_TSAN)
        return; /* their shadow is larger than any limit */
    test_free(test_malloc(100));
    REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = 256 * MIB;
    REQUIRE(test_setrlimit(RLIMIT_AS, &limit) == 0);
    EXPECT_REFUSED(test_malloc(300 * MIB), ENOMEM);
    while (nr < 4096 && (p[nr] = test_malloc(MIB)) != NULL)
        memset(p[nr++], 1, MIB);
    EXPECT_GE(nr, 64);
    EXPECT_LE(nr, 256 + 32);
    EXPECT_REFUSED(test_malloc(32 * MIB), ENOMEM);
    while (nr > 0)
        test_free(p[--nr]);
    limit.rlim_cur = RLIM_INFINITY;
    if (test_setrlimit(RLIMIT_AS, &limit) == 0) {
        void *q = test_malloc(400 * MIB);

        EXPECT(q != NULL);
        test_free(q);
    }
}

static bool is_hardened(void)
{
    const char *setting = getenv("PYSLAB_MALLOC");

    return setting != NULL && strcmp(setting, "hardened") == 0;
}

/* What grows by a byte at a time moves three times while it doubles, or less often. */
static void realloc_grows_by_bytes(void)
{
    char *p = test_malloc(64);
    unsigned nr_moves = 0;

    for (size_t size = 65; size <= 64 * KIB; size++) {
        char *q = test_realloc(p, size);

        REQUIRE(q != NULL);
        EXPECT_GE(test_malloc_usable_size(q), size);
        nr_moves += q != p;
        p = q;
        p[size - 1] = (char)size;
        if (size == 128 || size == 64 * KIB)
            EXPECT(is_hardened() || nr_moves <= 3u * (size == 128 ? 1 : 10));
    }
    for (size_t size = 65; size <= 64 * KIB; size++)
        EXPECT_EQ(p[size - 1], (char)size);
    test_free(p);
}

/* From 32 KiB on what grows is a large block: by whole frames, in place while those behind it are
 * free, and what is trimmed goes back. */
static void realloc_grows_by_frames(void)
{
    char *p = test_realloc(test_malloc(25000), 33000), *q;
    size_t usable = test_malloc_usable_size(p);
    unsigned nr_moves = 0;

    EXPECT(is_hardened() || (usable % 4096 == 0 && (uintptr_t)p % 4096 == 0));
    memset(p, 9, 33000);
    for (size_t size = 33000; size <= 250000; size += 1000, p = q) {
        q = test_realloc(p, size);
        REQUIRE(q != NULL);
        nr_moves += q != p;
    }
    EXPECT(is_hardened() || nr_moves <= 20); /* it has 53 frames more than at the start */
    q = test_realloc(p, 40000);
    EXPECT(is_hardened() || (q == p && test_malloc_usable_size(q) == 40960));
    for (size_t i = 0; i < 33000; i++)
        EXPECT_EQ(q[i], 9);
    test_free(q);
}

/* In place: from half of the class to all of it. Beyond, on both sides, it moves. */
static void realloc_within_a_class(void)
{
    static const size_t sizes[] = {48, 112, 1024, 7168, 8192, 65536};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && !is_hardened(); i++) {
        size_t usable = sizes[i];
        char *p = test_malloc(usable);

        EXPECT_EQ(test_malloc_usable_size(p), usable);
        for (size_t size = usable / 2; size <= usable; size++)
            EXPECT_PTR(test_realloc(p, size), p);
        p = test_realloc(p, usable / 2 - 1);
        EXPECT_LE(test_malloc_usable_size(p), usable - 1);
        p = test_realloc(p, usable);
        EXPECT_GE(test_malloc_usable_size(p), usable);
        test_free(p);
    }
}

static const struct test tests[] = {
    TEST(every_size),
    TEST(zero_bytes),
    TEST(many_of_no_bytes),
    TEST(sizes_that_cannot_be),
    TEST(products_that_overflow),
    TEST(alignments),
    TEST(alignments_that_cannot_be),
    TEST(pages),
    TEST(calloc_after_use),
    TEST(realloc_keeps_content),
    TEST(realloc_in_steps),
    TEST(realloc_grows_by_bytes),
    TEST(realloc_grows_by_frames),
    TEST(realloc_within_a_class),
    TEST(beyond_the_largest_block),
    TEST(sparse_calloc),
    TEST(limit_set_by_the_process),
};

TEST_MAIN(tests)

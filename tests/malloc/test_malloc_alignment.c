/* test_malloc_alignment.c - every power of two as an alignment of the malloc family and of operator
 * new: memory that is aligned and can be freed, or ENOMEM. Small alignments with many sizes are in
 * test_family.c. */
#include "renamed.h"

#define NR_SHIFTS 64u
#define NR_HELD 2u /* so that not all of them are at the start of the heap */

void *test__ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow);
void test__ZdlPvSt11align_val_t(void *p, size_t align);

static void *posix(size_t align, size_t size)
{
    void *p = NULL;
    int error;

    if (align < sizeof(void *))
        return test_memalign(align, size);
    error = test_posix_memalign(&p, align, size);
    EXPECT((error == 0) == (p != NULL));
    EXPECT(error == 0 || error == ENOMEM);
    errno = error;
    return p;
}

/* A failure goes on to the nothrow operator of the program, which under a sanitizer is the
 * sanitizer's and ends it: there, only what cannot fail is asked for. */
static void *operator_new(size_t align, size_t size)
{
    bool may_fail = align > (size_t)1 << 22;
    void *p = NULL;

    if (!may_fail || !(UNDER_ASAN || UNDER_TSAN))
        p = test__ZnwmSt11align_val_tRKSt9nothrow_t(size, align, NULL);
    if (p == NULL)
        errno = ENOMEM;
    return p;
}

typedef void *(*aligned_function)(size_t align, size_t size);

static void give(void *p, size_t align, bool is_new)
{
    if (is_new)
        test__ZdlPvSt11align_val_t(p, align);
    else
        test_free(p);
}

static void expect_aligned(aligned_function allocate, size_t size)
{
    for (unsigned shift = 0; shift < NR_SHIFTS; shift++) {
        size_t align = (size_t)1 << shift;
        char *held[NR_HELD];

        for (unsigned i = 0; i < NR_HELD; i++) {
            errno = 0;
            held[i] = allocate(align, size);
            EXPECT_EQ((uintptr_t)held[i] & (align - 1), 0);
            EXPECT(held[i] != NULL || errno == ENOMEM);
            EXPECT(held[i] != NULL || shift > 22 || size > PTRDIFF_MAX / 2);
            if (held[i] != NULL)
                fill(held[i], size, i);
        }
        for (unsigned i = 0; i < NR_HELD; i++) {
            EXPECT(held[i] == NULL || is_filled(held[i], size, i));
            give(held[i], align, allocate == operator_new);
        }
    }
}

static void every_power_of_two(void)
{
    static const aligned_function functions[] = {test_memalign, test_aligned_alloc, posix,
                                                 operator_new};

    expect_aligned(test_memalign, 70000);
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++)
        expect_aligned(functions[f], 100);
}

/* align + size, and what is added for guards and roundings, may not wrap. */
static void sums_that_overflow(void)
{
    for (unsigned shift = 0; shift < NR_SHIFTS; shift++) {
        size_t align = (size_t)1 << shift;
        size_t sizes[] = {
            size_max,    size_max - 4095,        size_max - align + 1, (size_max >> 1) + 1,
            ptrdiff_max, ptrdiff_max - align / 2};

        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            void *p = test_memalign(align, sizes[i]);

            EXPECT(p == NULL || (sizes[i] <= (size_t)1 << 40 && (uintptr_t)p % align == 0));
            test_free(p);
        }
    }
}

static const struct test tests[] = {
    TEST(every_power_of_two),
    TEST(sums_that_overflow),
};

TEST_MAIN(tests)

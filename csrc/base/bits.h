/* bits.h - powers of two, orders, rounding, and runs of set bits.
 *
 * Not here: size classes (kmalloc/size_class.h). All but bits_take_run are pure.
 */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include "base/check.h"

static inline bool is_power_of_two(uint64_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

/* Position of the highest set bit, counted from 1; 0 for 0. The kernel's fls. */
static inline unsigned fls64(uint64_t x)
{
    return x ? 64u - (unsigned)__builtin_clzll(x) : 0;
}

/* floor(log2(x)). pre: x > 0 */
static inline unsigned ilog2(uint64_t x)
{
    CHECK(x > 0);
    return 63u - (unsigned)__builtin_clzll(x);
}

/* The smallest n with 2**n >= x. pre: x > 0 */
static inline unsigned ceil_log2(uint64_t x)
{
    CHECK(x > 0);
    return fls64(x - 1);
}

/* The number of zero bits below the lowest set one; 32 for 0. */
static inline unsigned ctz32(uint32_t x)
{
    return x ? (unsigned)__builtin_ctz(x) : 32u;
}

/* The number of zero bits below the lowest set one. pre: x > 0 */
static inline unsigned ctz64(uint64_t x)
{
    CHECK(x > 0);
    return (unsigned)__builtin_ctzll(x);
}

/* The smallest multiple of align that is >= x. pre: align is a power of two */
static inline uint64_t align_up(uint64_t x, uint64_t align)
{
    CHECK(is_power_of_two(align));
    return (x + align - 1) & ~(align - 1);
}

/* The pages that so many bytes take, the last of them perhaps in part. */
static inline uint64_t bytes_to_pages(uint64_t bytes)
{
    return (bytes >> PAGE_SHIFT) + ((bytes & (PAGE_SIZE - 1)) != 0);
}

/* The smallest order whose block has at least nr_pages frames. pre: nr_pages > 0 */
static inline unsigned order_for_pages(uint64_t nr_pages)
{
    CHECK(nr_pages > 0);
    return ceil_log2(nr_pages);
}

static inline unsigned min_uint(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static inline unsigned max_uint(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* Takes the lowest bits that are set and follow each other off *word, at most nr: returns how many,
 * and in *at the number of the first. pre: *word != 0 */
static inline uint32_t bits_take_run(uint64_t *word, uint32_t nr, uint32_t *at)
{
    uint64_t shifted, behind;
    uint32_t run;

    CHECK(*word != 0 && nr != 0);
    *at = ctz64(*word);
    shifted = *word >> *at;
    behind = ~shifted;
    run = min_uint(behind != 0 ? ctz64(behind) : 64, nr);
    *word &= ~(UINT64_MAX >> (64 - run) << *at);
    return run;
}

#endif

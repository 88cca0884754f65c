/* bits.h - powers of two, orders and rounding.
 *
 * Not here: size classes (kmalloc/size_class.h). All functions are pure.
 */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include "base/compiler.h"
#include "base/config.h"

static inline bool is_power_of_two(uint64_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

/* Position of the last set bit, counted from 1; 0 for 0: the kernel's fls. */
static inline unsigned fls64(uint64_t x)
{
    return x ? 64u - (unsigned)__builtin_clzll(x) : 0;
}

/* floor(log2(x)); x > 0 */
static inline unsigned ilog2(uint64_t x)
{
    return 63u - (unsigned)__builtin_clzll(x);
}

/* Smallest n with 2**n >= x; x > 0 */
static inline unsigned ceil_log2(uint64_t x)
{
    return fls64(x - 1);
}

/* Trailing zero bits, 32 for 0 */
static inline unsigned ctz32(uint32_t x)
{
    return x ? (unsigned)__builtin_ctz(x) : 32u;
}

/* align is a power of two */
static inline uint64_t align_up(uint64_t x, uint64_t align)
{
    return (x + align - 1) & ~(align - 1);
}

static inline uint64_t bytes_to_pages(uint64_t bytes)
{
    return (bytes >> PAGE_SHIFT) + ((bytes & (PAGE_SIZE - 1)) != 0);
}

/* Smallest order whose block holds nr_pages frames; nr_pages > 0 */
static inline unsigned order_for_pages(uint64_t nr_pages)
{
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

#endif

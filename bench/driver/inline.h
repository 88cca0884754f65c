/* inline.h - what runs inside timed loops: random numbers, ticks, histograms.
 *
 * What it is: the part of driver.h that has bodies; driver.h includes it.
 * What it is not: a header to include by itself.
 *
 * A tick is the smallest step of the fastest clock that user space can read: the
 * time stamp counter of x86, the virtual counter of aarch64, else a nanosecond. The
 * fences keep the measured call between the two readings.
 */
#ifndef BENCH_INLINE_H
#define BENCH_INLINE_H

/* Lets p escape, so that the compiler cannot drop the allocation. */
static inline void bench_keep(void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Writes one byte, which the compiler cannot drop either. */
static inline void bench_use(void *p)
{
    *(volatile unsigned char *)p = 1;
    bench_keep(p);
}

/* Marsaglia's xorshift64. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

/* A number in 0..limit-1 (limit below 2**32) by multiplication: no division. */
static inline uint64_t bench_random_below(uint64_t *state, uint64_t limit)
{
    return ((bench_random(state) >> 32) * limit) >> 32;
}

static inline size_t bench_random_size(uint64_t *state)
{
    uint64_t span = BENCH_RANDOM_MAX - BENCH_RANDOM_MIN + 1;

    return (size_t)(BENCH_RANDOM_MIN + bench_random_below(state, span));
}

static inline size_t bench_object_size(uint64_t *state)
{
    uint64_t span = BENCH_OBJECT_MAX - BENCH_OBJECT_MIN + 1;

    return (size_t)(BENCH_OBJECT_MIN + bench_random_below(state, span));
}

static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
    uint32_t low, high;

    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
    uint64_t ticks;

    __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(ticks) : : "memory");
    return ticks;
#else
    return bench_now_ns();
#endif
}

/* Exact below 2**BENCH_HISTOGRAM_BITS ticks; above, the leading bits choose. */
static inline size_t bench_histogram_bucket(uint64_t ticks)
{
    unsigned shift;

    if (ticks >> BENCH_HISTOGRAM_BITS == 0)
        return (size_t)ticks;
    shift = 63u - (unsigned)__builtin_clzll(ticks) - BENCH_HISTOGRAM_BITS;
    return ((size_t)shift << BENCH_HISTOGRAM_BITS) + (size_t)(ticks >> shift);
}

/* The fewest ticks that fall into a bucket. */
static inline uint64_t bench_histogram_floor(size_t bucket)
{
    size_t shift = bucket >> BENCH_HISTOGRAM_BITS;
    uint64_t mask = ((uint64_t)1 << BENCH_HISTOGRAM_BITS) - 1;

    if (shift == 0)
        return bucket;
    return ((bucket & mask) | (mask + 1)) << (shift - 1);
}

#endif

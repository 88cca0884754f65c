/* sampler.c - see sampler.h. exp and log are made here: what is preloaded into every program
 * should not bring the mathematical library with it. */
#include "profile/sampler.h"

#include "base/check.h"

#define LN_2 0.693147180559945309

/* splitmix64 */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* -ln(n / 2**53) for n in 1 .. 2**53: with n = m * 2**k, 1 <= m < 2, ln m is the series of
 * 2 artanh(t), t = (m - 1) / (m + 1) <= 1/3, of which nine terms leave less than 1e-9. */
static double minus_log(uint64_t n)
{
    unsigned shift = 63u - (unsigned)__builtin_clzll(n);
    double m = (double)n / (double)(UINT64_C(1) << shift);
    double t = (m - 1) / (m + 1), power = t, sum = 0;

    for (unsigned i = 1; i <= 17; i += 2) {
        sum += power / i;
        power *= t * t;
    }
    return (53.0 - shift) * LN_2 - 2 * sum;
}

/* 1 - exp(-x) for x >= 0: by its series where x is small, else from that of x / 2:
 * 1 - e**2 == (1 - e) * (2 - (1 - e)). */
static double chance(double x)
{
    double term = x, sum = x;
    unsigned halves = 0;

    if (x > 40) /* 1, as far as a double can tell */
        return 1;
    while (term > 0.125) {
        term /= 2;
        halves++;
    }
    x = sum = term;
    for (unsigned i = 2; i <= 9; i++) {
        term *= -x / i;
        sum += term;
    }
    while (halves-- > 0)
        sum *= 2 - sum;
    return sum;
}

void sampler_draw(struct sampler *sampler, uint64_t every)
{
    uint64_t n = (random_next(&sampler->random) >> 11) + 1;
    double distance = minus_log(n) * (double)every;

    CHECK(every != 0);
    if (every == SAMPLER_ALL)
        sampler->left = SAMPLER_LOOK;
    else
        sampler->left = distance < 9e18 ? (int64_t)distance : INT64_MAX;
}

void sampler_begin(struct sampler *sampler, uint32_t run, uint64_t every, uint64_t seed)
{
    sampler->run = run;
    sampler->random = seed;
    sampler_draw(sampler, every);
}

double sampler_weight(uint64_t size, uint64_t every)
{
    if (every == SAMPLER_ALL || size == 0)
        return 1;
    return 1 / chance((double)size / (double)every);
}

/* sampler.h - which allocations a profile looks at: a Poisson process over bytes.
 *
 * What it is: each byte that a thread allocates has the same small chance, 1/every, of being
 * chosen, and an allocation with a chosen byte is a sample. So one of s bytes is one with the
 * probability 1 - exp(-s/every), and stands for 1/that many: the sums over samples of weight and
 * of weight * s are right on average (unbiased), whatever sizes there are.
 * What it is not: a count of calls, by which large allocations would be seen too seldom.
 *
 * How: a thread draws the distance to its next chosen byte and counts down; a subtraction in memory
 * and a jump for each allocation. Where an allocation ends nothing need be carried on: the rest of
 * an exponential distance is distributed as a new one is.
 * Lock: none; a thread has its own counter.
 */
#ifndef PROFILE_SAMPLER_H
#define PROFILE_SAMPLER_H

#include "base/compiler.h"
#include "base/config.h"

#define SAMPLER_LOOK (-1)
#define SAMPLER_ALL 1u /* every: each allocation is a sample, and stands for itself */

struct sampler {
    int64_t left;    /* bytes before the next chosen one; SAMPLER_LOOK: look at each allocation */
    uint64_t random; /* state of the generator */
    uint32_t run;    /* the profile that it was begun for; 0: none */
    bool busy;       /* the thread is in the profile's own code */
};

/* Begins to count for a profile with this number. */
void sampler_begin(struct sampler *sampler, uint32_t run, uint64_t every, uint64_t seed);
/* Draws the distance to the next chosen byte. */
void sampler_draw(struct sampler *sampler, uint64_t every);
/* How many allocations a sample of size bytes stands for; 1 or more. */
double sampler_weight(uint64_t size, uint64_t every);

/* An allocation of size bytes: false if it is no sample. If true, sampler_draw comes next; until
 * then it is true for each allocation. Of sizes that no allocator has, 2**63 and more, anything. */
static always_inline bool sampler_takes(struct sampler *sampler, size_t size)
{
    sampler->left = (int64_t)((uint64_t)sampler->left - size);
    if (likely(sampler->left >= 0))
        return false;
    sampler->left = SAMPLER_LOOK;
    return true;
}

#endif

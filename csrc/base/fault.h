/* fault.h - allocation failures on demand, for the tests of checked builds.
 *
 * What it is: each place of the core that can be refused memory (its heap, its mappings,
 * page frames) calls fault_here() first, and acts as if it had been refused when that
 * returns true. fault_inject(n, sticky) makes the nth call from now on return true, and
 * every call after it too if sticky is set.
 * What it is not: a part of release builds (check level 0). There fault_here() is the
 * constant false.
 * Lock: none; the counters are atomic, and tests that inject are single-threaded.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "base/config.h"

#if PYSLAB_CHECK_LEVEL >= 1
bool fault_here(void);
/* n counts from 1; with 0 no call fails any more. */
void fault_inject(uint64_t n, bool sticky);
/* How many calls have returned true since fault_inject. */
uint64_t fault_count(void);
#else
static inline bool fault_here(void)
{
    return false;
}
#endif

#endif

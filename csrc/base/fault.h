/* fault.h - allocation failures on demand, for the tests of checked builds.
 *
 * What it is: each point where the core can be refused memory (its heap, mappings, page
 * frames) asks fault_here() first. fault_inject(n, sticky) makes the nth question from
 * now answer yes, and with sticky every later one.
 * What it is not: in release builds it is nothing; the question is the constant false.
 * Lock: none; the counters are atomic, and tests that inject are single-threaded.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "base/config.h"

#if PYSLAB_CHECK_LEVEL >= 1
bool fault_here(void);
/* n counts from 1; 0 ends the injection. */
void fault_inject(uint64_t n, bool sticky);
/* Failures that were injected since fault_inject. */
uint64_t fault_count(void);
#else
static inline bool fault_here(void)
{
    return false;
}
#endif

#endif

/* pool_check.h - the recount of a pool, for the tests and for check level 2.
 * What it is not: base/check.h. csrc/pool is a client of pyslab.h and has nothing else of the core.
 */
#ifndef POOL_POOL_CHECK_H
#define POOL_POOL_CHECK_H

#include "pool/pool_internal.h"

#include <stdio.h>

#ifndef PYSLAB_CHECK_LEVEL
#define PYSLAB_CHECK_LEVEL 0
#endif

/* Ends the process if a condition does not hold, at check level 1 and 2. At level 0 the compiler
 * reads the condition and evaluates nothing. */
#if PYSLAB_CHECK_LEVEL >= 1
#define CHECK(condition) ((condition) ? (void)0 : pool_check_failed(#condition, __FILE__, __LINE__))
#else
#define CHECK(condition) ((void)sizeof((condition) ? 1 : 0))
#endif

_Noreturn void pool_check_failed(const char *condition, const char *file, int line);

/* What is wrong first; NULL: the invariants of pool.h and index.h hold. Walks over all of it. */
const char *pool_adds_up(const struct pool *pool);
/* Likewise for one index: nr_used entries, each found under its address, and room for a search
 * to end. */
const char *index_adds_up(const struct index *index);

/* Ends the process if pool_adds_up finds something. At check level 2, on the way out of slow
 * paths, every 64th time. */
#if PYSLAB_CHECK_LEVEL >= 2
void pool_recount(const struct pool *pool);
#else
static inline void pool_recount(const struct pool *pool)
{
    (void)pool;
}
#endif

#endif

/* check.h - assertions of the core, and the message a recount leaves.
 *
 * What it is: contracts that execute. At levels 1 and 2, CHECK(condition) stands in the first
 * lines of a function and costs a compare. At level 2 there are also CHECK_WALK(condition),
 * which costs a walk over a list or a slab, and CHECK_RECOUNT, which recounts a whole layer from
 * scratch on the way out of one of its slow paths.
 * What it is not: there in release builds, level 0. Then nothing is evaluated, so a condition
 * must have no side effects; the compiler still reads it, so it cannot go stale.
 *
 * The recounts themselves (<layer>_check) are there at every level, because users call them
 * through arena.validate(). A recount reports into a struct finding and never aborts.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include "base/compiler.h"
#include "base/config.h"

_Noreturn void check_failed(const char *condition, const char *file, int line);

#define CHECK_NOTHING(condition) ((void)sizeof((condition) ? 1 : 0))

#if PYSLAB_CHECK_LEVEL >= 1
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))
#else
#define CHECK(condition) CHECK_NOTHING(condition)
#endif

#if PYSLAB_CHECK_LEVEL >= 2
#define CHECK_WALK(condition) CHECK(condition)
#else
#define CHECK_WALK(condition) CHECK_NOTHING(condition)
#endif

/* The first thing a recount found wrong; text is empty while all is well. */
struct finding {
    char text[256];
};

/* Keeps the first report and returns false, so that a check can `return report(...)`. */
bool finding_report(struct finding *f, const char *format, ...) printf_like(2, 3);

/* Calls a recount, which was given finding, in one of every n runs of this line, and ends the
 * program with what it found. n is 1 unless a run of the tests would take too long. */
#if PYSLAB_CHECK_LEVEL >= 2
bool check_is_due(_Atomic uint32_t *nr_runs, uint32_t n);
#define CHECK_RECOUNT(n, recount, finding)                                                         \
    do {                                                                                           \
        static _Atomic uint32_t nr_runs;                                                           \
                                                                                                   \
        if (check_is_due(&nr_runs, (n)) && !(recount))                                             \
            check_failed((finding)->text, __FILE__, __LINE__);                                     \
    } while (0)
#else
#define CHECK_RECOUNT(n, recount, finding)                                                         \
    CHECK_NOTHING((n) != 0 && (recount) && (finding)->text[0] != '\0')
#endif

#endif

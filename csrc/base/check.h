/* check.h - assertions of the core, and the message a recount leaves.
 *
 * CHECK(cond): level 1, cheap, states a contract at a function's first lines.
 * Both levels compile to nothing by default, and their expressions must have no
 * side effects. A recount (<layer>_check) runs at any level, because users call it
 * through arena.validate(); it reports into a struct finding and never aborts.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include "base/compiler.h"
#include "base/config.h"

_Noreturn void check_failed(const char *condition, const char *file, int line);

#if PYSLAB_CHECK_LEVEL >= 1
#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))
#else
#define CHECK(cond) ((void)sizeof((cond) ? 1 : 0))
#endif

/* The first thing a recount found wrong; text is empty while all is well. */
struct finding {
    char text[256];
};

/* Keeps the first report and returns false, so that a check can `return report(...)`. */
bool finding_report(struct finding *f, const char *format, ...) printf_like(2, 3);

#endif

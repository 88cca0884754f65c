/* check.c - what a failed check does to the program, and how a recount writes its finding. */
#include "base/check.h"
#include "base/atomic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "pyslab: %s:%d: check failed: %s\n", file, line, condition);
    abort();
}

#if PYSLAB_CHECK_LEVEL >= 2
bool check_is_due(_Atomic uint32_t *nr_runs, uint32_t n)
{
    return atomic_fetch_add_explicit(nr_runs, 1, memory_order_relaxed) % n == 0;
}
#endif

bool finding_report(struct finding *f, const char *format, ...)
{
    va_list args;

    if (f->text[0] != '\0')
        return false;
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    return false;
}

/* fault.c - see fault.h. */
#include "base/fault.h"

#if PYSLAB_CHECK_LEVEL >= 1

#include "base/atomic.h"

static _Atomic uint64_t countdown; /* questions until the first failure; 0: none */
static _Atomic bool sticky_faults; /* every question after it fails too */
static _Atomic bool failing;       /* the first failure has happened, and is sticky */
static _Atomic uint64_t nr_faults;

void fault_inject(uint64_t n, bool sticky)
{
    store_relaxed(&nr_faults, 0);
    store_relaxed(&failing, false);
    store_relaxed(&sticky_faults, sticky);
    store_relaxed(&countdown, n);
}

uint64_t fault_count(void)
{
    return load_relaxed(&nr_faults);
}

bool fault_here(void)
{
    uint64_t left = load_relaxed(&countdown);

    if (left == 0 && !load_relaxed(&failing))
        return false;
    if (left > 1) {
        store_relaxed(&countdown, left - 1);
        return false;
    }
    store_relaxed(&countdown, 0);
    store_relaxed(&failing, load_relaxed(&sticky_faults));
    add_relaxed(&nr_faults, 1);
    return true;
}

#else

/* A translation unit must hold something. */
typedef int fault_is_off;

#endif

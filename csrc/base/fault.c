/* fault.c - see fault.h. */
#include "base/fault.h"

#if PYSLAB_CHECK_LEVEL >= 1

#include "base/atomic.h"

static _Atomic uint64_t countdown; /* calls until the first that fails, itself included; 0: none */
static _Atomic bool sticky_faults; /* every call after that one is to fail too */
static _Atomic bool failing;       /* that one was there, and every call fails from now on */
static _Atomic uint64_t nr_faults; /* calls that failed since fault_inject */

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

/* C wants at least one declaration in a file. */
typedef int fault_is_off;

#endif

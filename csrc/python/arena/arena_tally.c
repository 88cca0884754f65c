/* arena_tally.c - the numbers of threads, and the sums over their lines; see arena_tally.h. */
#include "python/arena/arena_tally.h"

#ifdef Py_GIL_DISABLED

#include <stdlib.h>
#include <string.h>

_Thread_local struct python_thread python_thread;

static struct {
    pthread_mutex_t mutex; /* guards all of it */
    uint64_t taken;        /* a bit for each number; that of 0 is always set */
    pthread_key_t key;     /* tells that a thread ends */
    bool key_made;
} numbers = {.mutex = PTHREAD_MUTEX_INITIALIZER, .taken = 1};

/* The thread that had the number ends: what it counted stays. What it does later, at its very end,
 * counts in line 0. */
static void number_return(void *number)
{
    pthread_mutex_lock(&numbers.mutex);
    numbers.taken &= ~(UINT64_C(1) << (uintptr_t)number);
    pthread_mutex_unlock(&numbers.mutex);
    python_thread.tally = 0;
}

/* Gives this thread a number, if there is one. */
static void number_take(void)
{
    unsigned number = 0;

    python_thread.asked = true;
    pthread_mutex_lock(&numbers.mutex);
    if (!numbers.key_made)
        numbers.key_made = pthread_key_create(&numbers.key, number_return) == 0;
    if (numbers.key_made && ~numbers.taken != 0)
        number = (unsigned)__builtin_ctzll(~numbers.taken);
    if (number != 0 && pthread_setspecific(numbers.key, (void *)(uintptr_t)number) != 0)
        number = 0;
    numbers.taken |= UINT64_C(1) << number;
    pthread_mutex_unlock(&numbers.mutex);
    python_thread.tally = number;
}

void tallies_fork_child(void)
{
    numbers.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

slow_path Py_ssize_t tally_add_slow(struct arena_tally *tallies, const struct tally_change *change)
{
    struct arena_tally *line;

    if (!python_thread.asked)
        number_take();
    line = &tallies[python_thread.tally]; /* others do not add to it, unless it is line 0 */
    add_relaxed(&line->count, change->count);
    add_relaxed(&line->bytes, change->bytes);
    add_relaxed(&line->total, change->total);
    add_relaxed(&line->pins, change->pins);
    atomic_fetch_add_explicit(&line->held, change->held, memory_order_release);
    return load_relaxed(&line->total);
}

struct arena_tally *tallies_new(void)
{
    size_t nbytes = NR_TALLIES * sizeof(struct arena_tally);
    struct arena_tally *tallies = aligned_alloc(_Alignof(struct arena_tally), nbytes);

    if (tallies == NULL)
        return (struct arena_tally *)PyErr_NoMemory();
    return memset(tallies, 0, nbytes);
}

struct tally_change tallies_sum(const struct arena_tally *tallies)
{
    struct tally_change sum = {0};

    atomic_thread_fence(memory_order_seq_cst); /* of two that sum up at once one sees the other */
    for (unsigned i = 0; i < NR_TALLIES; i++) {
        sum.count += load_relaxed(&tallies[i].count);
        sum.bytes += load_relaxed(&tallies[i].bytes);
        sum.total += load_relaxed(&tallies[i].total);
        sum.pins += load_relaxed(&tallies[i].pins);
        sum.held += load_acquire(&tallies[i].held);
    }
    return sum;
}

#else

typedef int tallies_are_for_no_gil; /* ISO C has no empty source */

#endif

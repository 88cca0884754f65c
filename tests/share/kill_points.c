/* kill_points.c - see kill_points.h. Compiled without the sanitizer. */
#include "kill_points.h"
#include "plain_calls.h"

#include <signal.h>
#include <stdint.h>
#include <unistd.h>

static enum point_kind armed;
static unsigned left;

void points_arm(enum point_kind kind, unsigned number)
{
    armed = kind;
    left = number;
}

static void point_pass(void)
{
    if (left-- != 0)
        return;
    int sign = armed == POINT_KILL ? SIGKILL : SIGSTOP;
    armed = POINT_NONE;
    kill(getpid(), sign);
}

void point_store(void)
{
    if (armed != POINT_NONE)
        point_pass();
}

/* Of loads of zero, one after the other, the first alone is a point: a scan reads a thousand. */
static void point_load(bool zero)
{
    static bool was_zero;

    if (armed == POINT_STOP && !(zero && was_zero))
        point_pass();
    was_zero = zero;
}

/* --- what the compiler calls --------------------------------------------------- */

void __tsan_atomic_thread_fence(int order);

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    point_store();
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#define ATOMIC(bits, type)                                                                         \
    type __tsan_atomic##bits##_load(const volatile type *word, int order);                         \
    void __tsan_atomic##bits##_store(volatile type *word, type value, int order);                  \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *word, type *expected,         \
                                                      type value, int order, int failed);          \
    type __tsan_atomic##bits##_load(const volatile type *word, int order)                          \
    {                                                                                              \
        (void)order;                                                                               \
        point_load(__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0);                                  \
        return __atomic_load_n(word, __ATOMIC_SEQ_CST);                                            \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *word, type value, int order)                   \
    {                                                                                              \
        (void)order;                                                                               \
        point_store();                                                                             \
        __atomic_store_n(word, value, __ATOMIC_SEQ_CST);                                           \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *word, type *expected,         \
                                                      type value, int order, int failed)           \
    {                                                                                              \
        (void)order;                                                                               \
        (void)failed;                                                                              \
        point_store();                                                                             \
        return __atomic_compare_exchange_n(word, expected, value, 0, __ATOMIC_SEQ_CST,             \
                                           __ATOMIC_SEQ_CST);                                      \
    }
ATOMIC(8, uint8_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

uint64_t __tsan_atomic64_fetch_add(volatile uint64_t *word, uint64_t value, int order);
uint64_t __tsan_atomic64_fetch_add(volatile uint64_t *word, uint64_t value, int order)
{
    (void)order;
    point_store();
    return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);
}

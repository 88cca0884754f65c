/* pace.c - see pace.h. What one thread writes before it looks, and the other the other way round,
 * is sequentially consistent: atomic_load() and atomic_store(). */
#include "record/pace.h"

#include "record/room.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPINS 100u /* some microseconds */

/* Tells the processor that the thread only looks, so that another on the same core goes faster. */
static void look_again(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_until_rung(_Atomic uint32_t *bell, uint32_t seen)
{
    (void)syscall(SYS_futex, bell, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void ring(_Atomic uint32_t *bell)
{
    atomic_fetch_add(bell, 1);
    (void)syscall(SYS_futex, bell, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Goes on to the first epoch that a thread is in. */
static void find_all_reached(struct pace *pace)
{
    uint64_t epoch = atomic_load(&pace->all_reached);

    while (epoch < pace->nr_epochs && atomic_load(&pace->nr_in_epoch[epoch]) == 0)
        if (atomic_compare_exchange_strong(&pace->all_reached, &epoch, epoch + 1))
            epoch++;
}

void pace_start(struct pace *pace, const struct plan *plan)
{
    uint32_t nr = plan->nr_threads;

    *pace = (struct pace){.nr_threads = nr, .lock = PTHREAD_MUTEX_INITIALIZER};
    for (uint32_t i = 0; i < nr; i++)
        if (plan->threads[i].epoch >= pace->nr_epochs)
            pace->nr_epochs = plan->threads[i].epoch + 1;
    pace->nr_in_epoch = room_take(pace->nr_epochs * sizeof *pace->nr_in_epoch);
    pace->places = room_take((nr + 1) * sizeof *pace->places);
    for (uint32_t i = 0; i <= nr; i++) {
        store_relaxed(&pace->places[i].asked, UINTPTR_MAX);
        if (i < nr) {
            pace->places[i].epoch = plan->threads[i].first_epoch;
            add_relaxed(&pace->nr_in_epoch[plan->threads[i].first_epoch], 1);
        }
    }
    find_all_reached(pace);
}

void pace_end(struct pace *pace)
{
    room_drop(pace->places, (pace->nr_threads + 1) * sizeof *pace->places);
    room_drop((void *)pace->nr_in_epoch, pace->nr_epochs * sizeof *pace->nr_in_epoch);
}

/* --- for an operation ---------------------------------------------------------------- */

void pace_call(struct place *place)
{
    (void)atomic_exchange(&place->asked, UINTPTR_MAX);
    ring(&place->done_bell);
}

/* Before the thread sleeps or ends: who waits for an operation of it looks again. */
static void call_those_that_ask(struct place *place)
{
    atomic_store(&place->next, load_relaxed(&place->next));
    if (atomic_load(&place->asked) != UINTPTR_MAX)
        pace_call(place);
}

/* Who finds that another thread asks for as much relies on that one's store, which is to come
 * before its own look at next: so this load is sequentially consistent, too. */
static void ask_for(struct place *place, const struct plan_op *op)
{
    uintptr_t wanted = (uintptr_t)op + PACE_AHEAD * sizeof *op, asked = atomic_load(&place->asked);

    while (asked > wanted && !atomic_compare_exchange_weak(&place->asked, &asked, wanted))
        continue;
}

static bool is_done(const struct place *place, const struct plan_op *op)
{
    return atomic_load(&place->next) > op;
}

void pace_wait_for_op(struct pace *pace, uint32_t thread, uint32_t from, const struct plan_op *op)
{
    struct place *place = &pace->places[from];

    for (unsigned i = 0; i < SPINS; i++) {
        if (is_done(place, op))
            return;
        look_again();
    }
    call_those_that_ask(&pace->places[thread]);
    for (;;) {
        uint32_t seen = load_acquire(&place->done_bell);

        ask_for(place, op);
        if (is_done(place, op))
            return;
        sleep_until_rung(&place->done_bell, seen);
    }
}

/* --- for an epoch -------------------------------------------------------------------------- */

static void wake_those_that_may_go_on(struct pace *pace)
{
    struct place **link = &pace->asleep, *place;

    pthread_mutex_lock(&pace->lock);
    while ((place = *link) != NULL) {
        if (place->wanted > atomic_load(&pace->all_reached)) {
            link = &place->next_asleep;
            continue;
        }
        *link = place->next_asleep;
        atomic_fetch_sub(&pace->nr_asleep, 1);
        ring(&place->epoch_bell);
    }
    pthread_mutex_unlock(&pace->lock);
}

/* The thread goes from the epoch that it is in to another; nr_epochs: it has ended. */
static void reach(struct pace *pace, struct place *place, uint64_t epoch)
{
    uint64_t before = place->epoch;

    if (epoch < pace->nr_epochs)
        atomic_fetch_add(&pace->nr_in_epoch[epoch], 1);
    place->epoch = epoch;
    if (atomic_fetch_sub(&pace->nr_in_epoch[before], 1) != 1)
        return;
    find_all_reached(pace);
    if (atomic_load(&pace->nr_asleep) != 0)
        wake_those_that_may_go_on(pace);
}

static void sleep_for_epoch(struct pace *pace, struct place *place, uint64_t wanted)
{
    uint32_t seen = load_relaxed(&place->epoch_bell);

    pthread_mutex_lock(&pace->lock);
    atomic_fetch_add(&pace->nr_asleep, 1);
    if (atomic_load(&pace->all_reached) >= wanted) {
        atomic_fetch_sub(&pace->nr_asleep, 1);
        pthread_mutex_unlock(&pace->lock);
        return;
    }
    place->wanted = wanted;
    place->next_asleep = pace->asleep;
    pace->asleep = place;
    pthread_mutex_unlock(&pace->lock);
    while (load_acquire(&place->epoch_bell) == seen)
        sleep_until_rung(&place->epoch_bell, seen);
}

void pace_wait_for_epoch(struct pace *pace, uint32_t thread, uint64_t epoch)
{
    if (epoch == 0)
        return;
    for (unsigned i = 0; i < SPINS; i++) {
        if (load_acquire(&pace->all_reached) >= epoch - 1)
            return;
        look_again();
    }
    call_those_that_ask(&pace->places[thread]);
    sleep_for_epoch(pace, &pace->places[thread], epoch - 1);
}

void pace_epoch(struct pace *pace, uint32_t thread, uint64_t epoch)
{
    reach(pace, &pace->places[thread], epoch);
    pace_wait_for_epoch(pace, thread, epoch);
}

void pace_leave(struct pace *pace, uint32_t thread)
{
    call_those_that_ask(&pace->places[thread]);
    reach(pace, &pace->places[thread], pace->nr_epochs);
}

/* background.c - see background.h. */
#include "arena/background.h"

#include "arena/arena.h"
#include "os/os.h"
#include "os/os_thread.h"

#include <errno.h>

#define RETRY_MS 1000u          /* after the system refused a thread */
#define QUIET_INTERVALS 2u      /* without a note and without work: then the thread sleeps */
#define CLOCK_STEP_MS 4u        /* of os_time_ms: it may be so late */
#define OWNER_LEAST_PAGES 4096u /* 16 MiB in use: background_start_if_due */

/* The invariant of background.h. */
static bool background_adds_up(const struct background *bg)
{
    if (load_relaxed(&bg->state) == BACKGROUND_NONE)
        return !bg->asleep && !bg->working;
    return !(bg->asleep && bg->working);
}

/* --- the thread ----------------------------------------------------------- */

/* What slow paths do when an interval is over. Returns frames that went back, to the buddy or to
 * the system. */
static uint64_t arena_give_back(struct pyslab_arena *arena)
{
    struct page_alloc *pages = &arena->pages;
    struct pyslab_arena *side = atomic_load(&arena->side);
    uint64_t before = load_relaxed(&pages->pages_released);
    uint64_t given = slab_trim_plain(&arena->kmalloc.slabs);

    page_alloc_end_interval(pages);
    given += load_relaxed(&pages->pages_released) - before;
    return side != NULL ? given + arena_give_back(side) : given;
}

/* Waits for the end of the interval. False: for the end of the thread instead. */
static bool wait_for_interval_locked(struct background *bg)
{
    const struct page_alloc *pages = &bg->arena->pages;
    uint32_t left;

    lock_assert_held(&bg->lock);
    while (!bg->ending && ((left = page_alloc_interval_left(pages)) != 0 || bg->nr_pauses != 0))
        condition_wait(&bg->wake, &bg->lock,
                       bg->nr_pauses != 0 ? UINT32_MAX : left + CLOCK_STEP_MS);
    return !bg->ending;
}

/* One interval's work; true if there was any, or if a tick came meanwhile or before. */
static bool work_locked(struct background *bg)
{
    bool noted = load_relaxed(&bg->noted);
    uint64_t given;

    lock_assert_held(&bg->lock);
    store_relaxed(&bg->noted, false);
    bg->working = true;
    CHECK(background_adds_up(bg));
    lock_release(&bg->lock);
    given = arena_give_back(bg->arena);
    lock_acquire(&bg->lock);
    bg->working = false;
    condition_wake_all(&bg->idle);
    return given != 0 || noted || load_relaxed(&bg->noted);
}

static void sleep_until_noted_locked(struct background *bg)
{
    lock_assert_held(&bg->lock);
    bg->asleep = true;
    CHECK(background_adds_up(bg));
    while (!load_relaxed(&bg->noted) && !bg->ending)
        condition_wait(&bg->wake, &bg->lock, UINT32_MAX);
    bg->asleep = false;
}

static void *background_run(void *argument)
{
    struct background *bg = argument;
    uint32_t nr_quiet = 0;

    thread_go_without_slots();
    lock_acquire(&bg->lock);
    while (wait_for_interval_locked(bg)) {
        nr_quiet = work_locked(bg) ? 0 : nr_quiet + 1;
        if (nr_quiet == QUIET_INTERVALS) {
            sleep_until_noted_locked(bg);
            nr_quiet = 0;
        }
    }
    lock_release(&bg->lock);
    return NULL;
}

/* --- its start -------------------------------------------------------------- */

/* pre: state is STARTING, and it was the caller who made it so */
static slow_path void background_start(struct background *bg)
{
    int saved = errno, error;
    pthread_t thread;

    error = os_thread_start(background_run, bg, "pyslab-purge", &thread);
    lock_acquire(&bg->lock);
    CHECK(load_relaxed(&bg->state) == BACKGROUND_STARTING);
    bg->failed = error != PYSLAB_OK;
    if (bg->failed) {
        bg->failed_ms = os_time_ms();
        store_relaxed(&bg->state, BACKGROUND_NONE);
    } else {
        bg->thread = thread;
        store_relaxed(&bg->state, BACKGROUND_RUNNING);
    }
    lock_release(&bg->lock);
    errno = saved;
}

static bool may_start_locked(const struct background *bg)
{
    lock_assert_held(&bg->lock);
    if (bg->failed && os_time_ms() - bg->failed_ms < RETRY_MS)
        return false;
    return load_relaxed(&bg->state) == BACKGROUND_NONE && !bg->ending && !thread_is_without_slots();
}

/* True: the caller calls background_start once it has released the lock. */
static bool start_wanted_locked(struct background *bg, bool is_worth_it)
{
    lock_assert_held(&bg->lock);
    if (!is_worth_it || bg->process != os_process_id())
        return false;
    store_relaxed(&bg->state, BACKGROUND_STARTING);
    return true;
}

/* There is something that the thread could give back once it has been free for long enough. */
static bool has_surplus(struct pyslab_arena *arena)
{
    struct pyslab_arena *side = atomic_load(&arena->side);

    return page_alloc_dirty(&arena->pages) + (side != NULL ? page_alloc_dirty(&side->pages) : 0) >=
           BACKGROUND_LEAST_PAGES;
}

void background_start_if_due(struct background *bg)
{
    bool start;

    CHECK(bg->by_owner);
    if (likely(load_relaxed(&bg->state) != BACKGROUND_NONE))
        return;
    lock_acquire(&bg->lock);
    start = may_start_locked(bg) &&
            start_wanted_locked(bg, page_alloc_used(&bg->arena->pages) >= OWNER_LEAST_PAGES ||
                                        has_surplus(bg->arena));
    lock_release(&bg->lock);
    if (start)
        background_start(bg);
}

/* --- notes -------------------------------------------------------------------- */

static slow_path void note(struct background *bg)
{
    bool start = false;

    lock_acquire(&bg->lock);
    if (load_relaxed(&bg->state) == BACKGROUND_NONE) {
        start = !bg->by_owner && may_start_locked(bg) &&
                start_wanted_locked(bg, has_surplus(bg->arena));
    } else if (!bg->asleep) {
        store_relaxed(&bg->noted, true);
    } else if (has_surplus(bg->arena)) {
        store_relaxed(&bg->noted, true);
        condition_wake_all(&bg->wake);
    }
    lock_release(&bg->lock);
    if (start)
        background_start(bg);
}

void background_note(void *context)
{
    struct background *bg = context;

    if (load_relaxed(&bg->noted) || (bg->by_owner && load_relaxed(&bg->state) == BACKGROUND_NONE))
        return;
    note(bg);
}

/* --- for the arena ------------------------------------------------------------ */

void background_enable(struct background *bg, struct pyslab_arena *arena)
{
    CHECK(bg->arena == NULL && load_relaxed(&bg->state) == BACKGROUND_NONE);
    lock_init(&bg->lock, LOCK_RANK_BACKGROUND);
    condition_init(&bg->wake);
    condition_init(&bg->idle);
    bg->arena = arena;
    bg->process = os_process_id();
    arena->pages.purge.note = background_note;
    arena->pages.purge.note_context = bg;
}

void background_end(struct background *bg)
{
    bool running;

    if (bg->arena == NULL)
        return;
    lock_acquire(&bg->lock);
    CHECK(load_relaxed(&bg->state) != BACKGROUND_STARTING);
    running = load_relaxed(&bg->state) == BACKGROUND_RUNNING;
    bg->ending = true;
    condition_wake_all(&bg->wake);
    lock_release(&bg->lock);
    if (running)
        os_thread_join(bg->thread);
    condition_destroy(&bg->wake);
    condition_destroy(&bg->idle);
    lock_destroy(&bg->lock);
    bg->arena = NULL;
}

void background_pause(struct background *bg)
{
    if (bg->arena == NULL)
        return;
    lock_acquire(&bg->lock);
    bg->nr_pauses++;
    while (bg->working)
        condition_wait(&bg->idle, &bg->lock, UINT32_MAX);
    lock_release(&bg->lock);
}

void background_resume(struct background *bg)
{
    if (bg->arena == NULL)
        return;
    lock_acquire(&bg->lock);
    CHECK(bg->nr_pauses != 0);
    bg->nr_pauses--;
    condition_wake_all(&bg->wake);
    lock_release(&bg->lock);
}

void background_after_fork(struct background *bg)
{
    if (bg->arena == NULL)
        return;
    store_relaxed(&bg->state, BACKGROUND_NONE);
    bg->asleep = bg->working = bg->failed = false;
    bg->nr_pauses = 0;
    bg->process = os_process_id();
    store_relaxed(&bg->noted, false);
    condition_init(&bg->wake);
    condition_init(&bg->idle);
}

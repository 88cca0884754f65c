/* usage.c - see usage.h. */
#include "page_alloc/usage.h"

#include "base/lock.h"
#include "stack/depot.h"

/* --- counting ------------------------------------------------------------- */

static void peak_raise(_Atomic int64_t *peak, int64_t value)
{
    int64_t known = atomic_load(peak);

    while (value > known && !atomic_compare_exchange_weak(peak, &known, value))
        continue;
}

static void current_add(_Atomic int64_t *current, _Atomic int64_t *peak, uint64_t nr)
{
    peak_raise(peak, atomic_fetch_add(current, (int64_t)nr) + (int64_t)nr);
}

static void usage_raise(struct usage *usage, uint64_t bytes, uint64_t count)
{
    add_relaxed(&usage->total_bytes, bytes);
    add_relaxed(&usage->total_count, count);
    current_add(&usage->current_bytes, &usage->peak_bytes, bytes);
    current_add(&usage->current_count, &usage->peak_count, count);
}

slow_path void usage_count_alloc(struct usage *usage, uintptr_t key, uint64_t bytes)
{
    struct tracker *tracker = load_acquire(&usage->tracker);

    usage_raise(usage, bytes, 1);
    if (tracker != NULL)
        tracker_add(tracker, key, bytes, stack_save());
}

slow_path void usage_count_free(struct usage *usage, uintptr_t key, uint64_t bytes)
{
    struct tracker *tracker = load_acquire(&usage->tracker);

    atomic_fetch_sub(&usage->current_bytes, (int64_t)bytes);
    atomic_fetch_sub(&usage->current_count, 1);
    if (tracker != NULL)
        tracker_remove(tracker, key);
}

slow_path void usage_count_grown(struct usage *usage, uintptr_t key, int64_t by)
{
    struct tracker *tracker = load_acquire(&usage->tracker);

    if (by > 0)
        usage_raise(usage, (uint64_t)by, 0);
    else
        atomic_fetch_add(&usage->current_bytes, by);
    if (tracker != NULL)
        tracker_resize(tracker, key, by);
}

slow_path void usage_count_split(struct usage *usage, uintptr_t key, uint32_t nr, uint64_t step)
{
    struct tracker *tracker = load_acquire(&usage->tracker);

    usage_raise(usage, 0, nr - 1);
    if (tracker != NULL)
        tracker_split(tracker, key, nr, step);
}

/* --- tracking -------------------------------------------------------------- */

struct tracker *usage_track(struct usage *usage, struct thread_domain *domain)
{
    struct tracker *made = tracker_new(), *tracker;

    if (made == NULL)
        return NULL;
    stack_start();
    thread_registry_lock();
    tracker = load_relaxed(&usage->tracker);
    if (tracker == NULL) {
        atomic_store(&usage->tracker, made);
        store_relaxed(&usage->nr_blocks, load_relaxed(&usage->nr_blocks) + 1);
        thread_domain_divert_locked(domain);
    }
    thread_registry_unlock();
    if (tracker != NULL)
        tracker_delete(made);
    return tracker != NULL ? tracker : made;
}

void usage_untrack(struct usage *usage, struct thread_domain *domain)
{
    struct tracker *tracker = load_relaxed(&usage->tracker);

    if (tracker == NULL)
        return;
    thread_registry_lock();
    atomic_store(&usage->tracker, NULL);
    store_relaxed(&usage->nr_blocks, load_relaxed(&usage->nr_blocks) - 1);
    thread_domain_restore_locked(domain);
    thread_registry_unlock();
    tracker_delete(tracker);
}

/* --- blocks --------------------------------------------------------------- */

static void figure_raise(int64_t *figure, int64_t value)
{
    if (value > *figure)
        *figure = value;
}

/* Brings the peaks of all open blocks up to date, so that the counters' peaks can begin anew. A
 * block that is opened next starts with what callers have now as its own peak. */
static void blocks_update_locked(struct usage *usage)
{
    int64_t bytes, count;

    lock_assert_held(thread_registry_mutex());
    bytes = atomic_exchange(&usage->peak_bytes, INT64_MIN);
    count = atomic_exchange(&usage->peak_count, INT64_MIN);
    for (struct usage_block *block = usage->blocks; block != NULL; block = block->next) {
        figure_raise(&block->start.peak_bytes, bytes);
        figure_raise(&block->start.peak_count, count);
    }
}

static struct usage_figures figures_now(const struct usage *usage)
{
    struct usage_figures now = {.current_bytes = atomic_load(&usage->current_bytes),
                                .current_count = atomic_load(&usage->current_count),
                                .total_bytes = atomic_load(&usage->total_bytes),
                                .total_count = atomic_load(&usage->total_count)};

    now.peak_bytes = now.current_bytes;
    now.peak_count = now.current_count;
    return now;
}

static void block_figures_locked(struct usage *usage, const struct usage_block *block,
                                 struct usage_figures *out)
{
    const struct usage_figures *start = &block->start;

    lock_assert_held(thread_registry_mutex());
    blocks_update_locked(usage);
    *out = figures_now(usage);
    figure_raise(&out->peak_bytes, start->peak_bytes);
    figure_raise(&out->peak_count, start->peak_count);
    out->current_bytes -= start->current_bytes;
    out->current_count -= start->current_count;
    out->peak_bytes -= start->current_bytes;
    out->peak_count -= start->current_count;
    out->total_bytes -= start->total_bytes;
    out->total_count -= start->total_count;
}

void usage_open(struct usage *usage, struct thread_domain *domain, struct usage_block *block)
{
    thread_registry_lock();
    blocks_update_locked(usage);
    block->start = figures_now(usage);
    block->next = usage->blocks;
    usage->blocks = block;
    store_relaxed(&usage->nr_blocks, load_relaxed(&usage->nr_blocks) + 1);
    thread_domain_divert_locked(domain);
    thread_registry_unlock();
}

void usage_read(struct usage *usage, struct usage_block *block, struct usage_figures *out)
{
    thread_registry_lock();
    block_figures_locked(usage, block, out);
    thread_registry_unlock();
}

void usage_close(struct usage *usage, struct thread_domain *domain, struct usage_block *block,
                 struct usage_figures *out)
{
    struct usage_block **link = &usage->blocks;

    thread_registry_lock();
    block_figures_locked(usage, block, out);
    while (*link != block)
        link = &(*link)->next;
    *link = block->next;
    store_relaxed(&usage->nr_blocks, load_relaxed(&usage->nr_blocks) - 1);
    thread_domain_restore_locked(domain);
    thread_registry_unlock();
}

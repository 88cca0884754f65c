/* usage.c - see usage.h. */
#include "page_alloc/usage.h"

#include "base/lock.h"

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

slow_path void usage_count_alloc(struct usage *usage, uint64_t bytes, uint64_t count)
{
    add_relaxed(&usage->total_bytes, bytes);
    add_relaxed(&usage->total_count, count);
    current_add(&usage->current_bytes, &usage->peak_bytes, bytes);
    current_add(&usage->current_count, &usage->peak_count, count);
}

slow_path void usage_count_free(struct usage *usage, uint64_t bytes, uint64_t count)
{
    atomic_fetch_sub(&usage->current_bytes, (int64_t)bytes);
    atomic_fetch_sub(&usage->current_count, (int64_t)count);
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

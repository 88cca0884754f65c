/* fault_attr.c - see fault_attr.h. */
#include "page_alloc/fault_attr.h"

#include "base/lock.h"
#include "thread/thread.h"

#include <pthread.h>
#include <string.h>

#define MILLION 1000000u

static struct {
    struct lock lock;
    struct pyslab_failing *first; /* all attributes of the process */
} attrs;

static pthread_once_t attrs_once = PTHREAD_ONCE_INIT;

/* What an attribute is about after its arena has gone: none has this address. */
static const struct fault_watch no_arena;

static void attrs_init(void)
{
    lock_init(&attrs.lock, LOCK_RANK_FAULT);
}

static void attrs_lock(void)
{
    pthread_once(&attrs_once, attrs_init);
    lock_acquire(&attrs.lock);
}

const void *fault_thread(void)
{
    return &thread_tls;
}

/* --- the list ------------------------------------------------------------- */

void fault_attr_add(struct pyslab_failing *attr)
{
    attrs_lock();
    attr->next = attrs.first;
    attrs.first = attr;
    lock_release(&attrs.lock);
}

void fault_attr_remove(struct pyslab_failing *attr)
{
    struct pyslab_failing **link = &attrs.first;

    attrs_lock();
    while (*link != attr)
        link = &(*link)->next;
    *link = attr->next;
    lock_release(&attrs.lock);
}

void fault_attr_read(const struct pyslab_failing *attr, pyslab_failing_stats *out)
{
    attrs_lock();
    *out = attr->stats;
    lock_release(&attrs.lock);
}

void fault_attrs_forget(const struct fault_watch *arena)
{
    attrs_lock();
    for (struct pyslab_failing *attr = attrs.first; attr != NULL; attr = attr->next)
        if (attr->arena == arena)
            attr->arena = &no_arena;
    lock_release(&attrs.lock);
}

bool fault_attr_is_orphan(const struct pyslab_failing *attr)
{
    bool orphan;

    attrs_lock();
    orphan = attr->arena == &no_arena;
    lock_release(&attrs.lock);
    return orphan;
}

void fault_attrs_fork_prepare(void)
{
    pthread_once(&attrs_once, attrs_init);
    lock_acquire_for_fork(&attrs.lock);
}

void fault_attrs_fork_release(void)
{
    lock_release_after_fork(&attrs.lock);
}

/* --- whether a call fails --------------------------------------------------- */

/* The pattern is the name, or its beginning and a star. */
static bool names(const char *pattern, const char *name)
{
    size_t length = strlen(pattern);

    if (pattern[length - 1] == '*')
        return strncmp(name, pattern, length - 1) == 0;
    return strcmp(name, pattern) == 0;
}

static bool attr_fits(const struct pyslab_failing *attr, const struct fault_watch *arena,
                      const char *cache)
{
    return (attr->arena == NULL || attr->arena == arena) &&
           (attr->cache[0] == '\0' || (cache != NULL && names(attr->cache, cache))) &&
           (attr->thread == NULL || attr->thread == fault_thread());
}

/* The calling thread's call is let pass, this once. */
static bool takes_pardon_locked(struct pyslab_failing *attr)
{
    bool pardoned = attr->pardoned == fault_thread();

    lock_assert_held(&attrs.lock);
    if (pardoned)
        attr->pardoned = NULL;
    return pardoned;
}

/* splitmix64's step and mix (Steele, Lea and Flood, 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In the kernel's order: how often, space, interval, chance. The caller holds the list's lock. */
static bool attr_decides_locked(struct pyslab_failing *attr, uint64_t bytes)
{
    const pyslab_failing_options *options = &attr->options;

    lock_assert_held(&attrs.lock);
    attr->stats.nr_calls++;
    if (options->nth != 0)
        return attr->stats.nr_calls == options->nth;
    if (options->times != 0 && attr->stats.nr_failures >= options->times)
        return false;
    if (attr->space_left > bytes) {
        attr->space_left -= bytes;
        return false;
    }
    if (options->interval > 1 && attr->stats.nr_calls % options->interval != 0)
        return false;
    return options->probability >= MILLION ||
           next_random(&attr->random) % MILLION < options->probability;
}

slow_path bool fault_attrs_ask(const struct fault_watch *arena, const char *cache, uint64_t bytes,
                               uint32_t gfp)
{
    bool fails = false;

    if ((gfp & PYSLAB_GFP_NOFAIL) != 0)
        return false;
    attrs_lock();
    for (struct pyslab_failing *attr = attrs.first; attr != NULL; attr = attr->next) {
        if (attr->failed == fault_thread())
            attr->failed = NULL;
        if (attr_fits(attr, arena, cache) && !takes_pardon_locked(attr) &&
            attr_decides_locked(attr, bytes)) {
            attr->stats.nr_failures++;
            attr->failed = fault_thread();
            fails = true;
        }
    }
    lock_release(&attrs.lock);
    return fails;
}

bool fault_failed_last(const struct fault_watch *arena)
{
    bool failed = false;

    if (load_relaxed(&arena->nr) == 0)
        return false;
    attrs_lock();
    for (const struct pyslab_failing *attr = attrs.first; attr != NULL; attr = attr->next)
        failed |= attr->failed == fault_thread();
    lock_release(&attrs.lock);
    return failed;
}

void fault_pardon(const struct fault_watch *arena)
{
    if (load_relaxed(&arena->nr) == 0)
        return;
    attrs_lock();
    for (struct pyslab_failing *attr = attrs.first; attr != NULL; attr = attr->next)
        if (attr->failed == fault_thread()) {
            attr->stats.nr_calls--;
            attr->stats.nr_failures--;
            attr->failed = NULL;
            attr->pardoned = fault_thread();
        }
    lock_release(&attrs.lock);
}

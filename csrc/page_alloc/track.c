/* track.c - see track.h. */
#include "page_alloc/track.h"

#include "base/check.h"
#include "os/os_heap.h"

#include <stdlib.h>
#include <string.h>

#define TRACK_MIN_SLOTS 256u
#define TRACK_MAX_SLOTS (1u << 30)

/* --- the table ------------------------------------------------------------- */

static uint32_t slot_of(const struct tracker *tracker, uintptr_t key)
{
    return (uint32_t)((key >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (tracker->nr_slots - 1);
}

/* The slot of the key, or the empty one where it would be. pre: there is a table */
static struct track_entry *entry_find_locked(struct tracker *tracker, uintptr_t key)
{
    uint32_t i;

    lock_assert_held(&tracker->lock);
    CHECK(tracker->nr_slots != 0);
    for (i = slot_of(tracker, key); tracker->table[i].key != 0;
         i = (i + 1) & (tracker->nr_slots - 1))
        if (tracker->table[i].key == key)
            break;
    return &tracker->table[i];
}

/* The entry of a live allocation; NULL if it has none. */
static struct track_entry *entry_known_locked(struct tracker *tracker, uintptr_t key)
{
    struct track_entry *entry;

    lock_assert_held(&tracker->lock);
    if (tracker->nr_slots == 0)
        return NULL;
    entry = entry_find_locked(tracker, key);
    return entry->key != 0 ? entry : NULL;
}

#if PYSLAB_CHECK_LEVEL >= 2
/* The invariant of track.h. */
static bool track_check_locked(struct tracker *tracker, struct finding *f)
{
    uint32_t nr = 0;

    lock_assert_held(&tracker->lock);
    for (uint32_t i = 0; i < tracker->nr_slots; i++) {
        struct track_entry *entry = &tracker->table[i];

        if (entry->key == 0)
            continue;
        nr++;
        if (entry_find_locked(tracker, entry->key) != entry)
            return finding_report(f, "tracker: the entry in slot %u is not found", i);
    }
    if (nr == tracker->nr_entries)
        return true;
    return finding_report(f, "tracker: %u entries, %u counted", nr, tracker->nr_entries);
}
#endif

static void track_recount_locked(struct tracker *tracker)
{
    lock_assert_held(&tracker->lock);
#if PYSLAB_CHECK_LEVEL >= 2
    struct finding f = {{0}};

    CHECK_RECOUNT(64, track_check_locked(tracker, &f), &f);
#endif
}

/* Twice as many slots, if the table is three quarters full. False: there is no room for one more
 * entry. */
static bool table_grow_locked(struct tracker *tracker)
{
    struct track_entry *old = tracker->table;
    uint32_t nr_old = tracker->nr_slots, nr_new = nr_old == 0 ? TRACK_MIN_SLOTS : 2 * nr_old;
    struct track_entry *table;

    lock_assert_held(&tracker->lock);
    if (tracker->nr_entries < nr_old / 4 * 3)
        return true;
    if (nr_new > TRACK_MAX_SLOTS || (table = os_heap_alloc(nr_new * sizeof *table)) == NULL)
        return tracker->nr_entries + 1 < nr_old;
    tracker->table = table;
    tracker->nr_slots = nr_new;
    for (uint32_t i = 0; i < nr_old; i++)
        if (old[i].key != 0)
            *entry_find_locked(tracker, old[i].key) = old[i];
    os_heap_free(old, nr_old * sizeof *old);
    return true;
}

static void entry_put_locked(struct tracker *tracker, uintptr_t key, uint64_t bytes, uint32_t stack)
{
    struct track_entry *entry;

    lock_assert_held(&tracker->lock);
    if (!table_grow_locked(tracker)) {
        tracker->nr_lost++;
        return;
    }
    entry = entry_find_locked(tracker, key);
    tracker->nr_entries += entry->key == 0;
    *entry = (struct track_entry){.key = key, .bytes = bytes, .stack = stack};
}

/* Empties a slot, and moves entries behind it up that would not be found across the gap. */
static void entry_erase_locked(struct tracker *tracker, struct track_entry *entry)
{
    uint32_t mask = tracker->nr_slots - 1, gap = (uint32_t)(entry - tracker->table);

    lock_assert_held(&tracker->lock);
    for (uint32_t i = (gap + 1) & mask; tracker->table[i].key != 0; i = (i + 1) & mask) {
        uint32_t home = slot_of(tracker, tracker->table[i].key);

        if (((i - home) & mask) < ((i - gap) & mask))
            continue; /* it lies between its home and here, behind the gap */
        tracker->table[gap] = tracker->table[i];
        gap = i;
    }
    tracker->table[gap] = (struct track_entry){0};
    tracker->nr_entries--;
}

/* --- calls ----------------------------------------------------------------- */

struct tracker *tracker_new(void)
{
    struct tracker *tracker = os_heap_alloc(sizeof *tracker);

    if (tracker != NULL)
        lock_init(&tracker->lock, LOCK_RANK_TRACK);
    return tracker;
}

void tracker_delete(struct tracker *tracker)
{
    if (tracker == NULL)
        return;
    os_heap_free(tracker->table, tracker->nr_slots * sizeof *tracker->table);
    lock_destroy(&tracker->lock);
    os_heap_free(tracker, sizeof *tracker);
}

void tracker_add(struct tracker *tracker, uintptr_t key, uint64_t bytes, uint32_t stack)
{
    CHECK(key != 0);
    lock_acquire(&tracker->lock);
    entry_put_locked(tracker, key, bytes, stack);
    track_recount_locked(tracker);
    lock_release(&tracker->lock);
}

void tracker_remove(struct tracker *tracker, uintptr_t key)
{
    struct track_entry *entry;

    lock_acquire(&tracker->lock);
    entry = entry_known_locked(tracker, key);
    if (entry != NULL)
        entry_erase_locked(tracker, entry);
    track_recount_locked(tracker);
    lock_release(&tracker->lock);
}

void tracker_resize(struct tracker *tracker, uintptr_t key, int64_t by)
{
    struct track_entry *entry;

    lock_acquire(&tracker->lock);
    entry = entry_known_locked(tracker, key);
    if (entry != NULL)
        entry->bytes += (uint64_t)by;
    lock_release(&tracker->lock);
}

void tracker_split(struct tracker *tracker, uintptr_t key, uint32_t nr, uint64_t step)
{
    struct track_entry *entry;
    uint32_t stack;

    lock_acquire(&tracker->lock);
    entry = entry_known_locked(tracker, key);
    if (entry != NULL) {
        stack = entry->stack;
        entry->bytes = step;
        for (uint32_t i = 1; i < nr; i++)
            entry_put_locked(tracker, key + i * step, step, stack);
    }
    track_recount_locked(tracker);
    lock_release(&tracker->lock);
}

/* --- the report ------------------------------------------------------------- */

static int by_stack(const void *a, const void *b)
{
    const struct track_group *one = a, *other = b;

    return (one->stack > other->stack) - (one->stack < other->stack);
}

static int by_bytes(const void *a, const void *b)
{
    const struct track_group *one = a, *other = b;

    if (one->bytes != other->bytes)
        return one->bytes < other->bytes ? 1 : -1;
    return by_stack(a, b);
}

/* A group for each entry. */
static void groups_copy_locked(struct tracker *tracker, struct track_group *group)
{
    uint32_t nr = 0;

    lock_assert_held(&tracker->lock);
    for (uint32_t i = 0; i < tracker->nr_slots; i++)
        if (tracker->table[i].key != 0)
            group[nr++] = (struct track_group){
                .bytes = tracker->table[i].bytes, .count = 1, .stack = tracker->table[i].stack};
}

/* Makes one group of those with the same stack, which are neighbours; returns how many are left. */
static uint32_t groups_merge(struct track_group *group, uint32_t nr)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < nr; i++) {
        if (kept == 0 || group[kept - 1].stack != group[i].stack) {
            group[kept++] = group[i];
            continue;
        }
        group[kept - 1].bytes += group[i].bytes;
        group[kept - 1].count += group[i].count;
    }
    return kept;
}

/* Gives a copy of the groups in a block of their own length, and frees the longer one. */
static struct track_group *groups_shorten(struct track_group *group, uint32_t nr, uint32_t nr_old)
{
    struct track_group *copy = os_heap_alloc(nr * sizeof *copy);

    if (copy != NULL)
        memcpy(copy, group, nr * sizeof *copy);
    os_heap_free(group, nr_old * sizeof *group);
    return copy;
}

struct track_group *tracker_groups(struct tracker *tracker, uint32_t *nr, uint64_t *lost)
{
    struct track_group *group = NULL;
    uint32_t nr_entries;

    lock_acquire(&tracker->lock);
    *lost = tracker->nr_lost;
    *nr = nr_entries = tracker->nr_entries;
    if (nr_entries != 0)
        group = os_heap_alloc(nr_entries * sizeof *group);
    if (group != NULL)
        groups_copy_locked(tracker, group);
    lock_release(&tracker->lock);
    if (group == NULL) {
        *nr = nr_entries != 0 ? UINT32_MAX : 0;
        return NULL;
    }
    qsort(group, nr_entries, sizeof *group, by_stack);
    *nr = groups_merge(group, nr_entries);
    qsort(group, *nr, sizeof *group, by_bytes);
    group = groups_shorten(group, *nr, nr_entries);
    if (group == NULL)
        *nr = UINT32_MAX;
    return group;
}

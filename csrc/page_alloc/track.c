/* track.c - see track.h. */
#include "page_alloc/track.h"

#include "base/check.h"
#include "os/os_heap.h"

#include <stdlib.h>
#include <string.h>

#define TRACK_MIN_SLOTS 256u
#define TRACK_MIN_GROUPS 64u
#define TRACK_MAX_SLOTS (1u << 30)

/* --- groups ---------------------------------------------------------------- */

/* The group of the stack, or the empty place where it would be. pre: there is a table */
static struct track_group *group_find_locked(struct tracker *tracker, uint32_t stack)
{
    uint32_t mask = tracker->nr_group_slots - 1;
    uint32_t i = (uint32_t)(stack * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;

    lock_assert_held(&tracker->lock);
    CHECK(tracker->nr_group_slots != 0);
    while (tracker->group[i].nr_allocs != 0 && tracker->group[i].stack != stack)
        i = (i + 1) & mask;
    return &tracker->group[i];
}

/* Twice as many places, if the table is three quarters full. False: there is no room for one more
 * group. */
static bool groups_grow_locked(struct tracker *tracker)
{
    struct track_group *old = tracker->group, *group;
    uint32_t nr_old = tracker->nr_group_slots;
    uint32_t nr_new = nr_old == 0 ? TRACK_MIN_GROUPS : 2 * nr_old;

    lock_assert_held(&tracker->lock);
    if (tracker->nr_groups < nr_old / 4 * 3)
        return true;
    if (nr_new > TRACK_MAX_SLOTS || (group = os_heap_alloc(nr_new * sizeof *group)) == NULL)
        return tracker->nr_groups + 1 < nr_old;
    tracker->group = group;
    tracker->nr_group_slots = nr_new;
    for (uint32_t i = 0; i < nr_old; i++)
        if (old[i].nr_allocs != 0)
            *group_find_locked(tracker, old[i].stack) = old[i];
    os_heap_free(old, nr_old * sizeof *old);
    return true;
}

/* The group of the stack, which is made if there is none; NULL: no memory for it. */
static struct track_group *group_get_locked(struct tracker *tracker, uint32_t stack)
{
    struct track_group *group;

    lock_assert_held(&tracker->lock);
    if (!groups_grow_locked(tracker))
        return NULL;
    group = group_find_locked(tracker, stack);
    tracker->nr_groups += group->nr_allocs == 0;
    group->stack = stack;
    return group;
}

static void group_take_locked(struct tracker *tracker, const struct track_entry *entry)
{
    struct track_group *group = group_find_locked(tracker, entry->stack);

    lock_assert_held(&tracker->lock);
    CHECK(group->count != 0 && group->bytes >= entry->bytes);
    group->bytes -= entry->bytes;
    group->count--;
}

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
static bool groups_check_locked(struct tracker *tracker, uint64_t bytes, struct finding *f)
{
    uint64_t count = 0;
    uint32_t nr = 0;

    lock_assert_held(&tracker->lock);
    for (uint32_t i = 0; i < tracker->nr_group_slots; i++) {
        nr += tracker->group[i].nr_allocs != 0;
        count += tracker->group[i].count;
        bytes -= tracker->group[i].bytes;
    }
    if (nr == tracker->nr_groups && count == tracker->nr_entries && bytes == 0)
        return true;
    return finding_report(f, "tracker: the groups' sums are not those of the entries");
}

/* The invariant of track.h. */
static bool track_check_locked(struct tracker *tracker, struct finding *f)
{
    uint64_t bytes = 0;
    uint32_t nr = 0;

    lock_assert_held(&tracker->lock);
    for (uint32_t i = 0; i < tracker->nr_slots; i++) {
        struct track_entry *entry = &tracker->table[i];

        if (entry->key == 0)
            continue;
        nr++;
        bytes += entry->bytes;
        if (entry_find_locked(tracker, entry->key) != entry)
            return finding_report(f, "tracker: the entry in slot %u is not found", i);
    }
    if (nr == tracker->nr_entries)
        return groups_check_locked(tracker, bytes, f);
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
    struct track_group *group;
    struct track_entry *entry;

    lock_assert_held(&tracker->lock);
    if (!table_grow_locked(tracker) || (group = group_get_locked(tracker, stack)) == NULL) {
        tracker->nr_lost++;
        return;
    }
    entry = entry_find_locked(tracker, key);
    if (entry->key == 0)
        tracker->nr_entries++;
    else
        group_take_locked(tracker, entry);
    *entry = (struct track_entry){.key = key, .bytes = bytes, .stack = stack};
    group->bytes += bytes;
    group->count++;
    group->nr_allocs++;
}

/* Empties a slot, and moves entries behind it up that would not be found across the gap. */
static void entry_erase_locked(struct tracker *tracker, struct track_entry *entry)
{
    uint32_t mask = tracker->nr_slots - 1, gap = (uint32_t)(entry - tracker->table);

    lock_assert_held(&tracker->lock);
    group_take_locked(tracker, entry);
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

static void entry_resize_locked(struct tracker *tracker, struct track_entry *entry, uint64_t by)
{
    lock_assert_held(&tracker->lock);
    entry->bytes += by;
    group_find_locked(tracker, entry->stack)->bytes += by;
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
    os_heap_free(tracker->group, tracker->nr_group_slots * sizeof *tracker->group);
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
        entry_resize_locked(tracker, entry, (uint64_t)by);
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
        entry_resize_locked(tracker, entry, step - entry->bytes);
        for (uint32_t i = 1; i < nr; i++)
            entry_put_locked(tracker, key + i * step, step, stack);
    }
    track_recount_locked(tracker);
    lock_release(&tracker->lock);
}

/* --- the report ------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
    const struct track_group *one = a, *other = b;

    if (one->bytes != other->bytes)
        return one->bytes < other->bytes ? 1 : -1;
    return (one->stack > other->stack) - (one->stack < other->stack);
}

static uint32_t groups_count_live_locked(const struct tracker *tracker)
{
    uint32_t nr = 0;

    lock_assert_held(&tracker->lock);
    for (uint32_t i = 0; i < tracker->nr_group_slots; i++)
        nr += tracker->group[i].count != 0;
    return nr;
}

static void groups_copy_live_locked(const struct tracker *tracker, struct track_group *out)
{
    lock_assert_held(&tracker->lock);
    for (uint32_t i = 0; i < tracker->nr_group_slots; i++)
        if (tracker->group[i].count != 0)
            *out++ = tracker->group[i];
}

struct track_group *tracker_groups(struct tracker *tracker, uint32_t *nr, uint64_t *lost)
{
    struct track_group *group = NULL;
    uint32_t nr_live;

    lock_acquire(&tracker->lock);
    *lost = tracker->nr_lost;
    *nr = nr_live = groups_count_live_locked(tracker);
    if (nr_live != 0)
        group = os_heap_alloc(nr_live * sizeof *group);
    if (group != NULL)
        groups_copy_live_locked(tracker, group);
    lock_release(&tracker->lock);
    if (group != NULL)
        qsort(group, nr_live, sizeof *group, by_bytes);
    else if (nr_live != 0)
        *nr = UINT32_MAX;
    return group;
}

/* Puts a group where it belongs among the nr there are; returns how many there are then. */
static uint32_t top_put(struct track_group *top, uint32_t nr, uint32_t max,
                        const struct track_group *group)
{
    uint32_t at = nr;

    while (at > 0 && by_bytes(group, &top[at - 1]) < 0)
        at--;
    if (at == max)
        return nr;
    nr = nr < max ? nr + 1 : max;
    memmove(&top[at + 1], &top[at], (nr - 1 - at) * sizeof *top);
    top[at] = *group;
    return nr;
}

uint32_t tracker_top(struct tracker *tracker, struct track_group *top, uint32_t max,
                     uint32_t *nr_live)
{
    uint32_t nr = 0;

    *nr_live = 0;
    lock_acquire(&tracker->lock);
    for (uint32_t i = 0; i < tracker->nr_group_slots; i++)
        if (tracker->group[i].count != 0) {
            ++*nr_live;
            nr = top_put(top, nr, max, &tracker->group[i]);
        }
    lock_release(&tracker->lock);
    return nr;
}

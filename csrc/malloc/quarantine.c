/* quarantine.c - see quarantine.h. */
#include "malloc/quarantine.h"

#include "malloc/guards.h"
#include "malloc/heap.h"

#include <pthread.h>

#define MAX_BLOCKS 512u  /* places: half of them are used, see ring_pop */
#define FRAMES_SHARE 16u /* of the arena's addresses, at most */

struct entry {
    char *base;     /* the block, as the core knows it */
    size_t bytes;   /* of all of it */
    bool is_closed; /* frames without access: guards_open gives it back */
};

enum which { SURPLUS, ANY }; /* entries that ring_pop may take */

struct lock quarantine_lock;
static bool has_lock; /* it is made, and fork handlers are registered */

static struct {
    struct entry entry[MAX_BLOCKS]; /* the places */
    unsigned first;                 /* where the oldest is: counts up, taken modulo MAX_BLOCKS */
    unsigned nr;                    /* entries in it */
    size_t bytes;                   /* of all entries' blocks */
    size_t max_bytes;               /* more is surplus; constant after quarantine_init */
    unsigned nr_leaving;            /* blocks that were taken out, and may have no access yet */
} ring;

static struct entry *ring_at(unsigned i)
{
    return &ring.entry[(ring.first + i) & (MAX_BLOCKS - 1)];
}

/* Takes the oldest out. Only if the ring holds too much: the places beyond half of them are for
 * threads that put a block in and did not take one out yet. */
static bool ring_pop(struct entry *entry, enum which which)
{
    bool pop;

    lock_acquire(&quarantine_lock);
    pop = ring.nr != 0 &&
          (which == ANY || ring.nr >= MAX_BLOCKS / 2 || ring.bytes > ring.max_bytes);
    if (pop) {
        *entry = *ring_at(0);
        ring.first++;
        ring.nr--;
        ring.bytes -= entry->bytes;
        ring.nr_leaving++;
    }
    lock_release(&quarantine_lock);
    return pop;
}

static void fork_prepare(void)
{
    lock_acquire_for_fork(&quarantine_lock);
}

static void fork_done(void)
{
    lock_release_after_fork(&quarantine_lock);
}

void quarantine_init_lock(void)
{
    if (has_lock)
        return; /* from an attempt to make the heap that found no memory */
    lock_init(&quarantine_lock, LOCK_RANK_HEAP);
    has_lock = pthread_atfork(fork_prepare, fork_done, fork_done) == 0;
}

void quarantine_init(void)
{
    CHECK(ring.max_bytes == 0);
    ring.max_bytes = malloc_arena.mapped_bytes / FRAMES_SHARE;
}

void quarantine_figures(struct quarantine_figures *out)
{
    *out = (struct quarantine_figures){0};
    if (ring.max_bytes == 0)
        return;
    debug_count_waiting(&malloc_arena.kmalloc.slabs, &out->nr_objects, &out->object_bytes);
    lock_acquire(&quarantine_lock);
    out->nr_blocks = ring.nr;
    out->block_bytes = ring.bytes;
    lock_release(&quarantine_lock);
}

void quarantine_add_frames_locked(char *base, size_t bytes, bool had_guards)
{
    lock_assert_held(&quarantine_lock);
    *ring_at(ring.nr++) = (struct entry){base, bytes, guards_close(base, bytes, had_guards)};
    ring.bytes += bytes;
}

bool quarantine_has_frames_locked(const char *base)
{
    lock_assert_held(&quarantine_lock);
    for (unsigned i = 0; i < ring.nr; i++)
        if (ring_at(i)->base == base)
            return true;
    return false;
}

bool quarantine_is_still_locked(void)
{
    lock_assert_held(&quarantine_lock);
    return ring.nr_leaving == 0;
}

/* Where the system does not give the access back the frames stay without it for ever. */
static void give_frames_back(const struct entry *entry)
{
    if (entry->is_closed && !guards_open(entry->base, entry->bytes))
        return;
    (void)kfree_slow(&malloc_arena.kmalloc, entry->base);
    lock_acquire(&quarantine_lock);
    ring.nr_leaving--;
    lock_release(&quarantine_lock);
}

void quarantine_trim(void)
{
    struct entry oldest;

    while (ring_pop(&oldest, SURPLUS))
        give_frames_back(&oldest);
}

bool quarantine_drain(void)
{
    struct entry oldest;
    bool any = false;

    while (ring_pop(&oldest, ANY)) {
        give_frames_back(&oldest);
        any = true;
    }
    return any;
}

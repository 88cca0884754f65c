/* quarantine.c - see quarantine.h. */
#include "malloc/quarantine.h"

#include "malloc/block_words.h"
#include "malloc/heap.h"
#include "os/os.h"

#include <pthread.h>

#define MAX_OBJECTS 32768u /* places: half of them are used, see ring_pop_surplus */
#define MAX_OBJECT_BYTES ((size_t)4 << 20)
#define MAX_FRAME_BLOCKS 512u
#define FRAMES_SHARE 16u /* of the arena's addresses, at most */

struct entry {
    char *base;
    size_t bytes;
    const void *p; /* what the caller had */
};

struct ring {
    struct entry *entry;
    unsigned capacity; /* power of two; constant */
    unsigned first;    /* counts up; its place is modulo capacity */
    unsigned nr;
    size_t bytes; /* of all entries */
    size_t max_bytes;
};

uint64_t block_secret;

static struct lock lock; /* guards the rings, and the words of blocks (hardened.h) */
static struct entry object_entry[MAX_OBJECTS];
static struct entry frames_entry[MAX_FRAME_BLOCKS];
static struct ring objects = {
    .entry = object_entry, .capacity = MAX_OBJECTS, .max_bytes = MAX_OBJECT_BYTES};
static struct ring frames = {.entry = frames_entry, .capacity = MAX_FRAME_BLOCKS};

static struct entry *ring_at(const struct ring *ring, unsigned i)
{
    return &ring->entry[(ring->first + i) & (ring->capacity - 1)];
}

static void ring_push(struct ring *ring, struct entry entry)
{
    *ring_at(ring, ring->nr++) = entry;
    ring->bytes += entry.bytes;
}

/* The oldest, if the ring holds too much. Half of the places are for threads that have put
 * theirs in and have not taken one out yet. */
static bool ring_pop_surplus(struct ring *ring, struct entry *entry)
{
    if (ring->nr == 0 || (ring->nr < ring->capacity / 2 && ring->bytes <= ring->max_bytes))
        return false;
    *entry = *ring_at(ring, 0);
    ring->first++;
    ring->nr--;
    ring->bytes -= entry->bytes;
    return true;
}

void quarantine_lock(void)
{
    lock_acquire(&lock);
}

void quarantine_unlock(void)
{
    lock_release(&lock);
}

/* These handlers run before those of the arena, so they hold stdio first themselves. */
static void fork_prepare(void)
{
    os_stdio_hold();
    lock_acquire_for_fork(&lock);
}

static void fork_parent(void)
{
    lock_release_after_fork(&lock);
    os_stdio_release();
}

static void fork_child(void)
{
    lock_release_after_fork(&lock);
    os_stdio_reset();
}

void quarantine_init(void)
{
    lock_init(&lock, LOCK_RANK_FORK);
    frames.max_bytes = malloc_arena.mapped_bytes / FRAMES_SHARE;
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* --- objects ------------------------------------------------------------ */

static void check_object(const struct entry *entry)
{
    size_t bytes = entry->bytes - (size_t)((const char *)entry->p - entry->base);
    size_t size;

    if (!bytes_are_zero(entry->p, bytes) ||
        block_words_get((const char *)entry->p - BLOCK_WORD_BYTES, entry->p, &size) != BLOCK_FREED)
        misuse_abort_words("free", entry->p, "written to after its free");
}

/* As the core wants it back: not marked, and zero. */
static void give_object_back(const struct entry *entry)
{
    check_object(entry);
    memset(entry->base, 0, (size_t)((const char *)entry->p - entry->base));
    if (kfree_slow(&malloc_arena.kmalloc, entry->base) != PYSLAB_OK)
        misuse_abort("free", entry->p, PYSLAB_EPOINTER);
}

void quarantine_add_object(char *base, size_t bytes, const void *p)
{
    struct entry oldest;

    quarantine_lock();
    while (ring_pop_surplus(&objects, &oldest)) {
        quarantine_unlock();
        give_object_back(&oldest);
        quarantine_lock();
    }
    ring_push(&objects, (struct entry){base, bytes, p});
    quarantine_unlock();
}

void quarantine_check(void)
{
    quarantine_lock();
    for (unsigned i = 0; i < objects.nr; i++)
        check_object(ring_at(&objects, i));
    quarantine_unlock();
}

/* --- frames ------------------------------------------------------------- */

void quarantine_add_frames_locked(char *base, size_t bytes)
{
    /* Where the system refuses, at least the content goes. */
    if (os_uncommit(base, bytes) != PYSLAB_OK)
        (void)os_discard(base, bytes);
    ring_push(&frames, (struct entry){base, bytes, NULL});
}

bool quarantine_has_frames(const char *base)
{
    for (unsigned i = 0; i < frames.nr; i++)
        if (ring_at(&frames, i)->base == base)
            return true;
    return false;
}

void quarantine_trim(void)
{
    struct entry oldest;

    quarantine_lock();
    while (ring_pop_surplus(&frames, &oldest)) {
        quarantine_unlock();
        /* Refused: it stays without access for ever, which is safe. */
        if (os_commit(oldest.base, oldest.bytes, true) == PYSLAB_OK) {
            os_advise_hugepages(oldest.base, oldest.bytes, false);
            (void)kfree_slow(&malloc_arena.kmalloc, oldest.base);
        }
        quarantine_lock();
    }
    quarantine_unlock();
}

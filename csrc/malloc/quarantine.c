/* quarantine.c - see quarantine.h. */
#include "malloc/quarantine.h"

#include "malloc/block_words.h"
#include "malloc/guards.h"
#include "malloc/heap.h"

#include <pthread.h>

#define MAX_OBJECTS 32768u /* places: half of them are used, see ring_pop */
#define MAX_OBJECT_BYTES ((size_t)4 << 20)
#define MAX_FRAME_BLOCKS 512u
#define FRAMES_SHARE 16u /* of the arena's addresses, at most */

struct entry {
    char *base;     /* the block, as the core knows it */
    size_t bytes;   /* of all of it */
    const void *p;  /* an object's: what the program had */
    bool is_closed; /* frames without access: guards_open gives it back */
};

struct ring {
    struct entry *entry; /* the places; constant */
    unsigned capacity;   /* how many; a power of two; constant */
    unsigned first;      /* where the oldest is: counts up, taken modulo capacity */
    unsigned nr;         /* entries in it */
    size_t bytes;        /* of all entries' blocks */
    size_t max_bytes;    /* more is surplus; constant after quarantine_init */
};

enum which { SURPLUS, ANY }; /* entries that ring_pop may take */

uint64_t block_secret;

struct lock quarantine_lock;
static bool has_lock; /* it is made, and fork handlers are registered */
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

/* Takes the oldest out. Only if the ring holds too much: the places beyond half of them are for
 * threads that put a block in and did not take one out yet. */
static bool ring_pop(struct ring *ring, struct entry *entry, enum which which)
{
    if (ring->nr == 0 ||
        (which == SURPLUS && ring->nr < ring->capacity / 2 && ring->bytes <= ring->max_bytes))
        return false;
    *entry = *ring_at(ring, 0);
    ring->first++;
    ring->nr--;
    ring->bytes -= entry->bytes;
    return true;
}

static bool ring_pop_locking(struct ring *ring, struct entry *entry, enum which which)
{
    bool popped;

    lock_acquire(&quarantine_lock);
    popped = ring_pop(ring, entry, which);
    lock_release(&quarantine_lock);
    return popped;
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
    CHECK(frames.max_bytes == 0 && objects.nr == 0);
    frames.max_bytes = malloc_arena.mapped_bytes / FRAMES_SHARE;
}

void quarantine_figures(struct quarantine_figures *out)
{
    *out = (struct quarantine_figures){0};
    if (frames.max_bytes == 0)
        return;
    lock_acquire(&quarantine_lock);
    out->nr_objects = objects.nr;
    out->object_bytes = objects.bytes;
    out->nr_blocks = frames.nr;
    out->block_bytes = frames.bytes;
    lock_release(&quarantine_lock);
}

/* --- objects ------------------------------------------------------------ */

static size_t bytes_from(const struct entry *entry)
{
    return entry->bytes - (size_t)((const char *)entry->p - entry->base);
}

static void check_object(const struct entry *entry)
{
    size_t size;

    if (!bytes_are_zero(entry->p, bytes_from(entry)) ||
        block_words_get((const char *)entry->p - BLOCK_WORD_BYTES, entry->p, &size) != BLOCK_FREED)
        misuse_abort_words("free", entry->p, "written to after its free");
}

/* The core wants it back zero, and without the words that say it was freed. */
static void give_object_back(const struct entry *entry)
{
    check_object(entry);
    memset(entry->base, 0, (size_t)((const char *)entry->p - entry->base));
    if (kfree_slow(&malloc_arena.kmalloc, entry->base) != PYSLAB_OK)
        misuse_abort("free", entry->p, PYSLAB_EPOINTER);
}

void quarantine_add_object(char *base, size_t bytes, const void *p)
{
    struct entry entry = {base, bytes, p, false}, oldest;

    CHECK_WALK(bytes_are_zero(p, bytes_from(&entry)));
    while (ring_pop_locking(&objects, &oldest, SURPLUS))
        give_object_back(&oldest);
    lock_acquire(&quarantine_lock);
    ring_push(&objects, entry);
    lock_release(&quarantine_lock);
}

void quarantine_check(void)
{
    lock_acquire(&quarantine_lock);
    for (unsigned i = 0; i < objects.nr; i++)
        check_object(ring_at(&objects, i));
    lock_release(&quarantine_lock);
}

/* --- frames ------------------------------------------------------------- */

void quarantine_add_frames_locked(char *base, size_t bytes, bool had_guards)
{
    lock_assert_held(&quarantine_lock);
    ring_push(&frames, (struct entry){base, bytes, NULL, guards_close(base, bytes, had_guards)});
}

bool quarantine_has_frames_locked(const char *base)
{
    lock_assert_held(&quarantine_lock);
    for (unsigned i = 0; i < frames.nr; i++)
        if (ring_at(&frames, i)->base == base)
            return true;
    return false;
}

/* Where the system does not give the access back the frames stay without it for ever. */
static void give_frames_back(const struct entry *entry)
{
    if (!entry->is_closed || guards_open(entry->base, entry->bytes))
        (void)kfree_slow(&malloc_arena.kmalloc, entry->base);
}

void quarantine_trim(void)
{
    struct entry oldest;

    while (ring_pop_locking(&frames, &oldest, SURPLUS))
        give_frames_back(&oldest);
}

bool quarantine_drain(void)
{
    struct entry oldest;
    bool any = false;

    while (ring_pop_locking(&frames, &oldest, ANY)) {
        give_frames_back(&oldest);
        any = true;
    }
    while (ring_pop_locking(&objects, &oldest, ANY)) {
        give_object_back(&oldest);
        any = true;
    }
    return any;
}

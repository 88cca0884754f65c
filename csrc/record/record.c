/* record.c - libpyslab_record.so: writes each allocation and free of a program to a file.
 *
 * What it is: an interposer (interpose/interpose.h). Each thread writes events (format.h) into
 * blocks of the file, which are mapped: a store is all that it takes, and what is stored is in
 * the file whatever becomes of the process.
 * What it is not: the file (file.h), or a reader of it (read.h).
 *
 * Order between threads: a free is timed before the block goes back, an allocation after it was
 * handed out, by a clock that all processors share. Events have a time where the order
 * matters (file.h); the others happened between two times of their thread.
 *
 * Data structure: struct writer, one for each thread.
 * Invariant: the bytes from writer.at to the block's end are zero.
 * Fork: the child's page of file_shared reads zero, so that its next event finds a generation which
 * is not its writer's, and begins a file of its own. The parent's blocks stay as they are.
 * Lock: none in this file; a writer is its thread's.
 */
#include "record/file.h"

#include "interpose/interpose.h"
#include "profile/recorded.h"

#include <errno.h>

static __thread struct writer writer __attribute__((tls_model("initial-exec")));

/* Its first event has the time of now. */
static slow_path bool next_block(void)
{
    int saved = errno;
    bool ready;

    interpose_enter();
    ready = file_next_block(&writer, file_ticks());
    interpose_leave();
    errno = saved;
    return ready;
}

static always_inline unsigned bytes_of(uint64_t n)
{
    return ((63u ^ (unsigned)__builtin_clzll(n | 1)) + 8) >> 3;
}

/* Eight bytes at once: those above the number's own are zero, and the next number takes their
 * place. */
static always_inline unsigned char *put(unsigned char *at, uint64_t n)
{
    memcpy(at, &n, sizeof n);
    return at + bytes_of(n);
}

/* Two threads may do this at once for one page. The one whose time is the later need not be the one
 * that has the page then: if it is not, nobody has it. */
static uint64_t now_for(_Atomic uint8_t *owner)
{
    uint8_t mine = (uint8_t)writer.owner;
    uint64_t ticks;

    store_relaxed(owner, mine);
    atomic_signal_fence(memory_order_seq_cst);
    file_settle();
    ticks = file_ticks();
    atomic_signal_fence(memory_order_seq_cst);
    if (unlikely(load_relaxed(owner) != mine))
        store_relaxed(owner, 0);
    return ticks;
}

/* now() was called for an event that did not come: the page's next one has a time of its own. */
static void forget_now(const void *p)
{
    store_relaxed(file_owner(p), 0);
}

/* The time of an event of a block. */
static always_inline uint64_t now(const void *p)
{
    const struct writer *w = &writer;
    _Atomic uint8_t *owner = file_owner(p);

    return likely((w->nr_events & load_relaxed(&file_shared.untimed)) != 0 &&
                  load_relaxed(owner) == w->owner)
               ? w->ticks
               : now_for(owner);
}

static always_inline bool has_room(void)
{
    return likely(file_is_current(&writer) && writer.at < writer.last);
}

/* False: some number is too large for it. size: 0 for events that have none.
 * pre: has_room() (unchecked: callers have asked) */
static always_inline bool put_short(enum record_event event, uint64_t ticks, const void *p,
                                    uint64_t size)
{
    struct writer *w = &writer;
    uint64_t address = (uintptr_t)p, region = address >> RECORD_REGION_SHIFT;
    uint64_t time = likely(ticks > w->ticks) ? ticks - w->ticks : 0;
    unsigned index = record_region_index(address), bytes = RECORD_SHORT_BYTES;
    uint64_t place = (address - (region << RECORD_REGION_SHIFT)) >> RECORD_PLACE_SHIFT;
    uint64_t word = (unsigned)event | RECORD_SHORT | size << RECORD_SHORT_SIZE_AT |
                    (uint64_t)index << RECORD_SHORT_REGION_AT | place << RECORD_SHORT_PLACE_AT;

    if (unlikely((w->regions[index] ^ (region + 1)) | size >> RECORD_SHORT_SIZE_BITS |
                 time >> RECORD_SHORT_TIME_BITS | (address & ((1u << RECORD_PLACE_SHIFT) - 1))))
        return false;
    if (time != 0) {
        word |= RECORD_TIMED | time << RECORD_SHORT_TIME_AT;
        bytes += RECORD_SHORT_TIME_BITS / 8;
        w->ticks = ticks;
    }
    memcpy(w->at, &word, sizeof word); /* what lies behind the event stays zero */
    w->at += bytes;
    w->nr_events++;
    return true;
}

/* tag: an event, and flags. size: not written for events that have none.
 * pre: has_room() (unchecked: the caller has asked) */
static void put_long(unsigned tag, uint64_t ticks, const void *p, uint64_t size, bool has_size)
{
    struct writer *w = &writer;
    unsigned char *tag_at = w->at, *at;
    uint64_t time = likely(ticks > w->ticks) ? ticks - w->ticks : 0;
    uint64_t address = record_zigzag((uintptr_t)p - w->address);

    tag |= (bytes_of(address) - 1) << RECORD_NR_ADDRESS_AT;
    w->address = (uintptr_t)p;
    w->regions[record_region_index(w->address)] = (w->address >> RECORD_REGION_SHIFT) + 1;
    at = tag_at + sizeof(uint16_t);
    if (time == 0) {
        tag |= RECORD_SAME_TIME;
    } else {
        w->ticks += time;
        at = put(at, time);
        tag |= (bytes_of(time) - 1) << RECORD_NR_TIME_AT;
    }
    at = put(at, address);
    if (has_size) {
        at = put(at, size);
        tag |= (bytes_of(size) - 1) << RECORD_NR_SIZE_AT;
    }
    w->at = at;
    w->nr_events++;
    atomic_signal_fence(memory_order_seq_cst); /* the tag after the rest */
    memcpy(tag_at, &(uint16_t){(uint16_t)tag}, sizeof(uint16_t));
}

static slow_path void write_long(unsigned tag, uint64_t ticks, const void *p, uint64_t size,
                                 bool has_size)
{
    if (has_room() || next_block())
        put_long(tag, ticks, p, size, has_size);
}

/* A signal's handler that comes in between would write at the same place, but POSIX has it allocate
 * nothing while the program is in malloc or free, as it is here. */
static always_inline void write_event(enum record_event event, uint64_t ticks, const void *p,
                                      uint64_t size, bool has_size)
{
    if (!has_room() || !put_short(event, ticks, p, size))
        write_long(event, ticks, p, size, has_size);
}

/* --- the hooks of interpose/calls.h --------------------------------------------- */

static always_inline bool hook_wanted(void)
{
    return true;
}

/* Not inlined: so the call of the malloc beneath saves no registers but for the size. */
static __attribute__((noinline)) void *note(enum record_event event, void *p, uint64_t size)
{
    write_event(event, now(p), p, size, true);
    return p;
}

static always_inline void *hook_allocated(enum interpose_call call, void *p, size_t size,
                                          size_t align)
{
    return align != 0 ? note(RECORD_MEMALIGN, p, size << 6 | (uint64_t)__builtin_ctzll(align))
                      : note((enum record_event)(RECORD_MALLOC + call), p, size);
}

static __attribute__((noinline)) void hook_freeing(void *p)
{
    write_event(RECORD_FREE, now(p), p, 0, false);
}

/* The time for a block that is about to be resized, in a record block that has room for the event:
 * one that was begun afterwards would give it a time after the block went back. */
static always_inline uint64_t now_before(const void *p)
{
    (void)(has_room() || next_block());
    return now(p);
}

static always_inline uint64_t hook_resizing(void *p)
{
    return now_before(p);
}

static always_inline void hook_resized(uint64_t begun, void *old, void *p, size_t size)
{
    if (p != NULL) {
        write_event(RECORD_RESIZE, begun, old, 0, false);
        write_event(RECORD_REALLOC, now(p), p, size, true);
    } else if (size == 0) {
        write_event(RECORD_FREE, begun, old, 0, false);
    } else {
        forget_now(old);
    }
}

#include "interpose/calls.h"

/* --- blocks of arenas (profile/recorded.h) ---------------------------------------- */

/* They are few beside malloc's, as a rule, and have no short form. */
static void arena_allocated(const void *p, size_t size)
{
    write_long(RECORD_MALLOC | RECORD_ARENA, now(p), p, size, true);
}

static void arena_freeing(const void *p)
{
    write_long(RECORD_FREE | RECORD_ARENA, now(p), p, 0, false);
}

static uint64_t arena_resizing(const void *p)
{
    return now_before(p);
}

static void arena_resized(uint64_t begun, const void *old, const void *p, size_t size)
{
    if (old != NULL && (size == 0 || p != NULL))
        write_long((size != 0 ? RECORD_RESIZE : RECORD_FREE) | RECORD_ARENA, begun, old, 0, false);
    else if (old != NULL)
        forget_now(old);
    if (size != 0 && p != NULL)
        write_long(RECORD_REALLOC | RECORD_ARENA, now(p), p, size, true);
}

EXPORTED extern const struct recorder pyslab_record_arenas;
const struct recorder pyslab_record_arenas = {arena_allocated, arena_freeing, arena_resizing,
                                              arena_resized};

_Static_assert((int)RECORD_CALLOC == RECORD_MALLOC + INTERPOSE_CALLOC &&
                   (int)RECORD_REALLOC == RECORD_MALLOC + INTERPOSE_REALLOC &&
                   (int)RECORD_NEW == RECORD_MALLOC + INTERPOSE_NEW,
               "events are numbered as calls are");

__attribute__((destructor)) static void at_exit(void)
{
    interpose_enter();
    file_end(&writer);
    interpose_leave();
}

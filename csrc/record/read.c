/* read.c - see read.h. */
#include "record/read.h"

#include "record/room.h"

#include <stdlib.h>

#define EVENT_ROOM sizeof(((struct record_block *)0)->events)

/* --- events ---------------------------------------------------------------------- */

static uint64_t take_number(const unsigned char **at, unsigned bytes)
{
    uint64_t n = 0;

    memcpy(&n, *at, bytes); /* least byte first */
    *at += bytes;
    return n;
}

static bool has_size(unsigned event)
{
    return event != RECORD_FREE && event != RECORD_RESIZE;
}

/* An event of a cursor: what is its own comes from the caller. The first of a block is timed by the
 * block's head. */
static void give(struct read_cursor *c, unsigned tag, uint64_t address, uint64_t size, bool timed)
{
    c->next = (struct read_event){.ticks = c->ticks,
                                  .address = address,
                                  .event = tag & 7,
                                  .thread = c->next.thread,
                                  .size = size,
                                  .timed = timed || c->at == 0,
                                  .of_arena = (tag & (RECORD_SHORT | RECORD_ARENA)) ==
                                              RECORD_ARENA};
    if (c->next.event == RECORD_MEMALIGN) {
        c->next.align = (uint32_t)(size & 63);
        c->next.size >>= 6;
    }
}

/* The short event at a place. */
static bool decode_short(struct read_cursor *c, const unsigned char *at, size_t limit)
{
    uint64_t word = take_number(&at, RECORD_SHORT_BYTES), region, place;
    uint64_t size = word >> RECORD_SHORT_SIZE_AT & ((1u << RECORD_SHORT_SIZE_BITS) - 1);
    unsigned event = word & 7;
    unsigned nr_time = (word & RECORD_TIMED) != 0 ? RECORD_SHORT_TIME_BITS / 8 : 0;

    region = c->regions[word >> RECORD_SHORT_REGION_AT & (RECORD_REGIONS - 1)];
    place = word >> RECORD_SHORT_PLACE_AT;
    if (event == 0 || region == 0 || (size != 0 && !has_size(event)) ||
        c->at + RECORD_SHORT_BYTES + nr_time > limit)
        return false;
    c->ticks += take_number(&at, nr_time);
    give(c, word & (7 | RECORD_SHORT),
         ((region - 1) << RECORD_REGION_SHIFT) + (place << RECORD_PLACE_SHIFT), size, nr_time != 0);
    c->at += RECORD_SHORT_BYTES + nr_time;
    return true;
}

/* The long event that begins with a tag. at: behind that. */
static bool decode_long(struct read_cursor *c, unsigned tag, const unsigned char *at, size_t limit)
{
    unsigned event = tag & 7;
    bool same_time = (tag & RECORD_SAME_TIME) != 0;
    unsigned nr_time = tag >> RECORD_NR_TIME_AT & 7, nr_size = tag >> RECORD_NR_SIZE_AT & 7;
    unsigned nr_address = (tag >> RECORD_NR_ADDRESS_AT & 7) + 1;

    if (event == 0 || tag >> 15 != 0 || (!has_size(event) && nr_size != 0) ||
        (same_time && nr_time != 0))
        return false;
    nr_time += !same_time;
    nr_size += has_size(event);
    if (c->at + 2 + nr_time + nr_address + nr_size > limit)
        return false;
    c->ticks += take_number(&at, nr_time);
    c->address += record_unzigzag(take_number(&at, nr_address));
    c->regions[record_region_index(c->address)] = (c->address >> RECORD_REGION_SHIFT) + 1;
    give(c, tag, c->address, take_number(&at, nr_size), !same_time);
    c->at += 2 + nr_time + nr_address + nr_size;
    return true;
}

/* Takes the event at c->at of a block's first limit bytes into c->next. False: there is none, or
 * what is there is no event. */
static bool decode(struct read_cursor *c, const struct record_block *block, size_t limit)
{
    const unsigned char *at = block->events + c->at;
    unsigned tag;

    if (c->at + 2 > limit)
        return false;
    tag = (unsigned)take_number(&at, 2);
    if (c->version < 3)
        return decode_long(c, record_tag_of_old(tag), at, limit);
    if ((tag & RECORD_SHORT) == 0)
        return decode_long(c, tag, at, limit);
    return c->at + RECORD_SHORT_BYTES <= limit && decode_short(c, at - 2, limit);
}

static void enter_block(struct read_cursor *c)
{
    c->at = 0;
    c->address = (*c->block)->address;
    c->ticks = (*c->block)->ticks;
    memset(c->regions, 0, sizeof c->regions);
}

static size_t limit_of(const struct record_block *block)
{
    return block->used != 0 ? block->used : EVENT_ROOM;
}

/* The cursor's next event; false: its thread has no more. */
static bool advance(struct read_cursor *c)
{
    while (c->block < c->end) {
        if (decode(c, *c->block, limit_of(*c->block)))
            return true;
        if (++c->block < c->end)
            enter_block(c);
    }
    return false;
}

/* Events of a block; *ends: where they end. */
static uint64_t count_events(const struct record_block *block, uint32_t version, size_t *ends)
{
    struct read_cursor c = {.version = version, .address = block->address};
    uint64_t nr = 0;

    while (decode(&c, block, limit_of(block)))
        nr++;
    *ends = c.at;
    return nr;
}

/* --- which blocks count ------------------------------------------------------------ */

static bool is_empty(const struct record_block *block)
{
    const unsigned char *bytes = (const void *)block;

    return bytes[0] == 0 && memcmp(bytes, bytes + 1, RECORD_BLOCK_BYTES - 1) == 0;
}

/* What comes after the last event is no event, nor anything else. */
static bool ends_in_zeros(const struct record_block *block, size_t at)
{
    while (at < EVENT_ROOM && block->events[at] == 0)
        at++;
    return at == EVENT_ROOM;
}

/* The numbers and the sums of a block that has events. */
static bool is_whole(const struct record_block *block, uint32_t version)
{
    size_t ends = block->used;
    bool is_open = block->used == 0;

    if (block->used > EVENT_ROOM)
        return false;
    if (is_open ? block->nr_events != 0 || block->sum != 0
                : block->sum != record_block_sum(block, version))
        return false;
    if (block->kind == RECORD_BLOCK_END)
        return block->used == sizeof(struct record_end) && ends_in_zeros(block, ends);
    if (count_events(block, version, &ends) != block->nr_events && !is_open)
        return false;
    return (is_open || ends == block->used) && ends_in_zeros(block, ends);
}

/* Counts what cannot be believed; true: the block is to be read. */
static bool judge(struct recording *r, const struct record_block *block)
{
    if (is_empty(block))
        return false;
    if (block->head_sum != record_block_head_sum(block)) {
        r->faults.nr_damaged++;
        return false;
    }
    if (block->id != r->head->id) {
        r->faults.nr_foreign++;
        return false;
    }
    if ((block->kind != RECORD_BLOCK_EVENTS && block->kind != RECORD_BLOCK_END) ||
        !is_whole(block, r->head->version)) {
        r->faults.nr_damaged++;
        return false;
    }
    return true;
}

static int by_thread_and_number(const void *a, const void *b)
{
    const struct record_block *x = *(const struct record_block *const *)a;
    const struct record_block *y = *(const struct record_block *const *)b;

    if (x->thread != y->thread)
        return x->thread < y->thread ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* glibc's qsort takes memory for large arrays from malloc: a heap sort does not. */
static void sift(const struct record_block **a, size_t at, size_t nr)
{
    for (size_t child; (child = 2 * at + 1) < nr; at = child) {
        const struct record_block *moved = a[at];

        if (child + 1 < nr && by_thread_and_number(&a[child], &a[child + 1]) < 0)
            child++;
        if (by_thread_and_number(&a[at], &a[child]) >= 0)
            return;
        a[at] = a[child];
        a[child] = moved;
    }
}

static void sort(const struct record_block **a, size_t nr)
{
    for (size_t i = nr / 2; i-- > 0;)
        sift(a, i, nr);
    for (size_t i = nr; i-- > 1;) {
        const struct record_block *largest = a[0];

        a[0] = a[i];
        a[i] = largest;
        sift(a, 0, i);
    }
}

/* Leaves out doubled ones, and counts the ones that are missing between. */
static void check_numbers(struct recording *r)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->nr_blocks; i++) {
        const struct record_block *block = r->blocks[i];
        bool is_first = kept == 0 || r->blocks[kept - 1]->thread != block->thread;
        uint64_t expected = is_first ? 0 : r->blocks[kept - 1]->number + (uint64_t)1;

        if (block->number < expected) {
            r->faults.nr_doubled++;
            continue;
        }
        r->faults.nr_missing += block->number - expected;
        r->blocks[kept++] = block;
    }
    r->nr_blocks = kept;
}

static void note_time(struct recording *r, const struct record_block *block)
{
    if (r->begin_ns == 0 || block->ns < r->begin_ns) {
        r->begin_ns = block->ns;
        r->begin_ticks = block->ticks;
    }
    if (block->ns >= r->end_ns) {
        r->end_ns = block->ns;
        r->end_ticks = block->ticks;
    }
}

/* What blocks say once they are in order; leaves those of events. */
static void take_blocks(struct recording *r)
{
    size_t kept = 0, found = r->nr_blocks, ends;
    uint64_t nr;

    for (size_t i = 0; i < found; i++) {
        const struct record_block *block = r->blocks[i];

        note_time(r, block);
        if (block->kind == RECORD_BLOCK_END) {
            memcpy(&r->end, block->events, sizeof r->end);
            r->faults.has_end = true;
            continue;
        }
        nr = count_events(block, r->head->version, &ends);
        r->nr_events += nr;
        if (block->used == 0) {
            r->faults.nr_open += nr != 0;
            r->faults.nr_unsure += nr;
        }
        r->blocks[kept++] = block;
    }
    r->nr_blocks = kept;
    if (r->faults.has_end && r->end.nr_blocks > found + r->faults.nr_missing)
        r->faults.nr_missing = r->end.nr_blocks - found;
}

/* --- the heap of cursors ------------------------------------------------------------- */

static bool earlier(const struct read_cursor *a, const struct read_cursor *b)
{
    return a->next.ticks != b->next.ticks ? a->next.ticks < b->next.ticks
                                          : a->next.thread < b->next.thread;
}

static void heap_sink(struct recording *r, size_t at)
{
    struct read_cursor **heap = r->heap;

    for (size_t child; (child = 2 * at + 1) < r->nr_heap; at = child) {
        struct read_cursor *moved = heap[at];

        if (child + 1 < r->nr_heap && earlier(heap[child + 1], heap[child]))
            child++;
        if (!earlier(heap[child], moved))
            return;
        heap[at] = heap[child];
        heap[child] = moved;
    }
}

static void heap_add(struct recording *r, struct read_cursor *added)
{
    uint32_t at = r->nr_heap++;

    for (; at > 0 && earlier(added, r->heap[(at - 1) / 2]); at = (at - 1) / 2)
        r->heap[at] = r->heap[(at - 1) / 2];
    r->heap[at] = added;
}

static void heap_remove_first(struct recording *r)
{
    r->heap[0] = r->heap[--r->nr_heap];
    heap_sink(r, 0);
}

static void make_cursors(struct recording *r)
{
    uint32_t nr = 0;

    for (size_t i = 0; i < r->nr_blocks; i++)
        nr += i == 0 || r->blocks[i]->thread != r->blocks[i - 1]->thread;
    r->nr_threads = nr;
    r->cursors = room_take(nr * sizeof *r->cursors);
    r->heap = room_take(nr * sizeof(struct read_cursor *));
    for (size_t i = 0, thread = 0; i < r->nr_blocks; thread++) {
        struct read_cursor *c = &r->cursors[thread];

        c->block = &r->blocks[i];
        c->next.thread = (uint32_t)thread;
        c->version = r->head->version;
        while (i < r->nr_blocks && r->blocks[i]->thread == (*c->block)->thread)
            i++;
        c->end = &r->blocks[i];
        enter_block(c);
        if (advance(c))
            heap_add(r, c);
    }
}

/* --- what read.h declares ------------------------------------------------------------- */

const char *recording_open(struct recording *r, const void *data, size_t bytes)
{
    const struct record_block *blocks = data;
    size_t nr = bytes / RECORD_BLOCK_BYTES;

    memset(r, 0, sizeof *r);
    r->head = data;
    if (bytes < sizeof r->head->magic || memcmp(r->head->magic, RECORD_MAGIC, 8) != 0)
        return "this is no record file";
    if (nr == 0)
        return "the file is cut off within its head";
    if (r->head->sum != record_head_sum(r->head))
        return "the head of the file is damaged";
    if (r->head->version == 0 || r->head->version > RECORD_VERSION ||
        r->head->block_bytes != RECORD_BLOCK_BYTES)
        return "the file is of another version of pyslab";
    r->faults.nr_damaged += bytes % RECORD_BLOCK_BYTES != 0;
    r->room = nr * sizeof *r->blocks;
    r->blocks = room_take(r->room);
    for (size_t i = 1; i < nr; i++)
        if (judge(r, &blocks[i]))
            r->blocks[r->nr_blocks++] = &blocks[i];
    sort(r->blocks, r->nr_blocks);
    check_numbers(r);
    take_blocks(r);
    make_cursors(r);
    return NULL;
}

const struct read_event *recording_head(const struct recording *r)
{
    return r->nr_heap > 0 ? &r->heap[0]->next : NULL;
}

void recording_take(struct recording *r)
{
    if (advance(r->heap[0]))
        heap_sink(r, 0);
    else
        heap_remove_first(r);
}

void recording_hold(struct recording *r)
{
    heap_remove_first(r);
}

void recording_release(struct recording *r, uint32_t thread)
{
    heap_add(r, &r->cursors[thread]);
}

uint64_t recording_latest(const struct recording *r, uint32_t thread)
{
    struct read_cursor c = r->cursors[thread];

    while (!c.next.timed)
        if (!advance(&c))
            return UINT64_MAX;
    return c.next.ticks;
}

void recording_close(struct recording *r)
{
    room_drop(r->heap, r->nr_threads * sizeof(struct read_cursor *));
    room_drop(r->cursors, r->nr_threads * sizeof *r->cursors);
    room_drop(r->blocks, r->room);
}

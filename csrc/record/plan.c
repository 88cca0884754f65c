/* plan.c - see plan.h. */
#include "record/plan.h"

#include "record/room.h"

#define NO_SLOT UINT32_MAX
#define FIRST_ROOM 65536u
#define FIRST_ENTRIES 1024u
#define MOST_BYTES ((uint64_t)1 << 48)
/* Clocks of two processors differ by a little, so that two threads' events which are closer than
 * this may be in the wrong order. It is some microseconds. */
#define CLOSE_TICKS 20000u

/* --- blocks by address --------------------------------------------------------------- */

/* An address where a block is live; or where there is none, and a free of it was seen: slot is
 * NO_SLOT. */
struct known {
    uint64_t address; /* 0: the entry is empty */
    uint64_t size;
    uint64_t until; /* ticks. Live: until then another thread's free is that of the block before,
                        which was implied. NO_SLOT: until then a block that comes was freed by it */
    uint32_t slot;
    uint32_t thread; /* that filled the slot, or that freed */
    bool of_arena;   /* the block is an arena's */
};

/* Open addressing; at most half full. */
struct table {
    struct known *entries;
    size_t nr, capacity; /* a power of two */
};

struct maker {
    struct plan *plan;
    struct table table;
    struct known
        *resizing;   /* for each thread: the block whose realloc has begun; slot NO_SLOT: none */
    uint64_t nr_ops; /* of all threads */
};

static size_t place_of(const struct table *t, uint64_t address)
{
    return (size_t)(address * 0x9e3779b97f4a7c15u >> 20) & (t->capacity - 1);
}

/* The entry of an address, or the empty one where it belongs. */
static struct known *find(const struct table *t, uint64_t address)
{
    size_t at = place_of(t, address);

    while (t->entries[at].address != 0 && t->entries[at].address != address)
        at = (at + 1) & (t->capacity - 1);
    return &t->entries[at];
}

static void table_grow(struct table *t)
{
    struct table larger = {.nr = t->nr, .capacity = t->capacity * 2};

    larger.entries = room_take(larger.capacity * sizeof *larger.entries);
    for (size_t i = 0; i < t->capacity; i++)
        if (t->entries[i].address != 0)
            *find(&larger, t->entries[i].address) = t->entries[i];
    room_drop(t->entries, t->capacity * sizeof *t->entries);
    *t = larger;
}

static void table_add(struct table *t, struct known known)
{
    if (t->nr >= t->capacity / 2)
        table_grow(t);
    *find(t, known.address) = known;
    t->nr++;
}

/* Moves those up that had no room at their own places because of the entry. */
static void table_remove(struct table *t, struct known *entry)
{
    size_t hole = (size_t)(entry - t->entries), at = hole, mask = t->capacity - 1;

    t->nr--;
    for (;;) {
        at = (at + 1) & mask;
        if (t->entries[at].address == 0)
            break;
        if (((at - place_of(t, t->entries[at].address)) & mask) >= ((at - hole) & mask)) {
            t->entries[hole] = t->entries[at];
            hole = at;
        }
    }
    t->entries[hole].address = 0;
}

/* --- operations ------------------------------------------------------------------------- */

static struct plan_op op_of(enum plan_kind kind, uint32_t slot, uint64_t size)
{
    struct plan_op op = {.slot = slot};

    op.kind = (unsigned)kind & 15;
    op.size = (size < MOST_BYTES ? size : MOST_BYTES - 1) & (MOST_BYTES - 1);
    return op;
}

/* The array, with room for needed bytes: *room is how many it has. */
static void *with_room(void *array, size_t *room, size_t needed)
{
    size_t before = *room;

    if (needed <= before)
        return array;
    *room = before != 0 ? before * 2 : FIRST_ROOM;
    return array != NULL ? room_grow(array, before, *room) : room_take(*room);
}

static void push(struct plan_thread *t, struct plan_op op)
{
    t->ops = with_room(t->ops, &t->room, (t->nr + 1) * sizeof op);
    t->ops[t->nr++] = op;
}

static void push_in_order(struct maker *m, uint32_t thread, struct plan_op op)
{
    struct plan_thread *t = &m->plan->threads[thread];
    uint64_t epoch = m->nr_ops++ / PLAN_EPOCH_OPS;

    if (t->nr == 0)
        t->first_epoch = epoch;
    else if (epoch != t->epoch && m->plan->nr_threads > 1)
        push(t, op_of(PLAN_EPOCH, 0, epoch));
    t->epoch = epoch;
    push(t, op);
}

static uint32_t take_slot(struct maker *m, uint32_t thread)
{
    struct plan_thread *t = &m->plan->threads[thread];

    return t->nr_empty > 0 ? t->empty[--t->nr_empty] : (uint32_t)m->plan->nr_slots++;
}

static void give_slot(struct maker *m, uint32_t thread, uint32_t slot)
{
    struct plan_thread *t = &m->plan->threads[thread];

    t->empty = with_room(t->empty, &t->empty_room, (t->nr_empty + 1) * sizeof slot);
    t->empty[t->nr_empty++] = slot;
}

static void count_live(struct plan_counts *counts, uint64_t bytes)
{
    counts->live_bytes += bytes;
    counts->nr_live++;
    if (counts->live_bytes > counts->peak_bytes) {
        counts->peak_bytes = counts->live_bytes;
        counts->peak_blocks = counts->nr_live;
    }
}

static void push_free(struct maker *m, uint32_t thread, struct known known)
{
    struct plan_counts *counts = &m->plan->counts;
    struct plan_op op = op_of(PLAN_FREE, known.slot, 0);

    op.is_foreign = known.thread != thread;
    push_in_order(m, thread, op);
    give_slot(m, thread, known.slot);
    counts->nr_frees++;
    counts->nr_between += op.is_foreign;
    counts->live_bytes -= known.size;
    counts->nr_live--;
}

/* --- events -------------------------------------------------------------------------------- */

/* The block at an event's address comes to live. */
static void settle(struct maker *m, const struct read_event *event, uint32_t slot)
{
    struct known known = {event->address, event->size, 0, slot, event->thread, event->of_arena};
    struct known *there = find(&m->table, event->address);

    if (there->address == 0) {
        table_add(&m->table, known);
        return;
    }
    if (there->slot != NO_SLOT) {
        m->plan->counts.nr_implied += !there->of_arena;
        push_free(m, event->thread, *there);
        known.until = event->ticks + CLOSE_TICKS;
    }
    *there = known;
}

/* The thread whose free of an event's block has been seen already; NO_SLOT: none. */
static uint32_t freed_early_by(const struct maker *m, const struct read_event *event)
{
    const struct known *there = find(&m->table, event->address);
    bool is_freed = there->address != 0 && there->slot == NO_SLOT && there->until > event->ticks &&
                    there->thread != event->thread;

    return is_freed ? there->thread : NO_SLOT;
}

static void on_alloc(struct maker *m, const struct read_event *event)
{
    static const enum plan_kind kinds[] = {
        [RECORD_MALLOC] = PLAN_MALLOC,     [RECORD_CALLOC] = PLAN_CALLOC,
        [RECORD_REALLOC] = PLAN_MALLOC,    [RECORD_NEW] = PLAN_MALLOC,
        [RECORD_MEMALIGN] = PLAN_MEMALIGN,
    };
    uint32_t slot = take_slot(m, event->thread), freer = freed_early_by(m, event);
    struct plan_op op = op_of(kinds[event->event], slot, event->size);

    op.align = event->align & 63;
    settle(m, event, slot); /* may free what was there, and so comes before the operation */
    push_in_order(m, event->thread, op);
    m->plan->counts.nr_allocs++;
    m->plan->counts.total_bytes += event->size;
    count_live(&m->plan->counts, event->size);
    if (freer != NO_SLOT) {
        struct known *there = find(&m->table, event->address), known = *there;

        m->plan->counts.nr_unknown--;
        table_remove(&m->table, there);
        push_free(m, freer, known);
    }
}

/* A free of a block that is not known, or not yet. */
static void note_unknown(struct maker *m, const struct read_event *event, struct known *there)
{
    struct known known = {.address = event->address,
                          .until = event->ticks + CLOSE_TICKS,
                          .slot = NO_SLOT,
                          .thread = event->thread};

    m->plan->counts.nr_unknown++;
    if (there->address == 0)
        table_add(&m->table, known);
    else
        *there = known;
}

/* The block at an event's address is live no more. False: nothing is to be done. */
static bool unsettle(struct maker *m, const struct read_event *event, struct known *known)
{
    struct known *there = find(&m->table, event->address);

    if (there->address == 0 || there->slot == NO_SLOT) {
        note_unknown(m, event, there);
        return false;
    }
    if (there->until > event->ticks && there->thread != event->thread) {
        there->until = 0; /* of the block before, which was freed when this one came */
        return false;
    }
    *known = *there;
    table_remove(&m->table, there);
    return true;
}

static void on_free(struct maker *m, const struct read_event *event)
{
    struct known known;

    if (unsettle(m, event, &known))
        push_free(m, event->thread, known);
}

/* What a realloc that never ended had begun on was freed by it. */
static void finish_resize(struct maker *m, uint32_t thread)
{
    struct known *begun = &m->resizing[thread];

    if (begun->slot != NO_SLOT)
        push_free(m, thread, *begun);
    begun->slot = NO_SLOT;
}

static void on_resize(struct maker *m, const struct read_event *event)
{
    finish_resize(m, event->thread);
    (void)unsettle(m, event, &m->resizing[event->thread]);
}

static void on_realloc(struct maker *m, const struct read_event *event)
{
    struct plan_counts *counts = &m->plan->counts;
    struct known old = m->resizing[event->thread];
    struct plan_op op;

    if (old.slot == NO_SLOT) {
        on_alloc(m, event);
        return;
    }
    m->resizing[event->thread].slot = NO_SLOT;
    op = op_of(PLAN_REALLOC, take_slot(m, event->thread), event->size);
    op.from = old.slot;
    op.is_foreign = old.thread != event->thread;
    settle(m, event, op.slot);
    push_in_order(m, event->thread, op);
    give_slot(m, event->thread, old.slot);
    counts->nr_reallocs++;
    counts->nr_between += op.is_foreign;
    counts->total_bytes += event->size;
    counts->live_bytes -= old.size;
    counts->nr_live--;
    count_live(counts, event->size);
}

static void on_event(struct maker *m, const struct read_event *event)
{
    if (event->event != RECORD_REALLOC)
        finish_resize(m, event->thread);
    if (event->event == RECORD_FREE)
        on_free(m, event);
    else if (event->event == RECORD_RESIZE)
        on_resize(m, event);
    else if (event->event == RECORD_REALLOC)
        on_realloc(m, event);
    else
        on_alloc(m, event);
}

/* True: it is not to be replayed. */
static bool leave_out(struct plan_counts *counts, const struct read_event *event, bool with_arenas)
{
    if (event->address == 0)
        return true;
    if (!event->of_arena)
        return false;
    counts->nr_arena_frees += event->event == RECORD_FREE;
    counts->nr_arena_allocs += event->event != RECORD_FREE && event->event != RECORD_RESIZE;
    counts->arena_bytes += event->size;
    return !with_arenas;
}

void plan_make(struct plan *plan, struct recording *r, bool with_arenas)
{
    struct maker m = {.plan = plan, .table = {.capacity = FIRST_ENTRIES}};
    size_t resizing_bytes = r->nr_threads * sizeof *m.resizing;
    struct read_event event;

    memset(plan, 0, sizeof *plan);
    plan->nr_threads = r->nr_threads;
    plan->threads = room_take(r->nr_threads * sizeof *plan->threads);
    m.table.entries = room_take(m.table.capacity * sizeof *m.table.entries);
    m.resizing = room_take(resizing_bytes);
    for (uint32_t i = 0; i < r->nr_threads; i++)
        m.resizing[i].slot = NO_SLOT;
    while (recording_next(r, &event))
        if (!leave_out(&plan->counts, &event, with_arenas))
            on_event(&m, &event);
    for (uint32_t i = 0; i < r->nr_threads; i++) {
        finish_resize(&m, i);
        push(&plan->threads[i], op_of(PLAN_END, 0, 0));
        room_drop(plan->threads[i].empty, plan->threads[i].empty_room);
    }
    room_drop(m.resizing, resizing_bytes);
    room_drop(m.table.entries, m.table.capacity * sizeof *m.table.entries);
}

void plan_drop(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->nr_threads; i++)
        room_drop(plan->threads[i].ops, plan->threads[i].room);
    room_drop(plan->threads, plan->nr_threads * sizeof *plan->threads);
}

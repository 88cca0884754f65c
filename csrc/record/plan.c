/* plan.c - see plan.h. */
#include "record/plan.h"

#include "record/room.h"

#define NO_THREAD UINT32_MAX
#define FIRST_ROOM 65536u
#define FIRST_ENTRIES 1024u
#define MOST_BYTES ((uint64_t)1 << 48)
/* How long a thread waits beyond the time that its event must have happened at: until both are
 * over, some microseconds and so many events of the others. */
#define PATIENCE_TICKS ((uint64_t)1 << 17)
#define PATIENCE_EVENTS 64u

/* --- blocks by address --------------------------------------------------------------- */

/* A live block. */
struct known {
    uint64_t address; /* 0: the entry is empty */
    uint64_t size;
    size_t op; /* the index of the operation that filled the slot */
    uint32_t slot;
    uint32_t thread;  /* that filled it */
    uint32_t resizer; /* the thread whose realloc of it has begun; NO_THREAD: none */
    bool of_arena;    /* the block is an arena's */
};

/* Open addressing; at most half full. */
struct table {
    struct known *entries;
    size_t nr, capacity; /* a power of two */
};

/* A thread whose next event cannot be done yet. */
struct waiter {
    uint64_t address; /* where a block must go, or come, before */
    uint64_t until;   /* ticks, after which it is done all the same */
    uint64_t since;   /* nr_taken */
    uint32_t thread;
};

struct maker {
    struct plan *plan;
    struct recording *recording;
    struct table table;
    uint64_t *resizing; /* for each thread: the address whose realloc has begun; 0: none */
    bool *overdue;      /* for each thread: its next event waits no more */
    struct waiter *waiters;
    uint32_t nr_waiters;
    uint64_t nr_taken; /* events */
    uint64_t nr_ops;   /* of all threads */
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

/* Its index. */
static size_t push_in_order(struct maker *m, uint32_t thread, struct plan_op op)
{
    struct plan_thread *t = &m->plan->threads[thread];
    uint64_t epoch = m->nr_ops++ / PLAN_EPOCH_OPS;

    if (t->nr == 0)
        t->first_epoch = epoch;
    else if (epoch != t->epoch && m->plan->nr_threads > 1)
        push(t, op_of(PLAN_EPOCH, 0, epoch));
    t->epoch = epoch;
    push(t, op);
    return t->nr - 1;
}

/* Pushes an operation that empties a block's slot. True: another thread has filled it. */
static bool push_emptying(struct maker *m, uint32_t thread, struct plan_op op,
                          const struct known *known, size_t *index)
{
    bool is_foreign = known->thread != thread;
    struct plan_op wait = op_of(PLAN_WAIT, 0, known->op);

    if (is_foreign) {
        wait.from = known->thread;
        (void)push_in_order(m, thread, wait);
    }
    *index = push_in_order(m, thread, op);
    return is_foreign;
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
    struct plan_op op = op_of(PLAN_FREE, known.slot, known.size);
    size_t index;

    counts->nr_between += push_emptying(m, thread, op, &known, &index);
    give_slot(m, thread, known.slot);
    counts->nr_frees++;
    counts->live_bytes -= known.size;
    counts->nr_live--;
}

/* --- order ---------------------------------------------------------------------------------- */

/* Not every event has a time of its own, and clocks of two processors differ by a little. So
 * threads' events are put in an order in which no address is handed out twice, nor freed twice: a
 * thread waits before an event that does not fit to the others' yet. What does not fit after some
 * patience is done as it is: the recording lacks something. */

static bool fits(const struct maker *m, const struct read_event *event)
{
    const struct known *there = find(&m->table, event->address);
    bool is_live = there->address != 0;

    if (event->event == RECORD_FREE || event->event == RECORD_RESIZE)
        return is_live && there->resizer == NO_THREAD;
    return !is_live || (event->event == RECORD_REALLOC && there->resizer == event->thread);
}

/* The recording's head waits. */
static void hold_back(struct maker *m, const struct read_event *event)
{
    struct waiter *waiter = &m->waiters[m->nr_waiters++];
    uint64_t latest = recording_latest(m->recording, event->thread);

    waiter->address = event->address;
    waiter->until = latest < UINT64_MAX - PATIENCE_TICKS ? latest + PATIENCE_TICKS : UINT64_MAX;
    waiter->since = m->nr_taken;
    waiter->thread = event->thread;
    recording_hold(m->recording);
}

static void end_wait(struct maker *m, uint32_t at)
{
    recording_release(m->recording, m->waiters[at].thread);
    m->waiters[at] = m->waiters[--m->nr_waiters];
}

/* A block came or went at an address. */
static void wake(struct maker *m, uint64_t address)
{
    for (uint32_t i = m->nr_waiters; i-- > 0;)
        if (m->waiters[i].address == address)
            end_wait(m, i);
}

/* Of the threads that wait, the one whose time ends first goes on, if that is over.
 * next: the earliest event of the others; NULL: they have none. */
static void end_overdue(struct maker *m, const struct read_event *next)
{
    uint32_t first = 0;

    for (uint32_t i = 1; i < m->nr_waiters; i++)
        if (m->waiters[i].until < m->waiters[first].until)
            first = i;
    if (next == NULL || (m->waiters[first].until < next->ticks &&
                         m->nr_taken - m->waiters[first].since >= PATIENCE_EVENTS)) {
        m->overdue[m->waiters[first].thread] = true;
        end_wait(m, first);
    }
}

/* --- events -------------------------------------------------------------------------------- */

static void free_known(struct maker *m, uint32_t thread, struct known *there)
{
    struct known known = *there;

    table_remove(&m->table, there);
    push_free(m, thread, known);
}

/* The block that lives at an event's address where another one comes was freed. */
static void imply_free(struct maker *m, const struct read_event *event)
{
    struct known *there = find(&m->table, event->address);

    if (there->address == 0)
        return;
    m->plan->counts.nr_implied += !there->of_arena;
    if (there->resizer != NO_THREAD)
        m->resizing[there->resizer] = 0;
    free_known(m, event->thread, there);
}

/* The block at an event's address comes to live. op: the index of its operation. */
static void settle(struct maker *m, const struct read_event *event, uint32_t slot, size_t op)
{
    table_add(&m->table, (struct known){.address = event->address,
                                        .size = event->size,
                                        .op = op,
                                        .slot = slot,
                                        .thread = event->thread,
                                        .resizer = NO_THREAD,
                                        .of_arena = event->of_arena});
    m->plan->counts.total_bytes += event->size;
    count_live(&m->plan->counts, event->size);
}

static void on_alloc(struct maker *m, const struct read_event *event)
{
    static const enum plan_kind kinds[] = {
        [RECORD_MALLOC] = PLAN_MALLOC,     [RECORD_CALLOC] = PLAN_CALLOC,
        [RECORD_REALLOC] = PLAN_MALLOC,    [RECORD_NEW] = PLAN_MALLOC,
        [RECORD_MEMALIGN] = PLAN_MEMALIGN,
    };
    struct plan_op op;

    imply_free(m, event);
    op = op_of(kinds[event->event], take_slot(m, event->thread), event->size);
    op.align = event->align & 63;
    settle(m, event, op.slot, push_in_order(m, event->thread, op));
    m->plan->counts.nr_allocs++;
}

/* The block that an event frees, or whose realloc it begins; NULL, and counted: there is none. */
static struct known *block_of(struct maker *m, const struct read_event *event)
{
    struct known *there = find(&m->table, event->address);

    if (there->address != 0 && there->resizer == NO_THREAD)
        return there;
    m->plan->counts.nr_unknown++;
    return NULL;
}

static void on_free(struct maker *m, const struct read_event *event)
{
    struct known *there = block_of(m, event);

    if (there != NULL)
        free_known(m, event->thread, there);
}

/* What a realloc that never ended had begun on was freed by it. */
static void finish_resize(struct maker *m, uint32_t thread)
{
    uint64_t address = m->resizing[thread];

    if (address == 0)
        return;
    m->resizing[thread] = 0;
    free_known(m, thread, find(&m->table, address));
    wake(m, address);
}

static void on_resize(struct maker *m, const struct read_event *event)
{
    struct known *there = block_of(m, event);

    if (there == NULL)
        return;
    there->resizer = event->thread;
    m->resizing[event->thread] = event->address;
}

static void on_realloc(struct maker *m, const struct read_event *event)
{
    struct plan_counts *counts = &m->plan->counts;
    uint64_t address = m->resizing[event->thread];
    struct known *there, old;
    struct plan_op op;
    size_t index;

    if (address == 0) {
        on_alloc(m, event);
        return;
    }
    m->resizing[event->thread] = 0;
    there = find(&m->table, address);
    old = *there;
    table_remove(&m->table, there);
    imply_free(m, event);
    op = op_of(PLAN_REALLOC, take_slot(m, event->thread), event->size);
    op.from = old.slot;
    counts->nr_between += push_emptying(m, event->thread, op, &old, &index);
    give_slot(m, event->thread, old.slot);
    counts->nr_reallocs++;
    counts->live_bytes -= old.size;
    counts->nr_live--;
    settle(m, event, op.slot, index);
    wake(m, address);
}

static void on_event(struct maker *m, const struct read_event *event)
{
    if (event->event == RECORD_FREE)
        on_free(m, event);
    else if (event->event == RECORD_RESIZE)
        on_resize(m, event);
    else if (event->event == RECORD_REALLOC)
        on_realloc(m, event);
    else
        on_alloc(m, event);
}

static void count_arena(struct plan_counts *counts, const struct read_event *event)
{
    counts->nr_arena_frees += event->event == RECORD_FREE;
    counts->nr_arena_allocs += event->event != RECORD_FREE && event->event != RECORD_RESIZE;
    counts->arena_bytes += event->size;
}

static bool is_left_out(const struct read_event *event, bool with_arenas)
{
    return event->address == 0 || (event->of_arena && !with_arenas);
}

/* The event is the recording's head. */
static void take(struct maker *m, const struct read_event *event)
{
    m->overdue[event->thread] = false;
    m->nr_taken++;
    recording_take(m->recording);
    if (event->of_arena)
        count_arena(&m->plan->counts, event);
}

/* Does the earliest event, or has its thread wait. False: there are no more. */
static bool do_next(struct maker *m, bool with_arenas)
{
    const struct read_event *head;
    struct read_event event;

    if (m->nr_waiters > 0)
        end_overdue(m, recording_head(m->recording));
    head = recording_head(m->recording);
    if (head == NULL)
        return false;
    event = *head;
    if (is_left_out(&event, with_arenas)) {
        take(m, &event);
    } else if (event.event != RECORD_REALLOC && m->resizing[event.thread] != 0) {
        finish_resize(m, event.thread);
    } else if (!m->overdue[event.thread] && !fits(m, &event)) {
        hold_back(m, &event);
    } else {
        take(m, &event);
        on_event(m, &event);
        wake(m, event.address);
    }
    return true;
}

void plan_make(struct plan *plan, struct recording *r, bool with_arenas)
{
    struct maker m = {.plan = plan, .recording = r, .table = {.capacity = FIRST_ENTRIES}};
    size_t resizing_bytes = r->nr_threads * sizeof *m.resizing;
    size_t overdue_bytes = r->nr_threads * sizeof *m.overdue;
    size_t waiters_bytes = r->nr_threads * sizeof *m.waiters;

    memset(plan, 0, sizeof *plan);
    plan->nr_threads = r->nr_threads;
    plan->threads = room_take(r->nr_threads * sizeof *plan->threads);
    m.table.entries = room_take(m.table.capacity * sizeof *m.table.entries);
    m.resizing = room_take(resizing_bytes);
    m.overdue = room_take(overdue_bytes);
    m.waiters = room_take(waiters_bytes);
    while (do_next(&m, with_arenas))
        continue;
    for (uint32_t i = 0; i < r->nr_threads; i++) {
        finish_resize(&m, i);
        push(&plan->threads[i], op_of(PLAN_END, 0, 0));
        room_drop(plan->threads[i].empty, plan->threads[i].empty_room);
    }
    room_drop(m.waiters, waiters_bytes);
    room_drop(m.overdue, overdue_bytes);
    room_drop(m.resizing, resizing_bytes);
    room_drop(m.table.entries, m.table.capacity * sizeof *m.table.entries);
}

void plan_drop(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->nr_threads; i++)
        room_drop(plan->threads[i].ops, plan->threads[i].room);
    room_drop(plan->threads, plan->nr_threads * sizeof *plan->threads);
}

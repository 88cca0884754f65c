/* Pairs of accesses of csrc/share/protocol.c by the rules of aarch64: message passing, store
 * buffering and load buffering, each with the orders that the code asks for, and with one of them
 * taken away.
 *
 * What it is: a search through every order in which two threads may do what they have to. There is
 * one memory; a thread does its accesses in any order but those that are kept: to one word; after a
 * load with acquire; before a store with release; across a full fence; from a load to what depends
 * on it. A store that a branch guards waits for the load that decides it, a load does not: so here
 * loads are done whatever an earlier one has found, and what is forbidden names both.
 * What it is not: the code itself (test_weak.c); values of a thread's own stores that others do not
 * see yet, which no shape here reads. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_EVENTS = 5, NR_THREADS = 2, MAX_CHANGES = 4 };

enum kind { NOTHING, LOAD, STORE, FENCE };

enum word { DATA, COUNT, MARK, SLOT, OFFSET, TICKET, ID, NR_WORDS };

struct event {
    enum kind kind;
    enum word word;
    uint8_t value; /* that is stored */
    bool order;    /* acquire of a load, release of a store */
    uint8_t after; /* 1 + the event of its thread that it depends on; a store is made only if that
                       has loaded `wanted` */
    uint8_t wanted;
};

struct outcome {
    uint8_t thread, event, value; /* what a load has found */
};

struct shape {
    const char *name;
    uint8_t before[NR_WORDS];
    struct event thread[NR_THREADS][MAX_EVENTS];
    struct outcome forbidden[2]; /* both at once */
    struct {
        uint8_t thread, event;
        bool found; /* without its order the outcome is found */
    } change[MAX_CHANGES];
    uint8_t nr_changes;
};

#define R(word_) {LOAD, word_, 0, false, 0, 0}
#define R_ACQ(word_) {LOAD, word_, 0, true, 0, 0}
#define W(word_, value_) {STORE, word_, value_, false, 0, 0}
#define W_REL(word_, value_) {STORE, word_, value_, true, 0, 0}
/* If the first event of the thread has loaded so. */
#define W_IF(wanted_, word_, value_) {STORE, word_, value_, false, 1, wanted_}
#define W_REL_IF(wanted_, word_, value_) {STORE, word_, value_, true, 1, wanted_}
#define FULL {FENCE, DATA, 0, true, 0, 0}

static const struct shape SHAPES[] = {
    {"SB: an opener counts, and looks at the slot; the owner closes, and looks at the count",
     {0},
     {{W(COUNT, 1), FULL, R(SLOT)}, {W(SLOT, 1), FULL, R(COUNT)}},
     {{0, 2, 0}, {1, 2, 0}},
     {{0, 1, true}, {1, 1, true}},
     2},
    {"SB: a newcomer marks its row, counts, and looks; the owner closes, and looks at the mark",
     {0},
     {{W(MARK, 1), FULL, W(COUNT, 1), FULL, R(SLOT)}, {W(SLOT, 1), FULL, R(MARK)}},
     {{0, 4, 0}, {1, 2, 0}},
     {{0, 1, false}, {0, 3, false}, {1, 1, true}},
     3},
    {"MP: a row is marked, then counts; the owner sees the count only if it sees the mark",
     {0},
     {{W(MARK, 1), FULL, W(COUNT, 1)}, {R_ACQ(COUNT), R(MARK)}},
     {{1, 0, 1}, {1, 1, 0}},
     {{0, 1, true}, {1, 0, true}},
     2},
    {"MP: a ticket is filled in, then published",
     {0},
     {{W(ID, 1), W_REL(TICKET, 1)}, {R_ACQ(TICKET), R(ID)}},
     {{1, 0, 1}, {1, 1, 0}},
     {{0, 1, true}, {1, 0, true}},
     2},
    {"MP: a slot's fields, its word, and a ticket for it",
     {0},
     {{W(OFFSET, 1), W_REL(SLOT, 1), W_REL(TICKET, 1)}, {R_ACQ(TICKET), R_ACQ(SLOT), R(OFFSET)}},
     {{1, 0, 1}, {1, 2, 0}},
     {{0, 1, false}, {0, 2, true}, {1, 0, true}, {1, 1, false}},
     4},
    {"MP: a block's content, and a ticket for it",
     {0},
     {{W(DATA, 1), W_REL(TICKET, 1)}, {R_ACQ(TICKET), R(DATA)}},
     {{1, 0, 1}, {1, 1, 0}},
     {{0, 1, true}, {1, 0, true}},
     2},
    {"MP: who passes on makes a ticket, then lets go; the owner looks at the count, then for "
     "tickets",
     {[COUNT] = 1},
     {{W_REL(TICKET, 1), W_REL(COUNT, 0)}, {R_ACQ(COUNT), R_ACQ(TICKET)}},
     {{1, 0, 0}, {1, 1, 0}},
     {{0, 0, false}, {0, 1, true}, {1, 0, true}, {1, 1, false}},
     4},
    {"MP: a reaper, who has seen a dead client's ticket, clears its count; the owner looks",
     {[COUNT] = 1},
     {{R_ACQ(TICKET), W(ID, 1), W_REL(COUNT, 0)}, {R_ACQ(COUNT), R(ID)}},
     {{1, 0, 0}, {1, 1, 0}},
     {{0, 0, false}, {0, 2, true}, {1, 0, true}},
     3},
    {"MP: a reaper takes a row's mark away; the owner looks at the mark, then for tickets",
     {[MARK] = 1},
     {{W(TICKET, 1), W_REL(MARK, 0)}, {R_ACQ(MARK), R_ACQ(TICKET)}},
     {{1, 0, 0}, {1, 1, 0}},
     {{0, 1, true}, {1, 0, true}, {1, 1, false}},
     3},
    {"LB: a reader reads, then lets go; the owner looks at the count, then uses the block anew",
     {[COUNT] = 1},
     {{R(DATA), W_REL(COUNT, 0)}, {R_ACQ(COUNT), W_IF(0, DATA, 1)}},
     {{0, 0, 1}, {1, 0, 0}},
     {{0, 1, true}, {1, 0, false}},
     2},
    {"LB: an opener reads where the block is, then lets go; the owner uses the slot anew",
     {[COUNT] = 1},
     {{R(OFFSET), W_REL(COUNT, 0)}, {R_ACQ(COUNT), W_IF(0, OFFSET, 1)}},
     {{0, 0, 1}, {1, 0, 0}},
     {{0, 1, true}, {1, 0, false}},
     2},
    {"LB: an opener compares a ticket's id, then uses it up; a maker claims the entry, fills it in",
     {[TICKET] = 1},
     {{R(ID), W_REL_IF(0, TICKET, 0)}, {R_ACQ(TICKET), W_IF(0, ID, 1)}},
     {{0, 0, 1}, {1, 0, 0}},
     {{0, 1, false}, {1, 0, false}},
     2},
    {"LB: an opener looks at a ticket's word, then counts; the owner at the count, then at the "
     "word",
     {0},
     {{R_ACQ(TICKET), W(COUNT, 1)}, {R_ACQ(COUNT), W_IF(1, TICKET, 1)}},
     {{0, 0, 1}, {1, 0, 1}},
     {{0, 0, true}, {1, 0, false}},
     2},
};

enum { NR_SHAPES = sizeof SHAPES / sizeof *SHAPES };

/* --- the search --------------------------------------------------------------------------- */

struct state {
    uint8_t memory[NR_WORDS];
    uint8_t loaded[NR_THREADS][MAX_EVENTS];
    uint8_t done[NR_THREADS]; /* bits of events */
};

static unsigned nr_orders; /* that were tried to their end */

/* Must the first, which comes before in the program, be done before the second? */
static bool kept(const struct event *first, const struct event *second, bool depends)
{
    if (first->kind == FENCE || second->kind == FENCE)
        return (first->kind != FENCE || first->order) && (second->kind != FENCE || second->order);
    return depends || first->word == second->word || (first->kind == LOAD && first->order) ||
           (second->kind == STORE && second->order);
}

static bool can_be_done(const struct event *events, uint8_t done, unsigned number)
{
    if (events[number].kind == NOTHING || (done >> number & 1) != 0)
        return false;
    for (unsigned i = 0; i < number; i++)
        if ((done >> i & 1) == 0 &&
            kept(&events[i], &events[number], events[number].after == i + 1))
            return false;
    return true;
}

static void event_do(struct state *state, unsigned thread, unsigned number,
                     const struct event *event)
{
    state->done[thread] |= (uint8_t)(1u << number);
    if (event->kind == LOAD)
        state->loaded[thread][number] = state->memory[event->word];
    else if (event->kind == STORE &&
             (event->after == 0 || state->loaded[thread][event->after - 1] == event->wanted))
        state->memory[event->word] = event->value;
}

static bool is_forbidden(const struct shape *shape, const struct state *state)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct outcome *outcome = &shape->forbidden[i];

        if (state->loaded[outcome->thread][outcome->event] != outcome->value)
            return false;
    }
    return true;
}

/* Is the forbidden outcome found from here on? */
static bool search(const struct shape *shape, const struct state *state)
{
    bool ended = true;

    for (unsigned thread = 0; thread < NR_THREADS; thread++)
        for (unsigned i = 0; i < MAX_EVENTS; i++) {
            struct state next = *state;

            if (!can_be_done(shape->thread[thread], state->done[thread], i))
                continue;
            ended = false;
            event_do(&next, thread, i, &shape->thread[thread][i]);
            if (search(shape, &next))
                return true;
        }
    nr_orders += ended;
    return ended && is_forbidden(shape, state);
}

static bool is_found(const struct shape *shape)
{
    struct state state = {0};

    memcpy(state.memory, shape->before, sizeof state.memory);
    return search(shape, &state);
}

static unsigned check(const struct shape *shape)
{
    bool found = is_found(shape);
    unsigned failures = found;

    printf("%s: %s\n", shape->name, found ? "FOUND" : "never");
    for (unsigned i = 0; i < shape->nr_changes; i++) {
        struct shape weaker = *shape;
        unsigned thread = shape->change[i].thread, event = shape->change[i].event;

        weaker.thread[thread][event].order = false;
        found = is_found(&weaker);
        printf("    without the order of access %u of thread %u: %s\n", event, thread,
               found ? "found" : "never");
        failures += found != shape->change[i].found;
    }
    return failures;
}

int main(void)
{
    unsigned failures = 0;

    for (unsigned i = 0; i < NR_SHAPES; i++)
        failures += check(&SHAPES[i]);
    printf("%u orders; %u failures\n", nr_orders, failures);
    return failures != 0;
}

/* The steps of the model: see model.h. Each case of a `switch` on `pc` is one access to shared
 * memory, so it is atomic; between any two of them others go on and anybody may be killed. */
#include "model_walk.h"

#include <string.h>

/* --- making and passing on --- */

static bool step_export(struct walk *w)
{
    struct state *s = w->state;
    if (w->me->pc == 0) {
        if (s->slot_state != SLOT_FREE) {
            done(w); /* the block of before is still held: no second life */
            return said(w, "has no free block");
        }
        s->asked = 0;
        s->data = (uint8_t)(s->data + 1);
        w->me->held = 0;
        w->me->pc = 1;
        return said(w, "fills a block with a new pattern");
    }
    s->slot_state = SLOT_LIVE;
    done(w);
    return said(w, "makes the slot live");
}

static bool step_ticket(struct walk *w)
{
    struct state *s = w->state;
    bool owner = w->a == 0;
    if (w->me->pc == 0) {
        bool has = owner ? s->slot_state == SLOT_LIVE && !s->asked : w->me->held != 0;
        if (!has) {
            done(w);
            return said(w, "makes no ticket");
        }
        w->me->reg = owner ? s->slot_gen : w->me->held;
        if (!owner && w->rules->let_go_before_ticket) {
            w->me->held = 0;
            s->row[w->scene->row_of[w->a]].count--;
            w->me->pc = 1;
            return said(w, "lets go, to make a ticket then");
        }
        w->me->pc = 1;
        return said(w, "decides to make a ticket");
    }
    if (w->me->pc == 1) {
        if (s->entry[w->arg].state != ENTRY_EMPTY) {
            done(w);
            return said(w, "finds the entry taken");
        }
        s->entry[w->arg].state = ENTRY_CLAIMED;
        s->entry[w->arg].maker = (uint8_t)w->a;
        s->entry[w->arg].maker_row = w->scene->row_of[w->a];
        w->me->pc = 2;
        return said(w, "claims an entry");
    }
    if (w->me->pc == 2) {
        s->entry[w->arg].slot_gen = w->me->reg;
        w->me->pc = 3;
        return said(w, "fills the entry");
    }
    uint8_t uses = w->scene->uses[w->arg];
    s->entry[w->arg].uses = uses ? uses : 1;
    s->entry[w->arg].state = ENTRY_VALID;
    done(w);
    return said(w, "publishes the ticket");
}

static bool step_send(struct walk *w)
{
    struct state *s = w->state;
    if (s->entry[w->arg].maker == w->a && s->entry[w->arg].state == ENTRY_VALID) {
        s->sent[w->arg] = s->entry[w->arg].gen;
        s->meant[w->arg] = w->a == 0 ? s->data : w->me->meant;
        done(w);
        return said(w, "sends the ticket");
    }
    done(w);
    return said(w, "has nothing to send");
}

/* --- open and close --- */

enum {
    OPEN_MARK,
    OPEN_COUNT,
    OPEN_TICKET,
    OPEN_SLOT,
    OPEN_RESCUE,
    OPEN_USE,
    OPEN_BACK,
    OPEN_STALE,
    OPEN_LATE
};

/* The order of the steps of an open, which two variations change. */
static uint8_t open_after(const struct rules *rules, unsigned pc)
{
    if (rules->check_before_count) {
        return pc == OPEN_MARK ? OPEN_TICKET : OPEN_USE;
    }
    return pc == OPEN_MARK ? OPEN_COUNT : OPEN_TICKET;
}

/* Where an open goes that has found nothing to open: back down, if it has counted up. */
static uint8_t open_fail(const struct walk *w)
{
    return w->rules->check_before_count ? OPEN_STALE : OPEN_BACK;
}

static bool ticket_is_mine(const struct walk *w)
{
    const struct state *s = w->state;
    bool same = s->entry[w->arg].gen == w->me->found;
    return s->entry[w->arg].state == ENTRY_VALID && (same || w->rules->entry_without_generation);
}

static bool open_slot(struct walk *w)
{
    struct state *s = w->state;
    uint8_t on = w->rules->check_before_count ? OPEN_COUNT : OPEN_USE;
    bool current = s->slot_gen == s->entry[w->arg].slot_gen;
    if (!current || s->slot_state == SLOT_FREE) {
        w->me->pc = open_fail(w);
        return said(w, "finds the slot freed");
    }
    if (s->slot_state == SLOT_CLOSING && !w->rules->closing_is_alive) {
        if (w->rules->wait_on_closing) {
            return false;
        }
        w->me->pc = w->rules->closing_is_stale ? open_fail(w) : OPEN_RESCUE;
        w->me->reg = s->slot_gen;
        return said(w, "finds the slot closing");
    }
    w->me->reg = s->slot_gen;
    w->me->pc = on;
    return said(w, "finds the slot alive");
}

static bool open_rescue(struct walk *w)
{
    struct state *s = w->state;
    if (s->slot_state == SLOT_CLOSING && s->slot_gen == w->me->reg) {
        s->slot_state = SLOT_ORPHAN;
        w->me->pc = w->rules->check_before_count ? OPEN_COUNT : OPEN_USE;
        return said(w, "rescues the block: closing becomes orphan");
    }
    w->me->pc = OPEN_SLOT;
    return said(w, "is late to rescue, and looks again");
}

static bool open_use(struct walk *w)
{
    struct state *s = w->state;
    if (!ticket_is_mine(w)) {
        w->me->pc = OPEN_BACK;
        return said(w, "finds the ticket used up");
    }
    s->entry[w->arg].uses--;
    if (s->entry[w->arg].uses == 0) {
        s->entry[w->arg].state = ENTRY_EMPTY;
        s->entry[w->arg].gen++;
    }
    w->me->held = w->me->reg;
    if (w->rules->mark_after_check) {
        w->me->pc = OPEN_LATE;
        return said(w, "uses the ticket up, and holds the block unmarked");
    }
    done(w);
    return said(w, "uses the ticket up, and holds the block");
}

static bool open_back(struct walk *w, unsigned row)
{
    const struct state *s = w->state;
    if (s->entry[w->arg].state == ENTRY_VALID && s->entry[w->arg].gen == w->me->found) {
        w->broken = "a good ticket was refused";
    }
    if (w->me->pc == OPEN_BACK) {
        w->state->row[row].count--;
    }
    done(w);
    return said(w, "gives up: the handle is stale");
}

static bool step_open(struct walk *w)
{
    struct state *s = w->state;
    unsigned row = w->scene->row_of[w->a];
    switch (w->me->pc) {
    case OPEN_MARK:
        if (!s->sent[w->arg]) {
            return false; /* the message has not come */
        }
        if (s->row[row].locker != w->a + 1) {
            done(w);
            return said(w, "has no row");
        }
        w->me->found = s->sent[w->arg];
        w->me->meant = s->meant[w->arg];
        s->row[row].in_use |= !w->rules->mark_after_check;
        w->me->pc = open_after(w->rules, OPEN_MARK);
        return said(w, "marks its row as in use");
    case OPEN_COUNT:
        s->row[row].count++;
        w->me->pc = open_after(w->rules, OPEN_COUNT);
        return said(w, "counts up");
    case OPEN_TICKET:
        w->me->pc = ticket_is_mine(w) ? OPEN_SLOT : open_fail(w);
        return said(w, "looks at the ticket");
    case OPEN_SLOT:
        return open_slot(w);
    case OPEN_RESCUE:
        return open_rescue(w);
    case OPEN_USE:
        return open_use(w);
    case OPEN_BACK:
    case OPEN_STALE:
        return open_back(w, row);
    default:
        s->row[row].in_use = 1;
        done(w);
        return said(w, "marks its row as in use");
    }
}

static bool step_close(struct walk *w)
{
    if (w->me->held) {
        w->me->held = 0;
        w->state->row[w->scene->row_of[w->a]].count--;
    }
    done(w);
    return said(w, "lets go of what it holds");
}

/* --- the walk --- */

static bool step_dispatch(struct walk *w, enum op_kind kind)
{
    switch (kind) {
    case OP_EXPORT:
        return step_export(w);
    case OP_TICKET:
        return step_ticket(w);
    case OP_SEND:
        return step_send(w);
    case OP_OPEN:
        return step_open(w);
    case OP_CLOSE:
        return step_close(w);
    case OP_FREE:
        return step_look(w, false);
    case OP_LOOK:
        return step_look(w, true);
    case OP_ATTACH:
        return step_attach(w);
    case OP_REAP:
        return step_reap(w);
    case OP_EXPIRE:
        return step_expire(w);
    case OP_HEIR:
        return step_heir(w);
    case OP_FORK:
        return step_fork(w);
    case OP_INHERIT:
        return step_inherit(w);
    case OP_END:
        break;
    }
    return false;
}

bool model_step(const struct scenario *scene, const struct rules *rules, struct state *state,
                unsigned a, const char **what, const char **broken)
{
    struct actor *me = &state->actor[a];
    if (me->alive != 1) {
        return false;
    }
    const struct op *op = &scene->script[a][me->op];
    struct walk w = {scene, rules, state, me, a, op->arg, "", NULL};
    bool moved = step_dispatch(&w, op->kind);
    *what = w.what;
    *broken = w.broken;
    return moved;
}

void model_kill(struct state *state, unsigned a)
{
    memset(&state->actor[a], 0, sizeof state->actor[a]);
    for (unsigned r = 0; r < MODEL_ROWS; r++) {
        if (state->row[r].locker == a + 1) {
            state->row[r].locker = 0;
        }
    }
    if (state->heir == a + 1) {
        state->heir = 0;
    }
    if (a == 0) {
        state->asked = 0;
    }
}

/* The model's steps by which a block is freed: the look of the owner and of its heir, what is done
 * about the dead, and fork, which makes a holder. See model.h. */
#include "model_walk.h"

static bool is_live_holder(const struct state *s, uint8_t gen)
{
    for (unsigned a = 0; a < MODEL_ACTORS; a++) {
        if (s->actor[a].alive == 1 && s->actor[a].held == gen) {
            return true;
        }
    }
    return false;
}

static bool is_ticketed(const struct state *s, uint8_t gen)
{
    for (unsigned e = 0; e < MODEL_ENTRIES; e++) {
        if (s->entry[e].state == ENTRY_VALID && s->entry[e].slot_gen == gen) {
            return true;
        }
    }
    return false;
}

/* --- the look that frees a block, of the owner and of its heir --- */

enum { LOOK_CLOSE, LOOK_ROW, LOOK_COUNT, LOOK_TICKET, LOOK_END, HEIR_PUNCH, HEIR_SEEN, HEIR_LEAVE };

/* After the rows come the tickets, after them the end; the variation turns the two round. */
static uint8_t look_next(const struct walk *w, unsigned pc)
{
    if (w->rules->tickets_first) {
        return pc == LOOK_CLOSE ? LOOK_TICKET : pc == LOOK_TICKET ? LOOK_ROW : LOOK_END;
    }
    return pc == LOOK_CLOSE ? LOOK_ROW : pc == LOOK_ROW ? LOOK_TICKET : LOOK_END;
}

static void look_advance(struct walk *w, unsigned limit, unsigned pc)
{
    w->me->reg++;
    w->me->pc = (uint8_t)pc;
    if (w->me->reg == limit) {
        w->me->reg = 0;
        w->me->pc = look_next(w, pc);
    }
}

static bool look_scan(struct walk *w)
{
    struct state *s = w->state;
    unsigned i = w->me->reg;
    switch (w->me->pc) {
    case LOOK_ROW:
        if (s->row[i].in_use) {
            w->me->pc = LOOK_COUNT;
            return said(w, "sees a row in use");
        }
        look_advance(w, MODEL_ROWS, LOOK_ROW);
        return said(w, "passes a row that is not in use");
    case LOOK_COUNT:
        w->me->found |= s->row[i].count != 0;
        look_advance(w, MODEL_ROWS, LOOK_ROW);
        return said(w, w->me->found ? "has seen a holder" : "sees no holder in the row");
    default:
        w->me->found |= s->entry[i].state == ENTRY_VALID && s->entry[i].slot_gen == s->slot_gen;
        look_advance(w, MODEL_ENTRIES, LOOK_TICKET);
        return said(w, w->me->found ? "has seen a ticket or a holder" : "sees no ticket");
    }
}

/* The exchange that frees the block, if the slot is still as this look has left it. */
static void look_free(struct walk *w)
{
    struct state *s = w->state;
    if (is_live_holder(s, s->slot_gen)) {
        w->broken = "a block was freed under its holder";
    } else if (is_ticketed(s, s->slot_gen)) {
        w->broken = "a block was freed while a good ticket names it";
    }
    s->slot_state = SLOT_FREE;
    s->slot_gen++;
    if (w->a == 0) {
        s->asked = 0;
    }
    w->what = "frees the block";
}

static bool look_end(struct walk *w, bool later)
{
    struct state *s = w->state;
    bool bare = later && w->rules->look_without_closing;
    bool as_left = s->slot_state == (bare ? SLOT_ORPHAN : SLOT_CLOSING);
    w->what = "keeps the block as an orphan";
    if (!w->me->found && (as_left || (w->rules->free_by_store && s->slot_state != SLOT_FREE))) {
        look_free(w);
    } else if (s->slot_state == SLOT_CLOSING) {
        s->slot_state = SLOT_ORPHAN;
    }
    if (w->a == 0) {
        done(w);
    } else {
        w->me->pc = HEIR_PUNCH;
    }
    return true;
}

bool step_look(struct walk *w, bool later)
{
    struct state *s = w->state;
    if (w->me->pc == LOOK_CLOSE) {
        bool mine = later ? s->asked : s->slot_state == SLOT_LIVE && !s->asked;
        if (!mine) {
            done(w);
            return said(w, "has nothing to free");
        }
        s->asked = 1;
        w->me->pc = look_next(w, LOOK_CLOSE);
        if (later && w->rules->look_without_closing) {
            return said(w, "looks again, and leaves the slot an orphan");
        }
        s->slot_state = SLOT_CLOSING;
        return said(w, "sets the slot to closing");
    }
    return w->me->pc == LOOK_END ? look_end(w, later) : look_scan(w);
}

/* --- after deaths --- */

bool step_attach(struct walk *w)
{
    struct state *s = w->state;
    unsigned row = w->scene->row_of[w->a];
    if (w->me->pc == 0) {
        if (s->row[row].locker) {
            done(w);
            return said(w, "finds the row taken");
        }
        s->row[row].locker = (uint8_t)(w->a + 1);
        w->me->pc = 1;
        return said(w, "takes the row of a dead client");
    }
    if (!w->rules->newcomer_keeps_row) {
        s->row[row].count = 0;
    }
    done(w);
    return said(w, "has cleared its row");
}

/* Rows whose lock is free are dead. The reaper takes the lock, clears, and gives it back. */
bool step_reap(struct walk *w)
{
    struct state *s = w->state;
    unsigned i = w->me->reg;
    switch (w->me->pc) {
    case 0:
        if (s->row[i].locker == 0 && s->row[i].in_use) {
            if (!w->rules->reap_without_lock) {
                s->row[i].locker = (uint8_t)(w->a + 1);
            }
            w->me->pc = 1;
            return said(w, "finds a row whose client is dead");
        }
        break;
    case 1:
        s->row[i].count = 0;
        w->me->pc = 2;
        return said(w, "clears the count of a dead row");
    case 2:
        s->row[i].in_use = 0;
        w->me->pc = 3;
        return said(w, "takes the mark from a dead row");
    default:
        if (s->row[i].locker == w->a + 1) {
            s->row[i].locker = 0;
        }
    }
    w->me->pc = 0;
    if (++w->me->reg == MODEL_ROWS) {
        done(w);
    }
    return said(w, "goes on to the next row");
}

static bool maker_is_dead(const struct walk *w, unsigned e)
{
    const struct state *s = w->state;
    unsigned row = s->entry[e].maker_row;
    if (row == MODEL_ROWS) {
        return s->actor[s->entry[e].maker].alive == 0;
    }
    if (w->rules->maker_by_row) {
        return s->row[row].locker == 0;
    }
    return s->row[row].locker != s->entry[e].maker + 1;
}

/* Age is not modelled: any ticket may be old enough once its maker is dead. */
bool step_expire(struct walk *w)
{
    struct state *s = w->state;
    unsigned e = w->me->reg;
    if (w->me->pc == 0 && s->entry[e].state != ENTRY_EMPTY && maker_is_dead(w, e)) {
        w->me->found = s->entry[e].gen;
        w->me->pc = 1;
        return said(w, "finds a ticket whose maker is dead");
    }
    if (w->me->pc == 1 && s->entry[e].state != ENTRY_EMPTY && s->entry[e].gen == w->me->found) {
        s->entry[e].state = ENTRY_EMPTY;
        s->entry[e].gen++;
    }
    w->me->pc = 0;
    if (++w->me->reg == MODEL_ENTRIES) {
        done(w);
    }
    return said(w, "goes on to the next ticket");
}

/* The heir's way into a look: its lock, then closing. */
static bool heir_begin(struct walk *w)
{
    struct state *s = w->state;
    if (s->actor[0].alive || (s->heir && !w->rules->two_heirs)) {
        done(w);
        return said(w, "is not the heir");
    }
    if (!w->me->found) {
        s->heir = (uint8_t)(w->a + 1);
        w->me->found = 1;
        return said(w, "takes the heir's lock");
    }
    return false;
}

static bool heir_close(struct walk *w)
{
    struct state *s = w->state;
    w->me->found = 0;
    bool dead = s->slot_state == SLOT_CLOSING && w->rules->closing_is_dead;
    if (s->slot_state == SLOT_FREE || dead) {
        w->me->pc = HEIR_SEEN;
        return said(w, "finds no live slot over the block");
    }
    w->me->pc = look_next(w, LOOK_CLOSE);
    if (w->rules->heir_scans_only) {
        return said(w, "finds a slot that is not free");
    }
    s->slot_state = SLOT_CLOSING;
    return said(w, "sets the slot to closing, as heir");
}

static bool heir_punch(struct walk *w)
{
    struct state *s = w->state;
    switch (w->me->pc) {
    case HEIR_PUNCH:
        w->me->pc = s->slot_state == SLOT_FREE ? HEIR_SEEN : HEIR_LEAVE;
        return said(w, "asks whether a live slot covers the block");
    case HEIR_SEEN:
        s->data = 0;
        w->me->pc = HEIR_LEAVE;
        return said(w, "punches the block");
    default:
        if (s->heir == w->a + 1) {
            s->heir = 0;
        }
        done(w);
        return said(w, "gives the heir's lock back");
    }
}

bool step_heir(struct walk *w)
{
    if (w->me->pc == LOOK_CLOSE) {
        return w->me->found ? heir_close(w) : heir_begin(w);
    }
    if (w->me->pc == LOOK_END && w->rules->heir_scans_only) {
        w->me->pc = w->me->found ? HEIR_LEAVE : HEIR_SEEN;
        return said(w, "has scanned, and believes what it saw");
    }
    if (w->me->pc == LOOK_END) {
        return look_end(w, false);
    }
    return w->me->pc > LOOK_END ? heir_punch(w) : look_scan(w);
}

/* --- fork --- */

static void fork_child(struct walk *w, unsigned child, unsigned row)
{
    struct state *s = w->state;
    s->actor[child].alive = 1;
    s->actor[child].held = w->me->held;
    s->actor[child].meant = w->me->meant;
    s->row[row].locker = (uint8_t)(child + 1);
}

bool step_inherit(struct walk *w)
{
    if (w->rules->fork_child_counts) {
        w->state->row[w->scene->row_of[w->a]].in_use = 1;
        w->state->row[w->scene->row_of[w->a]].count = 1;
    }
    done(w);
    return said(w, "begins with what it inherited");
}

/* A row for the child is locked and filled before the child exists. */
bool step_fork(struct walk *w)
{
    struct state *s = w->state;
    unsigned child = w->arg;
    unsigned row = w->scene->row_of[child];
    switch (w->me->pc) {
    case 0:
        if (!w->me->held) {
            done(w);
            return said(w, "has nothing that a child could inherit");
        }
        if (w->rules->fork_child_counts) {
            fork_child(w, child, row);
            done(w);
            return said(w, "forks: the child will count for itself");
        }
        s->row[row].locker = (uint8_t)(w->a + 1);
        w->me->pc = 1;
        return said(w, "locks a row for its child");
    case 1:
        s->row[row].in_use = 1;
        w->me->pc = 2;
        return said(w, "marks the child's row");
    case 2:
        s->row[row].count = 1;
        w->me->pc = 3;
        return said(w, "copies its counts into the child's row");
    default:
        fork_child(w, child, row);
        done(w);
        return said(w, "forks: the child has the row's lock");
    }
}

/* The beginning, the end and the promises of the model: see model.h. */
#include "model.h"

#include <string.h>

void model_start(const struct scenario *scene, struct state *state)
{
    memset(state, 0, sizeof *state);
    state->slot_gen = 1;
    for (unsigned e = 0; e < MODEL_ENTRIES; e++) {
        state->entry[e].gen = 1;
    }
    for (unsigned a = 0; a < MODEL_LAST; a++) {
        if (scene->script[a][0].kind == OP_END) {
            continue;
        }
        state->actor[a].alive = a && a == scene->unborn ? UNBORN : 1;
        if (scene->attached[a]) {
            state->row[scene->row_of[a]].locker = (uint8_t)(a + 1);
        }
    }
}

const char *model_check(const struct state *state)
{
    for (unsigned a = 1; a < MODEL_ACTORS; a++) {
        const struct actor *actor = &state->actor[a];
        if (actor->alive == 1 && actor->held && actor->meant != state->data) {
            return state->data ? "a holder sees other data" : "a holder sees zeros";
        }
    }
    return NULL;
}

/* Who may still read the block, or come to read it. */
static bool is_wanted(const struct state *state)
{
    for (unsigned a = 1; a < MODEL_ACTORS; a++) {
        if (state->actor[a].alive == 1 && state->actor[a].held) {
            return true;
        }
    }
    for (unsigned e = 0; e < MODEL_ENTRIES; e++) {
        if (state->entry[e].state != ENTRY_EMPTY && state->actor[state->entry[e].maker].alive) {
            return true;
        }
    }
    return false;
}

static const struct op CLEAN_UP[2][MODEL_OPS] = {
    {{OP_REAP, 0}, {OP_EXPIRE, 0}, {OP_LOOK, 0}},
    {{OP_REAP, 0}, {OP_EXPIRE, 0}, {OP_HEIR, 0}},
};

const char *model_settle(const struct scenario *scene, const struct rules *rules,
                         struct state *state)
{
    bool owned = state->actor[0].alive;
    bool asked = state->asked;
    unsigned who = owned ? 0 : MODEL_LAST;
    struct scenario end = *scene;
    memcpy(end.script[who], CLEAN_UP[!owned], sizeof end.script[who]);
    state->actor[who] = (struct actor){.alive = 1};
    const char *what;
    const char *broken;
    while (model_step(&end, rules, state, who, &what, &broken)) {
        broken = broken ? broken : model_check(state);
        if (broken) {
            return broken;
        }
    }
    bool kept = owned ? state->slot_state != SLOT_FREE : state->data != 0;
    bool wanted = is_wanted(state) || (owned && !asked);
    return kept && !wanted ? "a block is kept that nobody holds" : NULL;
}

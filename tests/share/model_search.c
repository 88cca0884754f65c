/* The search: every state that the model can reach, breadth first, so that the way to a broken
 * promise is a shortest one.
 *
 * A state is kept once: `places` finds it by its hash, `reached` has it with the state it came
 * from. Invariant: |entries of places| == |reached|. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES = 1u << 23, REACHED_MAX = PLACES / 2, KILL = 0x80 };

struct reached {
    struct state state;
    uint8_t move;  /* the actor that moved here, with KILL if it was killed */
    uint32_t from; /* index of the state before */
};

struct search {
    const struct scenario *scene;
    const struct rules *rules;
    struct reached *reached;
    uint32_t *places; /* index in reached, plus 1; 0 is empty */
    unsigned nr_reached;
    struct result result;
};

static uint64_t state_hash(const struct state *state)
{
    uint64_t hash = 0x9e3779b97f4a7c15u;
    const unsigned char *bytes = (const unsigned char *)state;
    for (size_t i = 0; i < sizeof *state; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    }
    return hash ^ (hash >> 29);
}

/* Keeps `state` if it is new. */
static void search_add(struct search *search, const struct state *state, unsigned move,
                       uint32_t from)
{
    uint64_t place = state_hash(state) % PLACES;
    while (search->places[place]) {
        if (!memcmp(&search->reached[search->places[place] - 1].state, state, sizeof *state)) {
            return;
        }
        place = (place + 1) % PLACES;
    }
    if (search->nr_reached == REACHED_MAX) {
        fprintf(stderr, "%s: too many states\n", search->scene->name);
        exit(1);
    }
    search->reached[search->nr_reached] = (struct reached){*state, (uint8_t)move, from};
    search->places[place] = ++search->nr_reached;
}

/* What actor `a` can do in the state at `index`. True if it could move. */
static bool search_move(struct search *search, uint32_t index, unsigned a)
{
    struct state next = search->reached[index].state;
    const char *what;
    const char *broken;
    if (model_step(search->scene, search->rules, &next, a, &what, &broken)) {
        search_add(search, &next, a, index);
        search->result.broken = broken ? broken : model_check(&next);
        return true;
    }
    /* In the middle of an operation: whoever it waits for may be stopped, or dead. */
    if (next.actor[a].alive == 1 && next.actor[a].pc) {
        search->result.broken = "somebody waits for another process";
    }
    return false;
}

static void search_kill(struct search *search, uint32_t index, unsigned a)
{
    struct state next = search->reached[index].state;
    if (next.actor[a].alive == 1) {
        model_kill(&next, a);
        search_add(search, &next, a | KILL, index);
    }
}

static void trace_print(const struct search *search, uint32_t index)
{
    static uint32_t path[512];
    unsigned length = 0;
    for (uint32_t i = index; i && length < 512; i = search->reached[i].from) {
        path[length++] = i;
    }
    static const char *const names[MODEL_ACTORS] = {"owner", "first", "second", "third", "last"};
    for (unsigned i = length; i-- > 0;) {
        const struct reached *to = &search->reached[path[i]];
        struct state state = search->reached[to->from].state;
        const char *what = "is killed";
        const char *broken;
        unsigned a = to->move & ~(unsigned)KILL;
        if (!(to->move & KILL)) {
            model_step(search->scene, search->rules, &state, a, &what, &broken);
        }
        printf("      %-6s %s\n", names[a], what);
    }
}

/* All that can happen next in the state at `index`. Returns the state in which a promise is
 * broken, if one is. */
static uint32_t search_expand(struct search *search, uint32_t index)
{
    bool moved = false;
    for (unsigned a = 0; a < MODEL_LAST; a++) {
        bool moves = search_move(search, index, a);
        if (search->result.broken) {
            return moves ? search->nr_reached - 1 : index;
        }
        search_kill(search, index, a);
        moved |= moves;
    }
    if (!moved) {
        struct state end = search->reached[index].state;
        search->result.ends++;
        search->result.broken = model_settle(search->scene, search->rules, &end);
    }
    return index;
}

static uint32_t search_walk(struct search *search)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < search->nr_reached && !search->result.broken; i++) {
        last = search_expand(search, i);
    }
    return last;
}

struct result model_search(const struct scenario *scene, const struct rules *rules, bool trace)
{
    struct search search = {.scene = scene, .rules = rules};
    search.reached = malloc(REACHED_MAX * sizeof *search.reached);
    search.places = calloc(PLACES, sizeof *search.places);
    if (!search.reached || !search.places) {
        perror("model_search");
        exit(1);
    }
    struct state start;
    model_start(scene, &start);
    search_add(&search, &start, 0, 0);
    uint32_t last = search_walk(&search);
    search.result.states = search.nr_reached;
    if (search.result.broken && trace) {
        trace_print(&search, last);
    }
    free(search.reached);
    free(search.places);
    return search.result;
}

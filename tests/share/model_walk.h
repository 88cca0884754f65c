/* What the files of the model's steps share: who makes a step, and the steps that are not in
 * model_steps.c. */
#ifndef TESTS_SHARE_MODEL_WALK_H
#define TESTS_SHARE_MODEL_WALK_H

#include "model.h"

/* The walk through one step: who makes it, and what comes of it. */
struct walk {
    const struct scenario *scene;
    const struct rules *rules;
    struct state *state;
    struct actor *me;
    unsigned a;
    uint8_t arg;
    const char *what;
    const char *broken;
};

static inline void done(struct walk *w)
{
    w->me->op++;
    w->me->pc = 0;
    w->me->reg = 0;
    w->me->found = 0;
}

static inline bool said(struct walk *w, const char *what)
{
    w->what = what;
    return true;
}

bool step_look(struct walk *w, bool later);
bool step_attach(struct walk *w);
bool step_reap(struct walk *w);
bool step_expire(struct walk *w);
bool step_heir(struct walk *w);
bool step_inherit(struct walk *w);
bool step_fork(struct walk *w);

#endif

/* Every interleaving of the rules of sharing, with a death between any two steps: the rules that
 * hold are shown to hold, and each variation that has been tried is shown to fail. */
#include "model.h"

#include <stdio.h>
#include <string.h>

#define CLIENTS .row_of = {MODEL_ROWS, 0, 1, 2, MODEL_ROWS}
#define ALL_ATTACHED .attached = {false, true, true, true}

enum scene_name {
    OPEN_FREE,
    PASS_ON,
    REUSE,
    TWO_OPENERS,
    NEWCOMER,
    MAKER,
    HEIRS,
    HEIR_PASS,
    FORKED,
    ALL
};

static const struct scenario SCENES[] = {
    [OPEN_FREE] = {"open against free, and a later look",
                   {{{OP_EXPORT, 0}, {OP_TICKET, 0}, {OP_SEND, 0}, {OP_FREE, 0}, {OP_LOOK, 0}},
                    {{OP_OPEN, 0}, {OP_CLOSE, 0}},
                    {{OP_REAP, 0}}},
                   CLIENTS,
                   ALL_ATTACHED},
    [PASS_ON] = {"pass on against free",
                 {{{OP_EXPORT, 0}, {OP_TICKET, 0}, {OP_SEND, 0}, {OP_FREE, 0}, {OP_LOOK, 0}},
                  {{OP_OPEN, 0}, {OP_TICKET, 1}, {OP_SEND, 1}, {OP_CLOSE, 0}},
                  {{OP_OPEN, 1}, {OP_CLOSE, 0}},
                  {{OP_REAP, 0}, {OP_EXPIRE, 0}}},
                 CLIENTS,
                 ALL_ATTACHED},
    [REUSE] = {"a freed block is handed out and sent again",
               {{{OP_EXPORT, 0},
                 {OP_TICKET, 0},
                 {OP_SEND, 0},
                 {OP_FREE, 0},
                 {OP_REAP, 0},
                 {OP_LOOK, 0},
                 {OP_EXPORT, 0},
                 {OP_TICKET, 0},
                 {OP_SEND, 0},
                 {OP_FREE, 0}},
                {{OP_OPEN, 0}, {OP_CLOSE, 0}, {OP_OPEN, 0}, {OP_CLOSE, 0}},
                {{OP_OPEN, 0}, {OP_CLOSE, 0}}},
               CLIENTS,
               ALL_ATTACHED},
    [TWO_OPENERS] = {"two open one ticket of two uses, a third one too",
                     {{{OP_EXPORT, 0}, {OP_TICKET, 0}, {OP_SEND, 0}, {OP_FREE, 0}, {OP_LOOK, 0}},
                      {{OP_OPEN, 0}, {OP_CLOSE, 0}},
                      {{OP_OPEN, 0}, {OP_CLOSE, 0}},
                      {{OP_OPEN, 0}, {OP_CLOSE, 0}}},
                     CLIENTS,
                     ALL_ATTACHED,
                     .uses = {2}},
    [NEWCOMER] = {"a newcomer takes the row of a dead client, while others clear it",
                  {{{OP_EXPORT, 0},
                    {OP_TICKET, 0},
                    {OP_SEND, 0},
                    {OP_TICKET, 1},
                    {OP_SEND, 1},
                    {OP_REAP, 0},
                    {OP_FREE, 0},
                    {OP_LOOK, 0}},
                   {{OP_OPEN, 0}, {OP_CLOSE, 0}},
                   {{OP_ATTACH, 0}, {OP_OPEN, 1}, {OP_CLOSE, 0}}},
                  .row_of = {MODEL_ROWS, 0, 0, 1, MODEL_ROWS},
                  .attached = {false, true}},
    [MAKER] = {"who passed a block on dies, and a newcomer takes its row",
               {{{OP_EXPORT, 0},
                 {OP_TICKET, 0},
                 {OP_SEND, 0},
                 {OP_FREE, 0},
                 {OP_EXPIRE, 0},
                 {OP_LOOK, 0}},
                {{OP_OPEN, 0}, {OP_TICKET, 1}, {OP_SEND, 1}, {OP_CLOSE, 0}},
                {{OP_ATTACH, 0}, {OP_OPEN, 1}, {OP_CLOSE, 0}},
                {{OP_OPEN, 1}, {OP_REAP, 0}, {OP_CLOSE, 0}}},
               .row_of = {MODEL_ROWS, 0, 0, 1, MODEL_ROWS},
               .attached = {false, true, false, true}},
    [HEIRS] = {"the owner dies: two heirs, and one who opens",
               {{{OP_EXPORT, 0}, {OP_TICKET, 0}, {OP_SEND, 0}, {OP_FREE, 0}},
                {{OP_OPEN, 0}, {OP_CLOSE, 0}},
                {{OP_REAP, 0}, {OP_EXPIRE, 0}, {OP_HEIR, 0}, {OP_HEIR, 0}},
                {{OP_HEIR, 0}, {OP_HEIR, 0}}},
               CLIENTS,
               ALL_ATTACHED},
    [HEIR_PASS] = {"the owner dies while its block is passed on; who holds it may be the heir",
                   {{{OP_EXPORT, 0}, {OP_TICKET, 0}, {OP_SEND, 0}, {OP_FREE, 0}},
                    {{OP_OPEN, 0}, {OP_TICKET, 1}, {OP_SEND, 1}, {OP_CLOSE, 0}, {OP_HEIR, 0}},
                    {{OP_OPEN, 1}, {OP_EXPIRE, 0}, {OP_HEIR, 0}, {OP_CLOSE, 0}}},
                   CLIENTS,
                   ALL_ATTACHED},
    [FORKED] =
        {"a holder forks",
         {{{OP_EXPORT, 0}, {OP_TICKET, 0}, {OP_SEND, 0}, {OP_FREE, 0}, {OP_REAP, 0}, {OP_LOOK, 0}},
          {{OP_OPEN, 0}, {OP_FORK, 2}, {OP_CLOSE, 0}},
          {{OP_INHERIT, 0}, {OP_CLOSE, 0}}},
         CLIENTS,
         .attached = {false, true},
         .unborn = 2},
    [ALL] = {"all of it at once",
             {{{OP_EXPORT, 0},
               {OP_TICKET, 0},
               {OP_SEND, 0},
               {OP_FREE, 0},
               {OP_REAP, 0},
               {OP_EXPIRE, 0},
               {OP_LOOK, 0}},
              {{OP_OPEN, 0}, {OP_TICKET, 1}, {OP_SEND, 1}, {OP_CLOSE, 0}, {OP_HEIR, 0}},
              {{OP_OPEN, 1}, {OP_CLOSE, 0}, {OP_REAP, 0}, {OP_EXPIRE, 0}, {OP_HEIR, 0}},
              {{OP_OPEN, 0}, {OP_CLOSE, 0}}},
             CLIENTS,
             ALL_ATTACHED,
             .uses = {2}},
};

enum { NR_SCENES = sizeof SCENES / sizeof *SCENES };

/* A variation and the scene in which it is shown to fail. */
static const struct {
    const char *name;
    struct rules rules;
    enum scene_name scene;
} VARIATIONS[] = {
    {"a look asks the tickets before the rows", {.tickets_first = true}, PASS_ON},
    {"a later look does not set closing", {.look_without_closing = true}, PASS_ON},
    {"an opener waits while the slot is closing", {.wait_on_closing = true}, OPEN_FREE},
    {"an opener takes closing for live", {.closing_is_alive = true}, OPEN_FREE},
    {"an opener takes closing for freed", {.closing_is_stale = true}, OPEN_FREE},
    {"a look ends with a store, not an exchange", {.free_by_store = true}, OPEN_FREE},
    {"a holder lets go, then makes the ticket", {.let_go_before_ticket = true}, PASS_ON},
    {"an opener checks, then counts up", {.check_before_count = true}, OPEN_FREE},
    {"a row is marked after the check", {.mark_after_check = true}, OPEN_FREE},
    {"two heirs at once", {.two_heirs = true}, HEIRS},
    {"an heir takes closing for free", {.closing_is_dead = true}, HEIRS},
    {"an heir scans without closing", {.heir_scans_only = true}, HEIRS},
    {"a reaper probes the row's lock only", {.reap_without_lock = true}, NEWCOMER},
    {"a newcomer keeps the row's counts", {.newcomer_keeps_row = true}, NEWCOMER},
    {"a ticket is known by its entry alone", {.entry_without_generation = true}, REUSE},
    {"a maker is known by its row alone", {.maker_by_row = true}, MAKER},
    {"a forked child counts for itself", {.fork_child_counts = true}, FORKED},
};

enum { NR_VARIATIONS = sizeof VARIATIONS / sizeof *VARIATIONS, STATES_MIN = 400000 };

/* The rules hold in every scene. */
static unsigned check_rules(unsigned *failures)
{
    static const struct rules none;
    unsigned total = 0;
    for (unsigned i = 0; i < NR_SCENES; i++) {
        struct result result = model_search(&SCENES[i], &none, true);
        total += result.states;
        *failures += result.broken != NULL;
        printf("%9u states, %7u ends: %s: %s\n", result.states, result.ends, SCENES[i].name,
               result.broken ? result.broken : "holds");
    }
    return total;
}

static void check_variations(unsigned *failures)
{
    for (unsigned i = 0; i < NR_VARIATIONS; i++) {
        printf("\nVariation: %s\n", VARIATIONS[i].name);
        struct result result = model_search(&SCENES[VARIATIONS[i].scene], &VARIATIONS[i].rules,
                                            true);
        *failures += result.broken == NULL;
        printf("    fails as it must, after %u states: %s\n", result.states,
               result.broken ? result.broken : "NO: it was not found to fail");
    }
}

int main(void)
{
    unsigned failures = 0;
    unsigned states = check_rules(&failures);
    printf("%9u states in all; at least %u are asked\n", states, STATES_MIN);
    failures += states < STATES_MIN;
    check_variations(&failures);
    return failures != 0;
}

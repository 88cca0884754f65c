/* The rules of sharing, as a model: what each process does to the table of holders, cut into
 * steps of one access to shared memory each, for one block, one slot and a few processes.
 *
 * It is not the code of csrc/share/: it is the protocol that this code follows, small enough that
 * every interleaving of every step, and a death between any two of them, can be tried
 * (model_search.c). docs/design/sharing-proofs.md says which rule of the code is which step here.
 *
 * Memory is sequentially consistent here: a step sees all steps before it. What weaker memory
 * may do is not asked here. */
#ifndef TESTS_SHARE_MODEL_H
#define TESTS_SHARE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MODEL_ACTORS = 5,  /* actor 0 is the owner, the last one cleans up at the end */
    MODEL_ROWS = 3,    /* a row for each client */
    MODEL_ENTRIES = 2, /* entries for tickets */
    MODEL_OPS = 12     /* operations of one actor, the last of them OP_END */
};

/* What an actor does, one after the other. One on a block that it does not hold is skipped. */
enum op_kind {
    OP_END,
    OP_EXPORT, /* owner: fill a block with the pattern of its generation, make its slot live */
    OP_TICKET, /* owner or holder: claim an entry, fill it, publish it */
    OP_SEND,   /* tell the receiver which ticket it is */
    OP_OPEN,   /* client: by the ticket that was sent */
    OP_CLOSE,  /* client: let go */
    OP_FREE,   /* owner: the first look */
    OP_LOOK,   /* owner: a later look at a block that could not be freed */
    OP_ATTACH, /* a newcomer takes a row */
    OP_REAP,   /* clear the rows of dead clients */
    OP_EXPIRE, /* end the tickets of dead makers */
    OP_HEIR,   /* retire and punch what a dead owner has left */
    OP_FORK,   /* a holder makes a child that holds as well */
    OP_INHERIT /* the child's first step: nothing, as the rules are */
};

struct op {
    uint8_t kind;
    uint8_t arg; /* entry of a ticket; for OP_FORK, the child */
};

enum { UNBORN = 2, MODEL_LAST = MODEL_ACTORS - 1 };

struct actor {
    uint8_t alive; /* 0 dead, 1 alive, or UNBORN */
    uint8_t op;    /* index of its operation */
    uint8_t pc;    /* step of that operation */
    uint8_t held;  /* generation of the block it may read, or 0 */
    uint8_t reg;   /* what it has read, or an index */
    uint8_t found; /* a look has found somebody; an open: which ticket was sent */
    uint8_t meant; /* pattern that the sender meant: no field of the code, but what is promised */
};

enum slot_state { SLOT_FREE, SLOT_LIVE, SLOT_CLOSING, SLOT_ORPHAN };
enum entry_state { ENTRY_EMPTY, ENTRY_CLAIMED, ENTRY_VALID };

struct state {
    struct actor actor[MODEL_ACTORS];
    uint8_t slot_state; /* with slot_gen one word: it changes in one step */
    uint8_t slot_gen;   /* of the block that the slot means, or will mean next */
    uint8_t data;       /* pattern in the block's memory: a generation, or 0 once punched */
    uint8_t asked;      /* the owner's own note: it wants to free the block */
    uint8_t heir;       /* who has the heir's lock, plus 1 */
    uint8_t sent[MODEL_ENTRIES];  /* messages: generation of the entry, or 0 */
    uint8_t meant[MODEL_ENTRIES]; /* and the pattern that the sender means */
    struct {
        uint8_t in_use;
        uint8_t count;
        uint8_t locker; /* actor that has the row's lock, plus 1 */
    } row[MODEL_ROWS];
    struct {
        uint8_t state; /* with gen and uses one word */
        uint8_t gen;
        uint8_t uses;
        uint8_t slot_gen;  /* the other fields, unchanged while the entry is valid */
        uint8_t maker;     /* an actor stands for row and incarnation */
        uint8_t maker_row; /* MODEL_ROWS: the owner */
    } entry[MODEL_ENTRIES];
};

/* Variations that have been tried and fail. All false: the rules that hold. */
struct rules {
    bool tickets_first;            /* a look asks the tickets, then the rows */
    bool look_without_closing;     /* a later look leaves the slot orphan while it scans */
    bool wait_on_closing;          /* an opener waits until closing has ended */
    bool closing_is_alive;         /* an opener takes closing for live and does not rescue */
    bool closing_is_stale;         /* an opener takes closing for freed */
    bool free_by_store;            /* a look ends with a store in place of the exchange */
    bool let_go_before_ticket;     /* a holder closes, then makes the ticket */
    bool check_before_count;       /* an opener looks at ticket and slot, then counts up */
    bool mark_after_check;         /* a row is marked in use after ticket and slot were checked */
    bool two_heirs;                /* nobody takes the heir's lock */
    bool closing_is_dead;          /* an heir takes a closing slot for a free one */
    bool heir_scans_only;          /* an heir scans and punches without retiring the slot */
    bool reap_without_lock;        /* a reaper probes the row's lock and does not take it */
    bool newcomer_keeps_row;       /* a newcomer does not clear its row */
    bool entry_without_generation; /* a ticket is known by its entry alone */
    bool maker_by_row;             /* a ticket's maker is known by its row alone */
    bool fork_child_counts;        /* a forked child counts up itself, after the fork */
};

struct scenario {
    const char *name;
    struct op script[MODEL_ACTORS][MODEL_OPS];
    uint8_t row_of[MODEL_ACTORS]; /* the row an actor uses */
    bool attached[MODEL_ACTORS];  /* it has its row's lock from the start */
    uint8_t unborn;               /* the actor that OP_FORK makes, or 0 */
    uint8_t uses[MODEL_ENTRIES];  /* of a new ticket; 0 means 1 */
};

/* One step of `a`. False when it has none: it is dead, done, or waits. `*what` says what it did;
 * `*broken`, if set, which promise the step broke. */
bool model_step(const struct scenario *scene, const struct rules *rules, struct state *state,
                unsigned a, const char **what, const char **broken);

/* `a` is killed: the system takes its locks from it in the same step. */
void model_kill(struct state *state, unsigned a);

/* Every holder sees the data that it opened; NULL, or which promise is broken. */
const char *model_check(const struct state *state);

void model_start(const struct scenario *scene, struct state *state);

/* Nobody moves any more: one process alone cleans up, the owner if it lives. NULL if all is gone
 * that nobody holds and all is there that somebody holds; else which promise is broken. */
const char *model_settle(const struct scenario *scene, const struct rules *rules,
                         struct state *state);

struct result {
    unsigned states;    /* different ones that were reached */
    unsigned ends;      /* of them, those in which nobody moves any more */
    const char *broken; /* NULL: all promises hold */
};

/* All interleavings, each with a death of any actor at any point. At the first broken promise the
 * shortest way there is written to `trace`, if not NULL. */
struct result model_search(const struct scenario *scene, const struct rules *rules, bool trace);

#endif

/* kill_world.h - a table of holders with a small heap beside it, and the processes around it.
 *
 * The test's own process plays all who live: the owner in row 0, clients in the others. Only the
 * victim is a process of its own, forked for one operation. Who is alive, which the library asks
 * of locks of the system, is a note here; those locks have tests of their own. */
#ifndef TESTS_SHARE_KILL_WORLD_H
#define TESTS_SHARE_KILL_WORLD_H

#include "share/protocol.h"

enum { OWNER, VICTIM, HOLDER, READER, NR_CLIENTS }; /* rows */
enum { WORLD_PAGES = 64, WORLD_PAGE = 4096, ANY_TIME = 1000000, NOW_S = 1000, TRANSIT_S = 600 };

struct world {
    struct share_table table;
    char *heap;               /* WORLD_PAGES pages that all see */
    bool dead[NR_CLIENTS];    /* rows whose process has died */
    struct share_block block; /* the one that matters, in slot and page 3 */
    struct share_key sent;    /* a ticket for READER */
    struct share_key taken;   /* a ticket for VICTIM */
};

extern struct world world;

void world_make(void);
void world_end(void);

void block_fill(const struct share_block *block);
bool block_is_whole(const struct share_block *block);
bool heap_is_zero(void);

/* Opens a ticket for a row; the library's own code. */
int world_open(uint32_t row, const struct share_key *key);
struct share_key world_ticket(uint32_t row, uint32_t uses);

/* Takes back what the dead have left: rows, then their old tickets. */
void world_reap(void);
bool world_alive(void *context, uint32_t row);
/* What an heir does: retires slots, and punches pages that no live slot covers. */
void world_inherit(void);
/* Slots, tickets or counts that are not free. */
unsigned world_left(void);

#endif

/* protocol.h - the steps in which the table of holders may be changed.
 *
 * What it is: each operation as a sequence of single stores and compare-and-swaps, in an order that
 * was checked by trying every interleaving, and every death in between (tests/share/). Each is safe
 * to be cut off at any store: what is left then is a row of a dead client, or a ticket claimed by
 * one, or a slot that is being closed, and share_row_clear and share_retire take these back.
 * What it is not: it knows no files and no addresses; who is alive is asked by the caller (see
 * os/os_share.h), who also keeps two threads of one process from using its row at once.
 *
 * Open: count up; full fence; look at ticket and slot; use the ticket up. The owner: set CLOSING;
 * full fence; look at the rows; then at the tickets; only then the next generation. By the two
 * fences one of them sees the other. An opener that meets CLOSING does not wait, because the owner
 * may be stopped or dead: its ticket is valid, so it makes the block an ORPHAN.
 * Lock: the caller's, around each operation on one row, and around those of the owner.
 */
#ifndef SHARE_PROTOCOL_H
#define SHARE_PROTOCOL_H

#include "share/table.h"

/* What a handle says beside the heap's id. */
struct share_key {
    uint64_t id;     /* of the ticket */
    uint32_t ticket; /* its place */
};

struct share_block {
    uint32_t slot;       /* of the block */
    uint32_t generation; /* of the slot */
    uint64_t offset;     /* in the heap */
    uint64_t bytes;
};

/* A ticket that is not used up. */
struct share_sent {
    uint32_t slot;   /* of its block */
    uint32_t made_s; /* when, in seconds */
    bool is_pin;
};

/* --- rows: under the row's OFD lock -------------------------------------------- */

/* Clears what an earlier client left, and makes the row the caller's. */
void share_row_enter(const struct share_table *table, uint32_t row);
/* Clears a row whose client is dead, or goes: its counts, its pins, and the tickets that it had
 * claimed. Those that it published stay. */
void share_row_clear(const struct share_table *table, uint32_t row);

/* --- for the owner ------------------------------------------------------------- */

/* Gives a block a slot; the caller knows a FREE one. pre: slot < nr_slots; it is FREE */
void share_export(const struct share_table *table, uint32_t slot, uint64_t offset, uint64_t bytes,
                  struct share_block *out);
/* Takes the slot back if nobody holds its block and no ticket names it: true, and the slot is FREE.
 * Else its block is an ORPHAN, and the caller looks again later. For the heir of a dead owner too.
 * pre: slot < nr_slots */
bool share_retire(const struct share_table *table, uint32_t slot);
/* Rows that count the slot's block, and how often together. */
uint32_t share_holders(const struct share_table *table, uint32_t slot, uint64_t *nr_holds);
/* Tickets of the slot that are not used up. */
uint32_t share_in_transit(const struct share_table *table, uint32_t slot);

/* --- for clients ----------------------------------------------------------------- */

/* Makes a ticket for a block that the caller holds, or owns, with so many uses; with
 * SHARE_MAX_USES it is a pin, which may be used any number of times. now_s: the clock.
 * ELIMIT: the slot's window is full. pre: 1 <= uses <= SHARE_MAX_USES; slot < nr_slots */
int share_ticket_make(const struct share_table *table, uint32_t row, uint32_t slot,
                      uint32_t generation, uint32_t uses, uint64_t now_s, struct share_key *out);
/* Ends tickets of the slots below nr_slots that are transit_s old and whose makers are dead. alive:
 * tells by row. Returns how many. pre: nr_slots <= the table's */
uint32_t share_tickets_expire(const struct share_table *table, uint32_t nr_slots, uint64_t now_s,
                              bool (*alive)(void *context, uint32_t row), void *context);
/* Ends all tickets of a slot's block, for want of memory; returns how many.
 * pre: slot < nr_slots */
uint32_t share_tickets_end(const struct share_table *table, uint32_t slot);
/* Calls visit for each ticket of a block in the slots below nr_slots.
 * pre: nr_slots <= the table's */
void share_tickets_each(const struct share_table *table, uint32_t nr_slots,
                        void (*visit)(void *context, const struct share_sent *sent), void *context);
/* Ends the pins of a row for a slot's block: its client is about to let go. pre: slot < nr_slots */
void share_pins_end(const struct share_table *table, uint32_t row, uint32_t slot);
/* Ends a ticket that the caller made, or knows. ESTALE: it is used up already. */
int share_ticket_end(const struct share_table *table, const struct share_key *key);
/* Opens the block of a ticket: the row holds it then. ESTALE; ECORRUPT: the table says that the
 * block lies outside of the heap; ELIMIT: the row holds it too often. */
int share_open(const struct share_table *table, uint32_t row, const struct share_key *key,
               struct share_block *out);
/* The row holds the block once less. EINVAL: it did not. pre: slot < nr_slots */
int share_close(const struct share_table *table, uint32_t row, uint32_t slot);

#endif

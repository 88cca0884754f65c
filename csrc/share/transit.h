/* transit.h - blocks of an own heap that are on their way: sent, and not opened yet.
 *
 * What it is: how many bytes they are at most (max_transit_bytes; without that option a quarter
 * of the heap, or one block of any size), and which of them go when an allocation fails otherwise.
 * A block counts once, however many tickets name it; a pin is no transit, because its maker holds
 * the block.
 * What it is not: the end of tickets by age (share_tickets_expire).
 *
 * Data structure: an upper bound, raised with each export. Tickets are used up by other processes,
 * which do not lower it; when it would pass the maximum, a walk over all tickets tells the truth.
 * Invariant: bound_bytes >= the bytes of the owner's blocks in transit. Lock: heap.h's.
 */
#ifndef SHARE_TRANSIT_H
#define SHARE_TRANSIT_H

#include "base/config.h"

struct share;

struct share_transit {
    uint64_t max_bytes;   /* more are refused, */
    bool lone_passes;     /* but for a block of any size, if it is the only one */
    uint64_t bound_bytes; /* no more are in transit */
    uint64_t nr_refused;  /* exports */
    uint64_t nr_expired;  /* tickets ended by age, or for want of memory */
    uint32_t walk;        /* number of the last walk over the tickets */
    uint64_t cut_bytes;   /* that the last cut was to end, */
    uint64_t used_pages;  /* and the frames in use after it */
};

/* May a block be sent, of a slot or (SHARE_NONE) of none yet? ELIMIT: too much is on its way. */
int share_transit_admit_locked(struct share *share, uint32_t slot, uint64_t bytes, uint32_t uses);
/* The bytes in transit; *nr_tickets: all tickets, pins included. */
uint64_t share_transit_look_locked(struct share *share, uint64_t *nr_tickets);
/* Ends the tickets of deferred blocks that nobody holds, the oldest first, of so many bytes. */
void share_transit_cut_locked(struct share *share, uint64_t wanted);

#endif
